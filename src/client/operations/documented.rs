//! `docs/retries.md` holds what the tables say. `UPDATE_DOCS=1 cargo test --lib retries_are_documented` writes it anew after a
//! deliberate change.

use super::{Api, Operation};
use crate::store::operations::DatabaseOperation;
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- written from the tables: begin -->\n";
const END: &str = "<!-- written from the tables: end -->\n";

fn tables() -> String {
    let mut text = String::new();
    for api in [Api::Internal, Api::External] {
        let _ = write!(
            text,
            "\n## The {api} API\n\n| operation | method | path | class | when the answer is lost |\n|---|---|---|---|---|\n"
        );
        for operation in Operation::ALL.iter().filter(|operation| operation.api() == api) {
            let (method, path, class) = (operation.method(), operation.path(), operation.retry_class());
            let (doing, lost) = (operation.doing(), operation.when_lost());
            let _ = writeln!(text, "| {doing} | {method} | `{path}` | {class} | {lost} |");
        }
    }
    text.push_str("\n## The database\n\n| operation | class | when the answer is lost |\n|---|---|---|\n");
    for operation in DatabaseOperation::ALL {
        let (doing, class, lost) = (operation.doing(), operation.retry_class(), operation.when_lost());
        let _ = writeln!(text, "| {doing} | {class} | {lost} |");
    }
    text.push('\n');
    text
}

#[test]
fn retries_are_documented_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/retries.md");
    let text = std::fs::read_to_string(&path).expect("docs/retries.md is there");
    let (before, rest) = text.split_once(BEGIN).expect("a mark where the tables begin");
    let (documented, after) = rest.split_once(END).expect("a mark where the tables end");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", tables()))
            .expect("docs can be written");
        return;
    }
    assert!(
        documented == tables(),
        "docs/retries.md is not what the tables say; if the change is meant, run \
         UPDATE_DOCS=1 cargo test --lib retries_are_documented"
    );
}
