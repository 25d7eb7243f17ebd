//! What a new VPC consists of, and what a new subnet does: pure functions from a saga's id and parameters to objects.
//!
//! Because ids derive from the saga's id and times come with its parameters, every run of an action makes the same object.

use super::refusals::{not_added, type_names};
use super::vpc_create::Params;
use super::{ActionFailure, Effect, derive_uuid};
use crate::store::domain::blocks::{Ipv4Block, VpcPrefix};
use crate::store::domain::gateways::NewGateway;
use crate::store::domain::subnets::{self, NewSubnet, SubnetRole};
use crate::store::error::Refusal;
use crate::wire::external::{
    FirewallAction, FirewallDirection, FirewallFilter, FirewallRule, FirewallRuleUpdate, FirewallStatus,
    Route, RouteEnd, RouteKind, Router, RouterKind, Vpc,
};
use crate::wire::ids::{FirewallRuleId, RouteId, RouterId, SagaId, SubnetId, VpcId};
use crate::wire::name::Name;
use steno::ActionError;
use uuid::Uuid;

/// Of two default rules neither may beat a rule that a user would give an ordinary priority.
const DEFAULT_RULE_PRIORITY: u16 = 65534;

/// A name that is part of the program.
pub(super) fn name(text: &'static str) -> Name {
    text.parse().expect("the program's own names keep the rules")
}

/// A VPC that is being made.
pub(super) struct NewVpc {
    saga: SagaId,
    params: Params,
}

impl NewVpc {
    pub(super) fn new(saga: SagaId, params: &Params) -> Self {
        Self { saga, params: params.clone() }
    }

    pub(super) fn saga(&self) -> SagaId {
        self.saga
    }

    pub(super) fn params(&self) -> &Params {
        &self.params
    }

    fn uuid(&self, what: &str) -> Uuid {
        derive_uuid(self.saga, what)
    }

    pub(super) fn id(&self) -> VpcId {
        VpcId::from_uuid(self.uuid("vpc"))
    }

    pub(super) fn system_router_id(&self) -> RouterId {
        RouterId::from_uuid(self.uuid("system_router"))
    }

    pub(super) fn gateway_id(&self) -> Uuid {
        self.uuid("internet_gateway")
    }

    pub(super) fn gateway_pool_id(&self) -> Uuid {
        self.uuid("internet_gateway_pool")
    }

    pub(super) fn subnet_id(&self) -> SubnetId {
        SubnetId::from_uuid(self.uuid("subnet"))
    }

    /// The set that its first firewall rules form.
    pub(super) fn rule_set(&self) -> Uuid {
        self.uuid("firewall_rule_set")
    }

    fn ipv6_prefix(&self) -> VpcPrefix {
        VpcPrefix::from_uuid(self.uuid("ipv6_prefix"))
    }

    pub(super) fn vpc(&self) -> Vpc {
        Vpc {
            id: self.id(),
            name: self.params.name.clone(),
            description: self.params.description.clone(),
            project_id: self.params.project_id,
            system_router_id: self.system_router_id(),
            dns_name: self.params.dns_name.clone(),
            ipv6_prefix: self.ipv6_prefix().to_string(),
            time_created: self.params.time_created,
            time_modified: self.params.time_created,
        }
    }

    pub(super) fn system_router(&self) -> Router {
        Router {
            id: self.system_router_id(),
            name: name("system"),
            description: "routes that every VPC needs".to_owned(),
            kind: RouterKind::System,
            vpc_id: self.id(),
            time_created: self.params.time_created,
            time_modified: self.params.time_created,
        }
    }

    pub(super) fn gateway(&self) -> NewGateway {
        NewGateway {
            id: self.gateway_id(),
            vpc_id: self.id(),
            name: name("default"),
            description: "the VPC's way to the outside".to_owned(),
            time_created: self.params.time_created,
        }
    }

    pub(super) fn default_v4_route(&self) -> Route {
        self.default_route("default-v4", "IPv4", "0.0.0.0/0")
    }

    pub(super) fn default_v6_route(&self) -> Route {
        self.default_route("default-v6", "IPv6", "::/0")
    }

    fn default_route(&self, route: &'static str, family: &str, everything: &str) -> Route {
        Route {
            id: RouteId::from_uuid(self.uuid(route)),
            name: name(route),
            description: format!("{family} to the outside"),
            kind: RouteKind::Default,
            vpc_router_id: self.system_router_id(),
            target: RouteEnd::InternetGateway(name("default")),
            destination: RouteEnd::IpNet(everything.to_owned()),
            time_created: self.params.time_created,
            time_modified: self.params.time_created,
        }
    }

