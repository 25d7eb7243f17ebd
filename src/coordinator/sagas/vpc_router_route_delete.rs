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

#[cfg(test)]
mod tests {
    use super::super::test_helpers::{TestBed, check_saga, moment, numbered_saga};
    use super::super::vpc_router_route_create::{self, VpcRouterRouteCreate};
    use super::*;
    use crate::store::domain::PageRequest;
    use crate::wire::external::{RouteEnd, Router, Vpc};

    async fn moon(bed: &TestBed) -> Vpc {
        let project = bed.project(1, "apollo").await;
        bed.vpc(2, &project, "moon").await
    }

    async fn north(bed: &TestBed) -> Router {
        let vpc = moon(bed).await;
        bed.router(3, &vpc, "north").await
    }

    #[tokio::test]
    async fn deletes_a_route_and_nothing_else() {
        let (_, after) = check_saga::<VpcRouterRouteDelete>(async |bed| {
            let params = vpc_router_route_create::Params {
                router_id: north(bed).await.id,
                name: "home".parse().expect("a name"),
                description: String::new(),
                target: RouteEnd::Drop,
                destination: RouteEnd::Ip("10.0.0.1".to_owned()),
                time_created: moment(),
            };
            Params { route_id: bed.make::<VpcRouterRouteCreate>(numbered_saga(4), &params).await.id }
        })
        .await;
        let alone = TestBed::new(Durability::OwnDatabase);
        north(&alone).await;
        assert_eq!(after, alone.contents().await);
    }

    #[tokio::test]
    async fn routes_of_the_system_stay() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let router = moon(&bed).await.system_router_id;
        let all =
            routes::list_routes(&*bed.store, router, &PageRequest::by_name(None, 100)).await.expect("a read");
        assert_eq!(all.len(), 3);
        let before = bed.contents().await;
        for (number, route) in (10..).zip(all) {
            let params = Params { route_id: route.id };
            bed.refused::<VpcRouterRouteDelete>(numbered_saga(number), &params).await;
        }
        assert_eq!(bed.contents().await, before);
    }
}
