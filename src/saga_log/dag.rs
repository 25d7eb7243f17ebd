//! A saga's DAG, read from the JSON in which steno stores it.
//!
//! The text is `{"saga_name", "graph", "start_node", "end_node"}`, and `graph` is how petgraph writes a graph: `nodes` is an
//! array, a node's id is its index there, and `edges` are `[from, to, null]`. Subsagas are inlined between two bracket
//! nodes, so that the graph is all there is.
//!
//! The coordinator refuses a DAG that is not exactly so. Here it is read as far as it goes: a node of a kind that nobody
//! knows, an edge into nowhere or a cycle is a [`Defect`], and the rest is still shown. What a saga was given (its
//! parameters, its constants) is kept as text, unparsed: it may be large, nested to any depth, and is rarely asked for.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Most defects that are described; a DAG of garbage would have one per node.
const MOST_DEFECTS: usize = 50;

/// A DAG.
#[derive(Clone, Debug)]
pub struct Dag<'d> {
    /// The saga's kind, which its row has too.
    pub saga_name: String,
    /// The nodes; a node's id is its place here.
    pub nodes: Vec<Node<'d>>,
    /// Which node begins the saga.
    pub start: u32,
    /// Which node ends it.
    pub end: u32,
    /// What is wrong with it. Empty for a DAG that an engine takes.
    pub defects: Vec<Defect>,
    parents: Neighbours,
    children: Neighbours,
}

/// A node of a DAG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'d> {
    /// Begins the saga and holds what it was given.
    Start {
        /// The saga's parameters, JSON text.
        params: &'d str,
    },
    /// Ends the saga.
    End,
    /// Runs an action.
    Action {
        /// Names its output.
        name: String,
        /// For people.
        label: String,
        /// Which action.
        action_name: String,
    },
    /// Outputs what was known from the start.
    Constant {
        /// Names its output.
        name: String,
        /// The output, JSON text.
        value: &'d str,
    },
    /// Begins a subsaga.
    SubsagaStart {
        /// The subsaga's kind.
        saga_name: String,
        /// The node whose output the subsaga is given.
        params_node_name: String,
    },
    /// Ends a subsaga; its output is the subsaga's.
    SubsagaEnd {
        /// Names its output, and so the subsaga within the saga around it.
        name: String,
    },
    /// None of these.
    Unknown {
        /// As it is stored.
        raw: &'d str,
    },
}

/// Something about a DAG that no engine could have made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// The node that it is about, if it is about one.
    pub node: Option<u32>,
    /// What it is.
    pub message: String,
    /// What steno does with such a DAG.
    pub effect: Effect,
}

/// What steno does with a defective DAG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Refuses it.
    Refused,
    /// Takes it for granted that it cannot be, and panics.
    Panics,
}

/// Why there is no DAG.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DagError {
    /// The text is not JSON.
    #[error("the DAG is not JSON: {0}")]
    NotJson(String),
    /// It is JSON of another shape.
    #[error("the DAG is JSON, but not a DAG: {0}")]
    NotADag(String),
}

// The names are those that messages tell.
#[derive(Deserialize)]
#[serde(rename = "DAG")]
struct RawDag<'d> {
    saga_name: String,
    #[serde(borrow)]
    graph: RawGraph<'d>,
    start_node: u32,
    end_node: u32,
}

#[derive(Deserialize)]
#[serde(rename = "graph")]
struct RawGraph<'d> {
    #[serde(borrow)]
    nodes: Vec<&'d RawValue>,
    #[serde(default)]
    node_holes: Vec<IgnoredAny>,
    edge_property: String,
    edges: Vec<Option<(u32, u32, ())>>,
}

#[derive(Deserialize)]
#[serde(rename = "node")]
enum RawNode<'d> {
    Start {
        #[serde(borrow)]
        params: &'d RawValue,
    },
    End,
    Action {
        name: String,
        label: String,
        action_name: String,
    },
    Constant {
        name: String,
        #[serde(borrow)]
        value: &'d RawValue,
    },
    SubsagaStart {
        saga_name: String,
        params_node_name: String,
    },
    SubsagaEnd {
        name: String,
    },
}

