//! Saga `vpc-delete`: a VPC with everything in it, in the manner of `project-delete`.

use super::delete_parts::{Scoped, delete_line};
use super::line::{self, LineNode};
use super::refusals::{not_changed, type_names};
use super::{Action, Durability, Effect, Inputs, SagaKind};
use crate::store::domain::parts::{self, Scope};
use crate::store::domain::vpcs;
use crate::store::sql::Statement;
use crate::wire::ids::VpcId;
use serde::{Deserialize, Serialize};
use steno::{ActionError, SagaDag};

/// The kind.
pub struct VpcDelete;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The VPC.
    pub vpc_id: VpcId,
}

impl Scoped for Params {
    fn scope(&self) -> Scope {
        Scope::Vpc(self.vpc_id)
    }
}

const LINE: &[LineNode] = delete_line! { "vpc_delete", Params, purge: purge;
    "vpc" "Vpc": mark_vpc, unmark_vpc;
};

impl SagaKind for VpcDelete {
    const NAME: &'static str = "vpc-delete";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE)
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        line::saga_dag::<Self>(LINE, params)
    }
}

fn mark_vpc(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let id = inputs.params::<Params>()?.vpc_id;
    Ok(Effect::new(vec![vpcs::mark(id, inputs.saga_id())], id)?.or_refuse(not_changed(type_names::VPC, id)))
}

fn unmark_vpc(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![vpcs::unmark(inputs.params::<Params>()?.vpc_id, inputs.saga_id())])
}

fn purge(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(parts::delete_vpcs(inputs.params::<Params>()?.scope()), ())
}

#[cfg(test)]
mod tests {
    use super::super::test_helpers::{TestBed, check_saga, count, numbered_saga};
    use super::*;

    #[tokio::test]
    async fn deletes_a_vpc_with_everything_in_it_and_nothing_else() {
        let (_, after) = check_saga::<VpcDelete>(async |bed| {
            let project = bed.project(1, "apollo").await;
            let vpc = bed.vpc(2, &project, "moon").await;
            bed.router(3, &vpc, "north").await;
            Params { vpc_id: vpc.id }
        })
        .await;
        let alone = TestBed::new(Durability::OwnDatabase);
        alone.project(1, "apollo").await;
        assert_eq!(after, alone.contents().await);
        assert_eq!(count(&after, "vpc"), 1);
    }

    #[tokio::test]
    async fn a_vpc_that_is_not_there_is_refused() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let vpc_id = VpcId::from_uuid(numbered_saga(9).as_uuid());
        let (_, why) = bed.refused::<VpcDelete>(numbered_saga(2), &Params { vpc_id }).await;
        assert_eq!(why.to_string(), format!("not found: vpc with id \"{vpc_id}\""));
    }
}
