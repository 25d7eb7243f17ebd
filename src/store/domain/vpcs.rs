//! VPCs, and the DNS record that comes with each.

use super::listing::{Listing, PageRequest, find};
use super::{GONE, PARENT_GONE};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::sql::{Row, Statement};
use crate::wire::external::Vpc;
use crate::wire::ids::{ProjectId, RouterId, SagaId, VpcId};
use crate::wire::name::Name;
use crate::wire::time::Time;
use uuid::Uuid;

/// Adds a VPC whose firewall rules are those of `firewall_rule_set`. It is not ready yet.
pub fn insert(vpc: &Vpc, firewall_rule_set: Uuid) -> Statement {
    Statement::new(
        "INSERT INTO vpc (id, project_id, name, description, dns_name, ipv6_prefix, system_router_id, \
         firewall_rule_set, time_created, time_modified) \
         SELECT $1, project.id, $2, $3, $4, $5, $6, $7, $8, $9 FROM project WHERE project.id = $10 \
         AND (project.deleted_by IS NULL OR EXISTS (SELECT 1 FROM vpc WHERE id = $1)) \
         /*pg FOR NO KEY UPDATE OF project*/ \
         ON CONFLICT (id) DO UPDATE SET time_created = excluded.time_created",
        vec![
            vpc.id.into(),
            vpc.name.as_str().into(),
            vpc.description.as_str().into(),
            vpc.dns_name.as_str().into(),
            vpc.ipv6_prefix.as_str().into(),
            vpc.system_router_id.into(),
            firewall_rule_set.into(),
            vpc.time_created.into(),
            vpc.time_modified.into(),
            vpc.project_id.into(),
        ],
    )
    .changing_one(PARENT_GONE)
}

/// Notes that a VPC has all its parts.
pub fn mark_ready(vpc: VpcId, time: Time) -> Statement {
    Statement::new("UPDATE vpc SET time_ready = $1 WHERE id = $2", vec![time.into(), vpc.into()])
        .changing_one(GONE)
}

/// Takes that back.
pub fn unmark_ready(vpc: VpcId) -> Statement {
    Statement::new("UPDATE vpc SET time_ready = NULL WHERE id = $1", vec![vpc.into()])
}

/// Adds a VPC's DNS record.
pub fn insert_dns_record(vpc: VpcId, name: &Name) -> Statement {
    Statement::new(
        "INSERT INTO vpc_dns_record (vpc_id, project_id, name) SELECT vpc.id, vpc.project_id, $1 FROM vpc \
         WHERE vpc.id = $2 \
         AND (vpc.deleted_by IS NULL OR EXISTS (SELECT 1 FROM vpc_dns_record WHERE vpc_id = $2)) \
         /*pg FOR SHARE OF vpc*/ \
         ON CONFLICT (vpc_id) DO UPDATE SET name = excluded.name",
        vec![name.as_str().into(), vpc.into()],
    )
    .changing_one(PARENT_GONE)
}

/// Removes a VPC's DNS record.
pub fn delete_dns_record(vpc: VpcId) -> Statement {
    Statement::new("DELETE FROM vpc_dns_record WHERE vpc_id = $1", vec![vpc.into()])
}

/// Marks a VPC as being deleted by `saga`.
pub fn mark(vpc: VpcId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE vpc SET deleted_by = $1 WHERE id = $2 AND (deleted_by IS NULL OR deleted_by = $1)",
        vec![saga.into(), vpc.into()],
    )
    .changing_one(GONE)
}

/// Takes that mark back.
pub fn unmark(vpc: VpcId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE vpc SET deleted_by = NULL WHERE id = $1 AND deleted_by = $2",
        vec![vpc.into(), saga.into()],
    )
}

macro_rules! columns {
    () => {
        "id, name, description, project_id, system_router_id, dns_name, ipv6_prefix, time_created, time_modified"
    };
}

const LISTING: Listing = Listing {
    by_name: concat!(
        "SELECT ",
        columns!(),
        " FROM vpc WHERE project_id = $1 AND deleted_by IS NULL AND name > $2 ORDER BY name LIMIT $3"
    ),
    by_id: concat!(
        "SELECT ",
        columns!(),
        " FROM vpc WHERE project_id = $1 AND deleted_by IS NULL AND id > $2 ORDER BY id LIMIT $3"
    ),
};

/// A project's VPCs, a page at a time.
pub async fn list_vpcs(
    store: &dyn Store,
    project: ProjectId,
    page: &PageRequest,
) -> Result<Vec<Vpc>, StoreError> {
    LISTING.page(store, Some(project.as_uuid()), page, read).await
}

/// The VPC of this id.
pub async fn find_vpc(store: &dyn Store, id: VpcId) -> Result<Option<Vpc>, StoreError> {
    let sql = concat!("SELECT ", columns!(), " FROM vpc WHERE id = $1 AND deleted_by IS NULL");
    find(store, Statement::new(sql, vec![id.into()]), read).await
}

/// The VPC of this name in a project.
pub async fn find_vpc_named(
    store: &dyn Store,
    project: ProjectId,
    name: &Name,
) -> Result<Option<Vpc>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM vpc WHERE project_id = $1 AND name = $2 AND deleted_by IS NULL"
    );
    find(store, Statement::new(sql, vec![project.into(), name.as_str().into()]), read).await
}

fn read(row: &Row) -> Result<Vpc, StoreError> {
    Ok(Vpc {
        id: VpcId::from_uuid(row.uuid(0)?),
        name: row.parsed(1, "a name")?,
        description: row.text(2)?.to_owned(),
        project_id: ProjectId::from_uuid(row.uuid(3)?),
        system_router_id: RouterId::from_uuid(row.uuid(4)?),
        dns_name: row.parsed(5, "a name")?,
        ipv6_prefix: row.text(6)?.to_owned(),
        time_created: row.time(7)?,
        time_modified: row.time(8)?,
    })
}