impl<'d> Dag<'d> {
    /// Reads a DAG.
    ///
    /// # Errors
    ///
    /// If the text is not JSON, or not even of the outer shape of a DAG. Everything else that is wrong is in
    /// [`defects`](Self::defects).
    pub fn parse(json: &'d str) -> Result<Self, DagError> {
        let raw: RawDag<'d> = serde_json::from_str(json).map_err(|error| match error.classify() {
            // Where in the text it noticed tells nobody anything: the text is one line, and every database breaks it its own way.
            serde_json::error::Category::Data => {
                let text = error.to_string();
                DagError::NotADag(text.split(" at line ").next().unwrap_or_default().to_owned())
            }
            _ => DagError::NotJson(error.to_string()),
        })?;
        let count = u32::try_from(raw.graph.nodes.len())
            .map_err(|_| DagError::NotADag("it has more nodes than there are numbers".to_owned()))?;
        let mut defects = Defects::default();
        if !raw.graph.node_holes.is_empty() {
            defects.refused(None, || "it has holes among its nodes".to_owned());
        }
        if raw.graph.edge_property != "directed" {
            defects.refused(None, || format!("its edges are {:?}, not directed", raw.graph.edge_property));
        }
        let nodes: Vec<Node<'d>> =
            (0..count).zip(&raw.graph.nodes).map(|(id, node)| Node::parse(id, node, &mut defects)).collect();
        let mut edges = Vec::with_capacity(raw.graph.edges.len());
        for (index, edge) in raw.graph.edges.iter().enumerate() {
            match *edge {
                Some((from, to, ())) if from < count && to < count => edges.push((from, to)),
                Some((from, to, ())) => defects.refused(None, || {
                    format!("its edge {index} leads from node {from} to node {to}, of {count} nodes")
                }),
                None => defects.refused(None, || format!("its edge {index} is empty")),
            }
        }
        let mut dag = Self {
            saga_name: raw.saga_name,
            parents: Neighbours::new(count, edges.iter().map(|&(from, to)| (to, from))),
            children: Neighbours::new(count, edges.iter().copied()),
            nodes,
            start: raw.start_node,
            end: raw.end_node,
            defects: Vec::new(),
        };
        dag.find_structural_defects(&mut defects);
        dag.defects = defects.found;
        Ok(dag)
    }

    /// The nodes that lead to this one.
    pub fn parents(&self, node: u32) -> &[u32] {
        self.parents.of(node)
    }

    /// The nodes that this one leads to.
    pub fn children(&self, node: u32) -> &[u32] {
        self.children.of(node)
    }

    /// All node ids.
    pub fn ids(&self) -> std::ops::Range<u32> {
        // `parse` has checked that they fit.
        0..self.nodes.len() as u32
    }

    /// A node; `None` if there is no such.
    pub fn node(&self, id: u32) -> Option<&Node<'d>> {
        self.nodes.get(id as usize)
    }

    /// What a start node was given, JSON text.
    pub fn params(&self) -> Option<&'d str> {
        match self.node(self.start)? {
            Node::Start { params } => Some(params),
            _ => None,
        }
    }

    fn find_structural_defects(&self, defects: &mut Defects) {
        let (mut begins, mut ends) = (0u64, 0u64);
        for id in self.ids() {
            let node = &self.nodes[id as usize];
            match node {
                Node::Start { .. } if id != self.start => {
                    defects.refused(Some(id), || "is a second start node".to_owned());
                }
                Node::End if id != self.end => {
                    defects.refused(Some(id), || "is a second end node".to_owned())
                }
                Node::SubsagaStart { .. } => begins += 1,
                Node::SubsagaEnd { .. } => {
                    ends += 1;
                    if self.parents(id).len() != 1 {
                        defects
                            .panics(Some(id), || "ends a subsaga, but not after exactly one node".to_owned());
                    }
                }
                _ => {}
            }
            if self.parents(id).is_empty() && id != self.start {
                defects.panics(Some(id), || "is reached from nowhere".to_owned());
            }
            if self.children(id).is_empty() && id != self.end {
                defects.panics(Some(id), || "leads nowhere".to_owned());
            }
        }
        match self.node(self.start) {
            None => defects
                .refused(None, || format!("its start node is to be node {}, which it has not", self.start)),
            Some(Node::Start { .. }) => {
                if !self.parents(self.start).is_empty() {
                    defects
                        .panics(Some(self.start), || "begins the saga, but something leads to it".to_owned());
                }
            }
            Some(_) => {
                defects.panics(Some(self.start), || "is to begin the saga, but is no start node".to_owned())
            }
        }
        match self.node(self.end) {
            None => {
                defects.refused(None, || format!("its end node is to be node {}, which it has not", self.end))
            }
            Some(_) if self.parents(self.end).len() != 1 => {
                let count = self.parents(self.end).len();
                defects
                    .refused(Some(self.end), || format!("ends the saga after {count} nodes, not after one"));
            }
            Some(Node::End) => {
                if !self.children(self.end).is_empty() {
                    defects.panics(Some(self.end), || "ends the saga, but leads on".to_owned());
                }
            }
            Some(_) => defects.panics(Some(self.end), || "is to end the saga, but is no end node".to_owned()),
        }
        if begins != ends {
            defects.refused(None, || format!("it begins {begins} subsagas and ends {ends}"));
        }
    }

    pub(super) fn add_defect(&mut self, node: Option<u32>, message: String, effect: Effect) {
        if self.defects.len() < MOST_DEFECTS {
            self.defects.push(Defect { node, message, effect });
        }
    }
}

