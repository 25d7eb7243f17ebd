//! What it means for an action that the database refused its effect.

use super::ActionFailure;
use crate::store::error::{Refusal, Rule};
use crate::wire::name::Name;
use std::fmt::Display;

/// How the API calls things in its answers.
pub mod type_names {
    /// A project.
    pub const PROJECT: &str = "project";
    /// A VPC.
    pub const VPC: &str = "vpc";
    /// A subnet.
    pub const SUBNET: &str = "vpc-subnet";
    /// A router.
    pub const ROUTER: &str = "vpc-router";
    /// A route.
    pub const ROUTE: &str = "router-route";
    /// A firewall rule.
    pub const FIREWALL_RULE: &str = "vpc-firewall-rule";
    /// An internet gateway.
    pub const INTERNET_GATEWAY: &str = "internet-gateway";
    /// What an internet gateway draws from.
    pub const INTERNET_GATEWAY_POOL: &str = "internet-gateway-ip-pool";
}

/// Explains why an object could not be added to its parent.
pub(super) fn not_added(
    type_name: &'static str,
    name: &Name,
    parent_type: &'static str,
    parent_id: impl Display,
) -> impl FnOnce(&Refusal) -> ActionFailure + Send + 'static {
    let (object_name, parent_id) = (name.to_string(), parent_id.to_string());
    move |refusal| match refusal.rule {
        Rule::Unique => ActionFailure::ObjectAlreadyExists { type_name: type_name.to_owned(), object_name },
        Rule::RowCount | Rule::ForeignKey => not_found(parent_type, parent_id),
        Rule::Trigger => ActionFailure::InvalidRequest { message: refusal.what.clone() },
        // Bounds are checked before a saga is made.
        Rule::Check => ActionFailure::internal(format!("the database refused: {refusal}")),
    }
}

/// Explains why an object could not be changed.
pub(super) fn not_changed(
    type_name: &'static str,
    id: impl Display,
) -> impl FnOnce(&Refusal) -> ActionFailure + Send + 'static {
    let id = id.to_string();
    move |refusal| match refusal.rule {
        Rule::RowCount => not_found(type_name, id),
        _ => ActionFailure::internal(format!("the database refused: {refusal}")),
    }
}

fn not_found(type_name: &str, id: String) -> ActionFailure {
    ActionFailure::ObjectNotFound { type_name: type_name.to_owned(), lookup: format!("id \"{id}\"") }
}
