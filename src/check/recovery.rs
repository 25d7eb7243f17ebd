//! What recovery reports: I6 (counters), I7 (last pass). Pure.

use super::Problem;
use super::tally::Finding;
use crate::observe::recovery::{LastPass, PassResult, Recovery, SinceStart};
use crate::wire::ids::SecId;
use crate::wire::time::{self, Time};
use std::time::Duration;

/// A pass is old after so many periods: one may be under way or be late, two are not.
const OLD_PERIODS: u32 = 2;

const STATUS: &str = "sagactl status";

/// A coordinator as far as its recovery is concerned.
pub(super) struct Coordinator<'c> {
    /// Who it is, if it says so.
    pub(super) sec: Option<SecId>,
    /// Where it was asked.
    pub(super) at: &'c str,
    /// What it reports.
    pub(super) recovery: &'c Recovery,
    /// When its process started, if it says so.
    pub(super) process_started: Option<Time>,
}

/// I6: numbers that must add up, whatever happened.
///
/// What is known to recovery is at most `started + recovered - finished`: creations that failed after they were announced are
/// in it, too. So that is never less than what a pass has put in its place or found there. Ours counts a saga as
/// started only when its creation has been confirmed, which a saga that a pass found in its place may not be yet. It will be
/// by the next pass, if that comes a good while later; so of ours what the pass before the last left is compared.
pub(super) fn counters_add_up(coordinator: &Coordinator<'_>) -> Vec<Finding> {
    let Coordinator { sec, at, recovery, process_started: _ } = coordinator;
    let Some(counters) = recovery.since_start else {
        return vec![Finding::CannotTell(format!("{at} reports no counters of recovery"))];
    };
    let broken = |kind, text: String, next: &str| {
        Finding::Broken(Problem::of_sec(*sec, kind, format!("{at}: {text}"), next))
    };
    let mut findings = Vec::new();
    let SinceStart {
        recovered,
        recovery_errors,
        observed_started,
        inferred_finished,
        missing_from_sec,
        bad_state_in_sec,
    } = counters;
    if missing_from_sec > 0 {
        let text = format!(
            "{missing_from_sec} sagas were taken to have finished that the SEC had never heard of (creations that failed, \
             if it is a Nexus; else sagas that were lost)"
        );
        findings.push(broken("missing", text, "sagactl status; sagactl sagas list --unfinished"));
    }
    if bad_state_in_sec > 0 {
        let text = format!(
            "{bad_state_in_sec} sagas were taken to have finished that the SEC still ran: their rows were changed under it"
        );
        findings.push(broken("bad-state", text, "sagactl check --only I2"));
    }
    let added = observed_started.checked_add(recovered);
    let known = added.and_then(|added| added.checked_sub(inferred_finished));
    let left = least_known(recovery);
    let sum = format!("{observed_started} started + {recovered} recovered - {inferred_finished} finished");
    match (known, left) {
        (None, _) => {
            findings.push(broken("sum", format!("{sum} is less than nothing"), STATUS));
        }
        (Some(known), Some(left)) if known < left => {
            let text = format!("{sum} = {known}, but recovery left at least {left} sagas in place");
            findings.push(broken("sum", text, STATUS));
        }
        _ => {}
    }
    let wrong = |pass: &LastPass| match (pass.found, pass.recovered, pass.failed, pass.skipped) {
        (Some(found), Some(recovered), Some(failed), Some(skipped)) => {
            let parts = recovered.checked_add(failed).and_then(|sum| sum.checked_add(skipped));
            (parts != Some(found)).then(|| {
                format!("found {found}, but {recovered} recovered + {failed} failed + {skipped} skipped")
            })
        }
        _ => None,
    };
    let history = recovery.recent_passes.iter().flatten().map(|pass| &pass.end);
    if let Some(text) = recovery.last_pass.iter().chain(history).find_map(wrong) {
        findings.push(broken("pass", format!("a pass does not add up: {text}"), STATUS));
    }
    findings.extend(
        against_history(recovery, [recovered, recovery_errors, inferred_finished])
            .map(|text| broken("history", text, STATUS)),
    );
    if findings.is_empty() { vec![Finding::Holds] } else { findings }
}

/// How long before a pass a saga must have come to its SEC for that pass to have counted it for certain. Its time of creation
/// is chosen some moments before recovery hears of it.
pub(super) const COUNTED_AFTER: Duration = Duration::from_secs(60);

/// When the last pass that went through began, which has counted everything that came well before.
pub(super) fn last_count(coordinator: &Coordinator<'_>) -> Option<Time> {
    let pass = coordinator.recovery.last_pass.as_ref()?;
    let last = coordinator.recovery.task.last.as_ref()?;
    (pass.result == PassResult::Completed).then_some(last.start_time)
}

/// The rest of I6: of the sagas that the SEC runs, those that came well before the last pass are among the counted ones.
/// Those that came later are counted by the next pass.
pub(super) fn list_fits(coordinator: &Coordinator<'_>, came_before: u64) -> Finding {
    let Coordinator { sec, at, recovery, process_started: _ } = coordinator;
    let Some(counters) = recovery.since_start else { return Finding::Beside };
    let SinceStart { recovered, observed_started, inferred_finished, .. } = counters;
    let known = observed_started.saturating_add(recovered).saturating_sub(inferred_finished);
    if came_before <= known {
        return Finding::Beside;
    }
    let text = format!(
        "{at}: the SEC runs {came_before} sagas from before the last pass, but recovery has counted only {known} ({observed_started} \
         started + {recovered} recovered - {inferred_finished} finished)"
    );
    Finding::Broken(Problem::of_sec(*sec, "list", text, STATUS))
}

