//! Saga `vpc-subnet-create`: a subnet with the addresses it may give out, its gateway and the route that leads to it.

use super::line::{self, LineNode, line};
use super::refusals::{not_added, type_names};
use super::vpc_parts;
use super::{Action, Creates, Durability, Effect, Inputs, SagaKind, derive_uuid};
use crate::store::domain::blocks::{Ipv4Block, Ipv6Block};
use crate::store::domain::routes;
use crate::store::domain::subnets::{self, NewSubnet, SubnetRole};
use crate::store::sql::Statement;
use crate::wire::external::Subnet;
use crate::wire::ids::{RouterId, SagaId, SubnetId, VpcId};
use crate::wire::name::Name;
use crate::wire::time::Time;
use serde::{Deserialize, Serialize};
use steno::{ActionError, SagaDag};

/// The kind.
pub struct VpcSubnetCreate;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The VPC that the subnet will be in.
    pub vpc_id: VpcId,
    /// The VPC's system router, which gets the route to it.
    pub system_router_id: RouterId,
    /// Unique in its VPC.
    pub name: Name,
    /// For people.
    pub description: String,
    /// Overlaps with no other subnet of the VPC.
    pub ipv4_block: Ipv4Block,
    /// The same. Chosen before the saga is made if the user did not choose.
    pub ipv6_block: Ipv6Block,
    /// When it was asked for.
    pub time_created: Time,
}

const LINE: &[LineNode] = line! { "vpc_subnet_create";
    "subnet" "Subnet": insert_subnet, delete_subnet;
    "subnet_v4_allocation" "SubnetV4Allocation": insert_v4_pool, delete_v4_pool;
    "subnet_v6_allocation" "SubnetV6Allocation": insert_v6_pool, delete_v6_pool;
    "subnet_gateway" "SubnetGateway": insert_gateway, delete_gateway;
    "subnet_route" "SubnetRoute": insert_route, delete_route;
};

impl SagaKind for VpcSubnetCreate {
    const NAME: &'static str = "vpc-subnet-create";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE)
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        line::saga_dag::<Self>(LINE, params)
    }
}

impl Creates for VpcSubnetCreate {
    type Object = Subnet;

    fn made(saga: SagaId, params: &Params) -> Subnet {
        new_subnet(saga, params).to_wire()
    }
}

fn new_subnet(saga: SagaId, params: &Params) -> NewSubnet {
    NewSubnet {
        id: SubnetId::from_uuid(derive_uuid(saga, "subnet")),
        vpc_id: params.vpc_id,
        name: params.name.clone(),
        description: params.description.clone(),
        ipv4_block: params.ipv4_block,
        ipv6_block: params.ipv6_block,
        role: SubnetRole::Custom,
        time_created: params.time_created,
    }
}

fn subnet(inputs: &Inputs<'_>) -> Result<NewSubnet, ActionError> {
    Ok(new_subnet(inputs.saga_id(), &inputs.params()?))
}

fn insert_subnet(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    vpc_parts::insert_subnet(&subnet(inputs)?).map(|(effect, refused)| effect.or_refuse(refused))
}

fn delete_subnet(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(subnets::delete_whole(subnet(inputs)?.id))
}

fn insert_v4_pool(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    vpc_parts::insert_v4_pool(&subnet(inputs)?)
}

fn delete_v4_pool(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![subnets::delete_ipv4_pool(subnet(inputs)?.id)])
}

fn insert_v6_pool(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    vpc_parts::insert_v6_pool(&subnet(inputs)?)
}

fn delete_v6_pool(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![subnets::delete_ipv6_pool(subnet(inputs)?.id)])
}

fn insert_gateway(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    vpc_parts::insert_subnet_gateway(&subnet(inputs)?)
}

fn delete_gateway(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![subnets::delete_gateway(subnet(inputs)?.id)])
}

