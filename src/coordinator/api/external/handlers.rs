//! The handlers: what comes from HTTP is taken apart, handed on, and the result is put into an answer.

use super::super::body::PromptBody;
use super::errors::store_failed;
use super::login::{self, Credentials, SessionHeaders, SiloPath};
use super::pages::{self, ListQuery};
use super::requests::CreateHeaders;
use super::select::{self, InProject, InRouter, InVpc, NoSelector, RouterSelector, VpcSelector};
use super::{
    ExternalApi, ExternalContext, ProjectPath, RoutePath, RouterPath, SubnetPath, VpcPath, projects, routers,
    subnets, vpcs,
};
use crate::coordinator::api::internal::{Ping, PingStatus};
use crate::store::domain;
use crate::wire::external::{
    FirewallRules, FirewallRulesUpdate, Project, ProjectCreate, ProjectSelector, Route, RouteCreate, Router,
    RouterCreate, Subnet, SubnetCreate, Vpc, VpcCreate,
};
use dropshot::{
    Header, HttpError, HttpResponseCreated, HttpResponseDeleted, HttpResponseHeaders, HttpResponseOk,
    HttpResponseUpdatedNoContent, Path, Query, RequestContext, ResultsPage,
};

type Context = RequestContext<ExternalContext>;

/// The coordinator's implementation.
pub(super) enum ExternalApiImpl {}

impl ExternalApi for ExternalApiImpl {
    type Context = ExternalContext;

    async fn ping(_: Context) -> Result<HttpResponseOk<Ping>, HttpError> {
        Ok(HttpResponseOk(Ping { status: PingStatus::Ok }))
    }

    async fn login_local(
        rqctx: Context,
        path: Path<SiloPath>,
        body: PromptBody<Credentials>,
    ) -> Result<HttpResponseHeaders<HttpResponseUpdatedNoContent, SessionHeaders>, HttpError> {
        login::log_in(rqctx.context(), &path.into_inner().silo_name, body.into_inner()).await
    }

    async fn logout(
        _: Context,
    ) -> Result<HttpResponseHeaders<HttpResponseUpdatedNoContent, SessionHeaders>, HttpError> {
        Ok(login::log_out())
    }

