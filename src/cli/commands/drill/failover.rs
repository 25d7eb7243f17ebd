//! `sagactl drill failover`: lose coordinators of a database that several share.

use super::{LoadedDrillArgs, client_maker, write_json_report};
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Outcome};
use crate::drill::failover::{self, Options};
use crate::reconcile::Verdict;
use crate::render;
use crate::store::postgres;
use std::time::Duration;

/// Lose coordinators of a shared database, and prove that others take over and that zombies are fenced
///
/// By turns a coordinator is killed, or stopped and continued after others have adopted its sagas; it must then end by
/// itself, and nothing of it may reach the database. Needs --db-url postgresql://…, where the drill has a schema of its own,
/// which it removes; what else is there is not touched.
#[derive(Debug, clap::Args)]
pub(super) struct FailoverArgs {
    /// How many coordinators to lose, one after the other
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    cycles: u32,
    /// Coordinators at the same time
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=16))]
    coordinators: u32,
    /// Share of the sagas that fail at a random node, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = super::parse_share)]
    failing: f64,
    /// Lose no more after this time, whatever --cycles says
    #[arg(long, value_name = "DUR", default_value = "3m", value_parser = humantime::parse_duration)]
    max_time: Duration,
    /// Decides whom it meets and when [default: random, and told in the report]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    drill: LoadedDrillArgs,
}

/// Runs the drill.
pub(super) async fn run(ctx: &mut Context<'_>, args: FailoverArgs) -> CommandResult {
    let mode =
        ctx.output_among("drill failover", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let Some(db_url) = super::named_db_url(ctx).filter(|url| !url.starts_with("sqlite:")) else {
        return Err(Failure::unusable("drill failover needs a database that coordinators can share")
            .hint("give --db-url postgresql://user@host/database; the drill has a schema of its own there"));
    };
    postgres::check_url(&db_url)
        .map_err(|error| Failure::unusable("--db-url is unusable").caused_by(&error))?;
    let FailoverArgs { cycles, coordinators, failing, max_time, seed, drill } = args;
    let options = Options {
        cycles,
        coordinators,
        concurrency: drill.concurrency,
        failing,
        max_time,
        seed: seed.unwrap_or_else(rand::random),
        program: drill.program,
        db_url,
        keep: drill.keep,
    };
    let bar = super::bar(ctx, "coordinators lost");
    bar.set_length(u64::from(cycles));
    let tell = |cycle: u32| bar.set_position(u64::from(cycle));
    let report = failover::run(&options, &client_maker(ctx), &tell).await?;
    bar.finish_and_clear();
    if let Some(path) = &drill.json_report {
        write_json_report(path, &report)?;
    }
    match mode {
        OutputMode::Table => {
            let look = ctx.look();
            render::drill::failover::render_report(ctx.out(), &look, &report)?;
        }
        _ => ctx.write_json(mode, &report)?,
    }
    Ok(Outcome::good_if(report.verdict == Verdict::Consistent))
}
