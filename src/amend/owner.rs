//! Whether a saga's owner is down enough for somebody else to touch its sagas. Pure.

use super::{Refusal, SecCheck};
use crate::observe::why::{EngineKind, Liveness, Owner};

/// What to know about the owner before its saga is changed.
///
/// # Errors
///
/// If it lives or may live, and nobody said that this does not matter.
pub(super) fn check(owner: &Owner, engine: EngineKind, check: SecCheck) -> Result<Vec<String>, Refusal> {
    let who = owner.sec_id.map_or("its owner".to_owned(), |sec| format!("its owner, SEC {sec},"));
    let at = owner.address.as_ref().map_or(String::new(), |address| format!(" at {address}"));
    let problem = match owner.liveness {
        Liveness::Dead | Liveness::Gone | Liveness::NotAsked => return Ok(Vec::new()),
        Liveness::Alive => format!("{who} is alive{at} and may be running it"),
        Liveness::Unknown => format!("whether {who} is down is not known"),
    };
    match check {
        SecCheck::Required => Err(Refusal::new(problem).hint(match engine {
            EngineKind::Ours => {
                "stop the owner first, or expunge it (`sagactl secs expunge`); --bypass-sec-check goes on all the same"
            }
            EngineKind::Nexus => "stop the owner first; --bypass-sec-check goes on all the same",
        })),
        SecCheck::Bypassed => Ok(vec![format!("{problem}: {}", consequence(engine))]),
    }
}

fn consequence(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Ours => {
            "if it does run it, it ends at its next write for this saga, with all its other sagas, which it recovers when \
             it is started again"
        }
        EngineKind::Nexus => {
            "a Nexus that runs it is not kept from going on, writes its own events and state over this change, and may undo \
             or repeat what you count on"
        }
    }
}
