//! `sagactl blast`: load, and afterwards the truth about it.
//!
//! ```text
//!   (nothing)   makes load                      `run`, with `progress`; `records` asks what is on record
//!   reconcile   holds a record against records  `reconcile`
//! ```

mod progress;
mod reconcile;
mod records;
mod run;

use crate::cli::context::Context;
use crate::cli::failure::CommandResult;
use crate::cli::runtime::Interrupts;

/// Make load, and say afterwards what became of each request
///
/// Creates projects as fast as the server lets us, until ^C unless --count or --duration ends it. The first ^C starts no
/// more requests and waits for those in flight, the second waits for nothing. At the end every request is held against
/// the records.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_help_heading = "Afterwards")]
pub struct BlastArgs {
    #[command(subcommand)]
    command: Option<BlastCommand>,
    #[command(flatten)]
    run: Box<run::RunArgs>,
}

#[derive(Debug, clap::Subcommand)]
enum BlastCommand {
    Reconcile(reconcile::ReconcileArgs),
}

impl BlastArgs {
    /// Who acts on ^C.
    pub fn interrupts(&self) -> Interrupts {
        match self.command {
            // It has requests in flight to count.
            None => Interrupts::AreTheCommandsOwn,
            Some(BlastCommand::Reconcile(_)) => Interrupts::EndTheCommand,
        }
    }
}

/// Does what was asked for.
pub async fn run(ctx: &mut Context<'_>, args: BlastArgs) -> CommandResult {
    match args.command {
        None => run::run(ctx, *args.run).await,
        Some(BlastCommand::Reconcile(args)) => reconcile::run(ctx, args).await,
    }
}
