//! `sagactl why`: one saga, what it is doing, where it hangs, whose it is, what to do.

use super::saga_ids::{SagaIds, resolve};
use crate::cli::config::{OutputMode, Source};
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Outcome};
use crate::observe::why::Why;
use crate::observe::why::ask::{Found, Peers, ask};
use crate::observe::why::judge::judge;
use crate::render;
use crate::saga_log::Reading;
use crate::store::inspect::Inspector;
use crate::wire::ids::SagaId;

/// Say what a saga is doing, where it hangs, whose it is and what to do
///
/// Begins with one word: running, retrying, between-nodes, unwinding, waiting-for-recovery, owner-dead, owner-gone, phantom,
/// unrecoverable, stuck, failed, abandoned or succeeded. The database is enough for an answer; the saga's owner is asked
/// too, where the database or --url says that it is.
#[derive(Debug, clap::Args)]
pub struct WhyArgs {
    #[command(flatten)]
    sagas: SagaIds,
}

/// Answers.
pub async fn run(ctx: &mut Context<'_>, args: WhyArgs) -> CommandResult {
    let mode = ctx.output_among("why", &OutputMode::ALL)?;
    let is_one = args.sagas.is_one();
    let texts = args.sagas.read()?;
    let inspector = ctx.inspector().await?;
    let mut answers: Vec<Why> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let id = resolve(ctx, &inspector, text).await?;
        let found = look(ctx, &inspector, id).await?;
        let why = judge(&Reading::of(&found.records), &found.owner, ctx.now());
        match mode {
            OutputMode::Table => {
                let look = ctx.look();
                if index > 0 {
                    writeln!(ctx.out())?;
                }
                render::why::render_why(ctx.out(), &look, &why)?;
            }
            OutputMode::Ids => writeln!(ctx.out(), "{id}")?,
            OutputMode::Jsonl => ctx.write_json(mode, &why)?,
            OutputMode::Json if is_one => ctx.write_json(mode, &why)?,
            OutputMode::Json => answers.push(why),
        }
    }
    if mode == OutputMode::Json && !is_one {
        ctx.write_json_list(mode, &answers)?;
    }
    say_source(ctx, &inspector);
    Ok(Outcome::Good)
}

/// A saga and what is known of its owner.
pub(super) async fn look(ctx: &mut Context<'_>, inspector: &Inspector, id: SagaId) -> Result<Found, Failure> {
    let url = ctx.settings().url.clone();
    let peers = Peers {
        configured: ctx.pinger(url.value.clone(), ctx.token()?)?,
        is_named: url.source != Source::Default,
        // An address from a database is not told the user's token.
        client_at: &|address| ctx.pinger(address, None).ok(),
    };
    match ask(inspector, &peers, id).await? {
        Some(found) => Ok(found),
        None => Err(Failure::unusable(format!("saga {id} is not in the database any more"))),
    }
}

/// Says where the answer is from.
pub(super) fn say_source(ctx: &mut Context<'_>, inspector: &Inspector) {
    let source = inspector.describe();
    ctx.note(format_args!("from {source}"));
    let missing = source.missing();
    if !missing.is_empty() {
        ctx.note(format_args!("what the database does not have is not known: {}", missing.join(", ")));
    }
}
