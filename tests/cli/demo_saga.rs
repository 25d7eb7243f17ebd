//! `sagactl demo-saga`.

use crate::support::TestEnv;
use crate::support::server::{Reply, Server};

const ID: &str = "88eddf09-dda3-4d70-8d99-1d3b441c57da";

fn nexus() -> Server {
    Server::start(|request, _| match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/demo-saga") => Reply::fixture(200, "nexus/demo-saga.json"),
        ("POST", "/demo-saga/88eddf09-dda3-4d70-8d99-1d3b441c57da/complete") => {
            Reply::Answer(204, vec![], String::new())
        }
        ("POST", _) => Reply::fixture(404, "nexus/error-unknown-demo.json"),
        _ => Reply::no_route(),
    })
}

#[test]
fn create_prints_both_ids() {
    let server = nexus();
    let env = TestEnv::at(&server);
    insta::assert_snapshot!(env.run(&["demo-saga", "create"]), @"
    saga id:      0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001
    demo saga id: 88eddf09-dda3-4d70-8d99-1d3b441c57da (use this with `demo-saga complete`)
    = 0
    ");
    insta::assert_snapshot!(env.run(&["demo-saga", "create", "-o", "json"]), @r#"
    {
      "saga_id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001",
      "demo_saga_id": "88eddf09-dda3-4d70-8d99-1d3b441c57da"
    }
    = 0
    "#);
    insta::assert_snapshot!(env.run(&["demo-saga", "create", "-o", "ids"]), @r#"
    ! error: demo-saga create has no output format "ids"; it has table, json, jsonl
    = 2
    "#);
}

#[test]
fn complete_lets_it_go_on() {
    let server = nexus();
    let env = TestEnv::at(&server);
    insta::assert_snapshot!(env.run(&["demo-saga", "complete", ID]), @"
    demo saga 88eddf09-dda3-4d70-8d99-1d3b441c57da goes on
    = 0
    ");
    insta::assert_snapshot!(env.run(&["demo-saga", "complete", ID, "-o", "jsonl"]), @r#"
    {"completed":true,"demo_saga_id":"88eddf09-dda3-4d70-8d99-1d3b441c57da"}
    = 0
    "#);
}

#[test]
fn an_unknown_or_malformed_id_is_an_error() {
    let server = nexus();
    let env = TestEnv::at(&server);
    insta::assert_snapshot!(env.run(&["demo-saga", "complete", "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001"]), @"
    ! error: unknown demo saga 0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001
    ! hint: the demo saga id is wanted, not the saga's; after a restart it is known once the saga is recovered
    = 2
    ");
    insta::assert_snapshot!(env.run(&["demo-saga", "complete", "0b6c"]), @"
    ! error: invalid value '0b6c' for '<DEMO_SAGA_ID>': invalid length: found 4
    ! 
    ! For more information, try '--help'.
    = 2
    ");
}

#[test]
fn a_creation_that_may_have_arrived_is_not_repeated() {
    let server = Server::start(|_, _| Reply::Close);
    let run = TestEnv::at(&server).run(&["demo-saga", "create"]);
    assert_eq!(run.code, 3, "{run}");
    let creations = server.asked().iter().filter(|asked| *asked == "POST /demo-saga").count();
    assert_eq!(creations, 1, "{:?}", server.asked());
}
