//! Saga `vpc-create`: a VPC with its system router, internet gateway, default subnet and firewall rules. Also the subsaga
//! of `project-create` that makes a new project's default VPC.
//!
//! The VPC is visible from its first node on, so somebody may use it while the rest is being made. Undoing a part therefore
//! removes what others may have put into it as well, and what others may have changed or deleted fails the saga in order.

use super::line::{self, LineNode, line};
use super::refusals::{not_added, not_changed, type_names};
use super::vpc_parts::{self, NewVpc};
use super::{Action, Creates, Durability, Effect, Inputs, SagaKind};
use crate::store::domain::{firewall, gateways, parts, routers, routes, subnets, vpcs};
use crate::store::sql::Statement;
use crate::wire::external::{FirewallRule, Route, Vpc};
use crate::wire::ids::{ProjectId, SagaId};
use crate::wire::name::Name;
use crate::wire::time::Time;
use serde::{Deserialize, Serialize};
use steno::{ActionError, Dag, SagaDag};

/// The kind.
pub struct VpcCreate;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The project that the VPC will be in.
    pub project_id: ProjectId,
    /// Unique in its project.
    pub name: Name,
    /// For people.
    pub description: String,
    /// Name used for it in DNS.
    pub dns_name: Name,
    /// When it was asked for.
    pub time_created: Time,
    /// Whether the project is being made by the same saga. Hardly anything can be refused then.
    pub in_new_project: bool,
}

impl Params {
    /// What a new project's default VPC is made from.
    pub fn default_of(project_id: ProjectId, time_created: Time) -> Self {
        let name = vpc_parts::name("default");
        Self {
            project_id,
            dns_name: name.clone(),
            name,
            description: "the VPC that came with its project".to_owned(),
            time_created,
            in_new_project: true,
        }
    }
}

const LINE: &[LineNode] = line! { "vpc_create";
    "vpc" "Vpc": insert_vpc, delete_vpc;
    "system_router" "SystemRouter": insert_system_router, delete_system_router;
    "internet_gateway" "InternetGateway": insert_internet_gateway, delete_internet_gateway;
    "internet_gateway_pool" "InternetGatewayPool": insert_internet_gateway_pool, delete_internet_gateway_pool;
    "default_v4_route" "DefaultV4Route": insert_default_v4_route, delete_default_v4_route;
    "default_v6_route" "DefaultV6Route": insert_default_v6_route, delete_default_v6_route;
    "subnet" "Subnet": insert_subnet, delete_subnet;
    "subnet_v4_allocation" "SubnetV4Allocation": insert_v4_pool, delete_v4_pool;
    "subnet_v6_allocation" "SubnetV6Allocation": insert_v6_pool, delete_v6_pool;
    "subnet_gateway" "SubnetGateway": insert_subnet_gateway, delete_subnet_gateway;
    "subnet_route" "SubnetRoute": insert_subnet_route, delete_subnet_route;
    "dns_record" "DnsRecord": insert_dns_record, delete_dns_record;
    "allow_internal_inbound" "AllowInternalInbound": insert_allow_internal_inbound, delete_allow_internal_inbound;
    "allow_ssh" "AllowSsh": insert_allow_ssh, delete_allow_ssh;
    "allow_icmp" "AllowIcmp": insert_allow_icmp, delete_allow_icmp;
    "vpc_ready" "VpcReady": mark_ready, unmark_ready;
};

impl SagaKind for VpcCreate {
    const NAME: &'static str = "vpc-create";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE)
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        line::saga_dag::<Self>(LINE, params)
    }
}

impl Creates for VpcCreate {
    type Object = Vpc;

    fn made(saga: SagaId, params: &Params) -> Vpc {
        NewVpc::new(saga, params).vpc()
    }
}

/// The saga as a part of another. Its parameters are the output of one of the other's nodes.
pub(super) fn subsaga() -> Result<Dag, anyhow::Error> {
    line::dag(VpcCreate::NAME, LINE)
}

fn new_vpc(inputs: &Inputs<'_>) -> Result<NewVpc, ActionError> {
    Ok(NewVpc::new(inputs.saga_id(), &inputs.params()?))
}

