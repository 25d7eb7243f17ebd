//! `sagactl watch`: what happens to sagas, SECs and recovery, event by event.

use crate::cli::config::{DbUrl, OutputMode, Timeout};
use crate::cli::context::Context;
use crate::cli::database::Kept;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::client::Client;
use crate::render;
use crate::watch::event::{Event, Transition};
use crate::watch::hook::Hook;
use crate::watch::look::{look_at_api, look_at_database};
use crate::watch::memory::Memory;
use crate::watch::sighting::{ApiView, DatabaseView, Looked, Sighting};
use crate::watch::state_file::{Record, StateFileError};
use std::path::PathBuf;
use std::time::Duration;

/// Longest wait for one look at either place: what does not answer by then is told as lost.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// Wait before a hook that failed is run again; doubled each time, up to [`LONGEST_HOOK_DELAY`].
const HOOK_DELAY: Duration = Duration::from_millis(500);

/// Longest wait before a hook is run again.
const LONGEST_HOOK_DELAY: Duration = Duration::from_secs(30);

/// Tell what happens to sagas, SECs and recovery, and miss nothing
///
/// Sagas that start, finish, change hands, are recovered or cannot be; SECs that start, go and come back; recovery passes;
/// connections that are lost and regained. A watch compares what it sees with what it told last, so what happened while it
/// could not look is told as soon as it can. With --state-file that holds through restarts and kill -9: at most the last
/// event is told twice, with the same number.
///
/// The first look tells nothing but what does not answer: it is what later looks are compared with.
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// Keep what was told here, and go on from there at the next start
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,

    /// Run this for each event, with the event as JSON on standard input; an event counts as told once it ends well
    ///
    /// `sh -c CMD`, with SAGACTL_EVENT, SAGACTL_SEQ and, where the event has them, SAGACTL_SAGA_ID, SAGACTL_SEC_ID,
    /// SAGACTL_OUTCOME. Until it ends well it is run again, and later events wait.
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,

    /// Longest time for --exec; then it is killed and run again
    #[arg(long, value_name = "DUR", default_value = "30s", requires = "exec")]
    exec_timeout: Timeout,

    /// Time between two looks
    #[arg(long, value_name = "DUR", default_value = "1s")]
    interval: Timeout,

    /// Look once, tell what is new since the state file was written, and end
    #[arg(long)]
    once: bool,
}

/// Watches until somebody stops it.
pub async fn run(ctx: &mut Context<'_>, args: WatchArgs) -> CommandResult {
    let mode = ctx.output_among("watch", &[OutputMode::Table, OutputMode::Jsonl])?;
    let WatchArgs { state_file, exec, exec_timeout, interval, once } = args;
    let mut record = match &state_file {
        Some(path) => Record::open(path)?,
        None => Record::in_memory(),
    };
    let hook = exec.map(|command| Hook { command, limit: exec_timeout.0 });
    let mut places = Places { client: ctx.client()?, database: Kept::default() };
    let mut is_first = true;
    // A kill may have come between two events of the last look.
    tell_all(ctx, mode, &mut record, hook.as_ref()).await?;
    loop {
        let had_baseline = record.ledger.memory.knows_the_database();
        let mut memory = record.ledger.memory.clone();
        let sighting = places.look(ctx, &mut memory).await;
        if is_first {
            note_what_is_seen(ctx, &sighting);
            is_first = false;
        }
        let events = memory.take(&sighting);
        if memory.knows_the_database() && !had_baseline {
            ctx.note(format_args!("watching from now on: {} unfinished sagas", memory.unfinished()));
        }
        record.begin(memory, events)?;
        tell_all(ctx, mode, &mut record, hook.as_ref()).await?;
        if once {
            return Ok(Outcome::Good);
        }
        tokio::time::sleep(interval.0).await;
    }
}

/// Tells what has not been told, one event after the other; each is marked before the next.
async fn tell_all(
    ctx: &mut Context<'_>,
    mode: OutputMode,
    record: &mut Record,
    hook: Option<&Hook>,
) -> Result<(), Failure> {
    while let Some(event) = record.ledger.next() {
        match mode {
            OutputMode::Table => {
                let look = ctx.look();
                render::watch::render_event(ctx.out(), &look, event)?;
            }
            _ => ctx.write_json(OutputMode::Jsonl, event)?,
        }
        ctx.out().flush()?;
        if let Some(hook) = hook {
            run_hook(ctx, hook, event).await;
        }
        record.mark()?;
    }
    Ok(())
}

