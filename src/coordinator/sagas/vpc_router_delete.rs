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

#[cfg(test)]
mod tests {
    use super::super::test_helpers::{TestBed, check_saga, moment, numbered_saga};
    use super::super::vpc_router_route_create::{self, VpcRouterRouteCreate};
    use super::*;
    use crate::wire::external::{RouteEnd, Vpc};

    async fn moon(bed: &TestBed) -> Vpc {
        let project = bed.project(1, "apollo").await;
        bed.vpc(2, &project, "moon").await
    }

    #[tokio::test]
    async fn deletes_a_router_with_its_routes_and_nothing_else() {
        let (_, after) = check_saga::<VpcRouterDelete>(async |bed| {
            let router = bed.router(3, &moon(bed).await, "north").await;
            let params = vpc_router_route_create::Params {
                router_id: router.id,
                name: "home".parse().expect("a name"),
                description: String::new(),
                target: RouteEnd::Drop,
                destination: RouteEnd::Ip("10.0.0.1".to_owned()),
                time_created: moment(),
            };
            bed.make::<VpcRouterRouteCreate>(numbered_saga(4), &params).await;
            Params { router_id: router.id }
        })
        .await;
        let alone = TestBed::new(Durability::OwnDatabase);
        moon(&alone).await;
        assert_eq!(after, alone.contents().await);
    }

    #[tokio::test]
    async fn the_system_router_stays() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let vpc = moon(&bed).await;
        let before = bed.contents().await;
        bed.refused::<VpcRouterDelete>(numbered_saga(3), &Params { router_id: vpc.system_router_id }).await;
        assert_eq!(bed.contents().await, before);
    }
}
