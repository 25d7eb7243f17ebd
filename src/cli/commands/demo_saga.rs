//! `sagactl demo-saga`: a saga that does nothing but wait until it is told to go on.

use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Outcome};
use crate::observe::found_out;
use crate::wire::ids::DemoSagaId;
use serde_json::json;

/// Start a saga that waits, or let it go on: something to be recovered
#[derive(Debug, clap::Args)]
pub struct DemoSagaArgs {
    #[command(subcommand)]
    command: DemoSagaCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DemoSagaCommand {
    /// Start a demo saga; it waits until it is completed
    Create,
    /// Let a demo saga go on
    Complete(CompleteArgs),
}

#[derive(Debug, clap::Args)]
struct CompleteArgs {
    /// The demo saga id that `create` printed, which is not the saga's id
    demo_saga_id: DemoSagaId,
}

const MODES: [OutputMode; 3] = [OutputMode::Table, OutputMode::Json, OutputMode::Jsonl];

/// Starts one or lets one go on.
pub async fn run(ctx: &mut Context<'_>, args: DemoSagaArgs) -> CommandResult {
    match args.command {
        DemoSagaCommand::Create => create(ctx).await,
        DemoSagaCommand::Complete(args) => complete(ctx, args).await,
    }
}

async fn create(ctx: &mut Context<'_>) -> CommandResult {
    let mode = ctx.output_among("demo-saga create", &MODES)?;
    let (saga, certainty) = found_out::create_demo_saga(&ctx.client()?).await?;
    ctx.note_certainty(certainty);
    if mode == OutputMode::Table {
        // omdb's words, which scripts look for.
        writeln!(ctx.out(), "saga id:      {}", saga.saga_id)?;
        writeln!(ctx.out(), "demo saga id: {} (use this with `demo-saga complete`)", saga.demo_saga_id)?;
    } else {
        ctx.write_json(mode, &saga)?;
    }
    Ok(Outcome::Good)
}

async fn complete(ctx: &mut Context<'_>, args: CompleteArgs) -> CommandResult {
    let mode = ctx.output_among("demo-saga complete", &MODES)?;
    let id = args.demo_saga_id;
    let Some(certainty) = found_out::complete_demo_saga(&ctx.client()?, id).await? else {
        return Err(Failure::unusable(format!("unknown demo saga {id}"))
            .hint("the demo saga id is wanted, not the saga's; after a restart it is known once the saga is recovered"));
    };
    ctx.note_certainty(certainty);
    if mode == OutputMode::Table {
        writeln!(ctx.out(), "demo saga {id} goes on")?;
    } else {
        ctx.write_json(mode, &json!({"demo_saga_id": id, "completed": true}))?;
    }
    Ok(Outcome::Good)
}