fn insert_vpc(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let new = new_vpc(inputs)?;
    let vpc = new.vpc();
    let refused = not_added(type_names::VPC, &vpc.name, type_names::PROJECT, vpc.project_id);
    let effect = Effect::new(vec![vpcs::insert(&vpc, new.rule_set())], &vpc)?;
    Ok(if new.params().in_new_project { effect.or_rarely_refuse(refused) } else { effect.or_refuse(refused) })
}

fn delete_vpc(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(parts::delete_vpcs(parts::Scope::Vpc(new_vpc(inputs)?.id())))
}

fn insert_system_router(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let router = new_vpc(inputs)?.system_router();
    let refused = not_added(type_names::ROUTER, &router.name, type_names::VPC, router.vpc_id);
    Ok(Effect::new(vec![routers::insert(&router)], router.id)?.or_rarely_refuse(refused))
}

fn delete_system_router(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(routers::delete_with_routes(new_vpc(inputs)?.system_router_id()))
}

fn insert_internet_gateway(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let gateway = new_vpc(inputs)?.gateway();
    let refused = not_added(type_names::INTERNET_GATEWAY, &gateway.name, type_names::VPC, gateway.vpc_id);
    Ok(Effect::new(vec![gateways::insert(&gateway)], gateway.id)?.or_rarely_refuse(refused))
}

fn delete_internet_gateway(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![gateways::delete(new_vpc(inputs)?.gateway_id())])
}

fn insert_internet_gateway_pool(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let new = new_vpc(inputs)?;
    let (id, gateway, name) = (new.gateway_pool_id(), new.gateway_id(), vpc_parts::name("default"));
    let refused = not_added(type_names::INTERNET_GATEWAY_POOL, &name, type_names::INTERNET_GATEWAY, gateway);
    let statement = gateways::insert_pool(id, gateway, &name, new.params().time_created);
    Ok(Effect::new(vec![statement], id)?.or_rarely_refuse(refused))
}

fn delete_internet_gateway_pool(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![gateways::delete_pool(new_vpc(inputs)?.gateway_pool_id())])
}

fn insert_route(route: &Route, to: Option<&subnets::NewSubnet>) -> Result<Effect, ActionError> {
    let refused = not_added(type_names::ROUTE, &route.name, type_names::ROUTER, route.vpc_router_id);
    let statement = routes::insert(route, to.map(|subnet| subnet.id));
    Ok(Effect::new(vec![statement], route.id)?.or_rarely_refuse(refused))
}

fn insert_default_v4_route(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    insert_route(&new_vpc(inputs)?.default_v4_route(), None)
}

fn delete_default_v4_route(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![routes::delete(new_vpc(inputs)?.default_v4_route().id)])
}

fn insert_default_v6_route(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    insert_route(&new_vpc(inputs)?.default_v6_route(), None)
}

fn delete_default_v6_route(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![routes::delete(new_vpc(inputs)?.default_v6_route().id)])
}

fn insert_subnet(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    vpc_parts::insert_subnet(&new_vpc(inputs)?.subnet())
        .map(|(effect, refused)| effect.or_rarely_refuse(refused))
}

fn delete_subnet(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(subnets::delete_whole(new_vpc(inputs)?.subnet_id()))
}

fn insert_v4_pool(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    vpc_parts::insert_v4_pool(&new_vpc(inputs)?.subnet())
}

fn delete_v4_pool(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![subnets::delete_ipv4_pool(new_vpc(inputs)?.subnet_id())])
}

fn insert_v6_pool(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    vpc_parts::insert_v6_pool(&new_vpc(inputs)?.subnet())
}

fn delete_v6_pool(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![subnets::delete_ipv6_pool(new_vpc(inputs)?.subnet_id())])
}

fn insert_subnet_gateway(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    vpc_parts::insert_subnet_gateway(&new_vpc(inputs)?.subnet())
}

fn delete_subnet_gateway(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![subnets::delete_gateway(new_vpc(inputs)?.subnet_id())])
}

fn insert_subnet_route(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let new = new_vpc(inputs)?;
    let subnet = new.subnet();
    insert_route(&vpc_parts::subnet_route(new.saga(), &subnet, new.system_router_id()), Some(&subnet))
}

fn delete_subnet_route(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![routes::delete_of_subnet(new_vpc(inputs)?.subnet_id())])
}

fn insert_dns_record(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let new = new_vpc(inputs)?;
    let dns_name = &new.params().dns_name;
    let refused = not_added(type_names::VPC, &new.params().name, type_names::VPC, new.id());
    Ok(Effect::new(vec![vpcs::insert_dns_record(new.id(), dns_name)], dns_name)?.or_rarely_refuse(refused))
}

