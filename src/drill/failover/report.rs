//! What a failover drill has shown, and what that amounts to. Pure.

use crate::reconcile::Verdict;
use crate::wire::ids::SecId;
use serde::Serialize;
use std::path::PathBuf;

/// How a coordinator is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavour {
    /// Killed with SIGKILL.
    Crash,
    /// Stopped with SIGSTOP, and continued when others have long taken over.
    Zombie,
}

/// One coordinator lost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cycle {
    /// Its number, from 1.
    pub cycle: u32,
    /// How the coordinator was lost.
    pub flavour: Flavour,
    /// Which.
    pub victim: SecId,
    /// Requests that were begun, on all coordinators.
    pub started: u64,
    /// Requests that were acknowledged.
    pub done: u64,
    /// Requests that were told no.
    pub failed: u64,
    /// Requests that had no answer.
    pub in_doubt: u64,
    /// Of these, on record afterwards.
    pub in_doubt_recorded: u64,
    /// Sagas that were made.
    pub sagas: u64,
    /// Of these, unwound.
    pub unwound: u64,
    /// Sagas that others took over.
    pub adopted: u64,
    /// How many others did.
    pub adopted_by: u64,
    /// What expunging took, in milliseconds; it waits for a transaction that the victim has open.
    pub expunged_in_ms: f64,
    /// From the expunging to the last saga adopted, in milliseconds. `None` if that did not happen in time.
    pub adopted_in_ms: Option<f64>,
    /// From the expunging to the last adopted saga at rest, in milliseconds. `None` if that did not happen in time.
    pub at_rest_in_ms: Option<f64>,
    /// From SIGCONT to the end of the zombie's process, in milliseconds. `None` without a zombie, or if it lives on.
    pub fenced_in_ms: Option<f64>,
    /// The last line that the zombie wrote.
    pub last_words: Option<String>,
    /// Events and sagas of the victim that came after it had been expunged.
    pub late_writes: u64,
    /// Acknowledged and not on record.
    pub lost: u64,
    /// On record more than once, or on record without having been asked for.
    pub duplicated: u64,
    /// Logs that no run of their DAG could have written.
    pub illegal: u64,
    /// Sagas that did not come to rest, or are stuck.
    pub hanging: u64,
    /// Projects that lack a part.
    pub incomplete: u64,
    /// Attempts to recover a saga that failed.
    pub recovery_errors: u64,
    /// Everything that is wrong, in words.
    pub problems: Vec<String>,
}

/// All cycles together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Coordinators killed.
    pub crashes: u64,
    /// Coordinators stopped and continued.
    pub zombies: u64,
    /// Of these, ended by themselves because the database refused them.
    pub fenced: u64,
    /// Sagas made.
    pub sagas: u64,
    /// Sagas unwound.
    pub unwound: u64,
    /// Requests acknowledged.
    pub done: u64,
    /// Requests without an answer.
    pub in_doubt: u64,
    /// Sagas taken over.
    pub adopted: u64,
    /// Events and sagas of victims that came after they had been expunged.
    pub late_writes: u64,
    /// Acknowledged and not on record.
    pub lost: u64,
    /// On record more than once, or on record without having been asked for.
    pub duplicated: u64,
    /// Logs that no run of their DAG could have written.
    pub illegal: u64,
    /// Sagas that did not come to rest, or are stuck.
    pub hanging: u64,
    /// Projects that lack a part.
    pub incomplete: u64,
    /// Attempts to recover a saga that failed.
    pub recovery_errors: u64,
    /// Everything that is wrong, counted.
    pub problems: u64,
    /// Longest time from an expunging to the last saga adopted, in milliseconds.
    pub worst_adopted_in_ms: Option<f64>,
    /// Longest time from an expunging to the last adopted saga at rest, in milliseconds.
    pub worst_at_rest_in_ms: Option<f64>,
    /// Longest time from SIGCONT to the end of a zombie, in milliseconds.
    pub worst_fenced_in_ms: Option<f64>,
}

/// What the drill has shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Whether nothing came of all the losses. `not_checked` if nothing was ever in flight, so that nothing was proved.
    pub verdict: Verdict,
    /// What repeats it.
    pub seed: u64,
    /// Coordinators at the same time.
    pub coordinators: u32,
    /// How long it took, in seconds.
    pub duration_secs: f64,
    /// All cycles together.
    pub totals: Totals,
    /// Each cycle. Fewer than were asked for, if the time was over before.
    pub cycles: Vec<Cycle>,
    /// Where logs stay, if they are to be kept.
    pub kept: Option<PathBuf>,
    /// The schema on the server, if it is to be kept.
    pub kept_schema: Option<String>,
}

