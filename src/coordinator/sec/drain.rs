//! Whether this SEC takes new sagas, and whether it has finished with those that it has. Pure; the roster keeps it under
//! the same lock as its sagas, so that no creation slips in between "takes none" and "has none".
//!
//! Drained is more than having no sagas in memory. There may be some in the database that nobody has recovered yet: from
//! before this process started, or adopted a moment ago. So it takes a successful recovery pass since the start, and one
//! that began after the last adoption ended. Recovery itself is not stopped by quiescing, since what is to be finished has
//! to be recovered first. Quiescing is never taken back; a SEC that is to run sagas again is started again.

use crate::wire::quiesce::{
    PendingRecovery, PendingSaga, QuiesceState, Refused, SagaQuiesceStatus, SagasAllowed,
};
use crate::wire::time::{Time, WireDuration};

/// What came of an adoption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// No saga changed hands.
    Nothing,
    /// Some did, or nobody knows.
    SomeOrUnknown,
}

/// How far quiescing has come.
#[derive(Debug, Default)]
pub(super) struct Drain {
    requested: Option<Time>,
    drained: Option<Time>,
    refused: Option<Refused>,
    first_recovery_complete: bool,
    adoptions: u64,
    adoptions_under_way: u32,
    adoptions_recovered: u64,
    recovery_under_way: Option<u64>,
}

impl Drain {
    /// No more new sagas, from now on and for ever.
    pub(super) fn request(&mut self, now: Time) {
        self.requested.get_or_insert(now);
    }

    /// Whether new sagas are taken.
    pub(super) fn is_accepting(&self) -> bool {
        self.requested.is_none()
    }

    /// Whether one that somebody asks for just now is taken.
    pub(super) fn admits(&mut self, now: Time) -> bool {
        if self.is_accepting() {
            return true;
        }
        let refused = self.refused.get_or_insert(Refused { count: 0, first: now, last: now });
        refused.count += 1;
        refused.last = now;
        false
    }

    pub(super) fn recovery_began(&mut self) {
        self.recovery_under_way = Some(self.adoptions);
    }

    /// Whether single sagas could be recovered does not count: those that could not are told by recovery's own report.
    pub(super) fn recovery_ended(&mut self, is_successful: bool) {
        let began_with = self.recovery_under_way.take();
        if is_successful && let Some(began_with) = began_with {
            self.first_recovery_complete = true;
            self.adoptions_recovered = began_with;
        }
    }

    /// Whether sagas of others may be adopted: not once there is nothing left to do here.
    pub(super) fn adoption_began(&mut self, pending: usize) -> bool {
        if self.is_drained(pending) {
            return false;
        }
        self.adoptions_under_way += 1;
        true
    }

    pub(super) fn adoption_ended(&mut self, adopted: Adopted) {
        self.adoptions_under_way = self.adoptions_under_way.saturating_sub(1);
        if adopted == Adopted::SomeOrUnknown {
            self.adoptions += 1;
        }
    }

    fn is_drained(&self, pending: usize) -> bool {
        self.requested.is_some()
            && pending == 0
            && self.first_recovery_complete
            && self.adoptions_under_way == 0
            && self.adoptions <= self.adoptions_recovered
    }

    /// Takes note of what has changed; whether it has become drained by that. Sagas that somebody assigns to it by hand
    /// after that are finished like any others, and until then it is not drained.
    pub(super) fn update(&mut self, pending: usize, now: Time) -> bool {
        let was_drained = self.drained.is_some();
        match self.is_drained(pending) {
            true => {
                self.drained.get_or_insert(now);
            }
            false => self.drained = None,
        }
        !was_drained && self.drained.is_some()
    }

    pub(super) fn state(&self) -> QuiesceState {
        match (self.requested, self.drained) {
            (None, _) => QuiesceState::Running,
            (Some(time_requested), None) => QuiesceState::DrainingSagas { time_requested },
            (Some(time_requested), Some(time_quiesced)) => {
                let took = time_quiesced.signed_duration_since(time_requested).to_std().unwrap_or_default();
                QuiesceState::Quiesced {
                    time_requested,
                    duration_draining_sagas: took.into(),
                    duration_draining_db: WireDuration::default(),
                    duration_recording_quiesce: WireDuration::default(),
                    duration_total: took.into(),
                    time_quiesced,
                }
            }
        }
    }