fn delete_dns_record(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![vpcs::delete_dns_record(new_vpc(inputs)?.id())])
}

fn insert_rule(new: &NewVpc, rule: &FirewallRule) -> Result<Effect, ActionError> {
    let refused = not_added(type_names::FIREWALL_RULE, &rule.rule.name, type_names::VPC, rule.vpc_id);
    Ok(Effect::new(vec![firewall::insert(rule, new.rule_set())], rule.id)?.or_rarely_refuse(refused))
}

fn insert_allow_internal_inbound(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let new = new_vpc(inputs)?;
    insert_rule(&new, &new.allow_internal_inbound())
}

fn delete_allow_internal_inbound(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![firewall::delete(new_vpc(inputs)?.allow_internal_inbound().id)])
}

fn insert_allow_ssh(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let new = new_vpc(inputs)?;
    insert_rule(&new, &new.allow_ssh())
}

fn delete_allow_ssh(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![firewall::delete(new_vpc(inputs)?.allow_ssh().id)])
}

fn insert_allow_icmp(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let new = new_vpc(inputs)?;
    insert_rule(&new, &new.allow_icmp())
}

fn delete_allow_icmp(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![firewall::delete(new_vpc(inputs)?.allow_icmp().id)])
}

/// Notes that everything is there. The output, and so the saga's, is the VPC.
fn mark_ready(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let new = new_vpc(inputs)?;
    let refused = not_changed(type_names::VPC, new.id());
    let statement = vpcs::mark_ready(new.id(), new.params().time_created);
    Ok(Effect::new(vec![statement], new.vpc())?.or_rarely_refuse(refused))
}

fn unmark_ready(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![vpcs::unmark_ready(new_vpc(inputs)?.id())])
}

#[cfg(test)]
mod tests {
    use super::super::ActionFailure;
    use super::super::test_helpers::{TestBed, check_saga, count, moment, numbered_saga};
    use super::*;

    fn params(project_id: ProjectId, name: &str) -> Params {
        let name: Name = name.parse().expect("a name");
        Params {
            project_id,
            dns_name: name.clone(),
            name,
            description: "a second one".to_owned(),
            time_created: moment(),
            in_new_project: false,
        }
    }

    #[tokio::test]
    async fn makes_a_vpc_with_all_its_parts() {
        let (before, after) =
            check_saga::<VpcCreate>(async |bed| params(bed.project(1, "apollo").await.id, "moon")).await;
        for table in
            ["vpc", "vpc_router", "internet_gateway", "vpc_subnet", "subnet_gateway", "vpc_dns_record"]
        {
            assert_eq!(count(&after, table), count(&before, table) + 1, "{table}");
        }
    }

    #[tokio::test]
    async fn answers_what_it_wrote() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let project = bed.project(1, "apollo").await;
        let made = bed.vpc(2, &project, "moon").await;
        assert_eq!(vpcs::find_vpc(&*bed.store, made.id).await.expect("a read"), Some(made));
    }

    #[tokio::test]
    async fn needs_a_project_and_a_name_that_is_free() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let project = bed.project(1, "apollo").await;
        let (_, why) = bed.refused::<VpcCreate>(numbered_saga(2), &params(project.id, "default")).await;
        assert_eq!(why.to_string(), "already exists: vpc \"default\"");
        let nowhere = ProjectId::from_uuid(numbered_saga(9).as_uuid());
        let (_, why) = bed.refused::<VpcCreate>(numbered_saga(3), &params(nowhere, "moon")).await;
        assert_eq!(why.to_string(), format!("not found: project with id \"{nowhere}\""));
    }

    #[tokio::test]
    async fn stops_at_the_quota() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let project = bed.project(1, "apollo").await;
        bed.store
            .write(
                crate::store::Write::one(Statement::new("UPDATE project_quota SET max_vpcs = 1", Vec::new())),
                crate::store::Until::Durable,
            )
            .await
            .expect("a lower quota");
        let (node, why) = bed.refused::<VpcCreate>(numbered_saga(2), &params(project.id, "moon")).await;
        assert_eq!(node, "vpc");
        assert!(matches!(why, ActionFailure::InvalidRequest { message } if message.contains("quota")));
    }
}