/// Runs the hook until it accepts the event. That may take for ever, which is what was asked for: nothing is to be missed.
async fn run_hook(ctx: &mut Context<'_>, hook: &Hook, event: &Event) {
    let variables = variables(event);
    let mut delay = HOOK_DELAY;
    while let Err(error) = hook.run(event, &variables).await {
        let again = humantime::format_duration(delay);
        ctx.note(format_args!("event {} is not accepted: {error}; again in {again}", event.seq));
        tokio::time::sleep(delay).await;
        delay = LONGEST_HOOK_DELAY.min(delay * 2);
    }
}

fn variables(event: &Event) -> Vec<(&'static str, String)> {
    let Event { seq, time: _, transition } = event;
    let mut variables =
        vec![("SAGACTL_EVENT", transition.word().to_owned()), ("SAGACTL_SEQ", seq.to_string())];
    variables.extend(transition.saga_id().map(|id| ("SAGACTL_SAGA_ID", id.to_string())));
    variables.extend(transition.sec_id().map(|id| ("SAGACTL_SEC_ID", id.to_string())));
    if let Transition::SagaFinished { outcome, .. } = transition {
        variables.push(("SAGACTL_OUTCOME", outcome.as_str().to_owned()));
    }
    variables
}

/// Where a watch looks. Whatever fails is opened anew at the next look; nothing else reconnects.
struct Places {
    client: Client,
    database: Kept,
}

impl Places {
    async fn look(&mut self, ctx: &mut Context<'_>, memory: &mut Memory) -> Sighting {
        let client = self.client.with_fresh_budget().with_at_most(LOOK_PATIENCE);
        let remembered = memory.database_url.clone();
        let url = database_url(ctx, remembered.as_deref());
        // Beside each other: a coordinator that hangs must not keep the database from being read.
        let (api, database) = tokio::join!(look_at_api(&client), async {
            match url {
                Some(url) => Some(self.look_at_database(url, memory, ctx).await),
                None => None,
            }
        });
        let api = match api {
            Ok((view, info)) => {
                memory.database_url = info.map(|info| info.db_url).or(memory.database_url.take());
                Ok(view)
            }
            Err(error) => Err(Failure::from(error).summary()),
        };
        let database = match (database, database_url(ctx, memory.database_url.as_deref())) {
            (None, Some(url)) => Some(self.look_at_database(url, memory, ctx).await),
            (database, _) => database,
        };
        let api: Looked<ApiView> = Looked { url: client.base().to_string(), seen: api };
        Sighting { time: ctx.now(), api, database }
    }

    async fn look_at_database(
        &mut self,
        url: DbUrl,
        memory: &Memory,
        ctx: &Context<'_>,
    ) -> Looked<DatabaseView> {
        let shown = url.to_string();
        let seen = match self.database.take(ctx, &url, LOOK_PATIENCE).await {
            Ok(inspector) => {
                let seen = look_at_database(&inspector, memory, ctx.now()).await;
                if seen.is_ok() {
                    self.database.put_back(url, inspector);
                }
                seen.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        Looked { url: shown, seen }
    }
}

/// The database that the user named, else the one that the coordinator named last.
fn database_url(ctx: &mut Context<'_>, remembered: Option<&str>) -> Option<DbUrl> {
    ctx.named_database().or_else(|| remembered?.parse().ok())
}

/// Says once what a watch cannot see.
fn note_what_is_seen(ctx: &mut Context<'_>, sighting: &Sighting) {
    match &sighting.database {
        None => ctx.note(
            "no database is known, so only recovery is watched; --db-url names one, or the coordinator once it answers",
        ),
        Some(Looked { seen: Err(reason), .. }) => ctx.note(format_args!("no database: {reason}; still trying")),
        Some(Looked { url, seen: Ok(_) }) => ctx.note(format_args!("sagas from {url}")),
    }
}

impl From<StateFileError> for Failure {
    fn from(error: StateFileError) -> Self {
        let failure = Self::new(Kind::Unusable, "cannot keep what was told").caused_by(&error);
        match error {
            StateFileError::InUse(_) => failure.hint("give each watch a --state-file of its own"),
            StateFileError::Foreign { .. } => {
                failure.hint("with another --state-file the watch begins with the present")
            }
            StateFileError::Io { .. } => failure,
        }
    }
}
