//! `sagactl blast`: load, and afterwards the truth about it.
//!
//! ```text
//!   (nothing)   makes load                      `run`, with `progress`, `files` and `verdict`;
//!                                               `records` asks what is on record
//!   reconcile   holds a record against records  `reconcile`
//!   clean       deletes what runs have made     `clean`
//! ```

mod clean;
mod files;
mod progress;
mod reconcile;
mod records;
mod run;
mod verdict;

pub(super) use reconcile::reconciled as client_record;

use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure};
use crate::cli::runtime::Interrupts;

/// Make load, and say afterwards what became of each request
///
/// Creates projects as fast as the server lets us, until ^C unless --count or --duration ends it. The first ^C starts no
/// more requests and waits for those in flight, the second waits for nothing. At the end every request is held against
/// the records.
#[derive(Debug, clap::Args)]
#[command(subcommand_help_heading = "Afterwards")]
pub struct BlastArgs {
    #[command(subcommand)]
    command: Option<BlastCommand>,
    #[command(flatten)]
    run: Option<run::RunArgs>,
}

#[derive(Debug, clap::Subcommand)]
enum BlastCommand {
    Clean(clean::CleanArgs),
    Reconcile(reconcile::ReconcileArgs),
}

impl BlastArgs {
    /// Who acts on ^C.
    pub fn interrupts(&self) -> Interrupts {
        match self.command {
            // They have requests in flight to count.
            None | Some(BlastCommand::Clean(_)) => Interrupts::AreTheCommandsOwn,
            Some(BlastCommand::Reconcile(_)) => Interrupts::EndTheCommand,
        }
    }
}

/// Does what was asked for.
pub async fn run(ctx: &mut Context<'_>, args: BlastArgs) -> CommandResult {
    match (args.command, args.run) {
        (None, options) => run::run(ctx, options.unwrap_or_default()).await,
        (Some(_), Some(_)) => Err(Failure::unusable("options of a run stand before a subcommand of blast")
            .hint(
                "options of the subcommand stand behind its name; `sagactl blast clean --help` shows them",
            )),
        (Some(BlastCommand::Clean(args)), None) => clean::run(ctx, args).await,
        (Some(BlastCommand::Reconcile(args)), None) => reconcile::run(ctx, args).await,
    }
}
