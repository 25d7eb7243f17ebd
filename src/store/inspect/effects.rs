//! What sagas of our coordinator made: projects and VPCs, and which of them somebody deleted.

use super::Inspector;
use super::error::InspectError;
use super::listing::{Cursor, Order, Span};
use super::source::Origin;
use crate::saga_log::dag::Dag;
use crate::wire::field::Field;
use crate::wire::ids::SagaId;
use crate::wire::time::Time;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Kinds of sagas that delete what these are about.
const DELETING: [&str; 2] = ["project-delete", "vpc-delete"];

/// Deletions that are read at once, and at most.
const DELETIONS_PAGE: u32 = 200;
const MOST_DELETIONS: u64 = 100_000;

/// Objects that are there, and that were to be deleted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// Projects by id.
    pub projects: HashMap<Uuid, ProjectRow>,
    /// VPCs by id.
    pub vpcs: HashMap<Uuid, VpcRow>,
    /// Objects that a saga was made to delete.
    pub deleted: HashSet<Uuid>,
}

/// A project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectRow {
    /// Whether it has its quota.
    pub has_quota: bool,
    /// Whether a saga is at deleting it.
    pub is_being_deleted: bool,
}

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VpcRow {
    /// Parts that every VPC has and that this one has not, in words.
    pub missing: Vec<&'static str>,
    /// Whether a saga is at deleting it.
    pub is_being_deleted: bool,
}

/// Parts of a VPC, with a condition that holds where it is there.
const PARTS: [(&str, &str); 4] = [
    ("its readiness", "vpc.time_ready IS NOT NULL"),
    ("its system router", "EXISTS (SELECT 1 FROM vpc_router WHERE vpc_router.id = vpc.system_router_id)"),
    (
        "its internet gateway",
        "EXISTS (SELECT 1 FROM internet_gateway WHERE internet_gateway.vpc_id = vpc.id)",
    ),
    ("its DNS record", "EXISTS (SELECT 1 FROM vpc_dns_record WHERE vpc_dns_record.vpc_id = vpc.id)"),
];

impl Inspector {
    /// Whether this database holds what our sagas make.
    pub fn has_objects(&self) -> bool {
        matches!(self.describe().origin, Origin::Sagactl { .. })
    }

    /// Those of these projects and VPCs that are there.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn load_objects(&self, projects: &[Uuid], vpcs: &[Uuid]) -> Result<Objects, InspectError> {
        let mut objects = Objects::default();
        if !projects.is_empty() {
            let query = self
                .query(&format!("SELECT {}, CASE WHEN deleted_by IS NULL THEN 0 ELSE 1 END, \
                     CASE WHEN EXISTS (SELECT 1 FROM project_quota WHERE project_quota.project_id = project.id) \
                     THEN 1 ELSE 0 END FROM project WHERE ", self.text_of("project.id")))
                .among("id", projects);
            for mut row in self.ask(query).await? {
                let Field::Value(id) = row.next().parsed::<Uuid>("a uuid") else { continue };
                let is_being_deleted = row.next().count() > 0;
                let has_quota = row.next().count() > 0;
                objects.projects.insert(id, ProjectRow { has_quota, is_being_deleted });
            }
        }
        if !vpcs.is_empty() {
            let parts: String =
                PARTS.iter().map(|(_, holds)| format!(", CASE WHEN {holds} THEN 1 ELSE 0 END")).collect();
            let query = self
                .query(&format!(
                    "SELECT {}, CASE WHEN deleted_by IS NULL THEN 0 ELSE 1 END{parts} FROM vpc WHERE ",
                    self.text_of("vpc.id")
                ))
                .among("id", vpcs);
            for mut row in self.ask(query).await? {
                let Field::Value(id) = row.next().parsed::<Uuid>("a uuid") else { continue };
                let is_being_deleted = row.next().count() > 0;
                let mut missing = Vec::new();
                for (part, _) in PARTS {
                    if row.next().count() == 0 {
                        missing.push(part);
                    }
                }
                objects.vpcs.insert(id, VpcRow { missing, is_being_deleted });
            }
        }
        Ok(objects)
    }

    /// What sagas were made to delete that were created at or after `since`; `None` if there are too many to go through.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn list_deletions(&self, since: Option<Time>) -> Result<Option<HashSet<Uuid>>, InspectError> {
        let mut deleted = HashSet::new();
        let order = Order::NewestFirstNamed(DELETING.map(str::to_owned).to_vec());
        let mut after: Option<Cursor> = None;
        let mut scanned = 0;
        loop {
            let span = Span { since, until: None };
            let page = self.list_sagas(&order, span, after.as_ref(), DELETIONS_PAGE).await?;
            scanned += page.scanned;
            let ids: Vec<SagaId> = page.sagas.iter().map(|saga| saga.id).collect();
            for dag in self.load_dags(&ids).await?.into_values() {
                deleted.extend(dag.value().into_iter().flat_map(|dag| objects_in(dag)));
            }
            match page.next {
                None => return Ok(Some(deleted)),
                Some(_) if scanned >= MOST_DELETIONS => return Ok(None),
                next => after = next,
            }
        }
    }

    fn text_of(&self, column: &str) -> String {
        match self.describe().engine {
            super::source::Engine::Sqlite => column.to_owned(),
            _ => format!("{column}::TEXT"),
        }
    }
}

/// What a saga that deletes was given.
fn objects_in(dag: &str) -> Vec<Uuid> {
    let params = Dag::parse(dag).ok().and_then(|dag| serde_json::from_str::<Value>(dag.params()?).ok());
    let Some(params) = params else { return Vec::new() };
    let id = |field: &str| params.get(field)?.as_str()?.parse().ok();
    ["project_id", "vpc_id"].into_iter().filter_map(id).collect()
}
