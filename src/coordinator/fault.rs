//! Faults that drills ask for: crashes at exact moments, failing, slow and panicking actions.
//!
//! Nothing of this is in the code of a saga. Crashes and delays happen in the engine's store, which sees every event of
//! every saga before anybody else does; failures are injected into the engine; a panic comes from a wrapper that is around
//! each action only in a coordinator that was started with `--allow-faults`. So any saga can be drilled as it is.
//!
//! Which faults a saga has is settled when it is created or resumed ([`Faults::arm`]): rules that come later are for later
//! sagas. What depends on chance depends on the saga's id, and therefore stays the same when a saga is taken up again.

use super::sagas::{Engine, run_caught, undo_caught};
use crate::wire::fault::{Direction, Fault, FaultRule, Moment};
use crate::wire::ids::SagaId;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use steno::{ActionContext, ActionName, ActionResult, UndoResult};
use uuid::Uuid;

/// The rules, and what they mean for the sagas in flight.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<FaultRule>>,
    armed: Mutex<HashMap<SagaId, Vec<Armed>>>,
}

/// One fault of one saga.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Armed {
    node: u32,
    /// What an action is told of its node. Not unique, but the engine tells it nothing else.
    label: String,
    action: String,
    direction: Direction,
    fault: Fault,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    /// All rules from now on.
    pub fn set_rules(&self, rules: Vec<FaultRule>) {
        *locked(&self.rules) = rules;
    }

    /// Settles which faults a saga has.
    pub(super) fn arm(&self, saga: SagaId, kind: &str, dag: &Value) {
        let armed = arm(&locked(&self.rules), saga, kind, dag);
        if !armed.is_empty() {
            locked(&self.armed).insert(saga, armed);
        }
    }

    /// Forgets a saga that has left.
    pub(super) fn disarm(&self, saga: SagaId) {
        locked(&self.armed).remove(&saga);
    }

    /// Nodes of a saga whose action or undo action is to fail.
    pub(super) fn failing(&self, saga: SagaId) -> Vec<(u32, Direction)> {
        self.select(saga, |armed| (armed.fault == Fault::Fail).then_some((armed.node, armed.direction)))
    }

    /// Whether the process is to be killed here.
    pub(super) fn crashes(&self, saga: SagaId, node: u32, direction: Direction, moment: Moment) -> bool {
        let crash = Fault::Crash { moment };
        let here = |armed: &Armed| armed.node == node && armed.direction == direction && armed.fault == crash;
        !self.select(saga, |armed| here(armed).then_some(())).is_empty()
    }

    /// How much longer an action is to take.
    pub(super) fn delay(&self, saga: SagaId, node: u32, direction: Direction) -> Option<Duration> {
        let delays = self.select(saga, |armed| match armed.fault {
            Fault::Slow { millis } if armed.node == node && armed.direction == direction => {
                Some(Duration::from_millis(millis))
            }
            _ => None,
        });
        delays.into_iter().max()
    }

    fn panics(&self, saga: SagaId, label: &str, action: &ActionName, direction: Direction) -> bool {
        let this = |armed: &Armed| {
            armed.fault == Fault::Panic
                && armed.direction == direction
                && armed.label == label
                && ActionName::new(&armed.action) == *action
        };
        !self.select(saga, |armed| this(armed).then_some(())).is_empty()
    }

    fn select<T>(&self, saga: SagaId, choose: impl Fn(&Armed) -> Option<T>) -> Vec<T> {
        locked(&self.armed).get(&saga).into_iter().flatten().filter_map(choose).collect()
    }
}

/// The faults that rules mean for one saga. Pure.
fn arm(rules: &[FaultRule], saga: SagaId, kind: &str, dag: &Value) -> Vec<Armed> {
    let chance = Uuid::new_v5(&saga.as_uuid(), b"fault").as_u128();
    let nodes: Vec<_> = nodes(dag).collect();
    rules
        .iter()
        .filter(|rule| rule.saga == kind)
        .filter(|rule| {
            // The low 32 bits as a number from 0 to 1.
            f64::from(u32::try_from(chance & 0xffff_ffff).expect("32 bits")) < rule.share * 4_294_967_296.0
        })
        .filter_map(|rule| {
            let (node, label, action) = match rule.node {
                Some(node) => *nodes.iter().find(|(id, ..)| *id == node)?,
                None => {
                    let actions: Vec<_> = nodes.iter().filter(|(.., action)| !action.is_empty()).collect();
                    // Other bits than those that decide about the share, so that all nodes get their turn.
                    let index = (chance >> 64) % u128::try_from(actions.len()).ok().filter(|n| *n > 0)?;
                    **actions.get(usize::try_from(index).ok()?)?
                }
            };
            Some(Armed {
                node,
                label: label.to_owned(),
                action: action.to_owned(),
                direction: rule.direction,
                fault: rule.fault,
            })
        })
        .collect()
}

