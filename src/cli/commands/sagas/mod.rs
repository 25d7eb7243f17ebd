//! `sagactl sagas`: sagas as the database has them, whether a coordinator is there or not.

mod count;
mod filters;
mod list;

use crate::cli::context::Context;
use crate::cli::failure::CommandResult;

/// Look at sagas in the database: list, count, search
#[derive(Debug, clap::Args)]
pub struct SagasArgs {
    #[command(subcommand)]
    command: SagasCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SagasCommand {
    List(list::ListArgs),
    Count(count::CountArgs),
}

/// Carries one of them out.
pub async fn run(ctx: &mut Context<'_>, args: SagasArgs) -> CommandResult {
    match args.command {
        SagasCommand::List(args) => list::run(ctx, args).await,
        SagasCommand::Count(args) => count::run(ctx, args).await,
    }
}
