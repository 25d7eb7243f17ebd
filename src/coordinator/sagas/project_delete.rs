//! Saga `project-delete`: a project with everything in it.
//!
//! First everything is marked, from the project down, which can be taken back exactly; `store::domain::parts` says why in
//! this order. Then everything is removed in one write, from the bottom up. Until that moment the names stay taken.

use super::delete_parts::{Scoped, delete_line};
use super::line::{self, LineNode};
use super::refusals::{not_changed, type_names};
use super::{Action, Durability, Effect, Inputs, SagaKind};
use crate::store::domain::parts::{self, Scope};
use crate::store::domain::projects;
use crate::store::sql::Statement;
use crate::wire::ids::ProjectId;
use serde::{Deserialize, Serialize};
use steno::{ActionError, SagaDag};

/// The kind.
pub struct ProjectDelete;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The project.
    pub project_id: ProjectId,
}

impl Scoped for Params {
    fn scope(&self) -> Scope {
        Scope::Project(self.project_id)
    }
}

const LINE: &[LineNode] = delete_line! { "project_delete", Params, purge: purge;
    "project" "Project": mark_project, unmark_project;
    "vpcs" "Vpcs": mark_vpcs, unmark_vpcs;
};

impl SagaKind for ProjectDelete {
    const NAME: &'static str = "project-delete";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE)
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        line::saga_dag::<Self>(LINE, params)
    }
}

fn mark_project(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let id = inputs.params::<Params>()?.project_id;
    let refused = not_changed(type_names::PROJECT, id);
    Ok(Effect::new(vec![projects::mark(id, inputs.saga_id())], id)?.or_refuse(refused))
}

fn unmark_project(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![projects::unmark(inputs.params::<Params>()?.project_id, inputs.saga_id())])
}

fn mark_vpcs(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(vec![parts::mark_vpcs(inputs.params::<Params>()?.project_id, inputs.saga_id())], ())
}

fn unmark_vpcs(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![parts::unmark_vpcs(inputs.params::<Params>()?.project_id, inputs.saga_id())])
}

fn purge(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(parts::delete_project(inputs.params::<Params>()?.project_id), ())
}

#[cfg(test)]
mod tests {
    use super::super::test_helpers::{Repeat, TestBed, check_saga, count, numbered_saga};
    use super::*;
    use crate::store::domain::schema::TABLES;
    use crate::wire::name::NameOrId;

    #[tokio::test]
    async fn deletes_a_project_with_everything_in_it_and_nothing_else() {
        let (before, after) = check_saga::<ProjectDelete>(async |bed| {
            bed.project(1, "gemini").await;
            let project = bed.project(2, "apollo").await;
            let vpc = bed.vpc(3, &project, "moon").await;
            bed.router(4, &vpc, "north").await;
            Params { project_id: project.id }
        })
        .await;
        let alone = TestBed::new(Durability::OwnDatabase);
        alone.project(1, "gemini").await;
        assert_eq!(after, alone.contents().await);
        for table in TABLES {
            assert!(count(&before, table) > count(&after, table), "{table}");
        }
    }

    #[tokio::test]
    async fn a_project_is_deleted_once() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let project = bed.project(1, "apollo").await;
        let params = Params { project_id: project.id };
        bed.run::<ProjectDelete>(numbered_saga(2), &params, None, Repeat::Never)
            .await
            .kind
            .expect("it succeeds");
        let (node, why) = bed.refused::<ProjectDelete>(numbered_saga(3), &params).await;
        assert_eq!(node, "project");
        assert_eq!(why.to_string(), format!("not found: project with id \"{}\"", project.id));
    }

    #[tokio::test]
    async fn the_name_is_free_again() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let project = bed.project(1, "apollo").await;
        let params = Params { project_id: project.id };
        bed.run::<ProjectDelete>(numbered_saga(2), &params, None, Repeat::Never)
            .await
            .kind
            .expect("it succeeds");
        let name = NameOrId::Name(project.name.clone());
        assert_eq!(projects::find_project(&*bed.store, &name).await.expect("a read"), None);
        bed.project(3, "apollo").await;
    }
}
