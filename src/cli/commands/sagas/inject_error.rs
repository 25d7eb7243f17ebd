//! `sagactl sagas inject-error`: makes sagas fail that hang, by their owner if it runs them, else in the database.

use super::change::{self, ChangeArgs, Words};
use crate::amend::inject::{Request, plan};
use crate::cli::commands::saga_ids::SagaIds;
use crate::cli::context::Context;
use crate::cli::failure::CommandResult;
use crate::store::amend::Capability;

/// Make an action fail, so that the saga unwinds
///
/// The node itself is not undone: what its action did until now stays. An owner that runs the saga is told, and cuts the
/// action off at once, or fails the node when its turn comes. If the owner is down, an action that was begun is made to have
/// failed in the database, and the saga unwinds at its next recovery; the saga must then be as the plan saw it when it is
/// written. Either way its log is read again afterwards.
#[derive(Debug, clap::Args)]
pub(super) struct InjectErrorArgs {
    #[command(flatten)]
    sagas: SagaIds,

    /// Only this node, by its number, its name or its path; otherwise every one whose action is under way. One whose action
    /// has not begun can be named if the owner runs the saga
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,

    /// The error in words, for the database; an owner that is told has words of its own
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

const WORDS: Words = Words {
    command: "sagas inject-error",
    ask: |sagas| format!("Inject an error into {sagas}?"),
    done: "injected an error into",
};

/// Injects.
pub(super) async fn run(ctx: &mut Context<'_>, args: InjectErrorArgs) -> CommandResult {
    let InjectErrorArgs { sagas, node, message, change } = args;
    let request = Request { nodes: node, message, time: ctx.now(), check: change.check() };
    change::run(ctx, &WORDS, sagas, change, |reading, why, owner, source| {
        plan(reading, why, owner, &Capability::to_inject(source), &request)
    })
    .await
}
