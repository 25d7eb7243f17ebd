//! `sagactl sagas abandon`: gives sagas up.

use super::change::{self, ChangeArgs, Words};
use crate::amend::abandon::{Request, plan};
use crate::cli::commands::saga_ids::SagaIds;
use crate::cli::context::Context;
use crate::cli::failure::CommandResult;
use crate::store::amend::Capability;

/// Give sagas up: nobody will run them again, and nothing that they did is undone
///
/// The plan names what stays behind. The owner must be down; the saga must be as the plan saw it when it is written; and what
/// is there afterwards is read again.
#[derive(Debug, clap::Args)]
pub(super) struct AbandonArgs {
    #[command(flatten)]
    sagas: SagaIds,

    /// What to write down: why, who, under which ticket
    #[arg(long, value_name = "TEXT", default_value = "abandoned with sagactl")]
    comment: String,

    #[command(flatten)]
    change: ChangeArgs,
}

const WORDS: Words =
    Words { command: "sagas abandon", ask: |sagas| format!("Abandon {sagas} for ever?"), done: "abandoned" };

/// Abandons.
pub(super) async fn run(ctx: &mut Context<'_>, args: AbandonArgs) -> CommandResult {
    let AbandonArgs { sagas, comment, change } = args;
    let request = Request { comment, time: ctx.now(), check: change.check() };
    change::run(ctx, &WORDS, sagas, change, |reading, why, owner, source| {
        plan(reading, why, owner.engine, &Capability::to_abandon(source), &request)
    })
    .await
}
