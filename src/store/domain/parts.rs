//! Everything below a VPC, table by table, for sagas that delete a VPC or a whole project.
//!
//! # Why marking goes from the top down
//!
//! A delete saga marks its object first, then the tables below in the order of [`Part::ALL`], parents before children.
//! Inserts need a parent that is not marked. So once a table's parents are marked nothing joins it, and what joined before
//! is there to be marked with the rest: after the last mark everything below the object is marked, whatever else ran at
//! the same time. Removing then goes from the bottom up in one write.

use crate::store::sql::{Statement, Value};
use crate::wire::ids::{ProjectId, SagaId, VpcId};

/// What is deleted with everything in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All VPCs of a project.
    Project(ProjectId),
    /// One VPC.
    Vpc(VpcId),
}

impl Scope {
    fn key(self) -> Value {
        match self {
            Self::Project(id) => id.into(),
            Self::Vpc(id) => id.into(),
        }
    }

    fn pick(self, texts: &Texts) -> &'static str {
        match self {
            Self::Project(_) => texts.of_project,
            Self::Vpc(_) => texts.of_vpc,
        }
    }
}

/// A table below `vpc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Routers.
    Routers,
    /// Internet gateways.
    Gateways,
    /// What internet gateways draw from.
    GatewayPools,
    /// Subnets.
    Subnets,
    /// Which addresses of subnets may be given out.
    AddressPools,
    /// Gateway addresses of subnets.
    SubnetGateways,
    /// Routes of routers, to subnets among others.
    Routes,
    /// DNS records of VPCs.
    DnsRecords,
    /// Firewall rules.
    FirewallRules,
}

struct Texts {
    of_project: &'static str,
    of_vpc: &'static str,
}

struct PartTexts {
    mark: Texts,
    unmark: Texts,
    delete: Texts,
}

/// All texts of a table whose rows are those with `$before` (a condition on VPCs) `$after`.
macro_rules! texts {
    (mark $table:literal, $before:literal, $column:literal, $after:literal) => {
        concat!(
            "UPDATE ", $table, " SET deleted_by = $1 WHERE ", $before, $column, " = $2", $after,
            " AND deleted_by IS NULL"
        )
    };
    (unmark $table:literal, $before:literal, $column:literal, $after:literal) => {
        concat!(
            "UPDATE ", $table, " SET deleted_by = NULL WHERE ", $before, $column, " = $1", $after,
            " AND deleted_by = $2"
        )
    };
    (delete $table:literal, $before:literal, $column:literal, $after:literal) => {
        concat!("DELETE FROM ", $table, " WHERE ", $before, $column, " = $1", $after)
    };
    ($table:literal, $before:literal, $after:literal) => {
        PartTexts {
            mark: Texts {
                of_project: texts!(mark $table, $before, "project_id", $after),
                of_vpc: texts!(mark $table, $before, "id", $after),
            },
            unmark: Texts {
                of_project: texts!(unmark $table, $before, "project_id", $after),
                of_vpc: texts!(unmark $table, $before, "id", $after),
            },
            delete: Texts {
                of_project: texts!(delete $table, $before, "project_id", $after),
                of_vpc: texts!(delete $table, $before, "id", $after),
            },
        }
    };
}

impl Part {
    /// All of them, parents before children.
    pub const ALL: [Self; 9] = [
        Self::Routers,
        Self::Gateways,
        Self::GatewayPools,
        Self::Subnets,
        Self::AddressPools,
        Self::SubnetGateways,
        Self::Routes,
        Self::DnsRecords,
        Self::FirewallRules,
    ];

    const fn texts(self) -> PartTexts {
        match self {
            Self::Routers => texts!("vpc_router", "vpc_id IN (SELECT id FROM vpc WHERE ", ")"),
            Self::Gateways => texts!("internet_gateway", "vpc_id IN (SELECT id FROM vpc WHERE ", ")"),
            Self::GatewayPools => texts!(
                "internet_gateway_pool",
                "internet_gateway_id IN (SELECT id FROM internet_gateway \
                 WHERE vpc_id IN (SELECT id FROM vpc WHERE ",
                "))"
            ),
            Self::Subnets => texts!("vpc_subnet", "vpc_id IN (SELECT id FROM vpc WHERE ", ")"),
            Self::AddressPools => texts!(
                "subnet_address_pool",
                "subnet_id IN (SELECT id FROM vpc_subnet WHERE vpc_id IN (SELECT id FROM vpc WHERE ",
                "))"
            ),
            Self::SubnetGateways => texts!(
                "subnet_gateway",
                "subnet_id IN (SELECT id FROM vpc_subnet WHERE vpc_id IN (SELECT id FROM vpc WHERE ",
                "))"
            ),
            Self::Routes => texts!(
                "router_route",
                "vpc_router_id IN (SELECT id FROM vpc_router WHERE vpc_id IN (SELECT id FROM vpc WHERE ",
                "))"
            ),
            Self::DnsRecords => texts!("vpc_dns_record", "vpc_id IN (SELECT id FROM vpc WHERE ", ")"),
            Self::FirewallRules => texts!("vpc_firewall_rule", "vpc_id IN (SELECT id FROM vpc WHERE ", ")"),
        }
    }

    /// Marks what is in `scope` as being deleted by `saga`.
    pub fn mark(self, scope: Scope, saga: SagaId) -> Statement {
        Statement::new(scope.pick(&self.texts().mark), vec![saga.into(), scope.key()])
    }

    /// Takes those marks back.
    pub fn unmark(self, scope: Scope, saga: SagaId) -> Statement {
        Statement::new(scope.pick(&self.texts().unmark), vec![scope.key(), saga.into()])
    }

    fn delete(self, scope: Scope) -> Statement {
        Statement::new(scope.pick(&self.texts().delete), vec![scope.key()])
    }
}

/// Marks a project's VPCs as being deleted by `saga`.
pub fn mark_vpcs(project: ProjectId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE vpc SET deleted_by = $1 WHERE project_id = $2 AND deleted_by IS NULL",
        vec![saga.into(), project.into()],
    )
}

/// Takes those marks back.
pub fn unmark_vpcs(project: ProjectId, saga: SagaId) -> Statement {
    Statement::new(
        "UPDATE vpc SET deleted_by = NULL WHERE project_id = $1 AND deleted_by = $2",
        vec![project.into(), saga.into()],
    )
}

/// Removes the VPCs in `scope` with everything in them, marked or not, children first.
pub fn delete_vpcs(scope: Scope) -> Vec<Statement> {
    let vpcs = match scope {
        Scope::Project(_) => "DELETE FROM vpc WHERE project_id = $1",
        Scope::Vpc(_) => "DELETE FROM vpc WHERE id = $1",
    };
    let parts = Part::ALL.into_iter().rev().map(|part| part.delete(scope));
    parts.chain([Statement::new(vpcs, vec![scope.key()])]).collect()
}

/// Removes a project with everything in it.
pub fn delete_project(project: ProjectId) -> Vec<Statement> {
    let mut statements = delete_vpcs(Scope::Project(project));
    statements.extend([super::projects::delete_quota(project), super::projects::delete(project)]);
    statements
}
