//! Sagas that are a line of effects, one after another: most of ours.

use super::{Action, Engine, SagaKind, effect};
use crate::coordinator::sagas::action::{EffectFn, UndoEffectFn};
use crate::store::sql::Statement;
use std::sync::Arc;
use steno::{Dag, DagBuilder, Node, SagaDag, SagaName};

/// One node of such a saga.
pub(super) struct LineNode {
    /// Its name, unique in the saga, under which later nodes look its output up.
    pub(super) name: &'static str,
    /// The same for people.
    pub(super) label: &'static str,
    /// Its action's name, unique among all sagas.
    pub(super) action: &'static str,
    /// What it does.
    pub(super) run: EffectFn,
    /// How that is undone.
    pub(super) undo: UndoEffectFn,
}

impl LineNode {
    fn action(&self) -> Action {
        effect(self.action, self.run, self.undo)
    }
}

/// Nodes, each written as `"node" "Label": run, undo;`. An action is called `saga.node`.
macro_rules! line {
    ($saga:literal; $($node:literal $label:literal: $run:expr, $undo:expr;)+) => {
        &[$($crate::coordinator::sagas::line::LineNode {
            name: $node,
            label: $label,
            action: concat!($saga, ".", $node),
            run: $run,
            undo: $undo,
        }),+]
    };
}
pub(super) use line;

/// The actions that a line names.
pub(super) fn actions(line: &[LineNode]) -> Vec<Action> {
    line.iter().map(LineNode::action).collect()
}

/// Adds a line to a DAG that is being built.
pub(super) fn append(builder: &mut DagBuilder, line: &[LineNode]) {
    for node in line {
        let action: Arc<dyn steno::Action<Engine>> = node.action().for_engine();
        builder.append(Node::action(node.name, node.label, &*action));
    }
}

/// A DAG that is nothing but a line.
pub(super) fn dag(name: &str, line: &[LineNode]) -> Result<Dag, anyhow::Error> {
    let mut builder = DagBuilder::new(SagaName::new(name));
    append(&mut builder, line);
    Ok(builder.build()?)
}

/// A saga that is nothing but a line.
pub(super) fn saga_dag<K: SagaKind>(line: &[LineNode], params: &K::Params) -> Result<SagaDag, anyhow::Error> {
    Ok(SagaDag::new(dag(K::NAME, line)?, serde_json::to_value(params)?))
}

/// The undo of a node that leaves nothing to undo.
#[expect(clippy::unnecessary_wraps, reason = "it stands among functions that can fail")]
pub(super) fn nothing(_: &super::Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(Vec::new())
}
