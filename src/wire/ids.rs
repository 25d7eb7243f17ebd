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

/// Bytes of a new saga's id that say whose it is and when it was made; what is left tells sagas of one moment apart.
pub const SAGA_ID_ORIGIN: usize = 9;

impl SagaId {
    /// An id for a new saga of this SEC.
    ///
    /// It begins with 16 bits of the SEC's and goes on with the time in ms, as version 8 of uuids leaves room for them. So a
    /// SEC's new rows are neighbours in every index, as with version 7, and *not* neighbours of what other SECs write at
    /// the same time: a serializable PostgreSQL tells apart only by pages of indexes who reads what others write.
    pub fn made_by(sec: SecId) -> Self {
        let mut bytes = rand::random::<[u8; 16]>();
        let millis = chrono::Utc::now().timestamp_millis().to_be_bytes();
        // The last bytes of a SEC's id are random, whatever its version.
        bytes[..2].copy_from_slice(&sec.as_uuid().as_bytes()[14..]);
        bytes[2..6].copy_from_slice(&millis[2..6]);
        // Between them the version and the variant have their places.
        let low = u16::from_be_bytes([millis[6], millis[7]]);
        bytes[6] = (low >> 12) as u8;
        bytes[7] = (low >> 4) as u8;
        bytes[8] = ((low & 0xf) << 2) as u8 | bytes[8] & 0b11;
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secs_sagas_are_neighbours_and_each_its_own() {
        let secs = [(); 2].map(|()| SecId::random());
        let ids = secs.map(|sec| [(); 500].map(|()| SagaId::made_by(sec)));
        // The last two bits of it are chance.
        let origin = |id: &SagaId| id.as_uuid().as_u128() >> (8 * (16 - SAGA_ID_ORIGIN) + 2);
        for (sec, ids) in secs.iter().zip(&ids) {
            assert!(ids.is_sorted_by_key(origin));
            assert!(ids.iter().all(|id| id.as_uuid().as_bytes()[..2] == sec.as_uuid().as_bytes()[14..]));
            assert!(ids.iter().all(|id| id.as_uuid().get_version_num() == 8));
        }
        let all: std::collections::HashSet<_> = ids.as_flattened().iter().collect();
        assert_eq!(all.len(), 1000);
    }
}