    pub(super) fn sagas(&self, sagas_pending: Vec<PendingSaga>) -> SagaQuiesceStatus {
        SagaQuiesceStatus {
            new_sagas_allowed: match self.is_accepting() {
                true => SagasAllowed::Allowed,
                false => SagasAllowed::DisallowedQuiesce,
            },
            sagas_pending,
            first_recovery_complete: self.first_recovery_complete,
            reassignment_generation: self.adoptions,
            reassignment_blueprint_id: None,
            reassignment_pending: self.adoptions_under_way > 0,
            recovered_reassignment_generation: self.adoptions_recovered,
            recovered_blueprint_id: None,
            drained_blueprint_id: None,
            recovery_pending: self
                .recovery_under_way
                .map(|generation| PendingRecovery { generation, blueprint_id: None }),
            refused: self.refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(secs: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + secs, 0).expect("a time")
    }

    #[test]
    fn it_is_drained_when_nothing_can_turn_up_any_more() {
        let mut drain = Drain::default();
        assert!(drain.admits(at(0)) && !drain.update(0, at(0)));
        drain.request(at(1));
        assert!(!drain.admits(at(2)) && !drain.admits(at(3)));
        assert_eq!(drain.sagas(Vec::new()).refused, Some(Refused { count: 2, first: at(2), last: at(3) }));
        assert!(!drain.update(0, at(3)), "nobody has looked for sagas of the last process yet");
        drain.recovery_began();
        assert!(drain.adoption_began(0));
        drain.adoption_ended(Adopted::SomeOrUnknown);
        drain.recovery_ended(true);
        assert!(!drain.update(0, at(4)), "the pass began before the adoption");
        drain.recovery_began();
        drain.recovery_ended(false);
        assert!(!drain.update(0, at(5)), "the pass failed");
        drain.recovery_began();
        drain.recovery_ended(true);
        assert!(!drain.update(1, at(6)), "what was adopted runs");
        assert!(drain.update(0, at(7)) && !drain.update(0, at(8)), "told once");
        assert!(
            matches!(drain.state(), QuiesceState::Quiesced { time_quiesced, .. } if time_quiesced == at(7))
        );
        assert!(!drain.adoption_began(0), "it takes nothing more");
        assert!(
            !drain.update(1, at(9)) && drain.state() == QuiesceState::DrainingSagas { time_requested: at(1) }
        );
    }

    proptest! {
        /// Whatever happens in whatever order: it is quiesced only while it takes and has nothing, and never takes again.
        #[test]
        fn it_never_says_so_too_early(steps in proptest::collection::vec(0_u8..9, 0..60)) {
            let mut drain = Drain::default();
            let (mut pending, mut in_database, mut adopting, mut requested) = (0_usize, false, 0_u32, false);
            // What the pass under way listed: it finds what was adopted before it began.
            let mut listed: Option<bool> = None;
            for (second, step) in (0..).zip(steps) {
                match step {
                    0 => { drain.request(at(second)); requested = true; }
                    1 => {
                        let admitted = drain.admits(at(second));
                        prop_assert_eq!(admitted, !requested);
                        pending += usize::from(admitted);
                    }
                    2 => pending = pending.saturating_sub(1),
                    3 if listed.is_none() => { drain.recovery_began(); listed = Some(in_database); }
                    4 => if let Some(found) = listed.take() {
                        if found { pending += 1; in_database = false; }
                        drain.recovery_ended(true);
                    },
                    5 if listed.take().is_some() => drain.recovery_ended(false),
                    6 if drain.adoption_began(pending) => adopting += 1,
                    7 if adopting > 0 => {
                        adopting -= 1;
                        in_database = true;
                        drain.adoption_ended(Adopted::SomeOrUnknown);
                        // A saga that comes after the listing is found by the next pass only.
                    }
                    8 if adopting > 0 => { adopting -= 1; drain.adoption_ended(Adopted::Nothing); }
                    _ => {}
                }
                drain.update(pending, at(second));
                let is_quiesced = matches!(drain.state(), QuiesceState::Quiesced { .. });
                prop_assert!(!is_quiesced || (requested && pending == 0 && !in_database && adopting == 0));
            }
        }
    }
}