    pub(super) fn subnet(&self) -> NewSubnet {
        NewSubnet {
            id: self.subnet_id(),
            vpc_id: self.id(),
            name: name("default"),
            description: "the subnet that came with its VPC".to_owned(),
            ipv4_block: Ipv4Block::DEFAULT,
            ipv6_block: self.ipv6_prefix().subnet(0),
            role: SubnetRole::Default,
            time_created: self.params.time_created,
        }
    }

    pub(super) fn allow_internal_inbound(&self) -> FirewallRule {
        let from_this_vpc = Some(vec![RouteEnd::Vpc(self.params.name.clone())]);
        self.rule(
            "allow-internal-inbound",
            "lets instances of the VPC reach one another",
            FirewallFilter { hosts: from_this_vpc, ..FirewallFilter::default() },
        )
    }

    pub(super) fn allow_ssh(&self) -> FirewallRule {
        self.rule(
            "allow-ssh",
            "lets SSH in from anywhere",
            FirewallFilter {
                protocols: Some(vec!["tcp".to_owned()]),
                ports: Some(vec!["22".to_owned()]),
                hosts: None,
            },
        )
    }

    pub(super) fn allow_icmp(&self) -> FirewallRule {
        self.rule(
            "allow-icmp",
            "lets ICMP in from anywhere",
            FirewallFilter { protocols: Some(vec!["icmp".to_owned()]), ..FirewallFilter::default() },
        )
    }

    fn rule(&self, rule: &'static str, description: &str, filters: FirewallFilter) -> FirewallRule {
        FirewallRule {
            id: FirewallRuleId::from_uuid(self.uuid(rule)),
            vpc_id: self.id(),
            rule: FirewallRuleUpdate {
                name: name(rule),
                description: description.to_owned(),
                action: FirewallAction::Allow,
                direction: FirewallDirection::Inbound,
                status: FirewallStatus::Enabled,
                priority: DEFAULT_RULE_PRIORITY,
                targets: vec![RouteEnd::Vpc(self.params.name.clone())],
                filters,
            },
            time_created: self.params.time_created,
            time_modified: self.params.time_created,
        }
    }
}

/// The route by which a VPC's instances find a new subnet.
pub(super) fn subnet_route(saga: SagaId, subnet: &NewSubnet, system_router: RouterId) -> Route {
    Route {
        id: RouteId::from_uuid(derive_uuid(saga, "subnet_route")),
        name: subnet.name.clone(),
        description: "leads to the subnet of this name".to_owned(),
        kind: RouteKind::VpcSubnet,
        vpc_router_id: system_router,
        target: RouteEnd::Subnet(subnet.name.clone()),
        destination: RouteEnd::Subnet(subnet.name.clone()),
        time_created: subnet.time_created,
        time_modified: subnet.time_created,
    }
}

/// The effect that adds a subnet, and what its refusal means. How likely that is, the saga knows.
pub(super) fn insert_subnet(
    subnet: &NewSubnet,
) -> Result<(Effect, impl FnOnce(&Refusal) -> ActionFailure + Send + 'static), ActionError> {
    let refused = not_added(type_names::SUBNET, &subnet.name, type_names::VPC, subnet.vpc_id);
    Ok((Effect::new(vec![subnets::insert(subnet)], subnet.to_wire())?, refused))
}

/// The effect that lets a new subnet's IPv4 addresses be given out.
pub(super) fn insert_v4_pool(subnet: &NewSubnet) -> Result<Effect, ActionError> {
    part_of_subnet(subnet, subnets::insert_ipv4_pool(subnet.id, subnet.ipv4_block))
}

/// The same for its IPv6 addresses.
pub(super) fn insert_v6_pool(subnet: &NewSubnet) -> Result<Effect, ActionError> {
    part_of_subnet(subnet, subnets::insert_ipv6_pool(subnet.id, subnet.ipv6_block))
}

/// The effect that reserves a new subnet's gateway addresses.
pub(super) fn insert_subnet_gateway(subnet: &NewSubnet) -> Result<Effect, ActionError> {
    part_of_subnet(subnet, subnets::insert_gateway(subnet.id, subnet.ipv4_block, subnet.ipv6_block))
}

fn part_of_subnet(
    subnet: &NewSubnet,
    statement: crate::store::sql::Statement,
) -> Result<Effect, ActionError> {
    let refused = not_added(type_names::SUBNET, &subnet.name, type_names::SUBNET, subnet.id);
    Ok(Effect::new(vec![statement], subnet.id)?.or_rarely_refuse(refused))
}
