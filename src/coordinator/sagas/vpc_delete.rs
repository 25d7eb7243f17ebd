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
