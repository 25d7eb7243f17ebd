//! The OpenAPI documents under `docs/openapi/` are what the code says. `UPDATE_OPENAPI=1 cargo test --test openapi` writes
//! them anew after a deliberate change.

use sagactl::coordinator::api;
use std::path::Path;

fn compare(name: &str, document: &serde_json::Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi").join(name);
    let mut generated = serde_json::to_string_pretty(document).expect("a document is JSON");
    generated.push('\n');
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &generated).expect("docs/openapi can be written");
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/openapi/{name} is not what the code says; if the change is meant, run \
         UPDATE_OPENAPI=1 cargo test --test openapi"
    );
}

#[test]
fn the_internal_api_is_documented_as_it_is() {
    compare("internal.json", &api::internal::openapi());
}

#[test]
fn the_external_api_is_documented_as_it_is() {
    compare("external.json", &api::external::openapi());
}
