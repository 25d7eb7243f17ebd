//! `tasks list`: one line per background task, with what omdb's list tells.

use super::Look;
use super::table::{Cell, Column, Table};
use super::task::trigger;
use super::time;
use crate::client::base_url::BaseUrl;
use crate::observe::task::TaskView;

/// A task that could be read, or only its name; of the coordinator at this place.
pub type TaskRow<'a> = (&'a BaseUrl, &'a str, Option<&'a TaskView>);

const COLUMNS: [Column; 11] = [
    Column::text("COORDINATOR"),
    Column::text("TASK"),
    Column::number("PERIOD"),
    Column::number("LAST_ITER"),
    Column::text("LAST_START"),
    Column::number("LAST_TOOK"),
    Column::text("LAST_TRIGGER"),
    Column::number("NOW_ITER"),
    Column::text("NOW_START"),
    Column::text("NOW_TRIGGER"),
    Column::message("DESCRIPTION", 12),
];

/// The list as a table, for whoever writes it to choose columns from.
pub fn task_table<'a>(look: &Look, tasks: impl IntoIterator<Item = TaskRow<'a>>) -> Table {
    let mut table = Table::new(&COLUMNS);
    for (coordinator, name, task) in tasks {
        table.push(match task {
            Some(task) => row(look, coordinator, task),
            None => {
                let mut row = vec![Cell::unknown(); COLUMNS.len()];
                row[0] = Cell::new(coordinator);
                row[1] = Cell::new(name);
                row
            }
        });
    }
    table
}

fn row(look: &Look, coordinator: &BaseUrl, task: &TaskView) -> Vec<Cell> {
    let TaskView { name, description, period, current, last, error: _ } = task;
    vec![
        Cell::new(coordinator),
        Cell::new(name),
        Cell::new(time::exact(*period)),
        Cell::or_absent(last.as_ref().map(|last| last.iteration)),
        Cell::or_absent(last.as_ref().map(|last| time::when(look, last.start_time))),
        Cell::or_absent(last.as_ref().map(|last| time::measured(last.elapsed))),
        Cell::or_absent(last.as_ref().map(|last| trigger(last.reason))),
        Cell::or_absent(current.as_ref().map(|current| current.iteration)),
        Cell::or_absent(current.as_ref().map(|current| time::when(look, current.start_time))),
        Cell::or_absent(current.as_ref().map(|current| trigger(current.reason))),
        Cell::new(description),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::task::{CurrentActivation, LastActivation};
    use crate::wire::bgtasks::ActivationReason;
    use std::time::Duration;

    #[test]
    fn what_is_absent_and_what_is_unknown_look_different() {
        let at = |text: &str| text.parse().unwrap();
        let recovery = TaskView {
            name: "saga_recovery".to_owned(),
            description: "resumes sagas".to_owned(),
            period: Duration::from_secs(600),
            current: Some(CurrentActivation {
                iteration: 8,
                reason: ActivationReason::Signaled,
                start_time: at("2026-11-02T09:20:01.118Z"),
            }),
            last: Some(LastActivation {
                iteration: 7,
                reason: ActivationReason::Timeout,
                start_time: at("2026-11-02T09:15:22.640112Z"),
                elapsed: Duration::from_micros(81_417),
            }),
            error: None,
        };
        let idle = TaskView {
            name: "dns\u{1b}[31m".to_owned(),
            current: None,
            last: None,
            period: Duration::from_secs(90),
            ..recovery.clone()
        };
        let look = Look::plain(at("2026-11-02T09:20:07Z"));
        let at = "http://h:1".parse().expect("a URL");
        let rows = [(&at, "saga_recovery", Some(&recovery)), (&at, "dns", Some(&idle)), (&at, "odd", None)];
        let mut out = Vec::new();
        task_table(&look, rows).render(&look, &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        COORDINATOR  TASK           PERIOD  LAST_ITER  LAST_START                LAST_TOOK  LAST_TRIGGER  NOW_ITER  NOW_START                 NOW_TRIGGER  DESCRIPTION
        http://h:1   saga_recovery     10m          7  2026-11-02T09:15:22.640Z       81ms  timer                8  2026-11-02T09:20:01.118Z  signal       resumes sagas
        http://h:1   dns\x1b[31m    1m 30s          -  -                                 -  -                    -  -                         -            resumes sagas
        http://h:1   odd                 ?          ?  ?                                 ?  ?                    ?  ?                         ?            ?
        "#);
    }
}
