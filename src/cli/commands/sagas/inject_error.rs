//! `sagactl sagas inject-error`: makes sagas fail that hang.

use super::change::{self, ChangeArgs, Words};
use crate::amend::inject::{Request, plan};
use crate::cli::commands::saga_ids::SagaIds;
use crate::cli::context::Context;
use crate::cli::failure::CommandResult;
use crate::store::amend::Capability;

/// Make an action that was begun have failed, so that the saga unwinds at its next recovery
///
/// The node itself is not undone: what its action did until now stays. The owner must be down; the saga must be as the plan
/// saw it when it is written; and what is there afterwards is read again.
#[derive(Debug, clap::Args)]
pub(super) struct InjectErrorArgs {
    #[command(flatten)]
    sagas: SagaIds,

    /// Only this node, by its number, its name or its path; otherwise every one whose action is under way
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,

    /// The error in words
    #[arg(long, value_name = "TEXT", default_value = "error injected with sagactl")]
    message: String,

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
    change::run(ctx, &WORDS, sagas, change, |reading, why, engine, source| {
        plan(reading, why, engine, &Capability::to_inject(source), &request)
    })
    .await
}
