//! What the sagas that delete a VPC or a project have in common: marking, table by table, and unmarking.

use super::{Effect, Inputs};
use crate::store::domain::parts::{Part, Scope};
use crate::store::sql::Statement;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use steno::ActionError;

/// Parameters that say what is deleted with everything in it.
pub(super) trait Scoped: DeserializeOwned + Serialize + fmt::Debug + Send + Sync + 'static {
    /// What is.
    fn scope(&self) -> Scope;
}

/// Marks one table's rows.
pub(super) fn mark<P: Scoped>(inputs: &Inputs<'_>, part: Part) -> Result<Effect, ActionError> {
    Effect::new(vec![part.mark(inputs.params::<P>()?.scope(), inputs.saga_id())], ())
}

/// Takes the saga's own marks back.
pub(super) fn unmark<P: Scoped>(inputs: &Inputs<'_>, part: Part) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![part.unmark(inputs.params::<P>()?.scope(), inputs.saga_id())])
}

/// A line that marks what is given, then all tables below VPCs, parents before children, and ends with the removal, which
/// is the last node and so never has to be undone.
macro_rules! delete_line {
    (
        $saga:literal, $params:ty, purge: $purge:expr;
        $($node:literal $label:literal: $run:expr, $undo:expr;)+
    ) => {
        $crate::coordinator::sagas::delete_parts::delete_line!(@
            $saga, $params, $purge, [$($node $label: $run, $undo;)+]
            "routers" "Routers" Routers;
            "internet_gateways" "InternetGateways" Gateways;
            "internet_gateway_pools" "InternetGatewayPools" GatewayPools;
            "subnets" "Subnets" Subnets;
            "subnet_allocations" "SubnetAllocations" AddressPools;
            "subnet_gateways" "SubnetGateways" SubnetGateways;
            "routes" "Routes" Routes;
            "dns_records" "DnsRecords" DnsRecords;
            "firewall_rules" "FirewallRules" FirewallRules;
        )
    };
    (@
        $saga:literal, $params:ty, $purge:expr, [$($node:literal $label:literal: $run:expr, $undo:expr;)+]
        $($part_node:literal $part_label:literal $part:ident;)+
    ) => {
        $crate::coordinator::sagas::line::line! { $saga;
            $($node $label: $run, $undo;)+
            $($part_node $part_label:
                |inputs| $crate::coordinator::sagas::delete_parts::mark::<$params>(
                    inputs, $crate::store::domain::parts::Part::$part),
                |inputs| $crate::coordinator::sagas::delete_parts::unmark::<$params>(
                    inputs, $crate::store::domain::parts::Part::$part);)+
            "purge" "Purge": $purge, $crate::coordinator::sagas::line::nothing;
        }
    };
}
pub(super) use delete_line;
