//! `sagas find`: sagas that mention an object, in their parameters, their outputs or their errors.
//!
//! No index knows what a saga mentions, so every saga that the filter lets through is read, the newest first where an index
//! knows which these are. The database does the searching; what comes back is what was found.

use super::SagasError;
use super::filter::Filter;
use super::walk::{Candidate, Walk};
use crate::saga_log::mentions;
use crate::saga_log::node_names::NodeNames;
use crate::saga_log::record::SagaRecord;
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::wire::field::Field;
use crate::wire::ids::SagaId;
use crate::wire::time::Time;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};

/// Sagas whose DAGs and logs are searched at once: some megabytes.
const PAGE: u32 = 250;

/// Where a text may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// It is the saga's own id.
    Id,
    /// What the saga was given.
    Params,
    /// What a node made.
    Outputs,
    /// Why a node failed.
    Errors,
}

impl Where {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Params => "params",
            Self::Outputs => "outputs",
            Self::Errors => "errors",
        }
    }
}

/// A place where the text was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The saga.
    pub saga_id: SagaId,
    /// Its kind.
    pub name: Field<String>,
    /// Its state as stored.
    pub state: Field<String>,
    /// When it was made.
    pub created: Field<Time>,
    /// Where in it.
    pub place: Where,
    /// The node, by name; none for the saga's own id.
    pub node: Option<String>,
    /// When the event was written that mentions it; none for what is not in an event.
    pub time: Option<Field<Time>>,
    /// What stands around it. Parameters are not shown, for they hold what is nobody's business.
    pub excerpt: Option<String>,
}

/// A search on its way.
pub struct Finding {
    walk: Walk,
    /// As a person wrote it.
    asked: String,
    /// As it stands in JSON.
    spelled: String,
    places: Vec<Where>,
    searched: u64,
}

impl Finding {
    /// Begins to search.
    ///
    /// # Errors
    ///
    /// If what is asked for cannot be found out, or the database not be read.
    pub async fn begin(
        inspector: Inspector,
        filter: Filter,
        text: &str,
        places: Vec<Where>,
        now: Time,
    ) -> Result<Self, SagasError> {
        Ok(Self {
            walk: Walk::begin(inspector, filter, now).await?,
            asked: text.trim().to_lowercase(),
            spelled: mentions::spelled_in_json(text),
            places,
            searched: 0,
        })
    }

    /// What is found in the next sagas, perhaps nothing; `None` at the end.
    ///
    /// # Errors
    ///
    /// If the database cannot be read on.
    pub async fn next(&mut self) -> Result<Option<Vec<Hit>>, InspectError> {
        let Some(candidates) = self.walk.next(PAGE).await? else { return Ok(None) };
        self.searched += candidates.len() as u64;
        let ids: Vec<SagaId> = candidates.iter().map(|candidate| candidate.saga.id).collect();
        let inspector = self.walk.inspector();
        let mut found: BTreeMap<SagaId, Found> = BTreeMap::new();
        if self.places.contains(&Where::Params) {
            for (id, dag) in inspector.search_dags(&ids, &self.spelled).await? {
                let Field::Value(dag) = dag else { continue };
                let nodes = mentions::in_parameters(&dag, &self.spelled);
                if !nodes.is_empty() {
                    let found = found.entry(id).or_default();
                    found.in_params = nodes;
                    found.names = Some(NodeNames::of_dag(&dag));
                }
            }
        }
        let types = self.event_types();
        if !types.is_empty() {
            for mention in inspector.search_logs(&ids, &self.spelled, &types).await? {
                found.entry(mention.saga_id).or_default().in_log.push(mention);
            }
        }
        let nameless: Vec<SagaId> =
            found.iter().filter(|(_, found)| found.names.is_none()).map(|(id, _)| *id).collect();
        let dags = if nameless.is_empty() { HashMap::new() } else { inspector.load_dags(&nameless).await? };
        let mut hits = Vec::new();
        for Candidate { saga, .. } in candidates {
            let mut found = found.remove(&saga.id).unwrap_or_default();
            if let Some(Field::Value(dag)) = dags.get(&saga.id) {
                found.names = Some(NodeNames::of_dag(dag));
            }
            if saga.id.to_string() == self.asked {
                hits.push(hit(&saga, Where::Id, None, None, None));
            }
            found.tell(&saga, &mut hits);
        }
        Ok(Some(hits))
    }

    fn event_types(&self) -> Vec<&'static str> {
        let mut types = Vec::new();
        if self.places.contains(&Where::Outputs) {
            types.push("succeeded");
        }
        if self.places.contains(&Where::Errors) {
            types.extend(["failed", "undo_failed"]);
        }
        types
    }

    /// Sagas that were searched, and rows that were looked at for it.
    pub fn progress(&self) -> (u64, u64) {
        (self.searched, self.walk.scanned)
    }

    /// Rows without a readable id, which were not searched.
    pub fn unreadable_ids(&self) -> u64 {
        self.walk.unreadable_ids.len() as u64
    }

    /// Whether names were asked for, and every saga was looked at, and none has one of them.
    pub fn no_such_name(&self) -> bool {
        self.walk.has_met_no_name()
    }
}

#[derive(Default)]
struct Found {
    names: Option<NodeNames>,
    in_params: Vec<u32>,
    in_log: Vec<crate::store::inspect::contents::Mention>,
}

impl Found {
    fn tell(self, saga: &SagaRecord, hits: &mut Vec<Hit>) {
        let names = self.names.unwrap_or_default();
        for node in self.in_params {
            hits.push(hit(saga, Where::Params, Some(names.name(i64::from(node))), None, None));
        }
        for mention in self.in_log {
            let place = if mention.event_type == "succeeded" { Where::Outputs } else { Where::Errors };
            let node = names.name(mention.node_id);
            hits.push(hit(saga, place, Some(node), Some(mention.time), Some(mention.excerpt)));
        }
    }
}

fn hit(
    saga: &SagaRecord,
    place: Where,
    node: Option<String>,
    time: Option<Field<Time>>,
    excerpt: Option<String>,
) -> Hit {
    Hit {
        saga_id: saga.id,
        name: saga.name.clone(),
        state: saga.state.clone(),
        created: saga.time_created.clone(),
        place,
        node,
        time,
        excerpt,
    }
}

impl Serialize for Hit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(8))?;
        map.serialize_entry("saga_id", &self.saga_id)?;
        map.serialize_entry("name", &self.name.value())?;
        map.serialize_entry("state", &self.state.value())?;
        map.serialize_entry("created", &self.created.value())?;
        map.serialize_entry("where", &self.place)?;
        map.serialize_entry("node", &self.node)?;
        map.serialize_entry("time", &self.time.as_ref().and_then(Field::value))?;
        map.serialize_entry("excerpt", &self.excerpt)?;
        map.end()
    }
}
