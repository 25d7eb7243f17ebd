//! What a client wrote down of its own requests: I12. Pure.

use super::Problem;
use super::tally::Finding;
use crate::blast::report::Reconciled;
use crate::reconcile::Verdict;

/// I12: everything acknowledged is on record, once, and everything on record was asked for.
pub(super) fn nothing_is_missing(client: &Reconciled) -> Vec<Finding> {
    let found = &client.reconciliation;
    if found.verdict == Verdict::NotChecked {
        let reason = found.reason.clone().unwrap_or_else(|| "the records could not be read".to_owned());
        return vec![Finding::CannotTell(reason)];
    }
    let mut findings: Vec<Finding> =
        (0..found.acknowledged_recorded.unwrap_or(0)).map(|_| Finding::Holds).collect();
    let mut wrong = |kind, count: Option<u64>, names: &[String], what: &str| {
        let Some(count @ 1..) = count else { return };
        let mut listed = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
        if count > MOST_NAMES as u64 {
            listed.push_str(&format!(" and {} more", count - MOST_NAMES as u64));
        }
        let text = format!("{count} {what}: {listed}");
        let next = "sagactl blast reconcile FILE -o json lists all; sagactl sagas find NAME looks for one";
        findings.push(Finding::Broken(Problem::of_sec(None, kind, text, next)));
    };
    wrong("lost", found.lost, &found.lost_names, "acknowledged and not on record");
    wrong("duplicate", found.duplicates, &found.duplicate_names, "on record more than once");
    wrong("undead", found.deleted_recorded, &found.deleted_recorded_names, "deleted and there all the same");
    wrong("stranger", found.unexplained, &found.unexplained_names, "on record and never asked for");
    findings
}

/// Names that are told of each kind.
const MOST_NAMES: usize = 10;
