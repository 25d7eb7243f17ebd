//! `sagactl sagas slow`: which nodes take long, and where sagas wait.

use super::filters::FilterArgs;
use super::{counted, unknown_name};
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Outcome};
use crate::cli::progress::Progress;
use crate::observe::sagas::slow::{Request, Timing};
use crate::render;
use std::time::Duration;

/// Show which nodes are slow: percentiles per node, the slowest runs, the longest gaps between nodes
///
/// Times the newest sagas by their logs. A node that runs on is timed up to now. A gap is a time in which no node of a saga
/// ran: its coordinator was down, or busy with something else.
#[derive(Debug, clap::Args)]
pub(super) struct SlowArgs {
    /// List only what took at least so long
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    over: Duration,

    /// Most runs and gaps that are listed one by one
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,

    /// Most sagas that are timed; 0 times all
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: u64,

    #[command(flatten)]
    filters: FilterArgs,
}

/// Times.
pub(super) async fn run(ctx: &mut Context<'_>, args: SlowArgs) -> CommandResult {
    let mode = ctx.output_among("sagas slow", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    if args.top > MOST_LISTED {
        return Err(Failure::unusable(format!("--top {} is more than {MOST_LISTED}", args.top)));
    }
    let now = ctx.now();
    let filter = args.filters.filter(now)?;
    let limit = (args.limit > 0).then_some(args.limit);
    let inspector = ctx.inspector().await?;
    let names = filter.names.clone();
    let request = Request { filter, limit, over: args.over, most: args.top };
    let mut timing = Timing::begin(inspector.clone(), request, now).await?;
    let mut progress = Progress::new(ctx);
    while timing.advance().await? {
        progress.show(ctx, || format!("timed {}", counted(timing.progress().0, "saga")));
    }
    drop(progress);
    if timing.no_such_name() {
        return Err(unknown_name(&inspector, &names));
    }
    let (_, rows) = timing.progress();
    let report = timing.report();
    match mode {
        OutputMode::Table => {
            let look = ctx.look();
            render::sagas::render_slow(ctx.out(), &look, &report)?;
        }
        _ => ctx.write_json(mode, &report)?,
    }
    let extent = match report.is_cut {
        true => format!("timed {}; there may be more, --limit 0 times all", counted(report.sagas, "saga")),
        false => format!("complete: timed {}", counted(report.sagas, "saga")),
    };
    ctx.note(format_args!(
        "from {}; {extent}; scanned {rows} rows of saga and their logs",
        inspector.describe()
    ));
    if report.unreadable > 0 {
        ctx.note(format_args!(
            "{} have times that cannot be read, and are timed without them",
            counted(report.unreadable, "saga")
        ));
    }
    Ok(Outcome::Good)
}

/// More than anybody reads, and little to keep.
const MOST_LISTED: usize = 10_000;
