//! Routers of VPCs.

use super::listing::{Listing, PageRequest, find};
use super::{GONE, PARENT_GONE};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::sql::{Row, Statement, Value};
use crate::wire::external::{Router, RouterKind};
use crate::wire::ids::{RouterId, SagaId, VpcId};
use crate::wire::name::Name;

/// Adds a router.
pub fn insert(router: &Router) -> Statement {
    Statement::new(
        "INSERT INTO vpc_router (id, vpc_id, project_id, kind, name, description, time_created, time_modified) \
         SELECT $1, vpc.id, vpc.project_id, $2, $3, $4, $5, $6 FROM vpc WHERE vpc.id = $7 \
         AND (vpc.deleted_by IS NULL OR EXISTS (SELECT 1 FROM vpc_router WHERE id = $1)) \
         /*pg FOR SHARE OF vpc*/ \
         ON CONFLICT (id) DO UPDATE SET time_created = excluded.time_created",
        vec![
            router.id.into(),
            Value::Static(kind_text(router.kind)),
            router.name.as_str().into(),
            router.description.as_str().into(),
            router.time_created.into(),
            router.time_modified.into(),
            router.vpc_id.into(),
        ],
    )
    .changing_one(PARENT_GONE)
}

/// Removes a router with its routes.
pub fn delete_with_routes(router: RouterId) -> Vec<Statement> {
    vec![
        Statement::new("DELETE FROM router_route WHERE vpc_router_id = $1", vec![router.into()]),
        Statement::new("DELETE FROM vpc_router WHERE id = $1", vec![router.into()]),
    ]
}

/// Marks a custom router as being deleted by `saga`.
pub fn mark(router: RouterId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE vpc_router SET deleted_by = $1 WHERE id = $2 AND kind = 'custom' \
         AND (deleted_by IS NULL OR deleted_by = $1)",
        vec![saga.into(), router.into()],
    )
    .changing_one(GONE)
}

/// Takes that mark back.
pub fn unmark(router: RouterId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE vpc_router SET deleted_by = NULL WHERE id = $1 AND deleted_by = $2",
        vec![router.into(), saga.into()],
    )
}

macro_rules! columns {
    () => {
        "id, name, description, kind, vpc_id, time_created, time_modified"
    };
}

const LISTING: Listing = Listing {
    by_name: concat!(
        "SELECT ",
        columns!(),
        " FROM vpc_router WHERE vpc_id = $1 AND deleted_by IS NULL AND name > $2 ORDER BY name LIMIT $3"
    ),
    by_id: concat!(
        "SELECT ",
        columns!(),
        " FROM vpc_router WHERE vpc_id = $1 AND deleted_by IS NULL AND id > $2 ORDER BY id LIMIT $3"
    ),
};

/// A VPC's routers, a page at a time.
pub async fn list_routers(
    store: &dyn Store,
    vpc: VpcId,
    page: &PageRequest,
) -> Result<Vec<Router>, StoreError> {
    LISTING.page(store, Some(vpc.as_uuid()), page, read).await
}

/// The router of this id.
pub async fn find_router(store: &dyn Store, id: RouterId) -> Result<Option<Router>, StoreError> {
    let sql = concat!("SELECT ", columns!(), " FROM vpc_router WHERE id = $1 AND deleted_by IS NULL");
    find(store, Statement::new(sql, vec![id.into()]), read).await
}

/// The router of this name in a VPC.
pub async fn find_router_named(
    store: &dyn Store,
    vpc: VpcId,
    name: &Name,
) -> Result<Option<Router>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM vpc_router WHERE vpc_id = $1 AND name = $2 AND deleted_by IS NULL"
    );
    find(store, Statement::new(sql, vec![vpc.into(), name.as_str().into()]), read).await
}

fn read(row: &Row) -> Result<Router, StoreError> {
    Ok(Router {
        id: RouterId::from_uuid(row.uuid(0)?),
        name: row.parsed(1, "a name")?,
        description: row.text(2)?.to_owned(),
        kind: match row.text(3)? {
            "system" => RouterKind::System,
            "custom" => RouterKind::Custom,
            other => {
                return Err(StoreError::Corrupt {
                    column: "kind".to_owned(),
                    reason: format!("{other:?} is not a kind of router"),
                });
            }
        },
        vpc_id: VpcId::from_uuid(row.uuid(4)?),
        time_created: row.time(5)?,
        time_modified: row.time(6)?,
    })
}

fn kind_text(kind: RouterKind) -> &'static str {
    match kind {
        RouterKind::System => "system",
        RouterKind::Custom => "custom",
    }
}
