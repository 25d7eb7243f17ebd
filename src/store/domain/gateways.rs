//! Internet gateways of VPCs, and the address pools that each draws from. They come and go with their VPC.

use super::PARENT_GONE;
use crate::store::sql::Statement;
use crate::wire::ids::VpcId;
use crate::wire::name::Name;
use crate::wire::time::Time;
use uuid::Uuid;

/// An internet gateway to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGateway {
    /// Its id.
    pub id: Uuid,
    /// The VPC it is in.
    pub vpc_id: VpcId,
    /// Unique in its VPC.
    pub name: Name,
    /// For people.
    pub description: String,
    /// When it is made.
    pub time_created: Time,
}

/// Adds an internet gateway.
pub fn insert(gateway: &NewGateway) -> Statement {
    Statement::new(
        "INSERT INTO internet_gateway (id, vpc_id, project_id, name, description, time_created, time_modified) \
         SELECT $1, vpc.id, vpc.project_id, $2, $3, $4, $4 FROM vpc WHERE vpc.id = $5 \
         AND (vpc.deleted_by IS NULL OR EXISTS (SELECT 1 FROM internet_gateway WHERE id = $1)) \
         /*pg FOR SHARE OF vpc*/ \
         ON CONFLICT (id) DO UPDATE SET time_created = excluded.time_created",
        vec![
            gateway.id.into(),
            gateway.name.as_str().into(),
            gateway.description.as_str().into(),
            gateway.time_created.into(),
            gateway.vpc_id.into(),
        ],
    )
    .changing_one(PARENT_GONE)
}

/// Removes an internet gateway that has no pool any more.
pub fn delete(gateway: Uuid) -> Statement {
    Statement::new("DELETE FROM internet_gateway WHERE id = $1", vec![gateway.into()])
}

/// Lets an internet gateway draw addresses from a pool.
pub fn insert_pool(id: Uuid, gateway: Uuid, name: &Name, time_created: Time) -> Statement {
    Statement::new(
        "INSERT INTO internet_gateway_pool (id, internet_gateway_id, project_id, name, time_created) \
         SELECT $1, gateway.id, gateway.project_id, $2, $3 FROM internet_gateway AS gateway \
         WHERE gateway.id = $4 \
         AND (gateway.deleted_by IS NULL OR EXISTS (SELECT 1 FROM internet_gateway_pool WHERE id = $1)) \
         /*pg FOR SHARE OF gateway*/ \
         ON CONFLICT (id) DO UPDATE SET time_created = excluded.time_created",
        vec![id.into(), name.as_str().into(), time_created.into(), gateway.into()],
    )
    .changing_one(PARENT_GONE)
}

/// Takes that back.
pub fn delete_pool(id: Uuid) -> Statement {
    Statement::new("DELETE FROM internet_gateway_pool WHERE id = $1", vec![id.into()])
}