fn later(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

/// All cycles together.
pub(super) fn totals(cycles: &[Cycle]) -> Totals {
    let mut totals = Totals::default();
    for cycle in cycles {
        match cycle.flavour {
            Flavour::Crash => totals.crashes += 1,
            Flavour::Zombie => totals.zombies += 1,
        }
        totals.fenced += u64::from(cycle.fenced_in_ms.is_some());
        totals.sagas += cycle.sagas;
        totals.unwound += cycle.unwound;
        totals.done += cycle.done;
        totals.in_doubt += cycle.in_doubt;
        totals.adopted += cycle.adopted;
        totals.late_writes += cycle.late_writes;
        totals.lost += cycle.lost;
        totals.duplicated += cycle.duplicated;
        totals.illegal += cycle.illegal;
        totals.hanging += cycle.hanging;
        totals.incomplete += cycle.incomplete;
        totals.recovery_errors += cycle.recovery_errors;
        totals.problems += u64::try_from(cycle.problems.len()).unwrap_or(u64::MAX);
        totals.worst_adopted_in_ms = later(totals.worst_adopted_in_ms, cycle.adopted_in_ms);
        totals.worst_at_rest_in_ms = later(totals.worst_at_rest_in_ms, cycle.at_rest_in_ms);
        totals.worst_fenced_in_ms = later(totals.worst_fenced_in_ms, cycle.fenced_in_ms);
    }
    totals
}

/// What they amount to.
pub(super) fn verdict(totals: &Totals) -> Verdict {
    let Totals {
        late_writes, lost, duplicated, illegal, hanging, incomplete, recovery_errors, problems, ..
    } = totals;
    let bad = [late_writes, lost, duplicated, illegal, hanging, incomplete, recovery_errors, problems];
    if bad.into_iter().any(|count| *count > 0) || totals.fenced < totals.zombies {
        Verdict::Inconsistent
    } else if totals.adopted == 0 {
        Verdict::NotChecked
    } else {
        Verdict::Consistent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(flavour: Flavour) -> Cycle {
        Cycle {
            cycle: 1,
            flavour,
            victim: SecId::random(),
            started: 20,
            done: 15,
            failed: 2,
            in_doubt: 3,
            in_doubt_recorded: 1,
            sagas: 18,
            unwound: 2,
            adopted: 3,
            adopted_by: 2,
            expunged_in_ms: 1.0,
            adopted_in_ms: Some(5.0),
            at_rest_in_ms: Some(9.0),
            fenced_in_ms: (flavour == Flavour::Zombie).then_some(2.0),
            last_words: None,
            late_writes: 0,
            lost: 0,
            duplicated: 0,
            illegal: 0,
            hanging: 0,
            incomplete: 0,
            recovery_errors: 0,
            problems: Vec::new(),
        }
    }

    #[test]
    fn sums_and_the_worst_times() {
        let slow = Cycle { adopted_in_ms: Some(7.0), ..good(Flavour::Zombie) };
        let sum = totals(&[slow, good(Flavour::Crash)]);
        assert_eq!((sum.crashes, sum.zombies, sum.fenced, sum.adopted, sum.sagas), (1, 1, 1, 6, 36));
        assert_eq!((sum.worst_adopted_in_ms, sum.worst_fenced_in_ms), (Some(7.0), Some(2.0)));
        assert_eq!(verdict(&sum), Verdict::Consistent);
    }

    #[test]
    fn each_kind_of_damage_alone_decides() {
        let damages: [fn(&mut Cycle); 9] = [
            |cycle| cycle.late_writes = 1,
            |cycle| cycle.lost = 1,
            |cycle| cycle.duplicated = 1,
            |cycle| cycle.illegal = 1,
            |cycle| cycle.hanging = 1,
            |cycle| cycle.incomplete = 1,
            |cycle| cycle.recovery_errors = 1,
            |cycle| cycle.problems = vec!["whatever".to_owned()],
            |cycle| cycle.fenced_in_ms = None,
        ];
        for damage in damages {
            let mut cycle = good(Flavour::Zombie);
            damage(&mut cycle);
            assert_eq!(verdict(&totals(&[cycle])), Verdict::Inconsistent);
        }
    }

    #[test]
    fn losses_that_met_nothing_prove_nothing() {
        let idle = Cycle { adopted: 0, ..good(Flavour::Crash) };
        assert_eq!(verdict(&totals(&[idle])), Verdict::NotChecked);
        assert_eq!(verdict(&totals(&[])), Verdict::NotChecked);
    }
}