/// Adds the route. A route of the user's may have the subnet's name already, so this one is waited for.
fn insert_route(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let params: Params = inputs.params()?;
    let subnet = new_subnet(inputs.saga_id(), &params);
    let route = vpc_parts::subnet_route(inputs.saga_id(), &subnet, params.system_router_id);
    let refused = not_added(type_names::ROUTE, &route.name, type_names::ROUTER, route.vpc_router_id);
    // The last output is the saga's.
    Ok(Effect::new(vec![routes::insert(&route, Some(subnet.id))], subnet.to_wire())?.or_refuse(refused))
}

fn delete_route(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![routes::delete_of_subnet(subnet(inputs)?.id)])
}

#[cfg(test)]
mod tests {
    use super::super::ActionFailure;
    use super::super::test_helpers::{TestBed, check_saga, count, moment, numbered_saga};
    use super::*;
    use crate::store::domain::blocks::VpcPrefix;
    use crate::wire::external::Vpc;

    fn params(vpc: &Vpc, name: &str, ipv4_block: &str, ipv6_index: u16) -> Params {
        let prefix: VpcPrefix = vpc.ipv6_prefix.parse().expect("a prefix");
        Params {
            vpc_id: vpc.id,
            system_router_id: vpc.system_router_id,
            name: name.parse().expect("a name"),
            description: String::new(),
            ipv4_block: ipv4_block.parse().expect("a block"),
            ipv6_block: prefix.subnet(ipv6_index),
            time_created: moment(),
        }
    }

    async fn moon(bed: &TestBed) -> Vpc {
        let project = bed.project(1, "apollo").await;
        bed.vpc(2, &project, "moon").await
    }

    #[tokio::test]
    async fn makes_a_subnet_with_all_its_parts() {
        let (before, after) =
            check_saga::<VpcSubnetCreate>(async |bed| params(&moon(bed).await, "crater", "10.0.0.0/24", 1))
                .await;
        for (table, more) in [("vpc_subnet", 1), ("subnet_address_pool", 2), ("router_route", 1)] {
            assert_eq!(count(&after, table), count(&before, table) + more, "{table}");
        }
    }

    #[tokio::test]
    async fn ranges_of_one_vpc_do_not_overlap() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let vpc = moon(&bed).await;
        let made =
            bed.make::<VpcSubnetCreate>(numbered_saga(3), &params(&vpc, "crater", "10.0.0.0/24", 1)).await;
        assert_eq!(subnets::find_subnet(&*bed.store, made.id).await.expect("a read"), Some(made));
        let before = bed.contents().await;
        for (number, (block, index)) in
            [("10.0.0.0/16", 2), ("10.0.0.64/26", 3), ("172.30.2.0/24", 4), ("10.1.0.0/24", 1)]
                .into_iter()
                .enumerate()
        {
            let saga = numbered_saga(10 + number as u128);
            let (node, why) =
                bed.refused::<VpcSubnetCreate>(saga, &params(&vpc, "other", block, index)).await;
            assert_eq!(node, "subnet");
            assert!(matches!(why, ActionFailure::InvalidRequest { .. }), "{block}: {why}");
            assert_eq!(bed.contents().await, before);
        }
        let elsewhere = bed.vpc(4, &bed.project(5, "gemini").await, "orbit").await;
        bed.make::<VpcSubnetCreate>(numbered_saga(6), &params(&elsewhere, "crater", "10.0.0.0/24", 1)).await;
    }

    #[tokio::test]
    async fn unwinds_when_the_route_is_refused() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let vpc = moon(&bed).await;
        let before = bed.contents().await;
        let named_like_a_route = params(&vpc, "default-v4", "10.0.0.0/24", 1);
        let (node, why) = bed.refused::<VpcSubnetCreate>(numbered_saga(3), &named_like_a_route).await;
        assert_eq!(node, "subnet_route");
        assert_eq!(why.to_string(), "already exists: router-route \"default-v4\"");
        assert_eq!(bed.contents().await, before);
    }
}
