//! Ids are newtypes, so that a saga id cannot be handed over where a SEC id is wanted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a uuid that is known to be this kind of id.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The uuid itself, for the edges that store or print it.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }

            /// A fresh id. Version 7, so that ids made one after another are neighbours in every index.
            pub fn random() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_newtype!(
    /// Names one saga for ever, across restarts and owners.
    SagaId
);
uuid_newtype!(
    /// Names one saga execution coordinator; kept by it across restarts.
    SecId
);
uuid_newtype!(
    /// Names one demo saga's wait, which is not the saga's id.
    DemoSagaId
);
uuid_newtype!(
    /// Names a project.
    ProjectId
);
uuid_newtype!(
    /// Names a VPC.
    VpcId
);
uuid_newtype!(
    /// Names a subnet of a VPC.
    SubnetId
);
uuid_newtype!(
    /// Names a router of a VPC.
    RouterId
);
uuid_newtype!(
    /// Names a route of a router.
    RouteId
);
uuid_newtype!(
    /// Names a firewall rule of a VPC.
    FirewallRuleId
);

/// A node of a saga's DAG: the index of the node in the DAG's `graph.nodes`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
