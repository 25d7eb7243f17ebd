//! DAGs and logs that hold anything: they are read, judged and shown, and nothing comes of it but findings.

use super::super::dag::Dag;
use super::super::{EventType, action_error, mentions, node_names};
use super::*;
use crate::fuzz::{Random, fuzz_text};
use crate::observe::saga::{SagaReport, Wanted, dag_json};
use crate::observe::why::judge::judge;
use crate::observe::why::{EngineKind, OwnerFacts};
use crate::render::{self, Look};

/// A subsaga in a saga, with a constant: `start → [s: a] → end`.
fn nested() -> Value {
    json!({"saga_name": "nested", "start_node": 4, "end_node": 5, "graph": {
        "nodes": [
            {"Constant": {"name": "c", "value": {"secret": [1, 2]}}},
            {"SubsagaStart": {"saga_name": "s", "params_node_name": "c"}},
            {"Action": {"name": "a", "label": "A", "action_name": "t.a"}},
            {"SubsagaEnd": {"name": "s"}},
            {"Start": {"params": {"id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001"}}}, "End"],
        "node_holes": [], "edge_property": "directed",
        "edges": [[4, 0, null], [0, 1, null], [1, 2, null], [2, 3, null], [3, 5, null]]}})
}

fn field<T>(random: &mut Random, value: T) -> Field<T> {
    match random.below(16) {
        0 => Field::Null,
        1 => Field::NoColumn,
        2 => Field::Unreadable { raw: "\u{1b}[2J".to_owned(), reason: "no idea".to_owned() },
        _ => Field::Value(value),
    }
}

/// A log of any events, most of them of nodes that there are.
fn any_log(text: &str, random: &mut Random) -> Vec<EventRecord> {
    let times = [Time::MIN_UTC, Time::MAX_UTC, at(0), at(1), at(2), at(1_000_000)];
    (0..random.below(9))
        .map(|_| {
            let node_id = if random.below(12) == 0 {
                *random.one_of(&[-1, 6, i64::from(u32::MAX), i64::MAX, i64::MIN])
            } else {
                random.below(6) as i64
            };
            let event_type = random.one_of(&EventType::ALL).as_str();
            let event_type = if random.below(20) == 0 { "napped\u{1b}" } else { event_type };
            let from = text.floor_char_boundary(random.below(text.len() + 1));
            let data = match random.below(3) {
                0 => text[from..].chars().take(40).collect(),
                1 => r#"{"ActionFailed":{"source_error":{"message":{"internal":"x"}}}}"#.to_owned(),
                _ => "null".to_owned(),
            };
            let (time, creator) = (*random.one_of(&times), sec(random.below(3) as u128));
            EventRecord {
                node_id,
                event_type: event_type.to_owned(),
                data: field(random, data),
                time: field(random, time),
                creator: field(random, creator),
            }
        })
        .collect()
}

#[test]
fn fuzzed_dags_and_logs_are_read_judged_and_shown() {
    let seeds = [diamond().to_string(), nested().to_string()];
    fuzz_text(&seeds, |text, random| {
        let state = *random.one_of(&["running", "unwinding", "done", "abandoned", "napping\u{1b}"]);
        let mut records = records(state, &diamond(), any_log(text, random));
        records.dag = field(random, text.to_owned());
        if random.below(20) == 0 {
            records.saga = None;
        }
        let reading = Reading::of(&records);
        let _ = (reading.counts(), reading.gaps(), reading.left_standing(), reading.ran_twice().count());
        // In a debug build the rest takes ten times as long.
        if random.below(64) != 0 {
            return;
        }
        let now = at(5_000);
        let facts = OwnerFacts::not_asked(None, EngineKind::Ours, "nobody asks here");
        let wanted = Wanted { events: true, gaps: true, errors: true, params: true };
        let report = SagaReport::new(&reading, judge(&reading, &facts, now), wanted, now);
        let mut shown = Vec::new();
        render::saga::render_saga(&mut shown, &Look::plain(now), &report).expect("memory takes everything");
        let shown = String::from_utf8(shown).expect("text");
        let is_harmful = |c: char| c != '\n' && render::escape::is_hazardous(c);
        assert!(!shown.contains(is_harmful), "{shown:?}");
        serde_json::to_string(&report).expect("what was read can be written");
        if let Ok((dag, _)) = &reading.dag {
            render::saga::render_dot(&mut Vec::new(), dag, &reading).expect("memory takes everything");
        }
    });
}

#[test]
fn fuzzed_dags_are_read_or_refused() {
    let seeds = [diamond().to_string(), nested().to_string()];
    fuzz_text(&seeds, |text, random| {
        if let Ok(dag) = Dag::parse(text) {
            for id in dag.ids() {
                assert!(
                    dag.parents(id).iter().chain(dag.children(id)).all(|other| dag.node(*other).is_some())
                );
            }
        }
        if random.below(4) != 0 {
            return;
        }
        let _ = node_names::NodeNames::of_dag(text);
        let _ = mentions::in_parameters(text, "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001");
        let _ = dag_json(text, Wanted::default());
    });
}

#[test]
fn fuzzed_errors_of_actions_are_put_in_words() {
    let seeds = [
        r#"{"ActionFailed":{"source_error":{"message":{"internal":"no room","external":"sorry"}}}}"#,
        r#"{"PermanentFailure":{"source_error":"it will not go away"}}"#,
        r#"{"DeserializeFailed":{"message":"expected value at line 1"}}"#,
        r#""InjectedError""#,
    ];
    fuzz_text(&seeds, |text, _| {
        let _ = action_error::in_words(text);
        let _ = (action_error::check_action_error(text), action_error::check_undo_error(text));
    });
}
