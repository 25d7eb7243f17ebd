//! Saga `vpc-subnet-delete`: a subnet that a user made, with the route that leads to it.

use super::line::{self, LineNode, line, nothing};
use super::refusals::{not_changed, type_names};
use super::{Action, Durability, Effect, Inputs, SagaKind};
use crate::store::domain::{routes, subnets};
use crate::store::sql::Statement;
use crate::wire::ids::SubnetId;
use serde::{Deserialize, Serialize};
use steno::{ActionError, SagaDag};

/// The kind.
pub struct VpcSubnetDelete;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The subnet.
    pub subnet_id: SubnetId,
}

const LINE: &[LineNode] = line! { "vpc_subnet_delete";
    "subnet" "Subnet": mark_subnet, unmark_subnet;
    "subnet_route" "SubnetRoute": mark_route, unmark_route;
    "purge" "Purge": purge, nothing;
};

impl SagaKind for VpcSubnetDelete {
    const NAME: &'static str = "vpc-subnet-delete";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE)
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        line::saga_dag::<Self>(LINE, params)
    }
}

fn mark_subnet(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let id = inputs.params::<Params>()?.subnet_id;
    let refused = not_changed(type_names::SUBNET, id);
    Ok(Effect::new(vec![subnets::mark(id, inputs.saga_id())], id)?.or_refuse(refused))
}

fn unmark_subnet(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![subnets::unmark(inputs.params::<Params>()?.subnet_id, inputs.saga_id())])
}

fn mark_route(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(vec![routes::mark_of_subnet(inputs.params::<Params>()?.subnet_id, inputs.saga_id())], ())
}

fn unmark_route(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![routes::unmark_of_subnet(inputs.params::<Params>()?.subnet_id, inputs.saga_id())])
}

fn purge(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(subnets::delete_whole(inputs.params::<Params>()?.subnet_id), ())
}
