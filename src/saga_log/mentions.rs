//! Whether a saga's parameters mention something, and in which node of its DAG they stand.
//!
//! The text of a DAG holds a lot besides parameters: names of nodes, labels, actions. What is looked for is an object's id or
//! name, so only what was given to the saga counts: the parameters of its start node and the constants in its DAG.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Nodes of a DAG whose parameters or constant mention a text, without regard to case, by number. The text is spelled as in
/// JSON, in small letters. Of a DAG that cannot be read, none.
pub fn in_parameters(dag: &str, text: &str) -> Vec<u32> {
    #[derive(Deserialize)]
    struct Dag<'d> {
        #[serde(borrow)]
        graph: Graph<'d>,
    }
    #[derive(Deserialize)]
    struct Graph<'d> {
        #[serde(borrow)]
        nodes: Vec<&'d RawValue>,
    }
    let Ok(dag) = serde_json::from_str::<Dag<'_>>(dag) else { return Vec::new() };
    let mentions = |node: &RawValue| {
        let tagged = serde_json::from_str::<BTreeMap<String, BTreeMap<String, &RawValue>>>(node.get());
        let Ok(tagged) = tagged else { return false };
        let given = tagged.iter().filter_map(|(kind, fields)| match kind.as_str() {
            "Start" => fields.get("params"),
            "Constant" => fields.get("value"),
            _ => None,
        });
        given.into_iter().any(|given| given.get().to_lowercase().contains(text))
    };
    (0..).zip(&dag.graph.nodes).filter(|(_, node)| mentions(node)).map(|(index, _)| index).collect()
}

/// A text as it stands inside a JSON string, in small letters.
pub fn spelled_in_json(text: &str) -> String {
    let quoted = serde_json::to_string(text).expect("text is JSON");
    quoted[1..quoted.len() - 1].to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAG: &str = r#"{"saga_name":"demo","start_node":1,"end_node":2,"graph":{"nodes":[
        {"Action":{"name":"needle","label":"Needle","action_name":"demo.needle"}},
        {"Start":{"params":{"project":{"name":"My \"Needle\""}}}},
        "End",
        {"Constant":{"name":"c","value":"NEEDLES"}},
        {"Constant":{"name":"needle","value":{"x":1}}},
        {"SubsagaStart":{"saga_name":"needle","params_node_name":"needle"}}
    ],"node_holes":[],"edge_property":"directed","edges":[[1,0,null],[0,2,null]]}}"#;

    #[test]
    fn only_what_was_given_to_the_saga_counts() {
        assert_eq!(in_parameters(DAG, "needle"), [1, 3]);
        assert_eq!(in_parameters(DAG, &spelled_in_json("My \"Needle\"")), [1]);
        assert_eq!(in_parameters(DAG, "demo"), [0; 0]);
        assert_eq!(in_parameters("not JSON", "not"), [0; 0]);
    }
}
