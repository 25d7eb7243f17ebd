//! What an operator can do about a verdict. Pure.
//!
//! Only what this program or a person can really do, the harmless first. What cannot be taken back says so. Commands are
//! named with the flag that they need, so that they can be copied; each shows its plan and asks before it does anything.

use super::judge::standing_failure;
use super::{Contact, EngineKind, Liveness, OwnerFacts, Verdict, Why};
use crate::saga_log::Reading;

/// What can be done.
pub(super) fn suggest(reading: &Reading<'_>, facts: &OwnerFacts, why: &Why) -> Vec<String> {
    let id = why.saga_id;
    let show = format!("`sagactl sagas show {id}` shows every node, --errors the whole errors");
    let mut next: Vec<String> = Vec::new();
    match why.verdict {
        Verdict::Succeeded => {}
        Verdict::Running | Verdict::Unwinding => {
            if why.owner.liveness == Liveness::Unknown {
                next.push(find_owner(facts));
            }
            next.push("wait: it goes on when the open action ends; `sagactl sagas slow` says how long such nodes take".to_owned());
            if why.verdict == Verdict::Running {
                next.push(format!(
                    "if it never ends: stop its owner, `sagactl sagas inject-error {id} -w`, and start the owner again: the action \
                     then counts as failed, and what came before it is undone"
                ));
            }
        }
        Verdict::BetweenNodes => {
            if why.owner.liveness == Liveness::Unknown {
                next.push(find_owner(facts));
            }
            next.push("wait: the next node ought to begin at once; if it does not, ask again and look at the owner's log".to_owned());
        }
        Verdict::Retrying => {
            next.push("remove what the error names; the next attempt comes by itself".to_owned());
            if facts.retry.is_none() {
                next.push("`sagactl activate recovery` makes it come now".to_owned());
            }
        }
        Verdict::WaitingForRecovery => {
            next.push("`sagactl activate recovery` recovers it now".to_owned());
            if facts.recovery.as_ref().is_some_and(|recovery| recovery.last_pass_failed.is_some()) {
                next.push("look into why the last pass failed: `sagactl status`".to_owned());
            }
        }
        Verdict::OwnerDead => {
            next.push("start its owner again: it recovers its sagas by itself".to_owned());
            let last_resort = match (facts.engine, why.owner.sec_id) {
                (EngineKind::Ours, Some(sec_id)) => {
                    format!("`sagactl secs expunge {sec_id} -w` lets another SEC adopt its sagas")
                }
                _ => format!("`sagactl sagas reassign --saga {id} --to SEC -w` gives it to another SEC"),
            };
            next.push(format!("if it is gone for good, {last_resort}; be sure that it is not only cut off"));
        }
        Verdict::OwnerGone => {
            if let (EngineKind::Ours, Some(_)) = (facts.engine, why.owner.sec_id) {
                next.push(
                    "a coordinator that runs on the same database adopts it by itself; `sagactl activate sec_adoption` makes \
                     that come now"
                        .to_owned(),
                );
            }
            next.push(format!(
                "`sagactl sagas reassign --saga {id} --to SEC -w` gives it to a living SEC (`sagactl secs list` knows them); \
                 then `sagactl activate recovery` there"
            ));
            if matches!(facts.contact, Contact::Answers { .. }) {
                next.push("stop the old owner first: it answers though it is expunged".to_owned());
            }
        }
        Verdict::Phantom => {
            next.push("restart its owner: it recovers at start what it overlooks now".to_owned());
            if facts.engine == EngineKind::Ours {
                next.push(
                    "to let the owner finish what it runs first: `sagactl quiesce start -w`, and `sagactl quiesce status` until it \
                     has quiesced"
                        .to_owned(),
                );
            }
            next.push(
                "before that, keep the owner's log and `sagactl status -o json`: this ought not to happen"
                    .to_owned(),
            );
        }
        Verdict::Unrecoverable => unrecoverable(facts, why, &show, &mut next),
        Verdict::Stuck => {
            next.push(format!("{show}; then put right by hand what is not undone: nothing will undo it"));
        }
        Verdict::Failed => {
            next.push(
                "what was asked for can be asked for again once the cause of the failure is gone".to_owned(),
            );
            next.push(show);
        }
        Verdict::Abandoned => {
            next.push(format!(
                "{show}; what it did is neither finished nor undone, and nobody will see to it"
            ));
        }
    }
    if reading.direction == crate::saga_log::Direction::AtRest
        && facts.recovery.is_none()
        && is_outstanding(why)
    {
        next.push(
            "nothing is left to do but the last write of its state, which recovery makes good".to_owned(),
        );
    }
    next
}

fn unrecoverable(facts: &OwnerFacts, why: &Why, show: &str, next: &mut Vec<String>) {
    let unknown_action = standing_failure(facts.recovery.as_ref())
        .is_some_and(|failure| is_about_unknown_action(&failure.message));
    if unknown_action {
        next.push("run a version of the owner that knows the action; the saga is kept until then".to_owned());
    }
    if facts.engine == EngineKind::Nexus && why.legal.is_yes() {
        next.push("the log is sound: an owner with steno 0.5 would take it up".to_owned());
    }
    next.push(show.to_owned());
    // What has no row, or is done by its row, cannot be given up.
    if matches!(why.state.as_deref(), None | Some("done")) {
        next.push("look by hand at what it was to make: nothing and nobody takes it up again".to_owned());
        return;
    }
    next.push(format!(
        "`sagactl sagas abandon {} -w` gives it up, which stops the attempts and undoes nothing: what it did is to be put \
         right by hand",
        why.saga_id
    ));
}

/// Whether a failed recovery says that its coordinator does not know an action of the saga.
pub(crate) fn is_about_unknown_action(message: &str) -> bool {
    message.contains("unknown action") || message.contains("not registered")
}

fn find_owner(facts: &OwnerFacts) -> String {
    match &facts.contact {
        Contact::Silent { at, .. } => {
            format!("find out whether its owner at {at} lives: `sagactl --url {at} status`")
        }
        _ => "name its owner's internal API with --url, and ask again".to_owned(),
    }
}

/// Whether the saga has ended and its row does not say so.
fn is_outstanding(why: &Why) -> bool {
    matches!(why.state.as_deref(), Some("running" | "unwinding"))
        && matches!(why.verdict, Verdict::Succeeded | Verdict::Failed)
}
