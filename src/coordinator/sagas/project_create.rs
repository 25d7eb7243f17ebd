//! Saga `project-create`: a project with its quota and, by the subsaga `vpc-create`, its default VPC.

use super::line::{self, LineNode, line};
use super::refusals::{not_added, type_names};
use super::{Action, Creates, Durability, Effect, Inputs, SagaKind, derive_uuid, vpc_create};
use crate::store::domain::{parts, projects};
use crate::store::sql::Statement;
use crate::wire::external::Project;
use crate::wire::ids::{ProjectId, SagaId};
use crate::wire::name::Name;
use crate::wire::time::Time;
use serde::{Deserialize, Serialize};
use steno::{ActionError, DagBuilder, Node, SagaDag, SagaName};

/// The kind.
pub struct ProjectCreate;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// Unique among all projects.
    pub name: Name,
    /// For people.
    pub description: String,
    /// When it was asked for; chosen once, so that a repeated action writes the same.
    pub time_created: Time,
}

const LINE: &[LineNode] = line! { "project_create";
    "project" "Project": insert_project, delete_project;
    "quota" "Quota": insert_quota, delete_quota;
};

impl SagaKind for ProjectCreate {
    const NAME: &'static str = "project-create";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE).into_iter().chain(vpc_create::VpcCreate::actions()).collect()
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        let mut builder = DagBuilder::new(SagaName::new(Self::NAME));
        line::append(&mut builder, LINE);
        builder.append(Node::subsaga("vpc", vpc_create::subsaga()?, "quota"));
        Ok(SagaDag::new(builder.build()?, serde_json::to_value(params)?))
    }
}

impl Creates for ProjectCreate {
    type Object = Project;

    fn made(saga: SagaId, params: &Params) -> Project {
        Project {
            id: ProjectId::from_uuid(derive_uuid(saga, "project")),
            name: params.name.clone(),
            description: params.description.clone(),
            time_created: params.time_created,
            time_modified: params.time_created,
        }
    }
}

fn project(inputs: &Inputs<'_>) -> Result<Project, ActionError> {
    Ok(ProjectCreate::made(inputs.saga_id(), &inputs.params()?))
}

fn insert_project(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let project = project(inputs)?;
    // A project has no parent; the first argument pair is the only one that can be the matter.
    let refused = not_added(type_names::PROJECT, &project.name, type_names::PROJECT, project.id);
    Ok(Effect::new(vec![projects::insert(&project)], &project)?.or_refuse(refused))
}

/// Removes the project with whatever somebody else may have put into it since it became visible.
fn delete_project(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(parts::delete_project(project(inputs)?.id))
}

/// Writes the quota. The output is what the default VPC is made from.
fn insert_quota(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let project = project(inputs)?;
    let vpc = vpc_create::Params::default_of(project.id, project.time_created);
    let refused = not_added(type_names::PROJECT, &project.name, type_names::PROJECT, project.id);
    let statement = projects::insert_quota(project.id, projects::DEFAULT_MAX_VPCS);
    Ok(Effect::new(vec![statement], vpc)?.or_rarely_refuse(refused))
}

fn delete_quota(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![projects::delete_quota(project(inputs)?.id)])
}

#[cfg(test)]
mod tests {
    use super::super::ActionFailure;
    use super::super::test_helpers::{TestBed, check_saga, count, moment, numbered_saga};
    use super::*;
    use crate::store::domain::schema::TABLES;

    fn params() -> Params {
        Params {
            name: "apollo".parse().expect("a name"),
            description: "to the moon".to_owned(),
            time_created: moment(),
        }
    }

    #[tokio::test]
    async fn makes_a_project_with_its_default_vpc() {
        let (before, after) = check_saga::<ProjectCreate>(async |_| params()).await;
        for table in TABLES {
            assert_eq!(count(&before, table), 0, "{table}");
            let expected = match *table {
                "router_route" | "vpc_firewall_rule" => 3,
                "subnet_address_pool" => 2,
                _ => 1,
            };
            assert_eq!(count(&after, table), expected, "{table}");
        }
    }

    #[test]
    fn is_a_line_of_twenty_two_nodes() {
        let dag = ProjectCreate::dag(&params()).expect("a DAG");
        let json = serde_json::to_value(dag).expect("a DAG is JSON");
        assert_eq!(json["graph"]["nodes"].as_array().map(Vec::len), Some(22));
        assert_eq!(json["graph"]["edges"].as_array().map(Vec::len), Some(21));
    }

    #[tokio::test]
    async fn a_name_is_given_once() {
        let bed = TestBed::new(Durability::OwnDatabase);
        bed.project(1, "apollo").await;
        let before = bed.contents().await;
        let (node, why) = bed.refused::<ProjectCreate>(numbered_saga(2), &params()).await;
        assert_eq!(node, "project");
        let expected = ActionFailure::ObjectAlreadyExists {
            type_name: "project".to_owned(),
            object_name: "apollo".to_owned(),
        };
        assert_eq!(why, expected);
        assert_eq!(bed.contents().await, before);
    }

    #[tokio::test]
    async fn answers_what_it_wrote() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let made = bed.project(1, "apollo").await;
        let name = crate::wire::name::NameOrId::Name(made.name.clone());
        let found = projects::find_project(&*bed.store, &name).await.expect("a read");
        assert_eq!(found, Some(made));
    }
}
