//! Which crashes there are to try. Pure.
//!
//! They follow from runs without a crash: one in which the saga succeeds, and one for each node in which that node fails.
//! Every node that such a run goes through, forward or unwinding, is crashed at each of its three moments.

use super::ending::Ending;
use crate::wire::fault::{Direction, DrilledNode, Fault, FaultRule, Moment};
use serde::Serialize;

/// One crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// The kind of saga.
    pub saga: String,
    /// The node at which the process is killed.
    pub node_id: u32,
    /// Its name.
    pub node: String,
    /// Whether its action or its undo action is meant.
    pub direction: Direction,
    /// When exactly.
    pub moment: Moment,
    /// The node that fails, if the saga is to unwind.
    pub failing: Option<u32>,
    /// Its name.
    pub failing_node: Option<String>,
}

impl Point {
    /// The faults that bring it about.
    pub fn rules(&self) -> Vec<FaultRule> {
        let crash = FaultRule {
            saga: self.saga.clone(),
            node: Some(self.node_id),
            direction: self.direction,
            fault: Fault::Crash { moment: self.moment },
            share: 1.0,
        };
        self.failing.map(|node| failing_rule(&self.saga, node)).into_iter().chain([crash]).collect()
    }
}

/// The fault that makes a node fail.
pub fn failing_rule(saga: &str, node: u32) -> FaultRule {
    FaultRule {
        saga: saga.to_owned(),
        node: Some(node),
        direction: Direction::Forward,
        fault: Fault::Fail,
        share: 1.0,
    }
}

/// Crashes in a run in which nothing fails.
pub fn forward(saga: &str, nodes: &[DrilledNode], ending: &Ending) -> Vec<Point> {
    let ran = ending.nodes_with("succeeded");
    each_moment(saga, nodes.iter().filter(|node| ran.contains(&node.node_id)), Direction::Forward, None)
}

/// Crashes in a run in which `failing` fails: in what is undone, and right after the failure is recorded. (Before that,
/// what comes after the crash depends on whether the action fails again.)
pub fn unwinding(saga: &str, nodes: &[DrilledNode], failing: &DrilledNode, ending: &Ending) -> Vec<Point> {
    let undone = ending.nodes_with("undo_finished");
    let mut points = vec![Point {
        saga: saga.to_owned(),
        node_id: failing.node_id,
        node: failing.name.clone(),
        direction: Direction::Forward,
        moment: Moment::AfterEvent,
        failing: Some(failing.node_id),
        failing_node: Some(failing.name.clone()),
    }];
    let nodes = nodes.iter().filter(|node| undone.contains(&node.node_id));
    points.extend(each_moment(saga, nodes, Direction::Undo, Some(failing)));
    points
}

fn each_moment<'a>(
    saga: &str,
    nodes: impl Iterator<Item = &'a DrilledNode>,
    direction: Direction,
    failing: Option<&DrilledNode>,
) -> Vec<Point> {
    nodes
        .flat_map(|node| {
            Moment::ALL.map(|moment| Point {
                saga: saga.to_owned(),
                node_id: node.node_id,
                node: node.name.clone(),
                direction,
                moment,
                failing: failing.map(|failing| failing.node_id),
                failing_node: failing.map(|failing| failing.name.clone()),
            })
        })
        .collect()
}
