//! Routers of VPCs and their routes.

use super::super::errors::invalid_request;
use super::ExternalContext;
use super::requests::{self, CreateHeaders};
use super::select::{InRouter, InVpc, RouterSelector, VpcSelector};
use super::{select, validate};
use crate::coordinator::sagas::vpc_router_create::{self, VpcRouterCreate};
use crate::coordinator::sagas::vpc_router_delete::{self, VpcRouterDelete};
use crate::coordinator::sagas::vpc_router_route_create::{self, VpcRouterRouteCreate};
use crate::coordinator::sagas::vpc_router_route_delete::{self, VpcRouterRouteDelete};
use crate::wire::external::{Route, RouteCreate, RouteKind, Router, RouterCreate, RouterKind};
use crate::wire::name::NameOrId;
use crate::wire::time::now;
use dropshot::HttpError;

pub(super) async fn create(
    context: &ExternalContext,
    headers: CreateHeaders,
    selector: VpcSelector,
    body: RouterCreate,
) -> Result<Router, HttpError> {
    let key = requests::key::<VpcRouterCreate>(headers, &selector, &body)?;
    requests::create::<VpcRouterCreate>(context, key, async {
        validate::description(&body.description)?;
        let vpc_id = select::vpc(&*context.store, selector.project.as_ref(), &selector.vpc).await?.id;
        let RouterCreate { name, description } = body;
        Ok(vpc_router_create::Params { vpc_id, name, description, time_created: now() })
    })
    .await
}

pub(super) async fn delete(
    context: &ExternalContext,
    within: &InVpc,
    router: &NameOrId,
) -> Result<(), HttpError> {
    let router = select::router(&*context.store, within, router).await?;
    if router.kind == RouterKind::System {
        return Err(invalid_request("the system router of a VPC goes with its VPC only".to_owned()));
    }
    requests::run::<VpcRouterDelete>(context, &vpc_router_delete::Params { router_id: router.id }).await
}

pub(super) async fn create_route(
    context: &ExternalContext,
    headers: CreateHeaders,
    selector: RouterSelector,
    body: RouteCreate,
) -> Result<Route, HttpError> {
    let key = requests::key::<VpcRouterRouteCreate>(headers, &selector, &body)?;
    requests::create::<VpcRouterRouteCreate>(context, key, async {
        validate::route(&body)?;
        let router_id = select::selected_router(&*context.store, selector).await?.id;
        let RouteCreate { name, description, target, destination } = body;
        let time_created = now();
        Ok(vpc_router_route_create::Params {
            router_id,
            name,
            description,
            target,
            destination,
            time_created,
        })
    })
    .await
}

pub(super) async fn delete_route(
    context: &ExternalContext,
    within: InRouter,
    route: &NameOrId,
) -> Result<(), HttpError> {
    let route = select::route(&*context.store, within, route).await?;
    if route.kind != RouteKind::Custom {
        return Err(invalid_request(
            "only routes that a user made can be deleted; others go with their VPC or subnet".to_owned(),
        ));
    }
    requests::run::<VpcRouterRouteDelete>(context, &vpc_router_route_delete::Params { route_id: route.id })
        .await
}
