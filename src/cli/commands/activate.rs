//! `sagactl activate`: runs background tasks now, and by default waits for it.

use super::tasks::{TaskName, unknown_task};
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::client::FetchedTask;
use crate::client::error::CallError;
use crate::observe::activation::{self, ActivateError, Asked, Pending, Waited};
use crate::observe::recovery::{Recovery, Trouble};
use crate::render;
use crate::wire::bgtasks::SAGA_RECOVERY;
use serde::Serialize;

/// Run background tasks now and wait for an activation that began after the request
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exits 1 if a pass of saga recovery failed or had failures, 4 if --timeout ends first."
)]
pub struct ActivateArgs {
    /// Which tasks; "recovery" means saga_recovery
    #[arg(value_name = "TASK", required = true)]
    tasks: Vec<TaskName>,

    /// Only ask, do not wait
    #[arg(long)]
    no_wait: bool,
}

/// One task in `-o json`.
#[derive(Debug, Serialize)]
struct Activated<'a> {
    /// Name of the task.
    name: &'a str,
    /// The first iteration that begins after the request, if the coordinator says.
    requested_iteration: Option<u64>,
    /// Whether such an activation is known to have completed.
    completed: bool,
    /// The task after it; absent with `--no-wait`.
    #[serde(flatten)]
    after: Option<&'a Recovery>,
}

/// Asks, waits, shows.
pub async fn run(ctx: &mut Context<'_>, args: ActivateArgs) -> CommandResult {
    let mode = ctx.output_among("activate", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let client = ctx.client()?;
    let names = args.tasks.into_iter().map(|TaskName(name)| name).collect();
    let Asked { pending, certainty } = activation::activate(&client, &names).await?;
    ctx.note_certainty(certainty);
    if args.no_wait {
        return show_asked(ctx, mode, &pending);
    }

    // One after the other: they run side by side all the same, and the slowest decides.
    let mut finished = Vec::new();
    let mut late = Vec::new();
    for pending in pending {
        let (name, requested) = (pending.name().to_owned(), pending.iteration());
        let on_outage = |error: &CallError| {
            ctx.note(format_args!("connection lost, retrying: {}: {}", error.call, error.problem));
        };
        match pending.wait(&client, on_outage).await? {
            Waited::Completed(task) => finished.push((name, requested, task)),
            Waited::TimedOut { task, awaited } => late.push((name, awaited, task)),
        }
    }
    show_finished(ctx, mode, &finished)?;
    if let Some((name, awaited, task)) = late.first() {
        return Err(timed_out(ctx, name, *awaited, task));
    }
    let reports: Vec<Recovery> = finished.iter().map(|(_, _, task)| Recovery::new(task)).collect();
    for (recovery, (name, _, _)) in reports.iter().zip(&finished) {
        if let (SAGA_RECOVERY, Some(Trouble::Malformed(error))) = (name.as_str(), &recovery.trouble) {
            return Err(Failure::new(Kind::Nonsense, "cannot read the recovery report").caused_by(error));
        }
    }
    Ok(Outcome::good_if(reports.iter().all(Recovery::last_pass_is_good)))
}

fn show_asked(ctx: &mut Context<'_>, mode: OutputMode, pending: &[Pending]) -> CommandResult {
    if mode == OutputMode::Table {
        for pending in pending {
            let name = render::escape::escape(pending.name()).into_owned();
            match pending.iteration() {
                Some(iteration) => {
                    writeln!(ctx.out(), "asked for {name}: iter {iteration} will begin after this request")?
                }
                None => writeln!(ctx.out(), "asked for {name}")?,
            }
        }
    } else {
        let activated: Vec<_> = pending
            .iter()
            .map(|pending| Activated {
                name: pending.name(),
                requested_iteration: pending.iteration(),
                completed: false,
                after: None,
            })
            .collect();
        ctx.write_json_list(mode, &activated)?;
    }
    Ok(Outcome::Good)
}

fn show_finished(
    ctx: &mut Context<'_>,
    mode: OutputMode,
    finished: &[(String, Option<u64>, FetchedTask)],
) -> Result<(), Failure> {
    let reports: Vec<Recovery> = finished.iter().map(|(_, _, task)| Recovery::new(task)).collect();
    if mode != OutputMode::Table {
        let activated: Vec<_> = finished
            .iter()
            .zip(&reports)
            .map(|((name, requested_iteration, _), recovery)| Activated {
                name,
                requested_iteration: *requested_iteration,
                completed: true,
                after: Some(recovery),
            })
            .collect();
        return Ok(ctx.write_json_list(mode, &activated)?);
    }
    let look = ctx.look();
    for (index, recovery) in reports.iter().enumerate() {
        let out = ctx.out();
        if index > 0 {
            writeln!(out)?;
        }
        render::activate::render_activated(out, &look, recovery)?;
    }
    Ok(())
}

fn timed_out(ctx: &Context<'_>, name: &str, awaited: Option<u64>, task: &FetchedTask) -> Failure {
    let awaited = awaited.map(|iteration| format!(" to complete iteration {iteration}")).unwrap_or_default();
    Failure::new(Kind::TimedOut, format!("timed out waiting for task {name:?}{awaited}"))
        .because(render::activate::what_it_is_doing(ctx.now(), &Recovery::new(task).task))
        .hint("it was asked and will run; `sagactl status` shows it, --timeout waits longer")
}

impl From<ActivateError> for Failure {
    fn from(error: ActivateError) -> Self {
        match error {
            ActivateError::Unknown(unknown) => unknown_task(&unknown),
            ActivateError::Call(error) => error.into(),
            ActivateError::Lost(error) => (*error).into(),
        }
    }
}
