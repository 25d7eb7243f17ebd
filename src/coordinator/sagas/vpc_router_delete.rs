//! Saga `vpc-router-delete`: a router that a user made, with its routes.

use super::line::{self, LineNode, line, nothing};
use super::refusals::{not_changed, type_names};
use super::{Action, Durability, Effect, Inputs, SagaKind};
use crate::store::domain::{routers, routes};
use crate::store::sql::Statement;
use crate::wire::ids::RouterId;
use serde::{Deserialize, Serialize};
use steno::{ActionError, SagaDag};

/// The kind.
pub struct VpcRouterDelete;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The router.
    pub router_id: RouterId,
}

const LINE: &[LineNode] = line! { "vpc_router_delete";
    "router" "Router": mark_router, unmark_router;
    "routes" "Routes": mark_routes, unmark_routes;
    "purge" "Purge": purge, nothing;
};

impl SagaKind for VpcRouterDelete {
    const NAME: &'static str = "vpc-router-delete";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE)
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        line::saga_dag::<Self>(LINE, params)
    }
}

fn mark_router(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let id = inputs.params::<Params>()?.router_id;
    let refused = not_changed(type_names::ROUTER, id);
    Ok(Effect::new(vec![routers::mark(id, inputs.saga_id())], id)?.or_refuse(refused))
}

fn unmark_router(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![routers::unmark(inputs.params::<Params>()?.router_id, inputs.saga_id())])
}

fn mark_routes(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(vec![routes::mark_of_router(inputs.params::<Params>()?.router_id, inputs.saga_id())], ())
}

fn unmark_routes(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![routes::unmark_of_router(inputs.params::<Params>()?.router_id, inputs.saga_id())])
}

fn purge(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(routers::delete_with_routes(inputs.params::<Params>()?.router_id), ())
}