/// Id, label and action of each node; the engine's own nodes have no action.
fn nodes(dag: &Value) -> impl Iterator<Item = (u32, &str, &str)> {
    let nodes = dag.pointer("/graph/nodes").and_then(Value::as_array).into_iter().flatten();
    nodes.zip(0..).map(|(node, id)| {
        let text = |field: &str| node.pointer(field).and_then(Value::as_str).unwrap_or_default();
        (id, text("/Action/label"), text("/Action/action_name"))
    })
}

/// Kills this process the hard way.
pub(super) fn kill_this_process() -> Infallible {
    // The signal cannot be refused; should the call fail all the same, there is still an end without any cleaning up.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort()
}

/// An action in a coordinator that may be asked to have faults.
pub(super) struct FaultyAction {
    pub(super) action: Arc<dyn steno::Action<Engine>>,
    pub(super) faults: Arc<Faults>,
}

impl FaultyAction {
    fn panic_if_asked(&self, context: &ActionContext<Engine>, direction: Direction) {
        let saga = context.user_data().saga_id;
        let (label, action) = (context.node_label(), self.action.name());
        assert!(
            !self.faults.panics(saga, &label, &action, direction),
            "fault injected into {label}, {direction}"
        );
    }
}

impl fmt::Debug for FaultyAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.action.fmt(f)
    }
}

impl steno::Action<Engine> for FaultyAction {
    fn do_it(&self, context: ActionContext<Engine>) -> BoxFuture<'_, ActionResult> {
        run_caught(async move {
            self.panic_if_asked(&context, Direction::Forward);
            self.action.do_it(context).await
        })
        .boxed()
    }

    fn undo_it(&self, context: ActionContext<Engine>) -> BoxFuture<'_, UndoResult> {
        undo_caught(async move {
            self.panic_if_asked(&context, Direction::Undo);
            self.action.undo_it(context).await
        })
        .boxed()
    }

    fn name(&self) -> ActionName {
        self.action.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dag() -> Value {
        json!({"graph": {"nodes": [
            {"Action": {"name": "a", "label": "Alpha", "action_name": "first"}},
            {"Action": {"name": "b", "label": "Beta", "action_name": "second"}},
            {"Start": {"params": null}},
            "End",
        ]}})
    }

    fn rule(node: Option<u32>, share: f64) -> FaultRule {
        FaultRule {
            saga: "project-create".to_owned(),
            node,
            direction: Direction::Forward,
            fault: Fault::Fail,
            share,
        }
    }

    #[test]
    fn a_rule_is_for_one_kind_and_one_node() {
        let faults = Faults::default();
        faults.set_rules(vec![
            rule(Some(1), 1.0),
            FaultRule {
                direction: Direction::Undo,
                fault: Fault::Crash { moment: Moment::AfterAction },
                ..rule(Some(0), 1.0)
            },
            rule(Some(17), 1.0),
        ]);
        let (saga, other) = (SagaId::random(), SagaId::random());
        faults.arm(saga, "project-create", &dag());
        faults.arm(other, "project-delete", &dag());
        assert_eq!(faults.failing(saga), [(1, Direction::Forward)]);
        assert!(faults.crashes(saga, 0, Direction::Undo, Moment::AfterAction));
        assert!(!faults.crashes(saga, 0, Direction::Undo, Moment::AfterEvent));
        assert!(!faults.crashes(saga, 0, Direction::Forward, Moment::AfterAction));
        assert!(faults.failing(other).is_empty());
        faults.disarm(saga);
        assert!(faults.failing(saga).is_empty());
    }

    #[test]
    fn shares_and_nodes_follow_from_the_id_and_spread() {
        let sagas: Vec<_> = (0..2000).map(|_| SagaId::random()).collect();
        let of = |saga: &SagaId| arm(&[rule(None, 0.25)], *saga, "project-create", &dag());
        let hit: Vec<_> = sagas.iter().flat_map(&of).collect();
        assert!((350..650).contains(&hit.len()), "{} of 2000 for a share of a quarter", hit.len());
        let first = hit.iter().filter(|armed| armed.action == "first").count();
        assert!(first > hit.len() / 4 && first < hit.len() * 3 / 4, "{first} of {}", hit.len());
        assert!(hit.iter().all(|armed| !armed.action.is_empty()), "never a node without an action");
        for saga in &sagas {
            assert_eq!(of(saga), of(saga));
        }
    }

    #[test]
    fn rules_read_as_they_are_documented() {
        let rule: FaultRule = serde_json::from_value(
            json!({"saga": "demo", "node": 3, "direction": "undo", "fault": "crash", "moment": "before_action"}),
        )
        .expect("a rule");
        assert_eq!(rule.fault, Fault::Crash { moment: Moment::BeforeAction });
        assert_eq!((rule.direction, rule.node), (Direction::Undo, Some(3)));
        let rule: FaultRule =
            serde_json::from_value(json!({"saga": "demo", "fault": "slow", "millis": 20, "share": 0.5}))
                .expect("a rule");
        assert_eq!((rule.fault, rule.node), (Fault::Slow { millis: 20 }, None));
    }
}
