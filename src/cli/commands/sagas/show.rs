//! `sagactl sagas show`: one saga with all its nodes.

use crate::cli::commands::saga_ids::{SagaIds, resolve};
use crate::cli::commands::why::{look, say_source};
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::observe::saga::{SagaReport, Wanted, dag_json};
use crate::observe::why::judge::judge;
use crate::render;
use crate::render::escape::escape;
use crate::saga_log::Reading;
use crate::saga_log::record::SagaRecords;

/// Show a saga: what it is doing, and every node with what came of it
///
/// Nodes are in execution order, those of subsagas indented; | marks what may run at the same time, and what has not run is
/// there too. What the saga was given is left out unless --params asks for it.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    sagas: SagaIds,

    /// Also the log, event by event
    #[arg(long)]
    events: bool,

    /// Also the times in which nothing ran
    #[arg(long)]
    gaps: bool,

    /// Also the errors in full
    #[arg(long)]
    errors: bool,

    /// Also what the saga was given: parameters and constants, which hold identities and user data
    #[arg(long)]
    params: bool,

    /// Nothing but the DAG, for Graphviz or as JSON
    #[arg(long, value_name = "FORMAT", conflicts_with_all = ["events", "gaps", "errors"])]
    dag: Option<DagFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DagFormat {
    /// What `dot -Tsvg` draws, with the status of each node
    Dot,
    /// As it is stored
    Json,
}

/// Shows.
pub(super) async fn run(ctx: &mut Context<'_>, args: ShowArgs) -> CommandResult {
    let ShowArgs { sagas, events, gaps, errors, params, dag } = args;
    let mode = ctx.output_among("sagas show", &OutputMode::ALL)?;
    if dag == Some(DagFormat::Dot) && mode != OutputMode::Table {
        return Err(Failure::unusable("--dag dot is no JSON; leave out --output, or use --dag json"));
    }
    let wanted = Wanted { events, gaps, errors, params };
    let is_one = sagas.is_one();
    let texts = sagas.read()?;
    let inspector = ctx.inspector().await?;
    let mut reports = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let id = resolve(ctx, &inspector, text).await?;
        if let Some(format) = dag {
            let Some(records) = inspector.load_saga(id).await? else {
                return Err(Failure::unusable(format!("saga {id} is not in the database any more")));
            };
            write_dag(ctx, mode, &records, format, wanted)?;
            continue;
        }
        let found = look(ctx, &inspector, id).await?;
        let reading = Reading::of(&found.records);
        let now = ctx.now();
        let report = SagaReport::new(&reading, judge(&reading, &found.owner, now), wanted, now);
        match mode {
            OutputMode::Table => {
                let look = ctx.look();
                if index > 0 {
                    writeln!(ctx.out())?;
                }
                let left_out = render::saga::render_saga(ctx.out(), &look, &report)?;
                if !left_out.is_empty() {
                    let left_out: Vec<String> = left_out.iter().map(|title| title.to_lowercase()).collect();
                    ctx.note(format_args!("left out for want of room: {}", left_out.join(", ")));
                }
            }
            OutputMode::Ids => writeln!(ctx.out(), "{id}")?,
            OutputMode::Jsonl => ctx.write_json(mode, &report)?,
            OutputMode::Json if is_one => ctx.write_json(mode, &report)?,
            OutputMode::Json => reports.push(report),
        }
    }
    if mode == OutputMode::Json && !is_one && dag.is_none() {
        ctx.write_json_list(mode, &reports)?;
    }
    say_source(ctx, &inspector);
    Ok(Outcome::Good)
}

/// Writes the DAG alone. One that cannot be read is shown as it is stored.
fn write_dag(
    ctx: &mut Context<'_>,
    mode: OutputMode,
    records: &SagaRecords,
    format: DagFormat,
    wanted: Wanted,
) -> Result<(), Failure> {
    let reading = Reading::of(records);
    let text = records.dag.value();
    let drawn = match format {
        DagFormat::Dot => match &reading.dag {
            Ok((dag, _)) => {
                render::saga::render_dot(ctx.out(), dag, &reading)?;
                Ok(())
            }
            Err(reason) => Err(reason.clone()),
        },
        DagFormat::Json => match text.map(|text| dag_json(text, wanted)) {
            Some(Ok(dag)) => {
                ctx.write_json(mode, &dag)?;
                Ok(())
            }
            Some(Err(error)) => Err(format!("the DAG is not JSON: {error}")),
            None => Err(reading.dag.as_ref().err().cloned().unwrap_or_default()),
        },
    };
    let Err(reason) = drawn else { return Ok(()) };
    // Parameters may be in there, but where they begin and end nobody can tell.
    if let (Some(text), true) = (text, wanted.params) {
        writeln!(ctx.out(), "{}", escape(text))?;
    }
    let failure =
        Failure::new(Kind::Nonsense, format!("saga {} has no DAG to show", records.id)).because(reason);
    Err(match text {
        Some(_) if !wanted.params => failure.hint("--params shows it as it is stored"),
        _ => failure,
    })
}
