//! `sagactl sagas find`: sagas that mention something.

use super::filters::{When, past};
use super::{counted, judge_ids, unknown_name};
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure};
use crate::cli::progress::Progress;
use crate::observe::sagas::filter::{Filter, Glob};
use crate::observe::sagas::find::{Finding, Hit, Where};
use crate::render;
use std::io;

/// Find sagas that mention an object's id or name
///
/// Searches what sagas were given, what their nodes made, and why they failed, newest sagas first where the database has an
/// index for that. No index knows what a saga mentions, so all of them are read; --since says how far back. Parameters are
/// searched but never shown.
#[derive(Debug, clap::Args)]
pub(super) struct FindArgs {
    /// What to look for: an id, a name, a part of one; case does not matter
    #[arg(value_name = "TEXT")]
    text: String,

    /// Where: params, outputs, errors
    #[arg(long = "in", value_name = "PLACE", value_delimiter = ',', default_value = "params,outputs,errors")]
    places: Vec<Place>,

    /// Only sagas created at this time or later: 2h (ago), 2026-11-02, 2026-11-02T09:15:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<When>,

    /// Only sagas of this name; * stands for anything, ? for one character
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    name: Vec<String>,

    /// Stop when so many places were found; 0 finds all
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Place {
    /// What sagas were given
    Params,
    /// What nodes made
    Outputs,
    /// Why nodes failed
    Errors,
}

/// Searches.
pub(super) async fn run(ctx: &mut Context<'_>, args: FindArgs) -> CommandResult {
    let mode = ctx.output_among("sagas find", &OutputMode::ALL)?;
    if args.text.trim().is_empty() {
        return Err(Failure::unusable("there is nothing to look for: the text is empty"));
    }
    let now = ctx.now();
    let since = args.since.map(|when| past(when, "--since", now)).transpose()?;
    let filter = Filter { since, names: args.name.into_iter().map(Glob).collect(), ..Filter::default() };
    let places = args
        .places
        .iter()
        .map(|place| match place {
            Place::Params => Where::Params,
            Place::Outputs => Where::Outputs,
            Place::Errors => Where::Errors,
        })
        .collect();
    let inspector = ctx.inspector().await?;
    let mut finding = Finding::begin(inspector.clone(), filter.clone(), &args.text, places, now).await?;
    let mut writer = HitWriter { mode, widths: None, written: 0, last: None };
    let mut progress = Progress::new(ctx);
    let mut found = 0;
    let mut is_cut = false;
    while let Some(mut hits) = finding.next().await? {
        if args.limit > 0 {
            let left = usize::try_from(args.limit - found).unwrap_or(usize::MAX);
            is_cut = hits.len() >= left;
            hits.truncate(left);
        }
        found += hits.len() as u64;
        if !hits.is_empty() {
            progress.clear();
            writer.write(ctx, &hits)?;
        }
        if is_cut {
            break;
        }
        progress.show(ctx, || {
            let (searched, _) = finding.progress();
            format!("scanned {}, found {}", counted(searched, "saga"), counted(found, "place"))
        });
    }
    drop(progress);
    if finding.no_such_name() {
        return Err(unknown_name(&inspector, &filter.names));
    }
    writer.finish(ctx)?;
    let (searched, rows) = finding.progress();
    let extent = if is_cut { "stopped at the limit; there may be more" } else { "complete" };
    ctx.note(format_args!(
        "from {}; {extent}: found {}, scanned {rows} rows of saga and the logs of {}",
        inspector.describe(),
        counted(found, "place"),
        counted(searched, "saga"),
    ));
    judge_ids(finding.unreadable_ids(), "they were not searched")
}

/// Writes what is found as it comes.
struct HitWriter {
    mode: OutputMode,
    widths: Option<Vec<usize>>,
    written: u64,
    /// The saga that was written last, for a list of ids without repetition.
    last: Option<crate::wire::ids::SagaId>,
}

impl HitWriter {
    fn write(&mut self, ctx: &mut Context<'_>, hits: &[Hit]) -> io::Result<()> {
        match self.mode {
            OutputMode::Table => {
                let look = ctx.look();
                let table = render::sagas::hit_table(&look, hits);
                let table = match self.widths.take() {
                    Some(widths) => table.continuing(widths),
                    None => table,
                };
                table.render(&look, ctx.out())?;
                self.widths = Some(table.widths(&look));
            }
            OutputMode::Ids => {
                for hit in hits {
                    if self.last.replace(hit.saga_id) != Some(hit.saga_id) {
                        writeln!(ctx.out(), "{}", hit.saga_id)?;
                    }
                }
            }
            OutputMode::Jsonl => hits.iter().try_for_each(|hit| ctx.write_json(OutputMode::Jsonl, hit))?,
            OutputMode::Json => render::json::write_items(ctx.out(), self.written, hits)?,
        }
        self.written += hits.len() as u64;
        ctx.out().flush()
    }

    fn finish(&mut self, ctx: &mut Context<'_>) -> io::Result<()> {
        match (self.mode, self.written) {
            (OutputMode::Table, 0) => self.write(ctx, &[]),
            (OutputMode::Json, written) => render::json::end_items(ctx.out(), written),
            (OutputMode::Table | OutputMode::Jsonl | OutputMode::Ids, _) => Ok(()),
        }
    }
}
