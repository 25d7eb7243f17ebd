//! `sagactl drill furious`: recovery without pause on a coordinator under load.

use super::{LoadedDrillArgs, client_maker, write_json_report};
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Outcome};
use crate::drill::furious::{self, Options, Totals};
use crate::reconcile::Verdict;
use crate::render;
use std::time::Duration;

/// Run recovery without pause on a coordinator under load, and prove that it never touches a saga that runs
#[derive(Debug, clap::Args)]
pub(super) struct FuriousArgs {
    /// How long to make load
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    #[command(flatten)]
    drill: LoadedDrillArgs,
}

/// Runs the drill.
pub(super) async fn run(ctx: &mut Context<'_>, args: FuriousArgs) -> CommandResult {
    let mode =
        ctx.output_among("drill furious", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let db_url = super::named_db_url(ctx);
    let FuriousArgs { duration, drill } = args;
    let options = Options {
        duration,
        concurrency: drill.concurrency,
        program: drill.program,
        db_url,
        keep: drill.keep,
    };
    let bar = super::bar(ctx, "passes");
    let tell = |totals: Totals| {
        bar.set_length(totals.passes);
        bar.set_position(totals.passes);
    };
    let report = furious::run(&options, &client_maker(ctx), &tell).await?;
    bar.finish_and_clear();
    if let Some(path) = &drill.json_report {
        write_json_report(path, &report)?;
    }
    match mode {
        OutputMode::Table => {
            let look = ctx.look();
            render::drill::furious::render_report(ctx.out(), &look, &report)?;
        }
        _ => ctx.write_json(mode, &report)?,
    }
    Ok(Outcome::good_if(report.verdict == Verdict::Consistent))
}
