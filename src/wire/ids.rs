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
    /// An id for a new saga of this SEC, greater than all that it was given before.
    ///
    /// It is an id of version 7 behind 16 bits of the SEC's, as version 8 leaves room for them. So a SEC's new rows are
    /// neighbours in every index, and *not* neighbours of what other SECs write at the same time: a serializable PostgreSQL
    /// tells apart only by pages of indexes who reads what others write.
    pub fn made_by(sec: SecId) -> Self {
        const LAST_62: u128 = (1 << 62) - 1;
        // Uuids of both versions have 122 bits of their own: 48, then the version, 12, then the variant, 62. In version 7
        // they are the time in ms, a counter, and chance, of which the last 16 bits make room.
        let uuid = Uuid::now_v7().as_u128();
        let own = (uuid >> 80) << 74 | (uuid >> 64 & 0xfff) << 62 | uuid & LAST_62;
        // The last bits of most uuids are random. SECs that share them are slower together, and nothing worse.
        let own = (sec.as_uuid().as_u128() & 0xffff) << 106 | own >> 16;
        let bits = (own >> 74) << 80 | (own >> 62 & 0xfff) << 64 | own & LAST_62;
        Self(uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid())
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
        let before = Uuid::now_v7().as_u128() >> 80;
        let ids = secs.map(|sec| [(); 500].map(|()| SagaId::made_by(sec)));
        for (sec, ids) in secs.iter().zip(&ids) {
            assert!(ids.is_sorted());
            for uuid in ids.map(SagaId::as_uuid) {
                assert_eq!((uuid.get_version_num(), uuid.get_variant()), (8, uuid::Variant::RFC4122));
                let origin = &uuid.as_bytes()[..SAGA_ID_ORIGIN];
                assert_eq!(origin[..2], sec.as_uuid().as_bytes()[14..]);
                let bits = uuid.as_u128();
                let millis = (bits >> 80 & 0xffff_ffff) << 16 | (bits >> 64 & 0xfff) << 4 | bits >> 58 & 0xf;
                assert!((before..before + 60_000).contains(&millis), "{millis} is not {before} and a bit");
            }
        }
        let all: std::collections::HashSet<_> = ids.as_flattened().iter().collect();
        assert_eq!(all.len(), 1000);
    }
}
