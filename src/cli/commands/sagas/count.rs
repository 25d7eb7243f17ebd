//! `sagactl sagas count`: how many sagas of which kind.

use super::filters::FilterArgs;
use super::{counted, judge_ids, unknown_name};
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure};
use crate::cli::progress::Progress;
use crate::observe::sagas::count::{CountCoverage, Counting, CountingEvents, Key};
use crate::observe::sagas::filter::Filter;
use crate::render;
use crate::store::inspect::Inspector;
use crate::wire::time::Time;

/// Count sagas by what they have in common
///
/// Goes through every saga that is asked for, in pages, and says how many rows that were. The outcome comes from the log:
/// sagas that succeeded, that were unwound and that are stuck all rest in state done.
#[derive(Debug, clap::Args)]
pub(super) struct CountArgs {
    /// By what: name, state, outcome, node (the one that failed first), error (its error), sec (the owner), reason (why
    /// abandoned)
    #[arg(long, value_name = "KEY", value_delimiter = ',', default_value = "name,state,outcome", value_parser = key)]
    by: Vec<Key>,

    /// Count events by type instead, and what they must add up to
    #[arg(long, conflicts_with = "by")]
    events: bool,

    #[command(flatten)]
    filters: FilterArgs,
}

fn key(text: &str) -> Result<Key, String> {
    Key::ALL.into_iter().find(|key| key.as_str() == text).ok_or_else(|| {
        let known: Vec<&str> = Key::ALL.iter().map(|key| key.as_str()).collect();
        format!("known keys are {}", known.join(", "))
    })
}

/// Counts.
pub(super) async fn run(ctx: &mut Context<'_>, args: CountArgs) -> CommandResult {
    let mode = ctx.output_among("sagas count", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let now = ctx.now();
    let filter = args.filters.filter(now)?;
    let inspector = ctx.inspector().await?;
    if args.events {
        return count_events(ctx, mode, inspector, filter, now).await;
    }
    let mut keys = Vec::new();
    for key in args.by {
        if keys.contains(&key) {
            return Err(Failure::unusable(format!("--by names {} twice", key.as_str())));
        }
        keys.push(key);
    }
    let mut counting = Counting::begin(inspector.clone(), filter.clone(), keys.clone(), None, now).await?;
    let mut progress = Progress::new(ctx);
    while counting.advance().await? {
        progress.show(ctx, || scanned(counting.progress()));
    }
    drop(progress);
    let groups = counting.groups();
    check_names(&inspector, &filter, counting.coverage())?;
    match mode {
        OutputMode::Table => {
            let look = ctx.look();
            render::sagas::count_table(&keys, &groups).render(&look, ctx.out())?;
        }
        _ => ctx.write_json_list(mode, &groups)?,
    }
    conclude(ctx, &inspector, counting.progress(), counting.coverage())
}

async fn count_events(
    ctx: &mut Context<'_>,
    mode: OutputMode,
    inspector: Inspector,
    filter: Filter,
    now: Time,
) -> CommandResult {
    let mut counting = CountingEvents::begin(inspector.clone(), filter.clone(), now).await?;
    let mut progress = Progress::new(ctx);
    while counting.advance().await? {
        progress.show(ctx, || scanned(counting.progress()));
    }
    drop(progress);
    check_names(&inspector, &filter, counting.coverage())?;
    let counts = counting.counts();
    match mode {
        OutputMode::Table => {
            let look = ctx.look();
            render::sagas::render_events(ctx.out(), &look, &counts)?;
        }
        _ => ctx.write_json(mode, &counts)?,
    }
    conclude(ctx, &inspector, counting.progress(), counting.coverage())
}

fn scanned((counted, scanned): (u64, u64)) -> String {
    format!("scanned {scanned} rows, counted {}", super::counted(counted, "saga"))
}

fn check_names(inspector: &Inspector, filter: &Filter, coverage: CountCoverage) -> Result<(), Failure> {
    if coverage.no_such_name { Err(unknown_name(inspector, &filter.names)) } else { Ok(()) }
}

fn conclude(
    ctx: &mut Context<'_>,
    inspector: &Inspector,
    (number, scanned): (u64, u64),
    coverage: CountCoverage,
) -> CommandResult {
    let source = inspector.describe();
    ctx.note(format_args!("from {source}; counted {}, scanned {scanned} rows", counted(number, "saga")));
    if coverage.groups_are_cut {
        ctx.note("there are too many groups to tell all apart: those that came late are counted as (other)");
    }
    if coverage.undecided > 0 {
        ctx.note(format_args!(
            "not counted: {} that may be meant, but what would tell cannot be read",
            counted(coverage.undecided, "saga")
        ));
    }
    judge_ids(coverage.unreadable_ids, "they are not counted")
}
