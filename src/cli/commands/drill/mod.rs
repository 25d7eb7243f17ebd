//! `sagactl drill`: break coordinators on purpose, in a scratch directory, and prove that it makes no difference.

mod crash_points;

use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure};
use crate::client::base_url::BaseUrl;
use crate::client::{Client, ClientError, Config};
use crate::render;
use serde::Serialize;
use std::path::Path;
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
    CrashPoints(crash_points::CrashPointsArgs),
}

/// Runs one of the drills.
pub async fn run(ctx: &mut Context<'_>, args: DrillArgs) -> CommandResult {
    match args.command {
        DrillCommand::CrashPoints(args) => crash_points::run(ctx, args).await,
    }
}

/// Makes clients for the coordinators that a drill starts.
fn client_maker(ctx: &Context<'_>) -> impl Fn(BaseUrl) -> Result<Client, ClientError> + Sync + use<> {
    let budget = ctx.settings().timeout;
    move |base| Client::new(Config { base, token: None, budget, retry: false, on_event: Arc::new(|_| {}) })
}

/// Writes a report into a file of its own, whole or not at all.
fn write_json_report<T: Serialize>(path: &Path, report: &T) -> Result<(), Failure> {
    let mut json = Vec::new();
    render::json::write_pretty(&mut json, report)?;
    crate::coordinator::identity::write_whole(path, &json).map_err(|error| {
        Failure::unusable(format!("cannot write the report to {}", path.display())).caused_by(&error)
    })
}
