//! The external API, in Oxide's shapes: projects, and VPCs with their subnets, routers, routes and firewall rules.
//!
//! Everything that changes something is done by a saga, and the answer is given when the saga has come to rest: what is
//! acknowledged is durable, and a client that hangs up changes nothing about what it asked for. Reads go to the database
//! on connections of their own.
//!
//! [`requests`] leads from a request to its saga, [`select`] from names and ids to objects, [`pages`] through lists.

mod errors;
mod handlers;
mod login;
mod pages;
mod projects;
mod requests;
mod routers;
mod select;
mod subnets;
mod validate;
mod vpcs;

pub use self::login::Logins;
use self::login::{Credentials, SessionHeaders, SiloPath};
use self::pages::ListQuery;
use self::requests::CreateHeaders;
use self::select::{InProject, InRouter, InVpc, NoSelector, RouterSelector, VpcSelector};
use super::body::PromptBody;
use super::internal::Ping;
use crate::coordinator::sec::Sagas;
use crate::store::SharedStore;
use crate::wire::external::{
    FirewallRules, FirewallRulesUpdate, Project, ProjectCreate, ProjectSelector, Route, RouteCreate, Router,
    RouterCreate, Subnet, SubnetCreate, Vpc, VpcCreate,
};
use crate::wire::name::NameOrId;
use dropshot::{
    Header, HttpError, HttpResponseCreated, HttpResponseDeleted, HttpResponseHeaders, HttpResponseOk,
    HttpResponseUpdatedNoContent, Path, Query, RequestContext, ResultsPage,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What the handlers work with.
pub struct ExternalContext {
    /// The SEC.
    pub sagas: Sagas,
    /// What is read.
    pub store: SharedStore,
    /// Who may log in, if somebody has to.
    pub logins: Option<Logins>,
    /// Where failures are logged whose cause is not for the client.
    pub log: slog::Logger,
}

/// Selects a project in the path.
#[derive(Deserialize, JsonSchema)]
pub struct ProjectPath {
    /// Its name or id.
    pub project: NameOrId,
}

/// Selects a VPC in the path.
#[derive(Deserialize, JsonSchema)]
pub struct VpcPath {
    /// Its name or id.
    pub vpc: NameOrId,
}

/// Selects a subnet in the path.
#[derive(Deserialize, JsonSchema)]
pub struct SubnetPath {
    /// Its name or id.
    pub subnet: NameOrId,
}

/// Selects a router in the path.
#[derive(Deserialize, JsonSchema)]
pub struct RouterPath {
    /// Its name or id.
    pub router: NameOrId,
}

/// Selects a route in the path.
#[derive(Deserialize, JsonSchema)]
pub struct RoutePath {
    /// Its name or id.
    pub route: NameOrId,
}

/// The external API.
#[dropshot::api_description]
pub trait ExternalApi {
    /// What the handlers work with.
    type Context;

    /// Tells that the process answers.
    #[endpoint { method = GET, path = "/v1/ping" }]
    async fn ping(rqctx: RequestContext<Self::Context>) -> Result<HttpResponseOk<Ping>, HttpError>;

    /// Logs a user in: name and password once, a session cookie from then on. Only with --users-file.
    #[endpoint { method = POST, path = "/v1/login/{silo_name}/local" }]
    async fn login_local(
        rqctx: RequestContext<Self::Context>,
        path: Path<SiloPath>,
        body: PromptBody<Credentials>,
    ) -> Result<HttpResponseHeaders<HttpResponseUpdatedNoContent, SessionHeaders>, HttpError>;

    /// Has the client forget its session.
    #[endpoint { method = POST, path = "/v1/logout" }]
    async fn logout(
        rqctx: RequestContext<Self::Context>,
    ) -> Result<HttpResponseHeaders<HttpResponseUpdatedNoContent, SessionHeaders>, HttpError>;

    /// Lists projects.
    #[endpoint { method = GET, path = "/v1/projects" }]
    async fn project_list(
        rqctx: RequestContext<Self::Context>,
        query: Query<ListQuery<NoSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Project>>, HttpError>;

    /// Creates a project with its default VPC.
    #[endpoint { method = POST, path = "/v1/projects" }]
    async fn project_create(
        rqctx: RequestContext<Self::Context>,
        headers: Header<CreateHeaders>,
        body: PromptBody<ProjectCreate>,
    ) -> Result<HttpResponseCreated<Project>, HttpError>;

    /// Shows a project.
    #[endpoint { method = GET, path = "/v1/projects/{project}" }]
    async fn project_view(
        rqctx: RequestContext<Self::Context>,
        path: Path<ProjectPath>,
    ) -> Result<HttpResponseOk<Project>, HttpError>;

    /// Deletes a project with everything in it.
    #[endpoint { method = DELETE, path = "/v1/projects/{project}" }]
    async fn project_delete(
        rqctx: RequestContext<Self::Context>,
        path: Path<ProjectPath>,
    ) -> Result<HttpResponseDeleted, HttpError>;

    /// Lists VPCs of a project.
    #[endpoint { method = GET, path = "/v1/vpcs" }]
    async fn vpc_list(
        rqctx: RequestContext<Self::Context>,
        query: Query<ListQuery<ProjectSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Vpc>>, HttpError>;

    /// Creates a VPC with its system router, default subnet and firewall rules.
    #[endpoint { method = POST, path = "/v1/vpcs" }]
    async fn vpc_create(
        rqctx: RequestContext<Self::Context>,
        headers: Header<CreateHeaders>,
        query: Query<ProjectSelector>,
        body: PromptBody<VpcCreate>,
    ) -> Result<HttpResponseCreated<Vpc>, HttpError>;

    /// Shows a VPC.
    #[endpoint { method = GET, path = "/v1/vpcs/{vpc}" }]
    async fn vpc_view(
        rqctx: RequestContext<Self::Context>,
        path: Path<VpcPath>,
        query: Query<InProject>,
    ) -> Result<HttpResponseOk<Vpc>, HttpError>;

    /// Deletes a VPC with everything in it.
    #[endpoint { method = DELETE, path = "/v1/vpcs/{vpc}" }]
    async fn vpc_delete(
        rqctx: RequestContext<Self::Context>,
        path: Path<VpcPath>,
        query: Query<InProject>,
    ) -> Result<HttpResponseDeleted, HttpError>;

    /// Lists subnets of a VPC.
    #[endpoint { method = GET, path = "/v1/vpc-subnets" }]
    async fn vpc_subnet_list(
        rqctx: RequestContext<Self::Context>,
        query: Query<ListQuery<VpcSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Subnet>>, HttpError>;

    /// Creates a subnet.
    #[endpoint { method = POST, path = "/v1/vpc-subnets" }]
    async fn vpc_subnet_create(
        rqctx: RequestContext<Self::Context>,
        headers: Header<CreateHeaders>,
        query: Query<VpcSelector>,
        body: PromptBody<SubnetCreate>,
    ) -> Result<HttpResponseCreated<Subnet>, HttpError>;

    /// Shows a subnet.
    #[endpoint { method = GET, path = "/v1/vpc-subnets/{subnet}" }]
    async fn vpc_subnet_view(
        rqctx: RequestContext<Self::Context>,
        path: Path<SubnetPath>,
        query: Query<InVpc>,
    ) -> Result<HttpResponseOk<Subnet>, HttpError>;

    /// Deletes a subnet.
    #[endpoint { method = DELETE, path = "/v1/vpc-subnets/{subnet}" }]
    async fn vpc_subnet_delete(
        rqctx: RequestContext<Self::Context>,
        path: Path<SubnetPath>,
        query: Query<InVpc>,
    ) -> Result<HttpResponseDeleted, HttpError>;

    /// Lists routers of a VPC.
    #[endpoint { method = GET, path = "/v1/vpc-routers" }]
    async fn vpc_router_list(
        rqctx: RequestContext<Self::Context>,
        query: Query<ListQuery<VpcSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Router>>, HttpError>;

    /// Creates a router.
    #[endpoint { method = POST, path = "/v1/vpc-routers" }]
    async fn vpc_router_create(
        rqctx: RequestContext<Self::Context>,
        headers: Header<CreateHeaders>,
        query: Query<VpcSelector>,
        body: PromptBody<RouterCreate>,
    ) -> Result<HttpResponseCreated<Router>, HttpError>;

    /// Shows a router.
    #[endpoint { method = GET, path = "/v1/vpc-routers/{router}" }]
    async fn vpc_router_view(
        rqctx: RequestContext<Self::Context>,
        path: Path<RouterPath>,
        query: Query<InVpc>,
    ) -> Result<HttpResponseOk<Router>, HttpError>;

    /// Deletes a router with its routes.
    #[endpoint { method = DELETE, path = "/v1/vpc-routers/{router}" }]
    async fn vpc_router_delete(
        rqctx: RequestContext<Self::Context>,
        path: Path<RouterPath>,
        query: Query<InVpc>,
    ) -> Result<HttpResponseDeleted, HttpError>;

    /// Lists routes of a router.
    #[endpoint { method = GET, path = "/v1/vpc-router-routes" }]
    async fn vpc_router_route_list(
        rqctx: RequestContext<Self::Context>,
        query: Query<ListQuery<RouterSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Route>>, HttpError>;

    /// Creates a route.
    #[endpoint { method = POST, path = "/v1/vpc-router-routes" }]
    async fn vpc_router_route_create(
        rqctx: RequestContext<Self::Context>,
        headers: Header<CreateHeaders>,
        query: Query<RouterSelector>,
        body: PromptBody<RouteCreate>,
    ) -> Result<HttpResponseCreated<Route>, HttpError>;

    /// Shows a route.
    #[endpoint { method = GET, path = "/v1/vpc-router-routes/{route}" }]
    async fn vpc_router_route_view(
        rqctx: RequestContext<Self::Context>,
        path: Path<RoutePath>,
        query: Query<InRouter>,
    ) -> Result<HttpResponseOk<Route>, HttpError>;

    /// Deletes a route.
    #[endpoint { method = DELETE, path = "/v1/vpc-router-routes/{route}" }]
    async fn vpc_router_route_delete(
        rqctx: RequestContext<Self::Context>,
        path: Path<RoutePath>,
        query: Query<InRouter>,
    ) -> Result<HttpResponseDeleted, HttpError>;

    /// Lists all firewall rules of a VPC.
    #[endpoint { method = GET, path = "/v1/vpc-firewall-rules" }]
    async fn vpc_firewall_rules_view(
        rqctx: RequestContext<Self::Context>,
        query: Query<VpcSelector>,
    ) -> Result<HttpResponseOk<FirewallRules>, HttpError>;

    /// Replaces all firewall rules of a VPC.
    #[endpoint { method = PUT, path = "/v1/vpc-firewall-rules" }]
    async fn vpc_firewall_rules_update(
        rqctx: RequestContext<Self::Context>,
        query: Query<VpcSelector>,
        body: PromptBody<FirewallRulesUpdate>,
    ) -> Result<HttpResponseOk<FirewallRules>, HttpError>;
}

/// The API with its implementation, for a server.
///
/// # Panics
///
/// If the description contradicts itself, which every test that starts a server would show.
pub fn api_description() -> dropshot::ApiDescription<ExternalContext> {
    external_api_mod::api_description::<handlers::ExternalApiImpl>().expect("a consistent API")
}

/// The OpenAPI document.
///
/// # Panics
///
/// If the description contradicts itself, which the comparison with the committed document would show.
pub fn openapi() -> serde_json::Value {
    let description = external_api_mod::stub_api_description().expect("a consistent API");
    description
        .openapi("sagactl external API", semver::Version::new(1, 0, 0))
        .description("Projects and what is in them, made and deleted by sagas.")
        .json()
        .expect("an OpenAPI document is JSON")
}
