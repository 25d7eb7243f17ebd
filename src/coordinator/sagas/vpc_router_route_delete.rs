//! Saga `vpc-router-route-delete`: a route that a user made.

use super::line::{self, LineNode, line, nothing};
use super::refusals::{not_changed, type_names};
use super::{Action, Durability, Effect, Inputs, SagaKind};
use crate::store::domain::routes;
use crate::store::sql::Statement;
use crate::wire::ids::RouteId;
use serde::{Deserialize, Serialize};
use steno::{ActionError, SagaDag};

/// The kind.
pub struct VpcRouterRouteDelete;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The route.
    pub route_id: RouteId,
}

const LINE: &[LineNode] = line! { "vpc_router_route_delete";
    "route" "Route": mark_route, unmark_route;
    "purge" "Purge": purge, nothing;
};

impl SagaKind for VpcRouterRouteDelete {
    const NAME: &'static str = "vpc-router-route-delete";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE)
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        line::saga_dag::<Self>(LINE, params)
    }
}

fn mark_route(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let id = inputs.params::<Params>()?.route_id;
    Ok(Effect::new(vec![routes::mark(id, inputs.saga_id())], id)?
        .or_refuse(not_changed(type_names::ROUTE, id)))
}

fn unmark_route(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![routes::unmark(inputs.params::<Params>()?.route_id, inputs.saga_id())])
}

fn purge(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(vec![routes::delete(inputs.params::<Params>()?.route_id)], ())
}
