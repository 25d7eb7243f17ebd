//! `sagactl sagas list`: the newest sagas that one asks for.

use super::filters::FilterArgs;
use super::{counted, judge_ids, unknown_name};
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Outcome};
use crate::cli::progress::Progress;
use crate::observe::sagas::Row;
use crate::observe::sagas::filter::Filter;
use crate::observe::sagas::list::{Coverage, Detail, Listing, Request};
use crate::render;
use crate::store::inspect::Inspector;
use crate::store::inspect::saga::SecLookup;
use crate::wire::overview::ListedSaga;
use crate::wire::sagas::{CachedState, Outcome as SagaOutcome};
use std::io;

/// List sagas, newest first
///
/// Read from the database, so it works while the coordinator is down. With --source api it is the list that the coordinator
/// has in its memory, which knows no names and times.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    filters: FilterArgs,

    /// Most sagas that are listed; 0 lists all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u64,

    /// Read every saga where no index serves, however many there are
    #[arg(long)]
    scan: bool,

    /// Where from: the database, or the coordinator's memory
    #[arg(long, value_name = "SOURCE", value_enum, default_value = "db")]
    source: ListSource,

    /// Only these columns, in this order: created, saga_id, name, state, outcome, owner, progress, last_event, failed_node,
    /// error, undo_error
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    columns: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ListSource {
    /// What is on record
    Db,
    /// What the coordinator has in memory
    Api,
}

/// What a database must have for every column of the list to be known.
const SHOWN: [&str; 9] = [
    "table saga",
    "table saga_node_event",
    "column saga.time_created",
    "column saga.name",
    "column saga.saga_state",
    "column saga.current_sec",
    "column saga.saga_dag",
    "column saga_node_event.event_type",
    "column saga_node_event.event_time",
];

/// Lists.
pub(super) async fn run(ctx: &mut Context<'_>, args: ListArgs) -> CommandResult {
    let mode = ctx.output_among("sagas list", &OutputMode::ALL)?;
    let now = ctx.now();
    let filter = args.filters.filter(now)?;
    let columns = columns(&args.columns, &filter);
    // Before anything is read: a column that does not exist is known at once.
    render::sagas::saga_table(&ctx.look(), [])
        .select(&columns)
        .map_err(|error| Failure::unusable(error.to_string()))?;
    let mut writer = ListWriter::new(mode, columns, args.columns.is_empty());
    let limit = (args.limit > 0).then_some(args.limit);
    if args.source == ListSource::Api {
        return list_memory(ctx, writer, &filter, limit).await;
    }
    let inspector = ctx.inspector().await?;
    let detail = if mode == OutputMode::Ids { Detail::Id } else { Detail::Full };
    let request = Request { filter: filter.clone(), limit, may_scan: args.scan, detail };
    let mut listing = Listing::begin(inspector.clone(), request, now).await?;
    let mut progress = Progress::new(ctx);
    while let Some(sagas) = listing.next().await? {
        progress.show(ctx, || format!("scanned {} rows", listing.scanned()));
        if !sagas.is_empty() {
            progress.clear();
            writer.write(ctx, &sagas)?;
        }
    }
    progress.clear();
    writer.finish(ctx)?;
    let coverage = listing.coverage();
    conclude(ctx, &inspector, &filter, &coverage).await
}

/// The columns that are asked for, or those that one wants to see.
fn columns(asked: &[String], filter: &Filter) -> Vec<String> {
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let usual = match filter.wants_failures_only() {
        true => &render::sagas::USUAL_FAILING,
        false => &render::sagas::USUAL,
    };
    usual.iter().map(|&title| title.to_owned()).collect()
}

/// Says where the list is from and what it leaves out, and judges it.
async fn conclude(
    ctx: &mut Context<'_>,
    inspector: &Inspector,
    filter: &Filter,
    coverage: &Coverage,
) -> CommandResult {
    let Coverage {
        listed,
        scanned,
        is_cut,
        has_scanned_all,
        is_by_failure,
        undecided,
        unreadable_ids,
        no_such_name,
    } = coverage;
    let source = inspector.describe();
    if *no_such_name {
        return Err(unknown_name(inspector, &filter.names));
    }
    if *listed == 0 {
        check_secs(inspector, filter).await?;
    }
    let order = if *is_by_failure { "latest failure first" } else { "newest first" };
    let extent = match is_cut {
        true => format!("the first {listed}, {order}; there may be more, --limit 0 lists all"),
        false => format!("complete: {}, {order}", counted(*listed, "saga")),
    };
    ctx.note(format_args!("from {source}; {extent}"));
    if *has_scanned_all {
        ctx.note(format_args!("scanned all {scanned} sagas: the database has no index for this"));
    }
    let mut missing = source.missing();
    missing.retain(|missing| SHOWN.contains(&missing.as_str()));
    if !missing.is_empty() {
        ctx.note(format_args!("what the database does not have is shown as ?: {}", missing.join(", ")));
    }
    if *undecided > 0 {
        ctx.note(format_args!(
            "{} may be meant too, but what would tell cannot be read; without filters everything is listed",
            counted(*undecided, "saga")
        ));
    }
    let shown: Vec<String> =
        unreadable_ids.iter().take(5).map(|raw| format!("{:?}", render::escape::excerpt(raw, 60))).collect();
    judge_ids(unreadable_ids.len() as u64, &format!("instead of an id they have {}", shown.join(", ")))
}

