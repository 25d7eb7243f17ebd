//! Saga `vpc-router-route-create`: a route of a router.

use super::line::{self, LineNode, line};
use super::refusals::{not_added, type_names};
use super::{Action, Creates, Durability, Effect, Inputs, SagaKind, derive_uuid};
use crate::store::domain::routes;
use crate::store::sql::Statement;
use crate::wire::external::{Route, RouteEnd, RouteKind};
use crate::wire::ids::{RouteId, RouterId, SagaId};
use crate::wire::name::Name;
use crate::wire::time::Time;
use serde::{Deserialize, Serialize};
use steno::{ActionError, SagaDag};

/// The kind.
pub struct VpcRouterRouteCreate;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The router that the route will be in.
    pub router_id: RouterId,
    /// Unique in its router.
    pub name: Name,
    /// For people.
    pub description: String,
    /// Where it sends packets.
    pub target: RouteEnd,
    /// Which packets it is for.
    pub destination: RouteEnd,
    /// When it was asked for.
    pub time_created: Time,
}

const LINE: &[LineNode] = line! { "vpc_router_route_create";
    "route" "Route": insert_route, delete_route;
};

impl SagaKind for VpcRouterRouteCreate {
    const NAME: &'static str = "vpc-router-route-create";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE)
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        line::saga_dag::<Self>(LINE, params)
    }
}

impl Creates for VpcRouterRouteCreate {
    type Object = Route;

    fn made(saga: SagaId, params: &Params) -> Route {
        Route {
            id: RouteId::from_uuid(derive_uuid(saga, "route")),
            name: params.name.clone(),
            description: params.description.clone(),
            kind: RouteKind::Custom,
            vpc_router_id: params.router_id,
            target: params.target.clone(),
            destination: params.destination.clone(),
            time_created: params.time_created,
            time_modified: params.time_created,
        }
    }
}

fn route(inputs: &Inputs<'_>) -> Result<Route, ActionError> {
    Ok(VpcRouterRouteCreate::made(inputs.saga_id(), &inputs.params()?))
}

fn insert_route(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let route = route(inputs)?;
    let refused = not_added(type_names::ROUTE, &route.name, type_names::ROUTER, route.vpc_router_id);
    Ok(Effect::new(vec![routes::insert(&route, None)], &route)?.or_refuse(refused))
}

fn delete_route(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![routes::delete(route(inputs)?.id)])
}

#[cfg(test)]
mod tests {
    use super::super::test_helpers::{TestBed, check_saga, count, moment, numbered_saga};
    use super::*;

    fn params(router_id: RouterId) -> Params {
        Params {
            router_id,
            name: "home".parse().expect("a name"),
            description: String::new(),
            target: RouteEnd::Drop,
            destination: RouteEnd::IpNet("10.0.0.0/8".to_owned()),
            time_created: moment(),
        }
    }

    async fn north(bed: &TestBed) -> RouterId {
        let project = bed.project(1, "apollo").await;
        let vpc = bed.vpc(2, &project, "moon").await;
        bed.router(3, &vpc, "north").await.id
    }

    #[tokio::test]
    async fn makes_a_route() {
        let (before, after) = check_saga::<VpcRouterRouteCreate>(async |bed| params(north(bed).await)).await;
        assert_eq!(count(&after, "router_route"), count(&before, "router_route") + 1);
    }

    #[tokio::test]
    async fn answers_what_it_wrote_and_refuses_a_second_of_the_name() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let router = north(&bed).await;
        let made = bed.make::<VpcRouterRouteCreate>(numbered_saga(4), &params(router)).await;
        assert_eq!(routes::find_route(&*bed.store, made.id).await.expect("a read"), Some(made));
        let (_, why) = bed.refused::<VpcRouterRouteCreate>(numbered_saga(5), &params(router)).await;
        assert_eq!(why.to_string(), "already exists: router-route \"home\"");
    }
}
