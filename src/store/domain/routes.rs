//! Routes of routers.

use super::listing::{Listing, PageRequest, find};
use super::{GONE, PARENT_GONE};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::sql::{Row, Statement, Value};
use crate::wire::external::{Route, RouteEnd, RouteKind};
use crate::wire::ids::{RouteId, RouterId, SagaId, SubnetId};
use crate::wire::name::Name;

/// Adds a route. One of kind [`RouteKind::VpcSubnet`] leads to `subnet` and goes with it; others have none.
pub fn insert(route: &Route, subnet: Option<SubnetId>) -> Statement {
    Statement::new(
        "INSERT INTO router_route (id, vpc_router_id, project_id, kind, name, description, target, destination, \
         vpc_subnet_id, time_created, time_modified) \
         SELECT $1, router.id, router.project_id, $2, $3, $4, $5, $6, $7, $8, $9 FROM vpc_router AS router \
         WHERE router.id = $10 \
         AND (router.deleted_by IS NULL OR EXISTS (SELECT 1 FROM router_route WHERE id = $1)) \
         /*pg FOR SHARE OF router*/ \
         ON CONFLICT (id) DO UPDATE SET time_created = excluded.time_created",
        vec![
            route.id.into(),
            Value::Static(kind_text(route.kind)),
            route.name.as_str().into(),
            route.description.as_str().into(),
            end_json(&route.target),
            end_json(&route.destination),
            Value::opt(subnet),
            route.time_created.into(),
            route.time_modified.into(),
            route.vpc_router_id.into(),
        ],
    )
    .changing_one(PARENT_GONE)
}

/// Removes a route.
pub fn delete(route: RouteId) -> Statement {
    Statement::new("DELETE FROM router_route WHERE id = $1", vec![route.into()])
}

/// Removes the route that leads to a subnet.
pub fn delete_of_subnet(subnet: SubnetId) -> Statement {
    Statement::new("DELETE FROM router_route WHERE vpc_subnet_id = $1", vec![subnet.into()])
}

/// Marks a custom route as being deleted by `saga`.
pub fn mark(route: RouteId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE router_route SET deleted_by = $1 WHERE id = $2 AND kind = 'custom' \
         AND (deleted_by IS NULL OR deleted_by = $1)",
        vec![saga.into(), route.into()],
    )
    .changing_one(GONE)
}

/// Takes that mark back.
pub fn unmark(route: RouteId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE router_route SET deleted_by = NULL WHERE id = $1 AND deleted_by = $2",
        vec![route.into(), saga.into()],
    )
}

/// Marks the routes of a router as being deleted by `saga`.
pub fn mark_of_router(router: RouterId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE router_route SET deleted_by = $1 WHERE vpc_router_id = $2 AND deleted_by IS NULL",
        vec![saga.into(), router.into()],
    )
}

/// Takes those marks back.
pub fn unmark_of_router(router: RouterId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE router_route SET deleted_by = NULL WHERE vpc_router_id = $1 AND deleted_by = $2",
        vec![router.into(), saga.into()],
    )
}

/// Marks the route that leads to a subnet as being deleted by `saga`.
pub fn mark_of_subnet(subnet: SubnetId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE router_route SET deleted_by = $1 WHERE vpc_subnet_id = $2 AND deleted_by IS NULL",
        vec![saga.into(), subnet.into()],
    )
}

/// Takes that mark back.
pub fn unmark_of_subnet(subnet: SubnetId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE router_route SET deleted_by = NULL WHERE vpc_subnet_id = $1 AND deleted_by = $2",
        vec![subnet.into(), saga.into()],
    )
}

macro_rules! columns {
    () => {
        "id, name, description, kind, vpc_router_id, target, destination, time_created, time_modified"
    };
}

const LISTING: Listing = Listing {
    by_name: concat!(
        "SELECT ",
        columns!(),
        " FROM router_route WHERE vpc_router_id = $1 AND deleted_by IS NULL AND name > $2 ORDER BY name LIMIT $3"
    ),
    by_id: concat!(
        "SELECT ",
        columns!(),
        " FROM router_route WHERE vpc_router_id = $1 AND deleted_by IS NULL AND id > $2 ORDER BY id LIMIT $3"
    ),
};

/// A router's routes, a page at a time.
pub async fn list_routes(
    store: &dyn Store,
    router: RouterId,
    page: &PageRequest,
) -> Result<Vec<Route>, StoreError> {
    LISTING.page(store, Some(router.as_uuid()), page, read).await
}

/// The route of this id.
pub async fn find_route(store: &dyn Store, id: RouteId) -> Result<Option<Route>, StoreError> {
    let sql = concat!("SELECT ", columns!(), " FROM router_route WHERE id = $1 AND deleted_by IS NULL");
    find(store, Statement::new(sql, vec![id.into()]), read).await
}

/// The route of this name in a router.
pub async fn find_route_named(
    store: &dyn Store,
    router: RouterId,
    name: &Name,
) -> Result<Option<Route>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM router_route WHERE vpc_router_id = $1 AND name = $2 AND deleted_by IS NULL"
    );
    find(store, Statement::new(sql, vec![router.into(), name.as_str().into()]), read).await
}

fn read(row: &Row) -> Result<Route, StoreError> {
    Ok(Route {
        id: RouteId::from_uuid(row.uuid(0)?),
        name: row.parsed(1, "a name")?,
        description: row.text(2)?.to_owned(),
        kind: match row.text(3)? {
            "default" => RouteKind::Default,
            "vpc_subnet" => RouteKind::VpcSubnet,
            "custom" => RouteKind::Custom,
            other => {
                return Err(StoreError::Corrupt {
                    column: "kind".to_owned(),
                    reason: format!("{other:?} is not a kind of route"),
                });
            }
        },
        vpc_router_id: RouterId::from_uuid(row.uuid(4)?),
        target: row.json(5)?,
        destination: row.json(6)?,
        time_created: row.time(7)?,
        time_modified: row.time(8)?,
    })
}

fn kind_text(kind: RouteKind) -> &'static str {
    match kind {
        RouteKind::Default => "default",
        RouteKind::VpcSubnet => "vpc_subnet",
        RouteKind::Custom => "custom",
    }
}

fn end_json(end: &RouteEnd) -> Value {
    Value::Json(serde_json::to_string(end).expect("an enum of texts"))
}
