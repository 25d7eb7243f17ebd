//! Subnets of VPCs: their ranges, the addresses of each that may be given out, and their gateways.

use super::blocks::{Ipv4Block, Ipv6Block};
use super::listing::{Listing, PageRequest, find};
use super::routes;
use super::{GONE, PARENT_GONE};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::sql::{Row, Statement};
use crate::wire::external::Subnet;
use crate::wire::ids::{SagaId, SubnetId, VpcId};
use crate::wire::name::Name;
use crate::wire::time::Time;

/// A subnet to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSubnet {
    /// Its id.
    pub id: SubnetId,
    /// The VPC it is in.
    pub vpc_id: VpcId,
    /// Unique in its VPC.
    pub name: Name,
    /// For people.
    pub description: String,
    /// Overlaps with no other subnet of the VPC.
    pub ipv4_block: Ipv4Block,
    /// The same.
    pub ipv6_block: Ipv6Block,
    /// Whether it came with its VPC.
    pub role: SubnetRole,
    /// When it is made.
    pub time_created: Time,
}

/// How a subnet came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubnetRole {
    /// With its VPC, and goes with it only.
    Default,
    /// A user asked for it.
    Custom,
}

impl NewSubnet {
    /// The subnet as the API shows it.
    pub fn to_wire(&self) -> Subnet {
        Subnet {
            id: self.id,
            name: self.name.clone(),
            description: self.description.clone(),
            vpc_id: self.vpc_id,
            ipv4_block: self.ipv4_block.to_string(),
            ipv6_block: self.ipv6_block.to_string(),
            time_created: self.time_created,
            time_modified: self.time_created,
        }
    }
}

/// Adds a subnet.
pub fn insert(subnet: &NewSubnet) -> Statement {
    Statement::new(
        "INSERT INTO vpc_subnet (id, vpc_id, project_id, name, description, ipv4_block, ipv4_first, ipv4_last, \
         ipv6_block, ipv6_index, is_default, time_created, time_modified) \
         SELECT $1, vpc.id, vpc.project_id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10 FROM vpc WHERE vpc.id = $11 \
         AND (vpc.deleted_by IS NULL OR EXISTS (SELECT 1 FROM vpc_subnet WHERE id = $1)) \
         /*pg FOR NO KEY UPDATE OF vpc*/ \
         ON CONFLICT (id) DO UPDATE SET time_created = excluded.time_created",
        vec![
            subnet.id.into(),
            subnet.name.as_str().into(),
            subnet.description.as_str().into(),
            subnet.ipv4_block.to_string().into(),
            i64::from(u32::from(subnet.ipv4_block.first())).into(),
            i64::from(u32::from(subnet.ipv4_block.last())).into(),
            subnet.ipv6_block.to_string().into(),
            i64::from(subnet.ipv6_block.index()).into(),
            i64::from(subnet.role == SubnetRole::Default).into(),
            subnet.time_created.into(),
            subnet.vpc_id.into(),
        ],
    )
    .changing_one(PARENT_GONE)
}

/// Lets a subnet's IPv4 addresses be given out, but for those that it needs itself.
pub fn insert_ipv4_pool(subnet: SubnetId, block: Ipv4Block) -> Statement {
    let (first, last) = block.usable();
    insert_pool(subnet, 4, first.to_string(), last.to_string())
}

/// The same for its IPv6 addresses.
pub fn insert_ipv6_pool(subnet: SubnetId, block: Ipv6Block) -> Statement {
    let (first, last) = block.usable();
    insert_pool(subnet, 6, first.to_string(), last.to_string())
}

fn insert_pool(subnet: SubnetId, family: i64, first: String, last: String) -> Statement {
    Statement::new(
        "INSERT INTO subnet_address_pool (subnet_id, family, project_id, first_address, last_address) \
         SELECT subnet.id, $1, subnet.project_id, $2, $3 FROM vpc_subnet AS subnet WHERE subnet.id = $4 \
         AND (subnet.deleted_by IS NULL \
              OR EXISTS (SELECT 1 FROM subnet_address_pool WHERE subnet_id = $4 AND family = $1)) \
         /*pg FOR SHARE OF subnet*/ \
         ON CONFLICT (subnet_id, family) DO UPDATE SET last_address = excluded.last_address",
        vec![family.into(), first.into(), last.into(), subnet.into()],
    )
    .changing_one(PARENT_GONE)
}

/// Takes back [`insert_ipv4_pool`].
pub fn delete_ipv4_pool(subnet: SubnetId) -> Statement {
    Statement::new("DELETE FROM subnet_address_pool WHERE subnet_id = $1 AND family = 4", vec![subnet.into()])
}

/// Takes back [`insert_ipv6_pool`].
pub fn delete_ipv6_pool(subnet: SubnetId) -> Statement {
    Statement::new("DELETE FROM subnet_address_pool WHERE subnet_id = $1 AND family = 6", vec![subnet.into()])
}