impl<'d> Node<'d> {
    fn parse(id: u32, raw: &'d RawValue, defects: &mut Defects) -> Self {
        match serde_json::from_str(raw.get()) {
            Ok(RawNode::Start { params }) => Self::Start { params: params.get() },
            Ok(RawNode::End) => Self::End,
            Ok(RawNode::Action { name, label, action_name }) => Self::Action { name, label, action_name },
            Ok(RawNode::Constant { name, value }) => Self::Constant { name, value: value.get() },
            Ok(RawNode::SubsagaStart { saga_name, params_node_name }) => {
                Self::SubsagaStart { saga_name, params_node_name }
            }
            Ok(RawNode::SubsagaEnd { name }) => Self::SubsagaEnd { name },
            Err(error) => {
                defects.refused(Some(id), || format!("is of no kind that is known: {error}"));
                Self::Unknown { raw: raw.get() }
            }
        }
    }

    /// The name under which its output is known; only these can fail, for the others do nothing.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Action { name, .. } | Self::Constant { name, .. } | Self::SubsagaEnd { name } => Some(name),
            Self::Start { .. } | Self::End | Self::SubsagaStart { .. } | Self::Unknown { .. } => None,
        }
    }

    /// What it is called for people. Constants do not tell their value, which is part of what the saga was given.
    pub fn label(&self) -> String {
        match self {
            Self::Start { .. } => "(start node)".to_owned(),
            Self::End => "(end node)".to_owned(),
            Self::Action { label, .. } => label.clone(),
            Self::Constant { .. } => "(constant)".to_owned(),
            Self::SubsagaStart { saga_name, .. } => format!("(subsaga start: {saga_name:?})"),
            Self::SubsagaEnd { .. } => "(subsaga end)".to_owned(),
            Self::Unknown { .. } => "(unknown kind)".to_owned(),
        }
    }

    /// Its kind in a word, as JSON has it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::End => "end",
            Self::Action { .. } => "action",
            Self::Constant { .. } => "constant",
            Self::SubsagaStart { .. } => "subsaga_start",
            Self::SubsagaEnd { .. } => "subsaga_end",
            Self::Unknown { .. } => "unknown",
        }
    }
}

/// Neighbours of each node in one piece of memory: the list of node `n` lies between two offsets.
#[derive(Clone, Debug)]
struct Neighbours {
    offsets: Vec<usize>,
    nodes: Vec<u32>,
}

impl Neighbours {
    fn new(count: u32, edges: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut offsets = vec![0usize; count as usize + 1];
        for (of, _) in edges.clone() {
            offsets[of as usize + 1] += 1;
        }
        for index in 1..offsets.len() {
            offsets[index] += offsets[index - 1];
        }
        let mut next = offsets.clone();
        let mut nodes = vec![0; offsets[count as usize]];
        for (of, neighbour) in edges {
            nodes[next[of as usize]] = neighbour;
            next[of as usize] += 1;
        }
        Self { offsets, nodes }
    }

    fn of(&self, node: u32) -> &[u32] {
        let node = node as usize;
        match (self.offsets.get(node), self.offsets.get(node + 1)) {
            (Some(&from), Some(&to)) => &self.nodes[from..to],
            _ => &[],
        }
    }
}

#[derive(Default)]
struct Defects {
    found: Vec<Defect>,
}

impl Defects {
    fn refused(&mut self, node: Option<u32>, message: impl FnOnce() -> String) {
        self.add(node, message, Effect::Refused);
    }

    fn panics(&mut self, node: Option<u32>, message: impl FnOnce() -> String) {
        self.add(node, message, Effect::Panics);
    }

    fn add(&mut self, node: Option<u32>, message: impl FnOnce() -> String, effect: Effect) {
        if self.found.len() < MOST_DEFECTS {
            self.found.push(Defect { node, message: message(), effect });
        }
    }
}