    async fn project_list(
        rqctx: Context,
        query: Query<ListQuery<NoSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Project>>, HttpError> {
        let (scan, page) = pages::asked(&rqctx, query.into_inner())?;
        let store = &*rqctx.context().store;
        pages::answer(&scan, domain::projects::list_projects(store, &page).await.map_err(store_failed)?)
    }

    async fn project_create(
        rqctx: Context,
        headers: Header<CreateHeaders>,
        body: PromptBody<ProjectCreate>,
    ) -> Result<HttpResponseCreated<Project>, HttpError> {
        projects::create(rqctx.context(), headers.into_inner(), body.into_inner())
            .await
            .map(HttpResponseCreated)
    }

    async fn project_view(
        rqctx: Context,
        path: Path<ProjectPath>,
    ) -> Result<HttpResponseOk<Project>, HttpError> {
        let store = &*rqctx.context().store;
        select::project(store, &path.into_inner().project).await.map(HttpResponseOk)
    }

    async fn project_delete(
        rqctx: Context,
        path: Path<ProjectPath>,
    ) -> Result<HttpResponseDeleted, HttpError> {
        projects::delete(rqctx.context(), &path.into_inner().project).await?;
        Ok(HttpResponseDeleted())
    }

    async fn vpc_list(
        rqctx: Context,
        query: Query<ListQuery<ProjectSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Vpc>>, HttpError> {
        let (scan, page) = pages::asked(&rqctx, query.into_inner())?;
        let store = &*rqctx.context().store;
        let parent = select::project(store, &scan.selector.project).await?;
        pages::answer(&scan, domain::vpcs::list_vpcs(store, parent.id, &page).await.map_err(store_failed)?)
    }

    async fn vpc_create(
        rqctx: Context,
        headers: Header<CreateHeaders>,
        query: Query<ProjectSelector>,
        body: PromptBody<VpcCreate>,
    ) -> Result<HttpResponseCreated<Vpc>, HttpError> {
        vpcs::create(rqctx.context(), headers.into_inner(), query.into_inner(), body.into_inner())
            .await
            .map(HttpResponseCreated)
    }

    async fn vpc_view(
        rqctx: Context,
        path: Path<VpcPath>,
        query: Query<InProject>,
    ) -> Result<HttpResponseOk<Vpc>, HttpError> {
        let store = &*rqctx.context().store;
        select::vpc(store, query.into_inner().project.as_ref(), &path.into_inner().vpc)
            .await
            .map(HttpResponseOk)
    }

    async fn vpc_delete(
        rqctx: Context,
        path: Path<VpcPath>,
        query: Query<InProject>,
    ) -> Result<HttpResponseDeleted, HttpError> {
        vpcs::delete(rqctx.context(), &query.into_inner(), &path.into_inner().vpc).await?;
        Ok(HttpResponseDeleted())
    }

    async fn vpc_subnet_list(
        rqctx: Context,
        query: Query<ListQuery<VpcSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Subnet>>, HttpError> {
        let (scan, page) = pages::asked(&rqctx, query.into_inner())?;
        let store = &*rqctx.context().store;
        let parent = select::vpc(store, scan.selector.project.as_ref(), &scan.selector.vpc).await?;
        pages::answer(
            &scan,
            domain::subnets::list_subnets(store, parent.id, &page).await.map_err(store_failed)?,
        )
    }

    async fn vpc_subnet_create(
        rqctx: Context,
        headers: Header<CreateHeaders>,
        query: Query<VpcSelector>,
        body: PromptBody<SubnetCreate>,
    ) -> Result<HttpResponseCreated<Subnet>, HttpError> {
        subnets::create(rqctx.context(), headers.into_inner(), query.into_inner(), body.into_inner())
            .await
            .map(HttpResponseCreated)
    }

    async fn vpc_subnet_view(
        rqctx: Context,
        path: Path<SubnetPath>,
        query: Query<InVpc>,
    ) -> Result<HttpResponseOk<Subnet>, HttpError> {
        let store = &*rqctx.context().store;
        select::subnet(store, &query.into_inner(), &path.into_inner().subnet).await.map(HttpResponseOk)
    }

    async fn vpc_subnet_delete(
        rqctx: Context,
        path: Path<SubnetPath>,
        query: Query<InVpc>,
    ) -> Result<HttpResponseDeleted, HttpError> {
        subnets::delete(rqctx.context(), &query.into_inner(), &path.into_inner().subnet).await?;
        Ok(HttpResponseDeleted())
    }

    async fn vpc_router_list(
        rqctx: Context,
        query: Query<ListQuery<VpcSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Router>>, HttpError> {
        let (scan, page) = pages::asked(&rqctx, query.into_inner())?;
        let store = &*rqctx.context().store;
        let parent = select::vpc(store, scan.selector.project.as_ref(), &scan.selector.vpc).await?;
        pages::answer(
            &scan,
            domain::routers::list_routers(store, parent.id, &page).await.map_err(store_failed)?,
        )
    }

    async fn vpc_router_create(
        rqctx: Context,
        headers: Header<CreateHeaders>,
        query: Query<VpcSelector>,
        body: PromptBody<RouterCreate>,
    ) -> Result<HttpResponseCreated<Router>, HttpError> {
        routers::create(rqctx.context(), headers.into_inner(), query.into_inner(), body.into_inner())
            .await
            .map(HttpResponseCreated)
    }

    async fn vpc_router_view(
        rqctx: Context,
        path: Path<RouterPath>,
        query: Query<InVpc>,
    ) -> Result<HttpResponseOk<Router>, HttpError> {
        let store = &*rqctx.context().store;
        select::router(store, &query.into_inner(), &path.into_inner().router).await.map(HttpResponseOk)
    }

    async fn vpc_router_delete(
        rqctx: Context,
        path: Path<RouterPath>,
        query: Query<InVpc>,
    ) -> Result<HttpResponseDeleted, HttpError> {
        routers::delete(rqctx.context(), &query.into_inner(), &path.into_inner().router).await?;
        Ok(HttpResponseDeleted())
    }

    async fn vpc_router_route_list(
        rqctx: Context,
        query: Query<ListQuery<RouterSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Route>>, HttpError> {
        let (scan, page) = pages::asked(&rqctx, query.into_inner())?;
        let store = &*rqctx.context().store;
        let parent = select::selected_router(store, scan.selector.clone()).await?;
        pages::answer(
            &scan,
            domain::routes::list_routes(store, parent.id, &page).await.map_err(store_failed)?,
        )
    }

    async fn vpc_router_route_create(
        rqctx: Context,
        headers: Header<CreateHeaders>,
        query: Query<RouterSelector>,
        body: PromptBody<RouteCreate>,
    ) -> Result<HttpResponseCreated<Route>, HttpError> {
        routers::create_route(rqctx.context(), headers.into_inner(), query.into_inner(), body.into_inner())
            .await
            .map(HttpResponseCreated)
    }

    async fn vpc_router_route_view(
        rqctx: Context,
        path: Path<RoutePath>,
        query: Query<InRouter>,
    ) -> Result<HttpResponseOk<Route>, HttpError> {
        let store = &*rqctx.context().store;
        select::route(store, query.into_inner(), &path.into_inner().route).await.map(HttpResponseOk)
    }

    async fn vpc_router_route_delete(
        rqctx: Context,
        path: Path<RoutePath>,
        query: Query<InRouter>,
    ) -> Result<HttpResponseDeleted, HttpError> {
        routers::delete_route(rqctx.context(), query.into_inner(), &path.into_inner().route).await?;
        Ok(HttpResponseDeleted())
    }

    async fn vpc_firewall_rules_view(
        rqctx: Context,
        query: Query<VpcSelector>,
    ) -> Result<HttpResponseOk<FirewallRules>, HttpError> {
        vpcs::list_rules(rqctx.context(), &query.into_inner()).await.map(HttpResponseOk)
    }

    async fn vpc_firewall_rules_update(
        rqctx: Context,
        query: Query<VpcSelector>,
        body: PromptBody<FirewallRulesUpdate>,
    ) -> Result<HttpResponseOk<FirewallRules>, HttpError> {
        vpcs::replace_rules(rqctx.context(), &query.into_inner(), body.into_inner()).await.map(HttpResponseOk)
    }
}
