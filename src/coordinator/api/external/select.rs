//! Which object a request is about: by its id alone, or by its name with those of what it is in.

use super::super::errors::{invalid_request, not_found};
use super::errors::store_failed;
use crate::coordinator::sagas::type_names;
use crate::store::Store;
use crate::store::domain::{projects, routers, routes, subnets, vpcs};
use crate::wire::external::{Project, Route, Router, Subnet, Vpc};
use crate::wire::ids::{RouteId, RouterId, SubnetId, VpcId};
use crate::wire::name::NameOrId;
use dropshot::HttpError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Selects nothing: the list is of everything there is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NoSelector {}

/// Says in which project an object is that is given by name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InProject {
    /// Name or id of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<NameOrId>,
}

/// Selects a VPC.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct VpcSelector {
    /// Name or id of the project; needed if the VPC is given by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<NameOrId>,
    /// Name or id of the VPC.
    pub vpc: NameOrId,
}

/// Says in which VPC an object is that is given by name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InVpc {
    /// Name or id of the project; needed if the VPC is given by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<NameOrId>,
    /// Name or id of the VPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<NameOrId>,
}

/// Selects a router.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RouterSelector {
    /// Name or id of the project; needed if the VPC is given by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<NameOrId>,
    /// Name or id of the VPC; needed if the router is given by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<NameOrId>,
    /// Name or id of the router.
    pub router: NameOrId,
}

/// Says in which router an object is that is given by name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct InRouter {
    /// Name or id of the project; needed if the VPC is given by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<NameOrId>,
    /// Name or id of the VPC; needed if the router is given by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc: Option<NameOrId>,
    /// Name or id of the router.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<NameOrId>,
}

/// What something is in, if it is given by name: the selector of its parent. An id says it all, and a parent beside it
/// could only contradict it.
fn parent<'a, P>(
    child: &'a NameOrId,
    parent: Option<P>,
    what: &str,
    parameter: &str,
) -> Result<Given<'a, P>, HttpError> {
    match (child, parent) {
        (NameOrId::Id(id), None) => Ok(Given::Id(*id)),
        (NameOrId::Id(_), Some(_)) => {
            Err(invalid_request(format!("{what} is given by id, so {parameter:?} must not be given")))
        }
        (NameOrId::Name(name), Some(parent)) => Ok(Given::Name(parent, name)),
        (NameOrId::Name(_), None) => {
            Err(invalid_request(format!("{what} is given by name, so {parameter:?} must be given as well")))
        }
    }
}

/// How an object is given.
enum Given<'a, P> {
    Id(uuid::Uuid),
    Name(P, &'a crate::wire::name::Name),
}

fn found<T>(object: Option<T>, type_name: &str, wanted: &NameOrId) -> Result<T, HttpError> {
    object.ok_or_else(|| {
        not_found(&match wanted {
            NameOrId::Id(id) => format!("{type_name} with id \"{id}\""),
            NameOrId::Name(name) => format!("{type_name} with name \"{name}\""),
        })
    })
}

/// The project that is asked for.
pub(super) async fn project(store: &dyn Store, project: &NameOrId) -> Result<Project, HttpError> {
    let object = projects::find_project(store, project).await.map_err(store_failed)?;
    found(object, type_names::PROJECT, project)
}

/// The VPC that is asked for.
pub(super) async fn vpc(
    store: &dyn Store,
    in_project: Option<&NameOrId>,
    vpc: &NameOrId,
) -> Result<Vpc, HttpError> {
    let object = match parent(vpc, in_project, "the VPC", "project")? {
        Given::Id(id) => vpcs::find_vpc(store, VpcId::from_uuid(id)).await,
        Given::Name(in_project, name) => {
            let project = project(store, in_project).await?;
            vpcs::find_vpc_named(store, project.id, name).await
        }
    };
    found(object.map_err(store_failed)?, type_names::VPC, vpc)
}

/// The parent of something in a VPC, as far as it is given: the VPC, with its project if that is given too.
fn in_vpc(within: &InVpc) -> Option<&InVpc> {
    (within.project.is_some() || within.vpc.is_some()).then_some(within)
}

async fn vpc_of(store: &dyn Store, within: &InVpc) -> Result<Vpc, HttpError> {
    let wanted = within.vpc.as_ref();
    let wanted = wanted.ok_or_else(|| invalid_request("\"project\" is given without \"vpc\"".to_owned()))?;
    vpc(store, within.project.as_ref(), wanted).await
}

/// The subnet that is asked for.
pub(super) async fn subnet(
    store: &dyn Store,
    within: &InVpc,
    subnet: &NameOrId,
) -> Result<Subnet, HttpError> {
    let object = match parent(subnet, in_vpc(within), "the subnet", "vpc")? {
        Given::Id(id) => subnets::find_subnet(store, SubnetId::from_uuid(id)).await,
        Given::Name(within, name) => {
            let vpc = vpc_of(store, within).await?;
            subnets::find_subnet_named(store, vpc.id, name).await
        }
    };
    found(object.map_err(store_failed)?, type_names::SUBNET, subnet)
}

/// The router that is asked for.
pub(super) async fn router(
    store: &dyn Store,
    within: &InVpc,
    router: &NameOrId,
) -> Result<Router, HttpError> {
    let object = match parent(router, in_vpc(within), "the router", "vpc")? {
        Given::Id(id) => routers::find_router(store, RouterId::from_uuid(id)).await,
        Given::Name(within, name) => {
            let vpc = vpc_of(store, within).await?;
            routers::find_router_named(store, vpc.id, name).await
        }
    };
    found(object.map_err(store_failed)?, type_names::ROUTER, router)
}

/// The router that a selector selects.
pub(super) async fn selected_router(
    store: &dyn Store,
    selector: RouterSelector,
) -> Result<Router, HttpError> {
    let RouterSelector { project, vpc, router: wanted } = selector;
    router(store, &InVpc { project, vpc }, &wanted).await
}

/// The route that is asked for.
pub(super) async fn route(store: &dyn Store, within: InRouter, route: &NameOrId) -> Result<Route, HttpError> {
    let InRouter { project, vpc, router: in_router } = within;
    let within = InVpc { project, vpc };
    if in_router.is_none() && in_vpc(&within).is_some() {
        return Err(invalid_request("\"project\" or \"vpc\" is given without \"router\"".to_owned()));
    }
    let object = match parent(route, in_router.as_ref(), "the route", "router")? {
        Given::Id(id) => routes::find_route(store, RouteId::from_uuid(id)).await,
        Given::Name(in_router, name) => {
            let router = router(store, &within, in_router).await?;
            routes::find_route_named(store, router.id, name).await
        }
    };
    found(object.map_err(store_failed)?, type_names::ROUTE, route)
}