/// How many sagas recovery must know at least, by what its passes said.
fn least_known(recovery: &Recovery) -> Option<u64> {
    let last = recovery.last_pass.as_ref()?;
    let Some(passes) = &recovery.recent_passes else { return last.skipped?.checked_add(last.recovered?) };
    let by_last = last.recovered;
    let completed: Vec<_> =
        passes.iter().filter(|pass| pass.end.result == PassResult::Completed).take(2).collect();
    let by_earlier = match completed.as_slice() {
        [last, earlier] if &last.end == recovery.last_pass.as_ref()? => {
            let apart = last.time_started.signed_duration_since(earlier.time_started).to_std();
            let left = earlier.end.skipped.zip(earlier.end.recovered);
            left.zip(last.end.removed).filter(|_| apart.is_ok_and(|apart| apart > COUNTED_AFTER)).map(
                |((skipped, recovered), removed)| skipped.saturating_add(recovered).saturating_sub(removed),
            )
        }
        _ => None,
    };
    by_last.max(by_earlier)
}

/// As long as every pass since the start is still listed, what they did adds up to the totals.
fn against_history(recovery: &Recovery, totals: [u64; 3]) -> Option<String> {
    let passes = recovery.recent_passes.as_ref()?;
    let mut iterations: Vec<u64> = passes.iter().map(|pass| pass.iteration).collect();
    iterations.sort_unstable();
    let is_whole = iterations.iter().copied().eq(1..=iterations.len() as u64)
        && recovery.task.last.as_ref().is_some_and(|last| last.iteration == iterations.len() as u64);
    if !is_whole {
        return None;
    }
    let sum = |of: fn(&LastPass) -> Option<u64>| {
        passes.iter().filter_map(|pass| of(&pass.end)).fold(0u64, u64::saturating_add)
    };
    let sums = [sum(|pass| pass.recovered), sum(|pass| pass.failed), sum(|pass| pass.removed)];
    let names = ["recovered", "failed", "finished"];
    names
        .iter()
        .zip(sums.iter().zip(totals))
        .find(|(_, (sum, total))| *sum != total)
        .map(|(name, (sum, total))| format!("all passes together {name} {sum}, but the total says {total}"))
}

/// I7: there was a pass of late, it went through, and no saga failed in it.
pub(super) fn last_pass_is_good(coordinator: &Coordinator<'_>, now: Time) -> Finding {
    let Coordinator { sec, at, recovery, process_started } = coordinator;
    let broken = |text: String, next: &str| {
        Finding::Broken(Problem::of_sec(*sec, "pass", format!("{at}: {text}"), next))
    };
    if let Some(trouble) = &recovery.trouble {
        return Finding::CannotTell(format!("{at}: {}", trouble.in_words()));
    }
    if let Some(error) = &recovery.task.error {
        return broken(format!("recovery could not do its work: {error}"), STATUS);
    }
    let limit = recovery.task.period.saturating_mul(OLD_PERIODS);
    let is_old = |since: Time| now.signed_duration_since(since).to_std().unwrap_or_default() > limit;
    let limit_in_words = humantime::format_duration(Duration::from_secs(limit.as_secs()));
    // Whoever is at it is not late, unless that itself takes too long.
    if let Some(current) = &recovery.task.current
        && is_old(current.start_time)
    {
        let since = time::to_stored(current.start_time);
        return broken(
            format!("a pass has been under way since {since} (limit {limit_in_words})"),
            "look at the coordinator's log and at its database",
        );
    }
    let Some(last) = &recovery.task.last else {
        let Some(since) = recovery.task.current.as_ref().map(|it| it.start_time).or(*process_started) else {
            return Finding::CannotTell(format!(
                "{at} has completed no pass, and does not say since when it runs"
            ));
        };
        return match is_old(since) {
            false => Finding::CannotTell(format!("{at} has only just started and has completed no pass yet")),
            true => broken(
                format!("no pass in {limit_in_words} since the start at {}", time::to_stored(since)),
                "sagactl activate recovery",
            ),
        };
    };
    match &recovery.last_pass {
        Some(LastPass { result: PassResult::Failed, message, .. }) => {
            let message = message.as_deref().unwrap_or("it does not say why");
            return broken(format!("the last pass failed: {message}"), "sagactl activate recovery");
        }
        Some(LastPass { failed: Some(failed @ 1..), .. }) => {
            return broken(
                format!("the last pass could not recover {failed} sagas"),
                "sagactl status lists them with their errors",
            );
        }
        _ => {}
    }
    if recovery.task.current.is_none() && is_old(last.start_time) {
        let since = time::to_stored(last.start_time);
        return broken(
            format!("no pass since {since} (limit {limit_in_words})"),
            "sagactl activate recovery",
        );
    }
    Finding::Holds
}
