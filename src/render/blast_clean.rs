//! `blast clean`: what will go, how far it is, and what has gone.

use super::escape::escape;
use crate::blast::clean::{Counts, Kept, Plan, Report};
use std::io::{self, Write};

/// Names of the plan that are shown before the question; `--dry-run` shows all.
const NAMES_SHOWN: usize = 10;

/// Writes what will go and what stays.
pub fn render_plan(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    let Plan { delete, skipped } = plan;
    writeln!(out, "{} projects will be deleted with everything in them:", delete.len())?;
    for name in delete.iter().take(NAMES_SHOWN) {
        writeln!(out, "  {}", escape(name))?;
    }
    if delete.len() > NAMES_SHOWN {
        writeln!(out, "  … and {} more (--dry-run shows all)", delete.len() - NAMES_SHOWN)?;
    }
    render_kept(out, "stay although they begin alike", skipped)
}

fn render_kept(out: &mut dyn Write, what: &str, kept: &[Kept]) -> io::Result<()> {
    if kept.is_empty() {
        return Ok(());
    }
    writeln!(out, "{} {what}:", kept.len())?;
    for Kept { name, reason } in kept {
        writeln!(out, "  {}: {}", escape(name), escape(reason))?;
    }
    Ok(())
}

/// One line on how far it is.
pub fn progress_line(counts: Counts) -> String {
    let Counts { planned, deleted, already_gone, failed } = counts;
    let mut line = format!("{deleted} of {planned} deleted");
    for (count, what) in [(already_gone, "gone already"), (failed, "failed")] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    line
}

/// Writes what has gone, or what would go.
pub fn render_report(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let Report { prefix, run_id, dry_run, counts, planned_names, failures, skipped, interrupted, remaining } =
        report;
    let whose = match run_id {
        Some(run) => format!("run {run} with prefix {prefix:?}"),
        None => format!("any run with prefix {prefix:?}"),
    };
    if *dry_run || counts.planned == 0 {
        match counts.planned {
            0 => writeln!(out, "nothing of {} is there", escape(&whose))?,
            planned => writeln!(out, "{planned} projects of {} would be deleted:", escape(&whose))?,
        }
        for name in planned_names {
            writeln!(out, "  {}", escape(name))?;
        }
    } else {
        writeln!(out, "{}", progress_line(*counts))?;
        let remaining = remaining.map_or_else(|| "?".to_owned(), |remaining| remaining.to_string());
        writeln!(out, "of {} remain: {remaining}", escape(&whose))?;
        if *interrupted {
            writeln!(out, "interrupted; the same command goes on where it ended")?;
        }
    }
    render_kept(out, "could not be deleted", failures)?;
    render_kept(out, "skipped", skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(name: &str, reason: &str) -> Kept {
        Kept { name: name.to_owned(), reason: reason.to_owned() }
    }

    fn shown(render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut text = Vec::new();
        render(&mut text).expect("written");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn a_plan_shows_its_beginning_and_what_stays() {
        let plan = Plan {
            delete: (0..12).map(|number| format!("dummy-r-0-{number}")).collect(),
            skipped: vec![kept("dummy-\u{1b}x", "no blast makes such a name")],
        };
        let text = shown(|out| render_plan(out, &plan));
        assert!(
            text.starts_with("12 projects will be deleted with everything in them:\n  dummy-r-0-0\n"),
            "{text}"
        );
        assert!(text.contains("  … and 2 more (--dry-run shows all)\n"), "{text}");
        assert!(
            text.ends_with("1 stay although they begin alike:\n  dummy-\\x1bx: no blast makes such a name\n"),
            "{text}"
        );
    }

    #[test]
    fn a_report_says_every_number_once() {
        let report = Report {
            prefix: "dummy-".to_owned(),
            run_id: Some("r1".to_owned()),
            dry_run: false,
            counts: Counts { planned: 100, deleted: 91, already_gone: 4, failed: 3 },
            planned_names: Vec::new(),
            failures: vec![kept("dummy-r1-0-0", "503 Service Unavailable, without a word")],
            skipped: vec![kept("dummy-r1-0-9", "its description is not that of a blast's project")],
            interrupted: true,
            remaining: Some(5),
        };
        insta::assert_snapshot!(shown(|out| render_report(out, &report)), @r#"
        91 of 100 deleted, 4 gone already, 3 failed
        of run r1 with prefix "dummy-" remain: 5
        interrupted; the same command goes on where it ended
        1 could not be deleted:
          dummy-r1-0-0: 503 Service Unavailable, without a word
        1 skipped:
          dummy-r1-0-9: its description is not that of a blast's project
        "#);
        let nothing =
            Report { counts: Counts::default(), skipped: Vec::new(), failures: Vec::new(), ..report };
        assert_eq!(
            shown(|out| render_report(out, &nothing)),
            "nothing of run r1 with prefix \"dummy-\" is there\n"
        );
    }
}
