//! `sagactl drill crash-points`: crash a coordinator at every point of every saga.

use super::{client_maker, write_json_report};
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::drill::crash_points::{self, CrashPointsError, Mode, Options, PointVerdict, Progress};
use crate::drill::harness::HarnessError;
use crate::render;
use crate::store::error::StoreError;
use std::path::PathBuf;
use std::thread::available_parallelism;

/// Crash a coordinator at every point of every saga, and see that it makes no difference
///
/// For each node: before its action, after its action but before its event, and after its event; forward, and while
/// unwinding from every node that may fail. How the recovered saga comes to rest, and every row that it leaves, must be as
/// without the crash. With `--db-url postgresql://…` all of it takes place in schemas of the drill's own there.
#[derive(Debug, clap::Args)]
pub(super) struct CrashPointsArgs {
    /// Only sagas of this kind; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    saga: Vec<String>,
    /// Program that runs the coordinator, for sagas of your own [default: this one]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Which writes of a saga are waited for: as its kind declares, all, some points so and some so, or every point both ways
    #[arg(long, value_name = "MODE", value_enum, default_value_t = ModeArg::Mixed)]
    mode: ModeArg,
    /// Coordinators at a time [default: two for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Write the whole report as JSON here
    #[arg(long, value_name = "FILE")]
    json_report: Option<PathBuf>,
    /// Keep the scratch directory, and the schemas on the server that runs start from
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ModeArg {
    Declared,
    Strict,
    Mixed,
    Both,
}

/// Runs the drill.
pub(super) async fn run(ctx: &mut Context<'_>, args: CrashPointsArgs) -> CommandResult {
    let mode =
        ctx.output_among("drill crash-points", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let db_url = super::named_db_url(ctx);
    if db_url.as_ref().is_some_and(|url| url.starts_with("sqlite:")) {
        return Err(Failure::unusable("drill crash-points has no use for a SQLite file")
            .because("each point has a copy of a database of its own, in a scratch directory")
            .hint(
                "without --db-url it drills on SQLite, with --db-url postgresql://... in schemas of its own",
            ));
    }
    let options = Options {
        sagas: args.saga,
        program: args.program,
        jobs: args.jobs.map_or_else(|| 2 * available_parallelism().map_or(2, usize::from), usize::from),
        mode: match args.mode {
            ModeArg::Declared => Mode::Declared,
            ModeArg::Strict => Mode::Strict,
            ModeArg::Mixed => Mode::Mixed,
            ModeArg::Both => Mode::Both,
        },
        db_url,
        keep: args.keep,
    };
    let bar = super::bar(ctx, "crash points");
    let tell = |progress: Progress| {
        let Progress { done, total, failed } = progress;
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        bar.set_message(if failed == 0 { String::new() } else { format!("{failed} failed") });
    };
    let report = crash_points::run(&options, &client_maker(ctx), &tell).await?;
    bar.finish_and_clear();
    if let Some(path) = &args.json_report {
        write_json_report(path, &report)?;
    }
    match mode {
        OutputMode::Table => {
            let look = ctx.look();
            render::drill::crash_points::render_report(ctx.out(), &look, &report)?;
        }
        _ => ctx.write_json(mode, &report)?,
    }
    Ok(Outcome::good_if(report.verdict == PointVerdict::Ok))
}

impl From<CrashPointsError> for Failure {
    fn from(error: CrashPointsError) -> Self {
        let kind = match &error {
            CrashPointsError::UnknownSaga { .. }
            | CrashPointsError::Harness(HarnessError::Io { .. })
            | CrashPointsError::Client(_) => Kind::Unusable,
            CrashPointsError::Baseline { .. } => Kind::Bad,
            CrashPointsError::Harness(HarnessError::NotReady { .. }) => Kind::TimedOut,
            CrashPointsError::Harness(_) => Kind::Unreachable,
            CrashPointsError::Schema(StoreError::Unavailable(_) | StoreError::Unusable(_))
            | CrashPointsError::Store(StoreError::Unavailable(_)) => Kind::Unreachable,
            CrashPointsError::Schema(_) => Kind::Unusable,
            CrashPointsError::Call(_) | CrashPointsError::Store(_) => Kind::Nonsense,
        };
        match error {
            // The whole sentence is in the error itself.
            CrashPointsError::UnknownSaga { .. } | CrashPointsError::Baseline { .. } => {
                Self::new(kind, error.to_string())
            }
            error => Self::new(kind, "the drill ended early").caused_by(&error),
        }
    }
}
