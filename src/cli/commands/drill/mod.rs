//! `sagactl drill`: break coordinators on purpose, in a scratch directory, and prove that it makes no difference.

mod crash;
mod crash_points;
mod failover;
mod furious;

use crate::cli::config::{DbUrl, Source};
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind};
use crate::client::base_url::BaseUrl;
use crate::client::retry::RetryScope;
use crate::client::tls::Trust;
use crate::client::{Client, ClientError, Config};
use crate::drill::harness::HarnessError;
use crate::drill::lab::DrillError;
use crate::render;
use crate::store::error::StoreError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Break coordinators on purpose, and prove that nothing comes of it
///
/// Each drill starts coordinators of its own in a scratch directory, on free loopback ports, and ends within a bounded
/// time. Exit code 0: it made no difference; 1: it did, and the report says where.
#[derive(Debug, clap::Args)]
pub struct DrillArgs {
    #[command(subcommand)]
    command: DrillCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DrillCommand {
    Furious(furious::FuriousArgs),
    Crash(crash::CrashArgs),
    CrashPoints(crash_points::CrashPointsArgs),
    Failover(failover::FailoverArgs),
}

/// What drills that make load have in common. With `--db-url postgresql://…` they have a schema of their own there.
#[derive(Debug, clap::Args)]
struct LoadedDrillArgs {
    /// Clients at the same time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    concurrency: u32,
    /// Program that runs the coordinator, for sagas of your own [default: this one]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Write the whole report as JSON here
    #[arg(long, value_name = "FILE")]
    json_report: Option<PathBuf>,
    /// Keep the scratch directory, and the schema on the server
    #[arg(long)]
    keep: bool,
}

/// The database to drill on, if one was given for this very command. A variable or a context names the database that is
/// looked at, which must not be drilled by accident.
fn named_db_url(ctx: &Context<'_>) -> Option<String> {
    let chosen = ctx.db_url().filter(|chosen| chosen.source == Source::Flag)?;
    Some(match &chosen.value {
        DbUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
        DbUrl::Postgresql(url) => url.clone(),
    })
}

/// Runs one of the drills.
pub async fn run(ctx: &mut Context<'_>, args: DrillArgs) -> CommandResult {
    match args.command {
        DrillCommand::Furious(args) => furious::run(ctx, args).await,
        DrillCommand::Crash(args) => crash::run(ctx, args).await,
        DrillCommand::CrashPoints(args) => crash_points::run(ctx, args).await,
        DrillCommand::Failover(args) => failover::run(ctx, args).await,
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is from 0 to 1".to_owned()) }
}

/// Makes clients for the coordinators that a drill starts.
fn client_maker(ctx: &Context<'_>) -> impl Fn(BaseUrl) -> Result<Client, ClientError> + Sync + use<> {
    let budget = ctx.settings().timeout;
    move |base| {
        Client::new(Config {
            base,
            trust: Trust::system(),
            token: None,
            budget,
            retry: RetryScope::Nothing,
            on_event: Arc::new(|_| {}),
        })
    }
}

/// Writes a report into a file of its own, whole or not at all.
fn write_json_report<T: Serialize>(path: &Path, report: &T) -> Result<(), Failure> {
    let mut json = Vec::new();
    render::json::write_pretty(&mut json, report)?;
    crate::files::write_whole(path, &json).map_err(|error| {
        Failure::unusable(format!("cannot write the report to {}", path.display())).caused_by(&error)
    })
}

/// Progress on a terminal's standard error.
fn bar(ctx: &mut Context<'_>, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    bar.set_draw_target(match ctx.console().stderr_is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    });
    let style = ProgressStyle::with_template("{prefix}: {pos} of {len} [{bar:30}] {elapsed} {msg}");
    bar.set_style(style.expect("a template with known keys"));
    bar.set_prefix(what);
    bar
}

impl From<DrillError> for Failure {
    fn from(error: DrillError) -> Self {
        let kind = match &error {
            // The whole sentence is in the error itself.
            DrillError::UnknownSaga { .. } | DrillError::NothingToDrill | DrillError::NoProjects => {
                return Self::unusable(error.to_string());
            }
            DrillError::Harness(HarnessError::Io { .. }) | DrillError::Client(_) => Kind::Unusable,
            DrillError::Harness(HarnessError::NotReady { .. }) | DrillError::NotRecovered => Kind::TimedOut,
            DrillError::Harness(_) | DrillError::Load(_) => Kind::Unreachable,
            DrillError::Call(_)
            | DrillError::Status(_)
            | DrillError::Activate(_)
            | DrillError::Store(_)
            | DrillError::Inspect(_)
            | DrillError::Records(_) => Kind::Nonsense,
            DrillError::Schema(StoreError::Unavailable(_) | StoreError::Unusable(_)) => Kind::Unreachable,
            DrillError::Schema(_) => Kind::Unusable,
        };
        Self::new(kind, "the drill ended early").caused_by(&error)
    }
}
