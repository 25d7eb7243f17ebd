//! What sagas made, against how they ended: I9. Pure.
//!
//! Only `project-create` says by its log what it makes: the outputs of its nodes hold the ids. Held against the database is
//! what no request but a deletion can take away: the project with its quota, and of the default VPC what every VPC has.
//! Rules, routes and subnets are left out, since users change them.

use super::Problem;
use super::tally::Finding;
use crate::saga_log::Reading;
use crate::saga_log::dag::Node;
use crate::saga_log::events::EventType;
use crate::store::inspect::effects::{Objects, ProjectRow, VpcRow};
use crate::wire::sagas::{CachedState, Outcome};
use serde_json::Value;
use uuid::Uuid;

/// The kind of saga that is understood.
pub(super) const PROJECT_CREATE: &str = "project-create";

/// What a saga made, by its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// The project.
    pub(super) project: Option<Uuid>,
    /// Its default VPC.
    pub(super) vpc: Option<Uuid>,
}

impl Made {
    /// Reads the outputs.
    pub(super) fn of(reading: &Reading<'_>) -> Self {
        let mut made = Self::default();
        let Ok((dag, _)) = &reading.dag else { return made };
        for id in dag.ids() {
            let Some(Node::Action { action_name, .. }) = dag.node(id) else { continue };
            let place = match action_name.as_str() {
                "project_create.project" => &mut made.project,
                "vpc_create.vpc" => &mut made.vpc,
                _ => continue,
            };
            let output = reading.log.node(i64::from(id)).get(EventType::Succeeded);
            let json = output.and_then(|event| serde_json::from_str::<Value>(event.data.value()?).ok());
            *place = json.and_then(|json| json.get("id")?.as_str()?.parse().ok());
        }
        made
    }
}

/// Whether a saga is one that this can be told of: one at rest that was not given up.
pub(super) fn is_judged(reading: &Reading<'_>) -> bool {
    let saga = reading.records.saga.as_ref();
    saga.and_then(|saga| saga.name.value()).is_some_and(|name| name == PROJECT_CREATE)
        && reading.state() == Some(CachedState::Done)
        && matches!(reading.outcome, Some(Outcome::Succeeded | Outcome::Failed))
}

/// I9: a project that was made is there with its parts, unless somebody deleted it since; one that was unmade is not.
pub(super) fn agree(reading: &Reading<'_>, objects: &Objects) -> Finding {
    if !is_judged(reading) {
        return Finding::Beside;
    }
    let id = reading.records.id;
    let broken = |text: String| {
        Finding::Broken(Problem::of_saga(
            id,
            text,
            format!("sagactl sagas show {id}; then put it right by hand"),
        ))
    };
    let made = Made::of(reading);
    let Some(project_id) = made.project else {
        return match reading.outcome {
            // The first node failed, and nothing was made.
            Some(Outcome::Failed) => Finding::Holds,
            _ => Finding::CannotTell("its log does not tell which project it made".to_owned()),
        };
    };
    let project = objects.projects.get(&project_id);
    let vpc = made.vpc.and_then(|vpc| objects.vpcs.get(&vpc));
    if reading.outcome == Some(Outcome::Failed) {
        return match (project, vpc) {
            (None, None) => Finding::Holds,
            (Some(_), _) => broken(format!("it was unwound, but its project {project_id} is there")),
            (None, Some(_)) => {
                broken(format!("it was unwound, but the VPC of project {project_id} is there"))
            }
        };
    }
    let Some(ProjectRow { has_quota, is_being_deleted }) = project else {
        return match objects.deleted.contains(&project_id) {
            true => Finding::Holds,
            false => broken(format!(
                "it succeeded, but its project {project_id} is not there, and nobody deleted it"
            )),
        };
    };
    if *is_being_deleted {
        return Finding::Holds;
    }
    if !has_quota {
        return broken(format!("its project {project_id} has no quota"));
    }
    let Some(vpc_id) = made.vpc else {
        return Finding::CannotTell("its log does not tell which VPC it made".to_owned());
    };
    match vpc {
        None if objects.deleted.contains(&vpc_id) => Finding::Holds,
        None => {
            broken(format!("the default VPC {vpc_id} of its project is not there, and nobody deleted it"))
        }
        Some(VpcRow { is_being_deleted: true, .. }) => Finding::Holds,
        Some(VpcRow { missing, .. }) if !missing.is_empty() => {
            broken(format!("the default VPC {vpc_id} of its project lacks {}", missing.join(", ")))
        }
        Some(_) => Finding::Holds,
    }
}
