//! In which order a DAG runs, and which nodes lie in which subsaga.
//!
//! Subsagas are not nested in the stored graph; they are stretches of it between two bracket nodes. Which bracket encloses
//! a node is found by going through the DAG in topological order. Whatever precedes a node says so: what follows a
//! `SubsagaStart` is inside it, what follows a `SubsagaEnd` is where the matching start was, and everything else is
//! where its predecessor is. All of it runs in loops, so that a DAG may be as deep as it likes.

use super::dag::{Dag, Effect, Node};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Names of enclosing subsagas that a path shows; a DAG may nest deeper than anybody reads.
const LONGEST_PATH: usize = 8;

/// Characters of a name that a path shows.
const LONGEST_NAME: usize = 128;

/// The order and the nesting of a DAG's nodes.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Every node once, each after all that lead to it. Nodes of a cycle, for which that cannot be, come last.
    pub order: Vec<u32>,
    /// The subsaga start that encloses each node, by node. Bracket nodes belong to the saga around them.
    enclosing: Vec<Option<u32>>,
    /// The end that belongs to a subsaga start, by node.
    end_of: Vec<Option<u32>>,
    depth: Vec<u32>,
    is_parallel: Vec<bool>,
}

impl Layout {
    /// Lays a DAG out. What it finds broken is added to the DAG's defects.
    pub fn of(dag: &mut Dag<'_>) -> Self {
        let count = dag.nodes.len();
        let (order, sorted) = topological_order(dag);
        if sorted < count {
            let first = order[sorted];
            let others = count - sorted - 1;
            let message = match others {
                0 => "leads to itself".to_owned(),
                _ => format!("lies on a cycle or behind one, as do {others} more"),
            };
            dag.add_defect(Some(first), message, Effect::Panics);
        }
        let mut layout = Self {
            enclosing: vec![None; count],
            end_of: vec![None; count],
            depth: vec![0; count],
            is_parallel: vec![false; count],
            order,
        };
        let mut unbalanced = Vec::new();
        for index in 0..sorted {
            let id = layout.order[index];
            layout.place(dag, id, &mut unbalanced);
        }
        for id in unbalanced {
            dag.add_defect(Some(id), "ends a subsaga that was not begun".to_owned(), Effect::Panics);
        }
        layout
    }

    fn place(&mut self, dag: &Dag<'_>, id: u32, unbalanced: &mut Vec<u32>) {
        let parents = dag.parents(id);
        let around = parents.first().and_then(|&parent| match dag.nodes[parent as usize] {
            Node::SubsagaStart { .. } => Some(parent),
            // A bracket belongs to the saga around it, so what encloses an end encloses what comes after it.
            _ => self.enclosing[parent as usize],
        });
        let at = id as usize;
        self.is_parallel[at] = parents.iter().any(|&parent| dag.children(parent).len() > 1);
        self.enclosing[at] = match (&dag.nodes[at], around) {
            (Node::SubsagaEnd { .. }, Some(start)) => {
                self.end_of[start as usize] = Some(id);
                self.is_parallel[at] = false;
                self.enclosing[start as usize]
            }
            (Node::SubsagaEnd { .. }, None) => {
                unbalanced.push(id);
                None
            }
            (_, around) => around,
        };
        self.depth[at] = match self.enclosing[at] {
            Some(start) => self.depth[start as usize] + 1,
            None => 0,
        };
    }

    /// In how many subsagas a node lies.
    pub fn depth(&self, node: u32) -> u32 {
        self.depth.get(node as usize).copied().unwrap_or(0)
    }

    /// The subsaga start that encloses a node, if one does.
    pub fn enclosing(&self, node: u32) -> Option<u32> {
        self.enclosing.get(node as usize).copied().flatten()
    }

    /// Whether other nodes may run at the same time because they follow the same one.
    pub fn is_parallel(&self, node: u32) -> bool {
        self.is_parallel.get(node as usize).copied().unwrap_or(false)
    }

    /// A node's name with the names of the subsagas that it lies in before it: `outer/inner`. Names alone are unique within
    /// one subsaga only. Nodes without a name are called by their kind.
    pub fn path(&self, dag: &Dag<'_>, node: u32) -> String {
        let own = match dag.node(node) {
            None => format!("node {node}"),
            Some(Node::SubsagaStart { .. }) => format!("{}/(start)", self.subsaga_name(dag, node)),
            Some(Node::Start { .. }) => "(start)".to_owned(),
            Some(Node::End) => "(end)".to_owned(),
            Some(known) => known.name().map_or_else(|| format!("node {node}"), cut),
        };
        let mut parts = vec![own];
        let mut around = self.enclosing(node);
        while let Some(start) = around {
            if parts.len() == LONGEST_PATH {
                parts.push("…".to_owned());
                break;
            }
            parts.push(self.subsaga_name(dag, start));
            around = self.enclosing(start);
        }
        parts.reverse();
        parts.join("/")
    }

    /// The name of a subsaga within the saga around it, which is that of its end; else its kind.
    fn subsaga_name(&self, dag: &Dag<'_>, start: u32) -> String {
        let end = self.end_of.get(start as usize).copied().flatten();
        match (end.and_then(|end| dag.node(end)), dag.node(start)) {
            (Some(Node::SubsagaEnd { name }), _) => cut(name),
            (_, Some(Node::SubsagaStart { saga_name, .. })) => cut(saga_name),
            _ => format!("node {start}"),
        }
    }
}

fn cut(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// Every node once, and how many of them are sorted; of those that can come next always the one with the smallest id, so
/// that the nodes of a subsaga, which steno numbers in a row, stay together.
fn topological_order(dag: &Dag<'_>) -> (Vec<u32>, usize) {
    let mut waits_for: Vec<usize> = dag.ids().map(|id| dag.parents(id).len()).collect();
    let mut ready: BinaryHeap<Reverse<u32>> =
        dag.ids().filter(|&id| waits_for[id as usize] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(waits_for.len());
    while let Some(Reverse(id)) = ready.pop() {
        order.push(id);
        for &child in dag.children(id) {
            let waits = &mut waits_for[child as usize];
            *waits -= 1;
            if *waits == 0 {
                ready.push(Reverse(child));
            }
        }
    }
    let sorted = order.len();
    order.extend(dag.ids().filter(|&id| waits_for[id as usize] > 0));
    (order, sorted)
}