/// Reserves a subnet's gateway addresses.
pub fn insert_gateway(subnet: SubnetId, ipv4_block: Ipv4Block, ipv6_block: Ipv6Block) -> Statement {
    Statement::new(
        "INSERT INTO subnet_gateway (subnet_id, project_id, ipv4_address, ipv6_address) \
         SELECT subnet.id, subnet.project_id, $1, $2 FROM vpc_subnet AS subnet WHERE subnet.id = $3 \
         AND (subnet.deleted_by IS NULL OR EXISTS (SELECT 1 FROM subnet_gateway WHERE subnet_id = $3)) \
         /*pg FOR SHARE OF subnet*/ \
         ON CONFLICT (subnet_id) DO UPDATE SET ipv4_address = excluded.ipv4_address",
        vec![ipv4_block.gateway().to_string().into(), ipv6_block.gateway().to_string().into(), subnet.into()],
    )
    .changing_one(PARENT_GONE)
}

/// Takes that back.
pub fn delete_gateway(subnet: SubnetId) -> Statement {
    Statement::new("DELETE FROM subnet_gateway WHERE subnet_id = $1", vec![subnet.into()])
}

/// Removes a subnet with all that belongs to it.
pub fn delete_whole(subnet: SubnetId) -> Vec<Statement> {
    vec![
        routes::delete_of_subnet(subnet),
        delete_gateway(subnet),
        Statement::new("DELETE FROM subnet_address_pool WHERE subnet_id = $1", vec![subnet.into()]),
        Statement::new("DELETE FROM vpc_subnet WHERE id = $1", vec![subnet.into()]),
    ]
}

/// Marks a subnet that a user made as being deleted by `saga`.
pub fn mark(subnet: SubnetId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE vpc_subnet SET deleted_by = $1 WHERE id = $2 AND is_default = 0 \
         AND (deleted_by IS NULL OR deleted_by = $1)",
        vec![saga.into(), subnet.into()],
    )
    .changing_one(GONE)
}

/// Takes that mark back.
pub fn unmark(subnet: SubnetId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE vpc_subnet SET deleted_by = NULL WHERE id = $1 AND deleted_by = $2",
        vec![subnet.into(), saga.into()],
    )
}

macro_rules! columns {
    () => {
        "id, name, description, vpc_id, ipv4_block, ipv6_block, time_created, time_modified"
    };
}

const LISTING: Listing = Listing {
    by_name: concat!(
        "SELECT ",
        columns!(),
        " FROM vpc_subnet WHERE vpc_id = $1 AND deleted_by IS NULL AND name > $2 ORDER BY name LIMIT $3"
    ),
    by_id: concat!(
        "SELECT ",
        columns!(),
        " FROM vpc_subnet WHERE vpc_id = $1 AND deleted_by IS NULL AND id > $2 ORDER BY id LIMIT $3"
    ),
};

/// A VPC's subnets, a page at a time.
pub async fn list_subnets(
    store: &dyn Store,
    vpc: VpcId,
    page: &PageRequest,
) -> Result<Vec<Subnet>, StoreError> {
    LISTING.page(store, Some(vpc.as_uuid()), page, read).await
}

/// The subnet of this id.
pub async fn find_subnet(store: &dyn Store, id: SubnetId) -> Result<Option<Subnet>, StoreError> {
    let sql = concat!("SELECT ", columns!(), " FROM vpc_subnet WHERE id = $1 AND deleted_by IS NULL");
    find(store, Statement::new(sql, vec![id.into()]), read).await
}

/// The subnet of this name in a VPC.
pub async fn find_subnet_named(
    store: &dyn Store,
    vpc: VpcId,
    name: &Name,
) -> Result<Option<Subnet>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM vpc_subnet WHERE vpc_id = $1 AND name = $2 AND deleted_by IS NULL"
    );
    find(store, Statement::new(sql, vec![vpc.into(), name.as_str().into()]), read).await
}

/// How a subnet came to be, if it is there.
pub async fn find_role(store: &dyn Store, id: SubnetId) -> Result<Option<SubnetRole>, StoreError> {
    let statement = Statement::new(
        "SELECT is_default FROM vpc_subnet WHERE id = $1 AND deleted_by IS NULL",
        vec![id.into()],
    );
    find(store, statement, |row| Ok(if row.int(0)? == 1 { SubnetRole::Default } else { SubnetRole::Custom }))
        .await
}

/// Which of a VPC's /64 ranges are taken, ascending; also by subnets that are being deleted.
pub async fn list_ipv6_indexes(store: &dyn Store, vpc: VpcId) -> Result<Vec<u16>, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT ipv6_index FROM vpc_subnet WHERE vpc_id = $1 ORDER BY ipv6_index",
            vec![vpc.into()],
        ))
        .await?;
    rows.iter()
        .map(|row| {
            let index = row.int(0)?;
            u16::try_from(index).map_err(|_| StoreError::Corrupt {
                column: "ipv6_index".to_owned(),
                reason: format!("{index} is not the number of a /64 in a /48"),
            })
        })
        .collect()
}

fn read(row: &Row) -> Result<Subnet, StoreError> {
    Ok(Subnet {
        id: SubnetId::from_uuid(row.uuid(0)?),
        name: row.parsed(1, "a name")?,
        description: row.text(2)?.to_owned(),
        vpc_id: VpcId::from_uuid(row.uuid(3)?),
        ipv4_block: row.text(4)?.to_owned(),
        ipv6_block: row.text(5)?.to_owned(),
        time_created: row.time(6)?,
        time_modified: row.time(7)?,
    })
}
