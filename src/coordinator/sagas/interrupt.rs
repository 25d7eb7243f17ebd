//! Ending a step from outside, so that a saga that hangs in one can be made to unwind without a restart.
//!
//! The engine makes a node fail on request only if its action has not begun: once it runs, nothing but the action itself ends
//! it. So a step is run beside a wait for somebody's wish that it fail, and the wish, when it comes, drops the step where it
//! stands and fails its node with the error that the engine uses for the same. What the step did until then stays, as always
//! when an action fails; a step that cleans up when it is dropped can do so.
//!
//! A wish is for a *place*, the node's label and its action's name, since that is all that an action is told of its node.
//! Whoever wishes makes sure that no other node of the saga that could still run has the same.
//!
//! Effects are not dropped half-way: their statements are in the store's queue by then and would be applied all the same. A
//! wish that is there before they are handed over is heeded.

use super::Engine;
use steno::{ActionContext, ActionError, ActionResult};
use tokio::sync::watch;

/// A node, as far as its action can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::coordinator) struct Place {
    /// The node's label.
    pub(in crate::coordinator) label: String,
    /// The name of its action.
    pub(in crate::coordinator) action: String,
}

#[derive(Debug)]
struct Wish {
    place: Place,
    is_granted: bool,
}

/// Which nodes of one saga are to fail.
#[derive(Debug)]
pub struct Interrupts {
    wishes: watch::Sender<Vec<Wish>>,
}

impl Default for Interrupts {
    fn default() -> Self {
        Self { wishes: watch::Sender::new(Vec::new()) }
    }
}

impl Interrupts {
    /// Wants a node to fail, now or when it begins. Twice is the same as once.
    pub(in crate::coordinator) fn wish(&self, place: Place) {
        self.wishes.send_modify(|wishes| {
            if !wishes.iter().any(|wish| wish.place == place) {
                wishes.push(Wish { place, is_granted: false });
            }
        });
    }

    /// Does not want it any more, unless it has happened.
    pub(in crate::coordinator) fn withdraw(&self, place: &Place) {
        self.wishes.send_modify(|wishes| wishes.retain(|wish| wish.is_granted || wish.place != *place));
    }

    /// Waits until a wish is granted; for ever, if it never is.
    pub(in crate::coordinator) async fn granted(&self, place: &Place) {
        let mut wishes = self.wishes.subscribe();
        // The sender is `self`, so it cannot go away.
        let _ =
            wishes.wait_for(|wishes| wishes.iter().any(|wish| wish.is_granted && wish.place == *place)).await;
    }

    /// Whether this node is to fail. If so, the wish counts as granted: whoever asks makes it fail.
    pub(super) fn grant(&self, context: &ActionContext<Engine>, action: &str) -> bool {
        self.wishes.send_if_modified(|wishes| {
            // Nearly always there is none, and the label need not be made.
            if wishes.is_empty() {
                return false;
            }
            let label = context.node_label();
            let wish =
                wishes.iter_mut().find(|wish| wish.place.label == label && wish.place.action == action);
            wish.map(|wish| wish.is_granted = true).is_some()
        })
    }

    /// Runs a step until its end or until it is to fail.
    pub(super) async fn watch_over(
        &self,
        context: &ActionContext<Engine>,
        action: &str,
        step: impl Future<Output = ActionResult>,
    ) -> ActionResult {
        let mut wishes = self.wishes.subscribe();
        let wished = async {
            while !self.grant(context, action) {
                if wishes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            // A wish that was there first counts, even if the step could end at once.
            biased;
            () = wished => Err(ActionError::InjectedError),
            result = step => result,
        }
    }
}
