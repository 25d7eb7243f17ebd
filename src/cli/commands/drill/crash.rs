//! `sagactl drill crash`: kill a coordinator under load, again and again.

use super::{LoadedDrillArgs, client_maker, write_json_report};
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Outcome};
use crate::drill::crash::{self, Options};
use crate::reconcile::Verdict;
use crate::render;

/// Kill a coordinator under load, again and again, and prove each time that nothing was lost, repeated or left hanging
///
/// A share of the sagas fails at random nodes, so that kills meet unwinding, too, and in every third cycle recovery itself
/// is killed.
#[derive(Debug, clap::Args)]
pub(super) struct CrashArgs {
    /// How many times to make load, kill, restart and reconcile
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    cycles: u32,
    /// Make load of sagas of this kind; may be repeated [default: projects, or all kinds of a coordinator without them]
    #[arg(long, value_name = "NAME")]
    saga: Vec<String>,
    /// Share of the sagas that fail at a random node, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = super::parse_share)]
    failing: f64,
    /// Decides when kills come [default: random, and told in the report]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    drill: LoadedDrillArgs,
}

/// Runs the drill.
pub(super) async fn run(ctx: &mut Context<'_>, args: CrashArgs) -> CommandResult {
    let mode = ctx.output_among("drill crash", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let db_url = super::named_db_url(ctx);
    let CrashArgs { cycles, saga, failing, seed, drill } = args;
    let options = Options {
        cycles,
        concurrency: drill.concurrency,
        sagas: saga,
        failing,
        seed: seed.unwrap_or_else(rand::random),
        program: drill.program,
        db_url,
        keep: drill.keep,
    };
    let bar = super::bar(ctx, "crash cycles");
    bar.set_length(u64::from(cycles));
    let tell = |cycle: u32| bar.set_position(u64::from(cycle));
    let report = crash::run(&options, &client_maker(ctx), &tell).await?;
    bar.finish_and_clear();
    if let Some(path) = &drill.json_report {
        write_json_report(path, &report)?;
    }
    match mode {
        OutputMode::Table => {
            let look = ctx.look();
            render::drill::crash::render_report(ctx.out(), &look, &report)?;
        }
        _ => ctx.write_json(mode, &report)?,
    }
    Ok(Outcome::good_if(report.verdict == Verdict::Consistent))
}
