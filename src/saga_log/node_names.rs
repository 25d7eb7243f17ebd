//! The names of a DAG's nodes, and nothing else of it: parameters, outputs and edges are skipped unread.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// The names of a saga's nodes by their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeNames(Vec<String>);

impl NodeNames {
    /// Reads the names from a DAG's JSON; without any if it is not a DAG.
    pub fn of_dag(dag: &str) -> Self {
        match serde_json::from_str::<Dag>(dag) {
            Ok(dag) => Self(dag.graph.nodes.into_iter().map(|node| node.0).collect()),
            Err(_) => Self::default(),
        }
    }

    /// A node's name; its number where the DAG does not say more.
    pub fn name(&self, node_id: i64) -> String {
        let name = usize::try_from(node_id).ok().and_then(|index| self.0.get(index));
        match name {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("node {node_id}"),
        }
    }
}

#[derive(Deserialize)]
struct Dag {
    graph: Graph,
}

#[derive(Deserialize)]
struct Graph {
    nodes: Vec<Name>,
}

struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Node {
            Word(String),
            Tagged(std::collections::BTreeMap<String, Inside>),
            Other(IgnoredAny),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Inside {
            Named { name: String },
            Other(IgnoredAny),
        }
        Ok(Self(match Node::deserialize(deserializer)? {
            Node::Word(word) => format!("({})", word.to_lowercase()),
            Node::Tagged(fields) => match fields.into_iter().next() {
                Some((_, Inside::Named { name })) => name,
                Some((kind, Inside::Other(_))) => format!("({})", kind.to_lowercase()),
                None => String::new(),
            },
            Node::Other(_) => String::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_have_names_or_at_least_numbers() {
        let names = NodeNames::of_dag(
            r#"{"saga_name":"demo","start_node":1,"end_node":2,"graph":{"nodes":[
                {"Action":{"name":"demo_wait","label":"DemoWait","action_name":"demo.demo_wait"}},
                {"Start":{"params":{"name":7}}}, "End", 5, {"Constant":{"name":"c","value":{"name":"secret"}}}
            ],"node_holes":[],"edge_property":"directed","edges":[[1,0,null],[0,2,null]]}}"#,
        );
        let read: Vec<String> = (-1..6).map(|node| names.name(node)).collect();
        assert_eq!(read, ["node -1", "demo_wait", "(start)", "(end)", "node 3", "c", "node 5"]);
        for broken in ["", "{}", "[]", "null", "{\"graph\":{\"nodes\":{}}}"] {
            assert_eq!(NodeNames::of_dag(broken).name(0), "node 0");
        }
    }
}