/// An empty answer about a SEC that nobody knows is a mistyped id.
async fn check_secs(inspector: &Inspector, filter: &Filter) -> Result<(), Failure> {
    for sec in &filter.secs {
        if let SecLookup::NoRow(_) = inspector.load_sec(*sec).await? {
            return Err(Failure::unusable(format!(
                "unknown SEC {sec}: {} has neither a record of it nor a saga of its",
                inspector.describe().url
            )));
        }
    }
    Ok(())
}

/// The coordinator's own list, of which little can be asked.
async fn list_memory(
    ctx: &mut Context<'_>,
    mut writer: ListWriter,
    filter: &Filter,
    limit: Option<u64>,
) -> CommandResult {
    let Filter { outcomes, unfinished, states, .. } = filter.clone();
    if *filter != (Filter { outcomes, unfinished, states, ..Filter::default() })
        || filter.states.iter().any(|state| *state != CachedState::Running)
    {
        return Err(Failure::unusable(
            "a coordinator's memory can be filtered by --unfinished, --state running and --outcome only",
        )
        .hint("the database knows the rest: leave out --source api"));
    }
    let client = ctx.client()?;
    let mut sagas = client.list_sagas().await?;
    // Ids of ours are made in the order of time.
    sagas.sort_by_key(|saga| std::cmp::Reverse(saga.id));
    let wants_running = filter.unfinished || !filter.states.is_empty();
    let mut listed: Vec<ListedSaga> = sagas
        .into_iter()
        .map(ListedSaga::of_memory)
        .filter(|saga| !wants_running || saga.outcome.is_none())
        .filter(|saga| {
            filter.outcomes.is_empty()
                || saga.outcome.is_some_and(|outcome: SagaOutcome| filter.outcomes.contains(&outcome))
        })
        .collect();
    let all = listed.len();
    if let Some(limit) = limit {
        listed.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    writer.write(ctx, &listed)?;
    writer.finish(ctx)?;
    let extent = match listed.len() == all {
        true => format!("complete: {}", counted(all as u64, "saga")),
        false => format!("{} of {all} sagas, --limit 0 lists all", listed.len()),
    };
    ctx.note(format_args!(
        "from the memory of the coordinator at {}; {extent}. It holds what this process ran, and knows no names and times",
        client.base()
    ));
    Ok(Outcome::Good)
}

/// Writes sagas as they come.
struct ListWriter {
    mode: OutputMode,
    columns: Vec<String>,
    /// Whether columns may be left out where there is no room for them.
    may_leave_out: bool,
    /// How wide the part of the table that stands there already is; `None` before the first.
    widths: Option<Vec<usize>>,
    written: u64,
}

impl ListWriter {
    fn new(mode: OutputMode, columns: Vec<String>, may_leave_out: bool) -> Self {
        Self { mode, columns, may_leave_out, widths: None, written: 0 }
    }

    fn write(&mut self, ctx: &mut Context<'_>, sagas: &[ListedSaga]) -> io::Result<()> {
        match self.mode {
            OutputMode::Table => self.write_table(ctx, sagas)?,
            OutputMode::Ids => sagas.iter().try_for_each(|saga| writeln!(ctx.out(), "{}", saga.saga_id))?,
            OutputMode::Jsonl => {
                sagas.iter().try_for_each(|saga| ctx.write_json(OutputMode::Jsonl, &Row(saga)))?
            }
            OutputMode::Json => {
                render::json::write_items(ctx.out(), self.written, sagas.iter().map(Row))?;
            }
        }
        self.written += sagas.len() as u64;
        // So that a reader who has seen enough can end us, and one who waits sees what there is.
        ctx.out().flush()
    }

    fn write_table(&mut self, ctx: &mut Context<'_>, sagas: &[ListedSaga]) -> io::Result<()> {
        let look = ctx.look();
        let table = render::sagas::saga_table(&look, sagas);
        let table = table.select(&self.columns).expect("the columns were checked before");
        let table = match self.widths.take() {
            Some(widths) => table.continuing(widths),
            None if self.may_leave_out => {
                let (table, left_out) = table.fit(&look, &render::sagas::LEAST_IMPORTANT);
                if !left_out.is_empty() {
                    self.columns = table.titles();
                    let left_out: Vec<String> = left_out.iter().map(|title| title.to_lowercase()).collect();
                    ctx.note(format_args!(
                        "left out for want of room: {}; --columns chooses",
                        left_out.join(", ")
                    ));
                }
                table
            }
            None => table,
        };
        table.render(&look, ctx.out())?;
        self.widths = Some(table.widths(&look));
        Ok(())
    }

    /// Ends the document; an empty list is a head without rows, or an empty array.
    fn finish(&mut self, ctx: &mut Context<'_>) -> io::Result<()> {
        match (self.mode, self.written) {
            (OutputMode::Table, 0) => self.write_table(ctx, &[]),
            (OutputMode::Json, written) => render::json::end_items(ctx.out(), written),
            (OutputMode::Table | OutputMode::Jsonl | OutputMode::Ids, _) => Ok(()),
        }
    }
}
