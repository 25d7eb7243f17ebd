//! The external API's objects, in Oxide's shapes: projects and what is inside a VPC.

use super::ids::{FirewallRuleId, ProjectId, RouteId, RouterId, SubnetId, VpcId};
use super::name::{Name, NameOrId};
use super::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Project {
    /// Unique, immutable id.
    pub id: ProjectId,
    /// Unique among all projects.
    pub name: Name,
    /// For people.
    pub description: String,
    /// When it was made.
    pub time_created: Time,
    /// When it was last changed.
    pub time_modified: Time,
}

/// Body of `POST /v1/projects`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectCreate {
    /// Unique among all projects.
    pub name: Name,
    /// For people; at most 512 characters.
    pub description: String,
}

/// A virtual private cloud inside a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vpc {
    /// Unique, immutable id.
    pub id: VpcId,
    /// Unique in its project.
    pub name: Name,
    /// For people.
    pub description: String,
    /// The project it is in.
    pub project_id: ProjectId,
    /// Its system router.
    pub system_router_id: RouterId,
    /// Name used for it in DNS.
    pub dns_name: Name,
    /// The unique local IPv6 range that its subnets come from, a /48.
    pub ipv6_prefix: String,
    /// When it was made.
    pub time_created: Time,
    /// When it was last changed.
    pub time_modified: Time,
}

/// Body of `POST /v1/vpcs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VpcCreate {
    /// Unique in its project.
    pub name: Name,
    /// For people; at most 512 characters.
    pub description: String,
    /// Name used for it in DNS.
    pub dns_name: Name,
}

/// A subnet of a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subnet {
    /// Unique, immutable id.
    pub id: SubnetId,
    /// Unique in its VPC.
    pub name: Name,
    /// For people.
    pub description: String,
    /// The VPC it is in.
    pub vpc_id: VpcId,
    /// Its IPv4 range; overlaps with no other subnet of the VPC.
    pub ipv4_block: String,
    /// Its IPv6 range; overlaps with no other subnet of the VPC.
    pub ipv6_block: String,
    /// When it was made.
    pub time_created: Time,
    /// When it was last changed.
    pub time_modified: Time,
}

/// Body of `POST /v1/vpc-subnets`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubnetCreate {
    /// Unique in its VPC.
    pub name: Name,
    /// For people; at most 512 characters.
    pub description: String,
    /// A private IPv4 range, /8 to /26.
    pub ipv4_block: String,
    /// A /64 inside the VPC's prefix; one that is free is chosen when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6_block: Option<String>,
}

/// What a router is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouterKind {
    /// Made with the VPC, gone with it.
    System,
    /// Made by a user.
    Custom,
}

/// A router of a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Router {
    /// Unique, immutable id.
    pub id: RouterId,
    /// Unique in its VPC.
    pub name: Name,
    /// For people.
    pub description: String,
    /// What it is for.
    pub kind: RouterKind,
    /// The VPC it is in.
    pub vpc_id: VpcId,
    /// When it was made.
    pub time_created: Time,
    /// When it was last changed.
    pub time_modified: Time,
}

/// Body of `POST /v1/vpc-routers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouterCreate {
    /// Unique in its VPC.
    pub name: Name,
    /// For people; at most 512 characters.
    pub description: String,
}

/// How a route came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// The default route of a VPC.
    Default,
    /// Leads to a subnet; made and deleted with it.
    VpcSubnet,
    /// Made by a user.
    Custom,
}

/// Where a route sends packets, or which packets it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum RouteEnd {
    /// One address.
    Ip(String),
    /// A range of addresses.
    IpNet(String),
    /// A VPC by name.
    Vpc(Name),
    /// A subnet by name.
    Subnet(Name),
    /// An instance by name (as a target only).
    Instance(Name),
    /// An internet gateway by name (as a target only).
    InternetGateway(Name),
    /// Nowhere (as a target only).
    Drop,
}

/// A route of a router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// Unique, immutable id.
    pub id: RouteId,
    /// Unique in its router.
    pub name: Name,
    /// For people.
    pub description: String,
    /// How it came to be.
    pub kind: RouteKind,
    /// The router it is in.
    pub vpc_router_id: RouterId,
    /// Where it sends packets.
    pub target: RouteEnd,
    /// Which packets it is for.
    pub destination: RouteEnd,
    /// When it was made.
    pub time_created: Time,
    /// When it was last changed.
    pub time_modified: Time,
}

/// Body of `POST /v1/vpc-router-routes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteCreate {
    /// Unique in its router.
    pub name: Name,
    /// For people; at most 512 characters.
    pub description: String,
    /// Where it sends packets.
    pub target: RouteEnd,
    /// Which packets it is for.
    pub destination: RouteEnd,
}

/// Whether a firewall rule lets packets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FirewallAction {
    /// It does.
    Allow,
    /// It does not.
    Deny,
}

/// Which way the packets of a firewall rule go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FirewallDirection {
    /// Into the VPC's instances.
    Inbound,
    /// Out of them.
    Outbound,
}

/// Whether a firewall rule is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FirewallStatus {
    /// It is.
    Enabled,
    /// It is not.
    Disabled,
}

/// A firewall rule as a user gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirewallRuleUpdate {
    /// Unique in its VPC.
    pub name: Name,
    /// For people; at most 512 characters.
    pub description: String,
    /// Lets packets through or not.
    pub action: FirewallAction,
    /// Which way the packets go.
    pub direction: FirewallDirection,
    /// In force or not.
    pub status: FirewallStatus,
    /// 0 to 65535; the lowest that matches decides.
    pub priority: u16,
    /// What it applies to.
    pub targets: Vec<RouteEnd>,
    /// What else a packet must match; an absent list matches everything.
    pub filters: FirewallFilter,
}

/// What else a packet must match; an absent list matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirewallFilter {
    /// Where it comes from.
    #[serde(default)]
    pub hosts: Option<Vec<RouteEnd>>,
    /// `tcp`, `udp` or `icmp`.
    #[serde(default)]
    pub protocols: Option<Vec<String>>,
    /// Ports or ranges of ports (`80`, `8000-8080`).
    #[serde(default)]
    pub ports: Option<Vec<String>>,
}

/// A firewall rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirewallRule {
    /// Unique, immutable id.
    pub id: FirewallRuleId,
    /// The VPC it is in.
    pub vpc_id: VpcId,
    /// What it says.
    #[serde(flatten)]
    pub rule: FirewallRuleUpdate,
    /// When it was made.
    pub time_created: Time,
    /// When it was last changed.
    pub time_modified: Time,
}

/// Answer of `GET /v1/vpc-firewall-rules`, and of its `PUT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirewallRules {
    /// All of the VPC's rules.
    pub rules: Vec<FirewallRule>,
}

/// Body of `PUT /v1/vpc-firewall-rules`: replaces all of the VPC's rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FirewallRulesUpdate {
    /// The new rules.
    pub rules: Vec<FirewallRuleUpdate>,
}

/// Header that makes a repeated create return the first one's result.
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// Longest idempotency key that is accepted, in characters.
pub const MAX_IDEMPOTENCY_KEY_LEN: usize = 255;

/// Longest description that is accepted, in characters.
pub const MAX_DESCRIPTION_LEN: usize = 512;

/// Selects a project in the query of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectSelector {
    /// Name or id of the project.
    pub project: NameOrId,
}
