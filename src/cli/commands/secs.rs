//! `sagactl secs`: who executes sagas, and putting one of them out of service.

use crate::cli::changes::database_failed;
use crate::cli::config::OutputMode;
use crate::cli::consent::Consent;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::client::time_for_finding_out;
use crate::observe::found_out::{Certainty, Finding};
use crate::observe::secs::{self, Sec, SecStatus, Secs, Unfinished};
use crate::render::escape::escape;
use crate::render::secs::{ExpungePlan, render_plan, sec_table};
use crate::store::error::StoreError;
use crate::store::secs::expunge;
use crate::store::{SharedStore, Until};
use crate::wire::ids::SecId;
use crate::wire::time::Time;
use serde::Serialize;
use std::time::Instant;

/// See who executes sagas, and put a SEC out of service
#[derive(Debug, clap::Args)]
pub struct SecsArgs {
    #[command(subcommand)]
    command: SecsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SecsCommand {
    /// List SECs: alive or not, and the unfinished sagas of each
    List(ListArgs),
    /// Put a SEC out of service for ever, so that others adopt its sagas
    Expunge(ExpungeArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Ask each SEC whether it is there, instead of going by its heartbeat
    #[arg(long)]
    ping: bool,

    /// Only these columns, in this order
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    columns: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "From the moment it is expunged the database accepts nothing from the SEC, and its process ends at its \
                        next write. Nothing takes over from a SEC that is merely silent."
)]
struct ExpungeArgs {
    /// Which SEC; a beginning of its id that no other has is enough
    #[arg(value_name = "SEC")]
    sec: String,

    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
}

/// What `secs expunge` tells in JSON.
#[derive(Debug, Serialize)]
struct Report {
    /// Whom it was about.
    sec_id: SecId,
    /// What was done.
    outcome: Done,
    /// What the SEC was before.
    was: SecStatus,
    /// When it had been heard of last.
    time_heartbeat: Option<Time>,
    /// What it left to be adopted.
    unfinished: Unfinished,
    /// SECs that are alive and adopt it.
    heirs: Vec<SecId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Done {
    /// Nothing: it was a dry run.
    Planned,
    Expunged,
    /// Nothing: it already was.
    AlreadyExpunged,
}

impl SecsArgs {
    /// Whether several coordinators may be looked at: those that are asked whether they are there.
    pub fn looks_at_several(&self) -> bool {
        matches!(self.command, SecsCommand::List(ListArgs { ping: true, .. }))
    }
}

/// Lists or expunges.
pub async fn run(ctx: &mut Context<'_>, args: SecsArgs) -> CommandResult {
    match args.command {
        SecsCommand::List(args) => list(ctx, args).await,
        SecsCommand::Expunge(args) => run_expunge(ctx, args).await,
    }
}

async fn list(ctx: &mut Context<'_>, args: ListArgs) -> CommandResult {
    let mode = ctx.output_among("secs list", &OutputMode::ALL)?;
    let store = ctx.store_to_read().await?;
    let mut secs = look(ctx, &store).await?;
    if args.ping {
        secs::ping(&mut secs.secs, ctx.trust()).await;
        ping_named(ctx, &mut secs).await;
    }
    match mode {
        OutputMode::Table => {
            let look = ctx.look();
            let table = sec_table(&look, &secs);
            let table = match args.columns.is_empty() {
                true => table,
                false => table.select(&args.columns).map_err(|error| Failure::unusable(error.to_string()))?,
            };
            table.render(&look, ctx.out())?;
        }
        OutputMode::Ids => {
            for id in secs.secs.iter().filter_map(|sec| sec.sec_id) {
                writeln!(ctx.out(), "{id}")?;
            }
        }
        OutputMode::Json | OutputMode::Jsonl => ctx.write_json_list(mode, &secs.secs)?,
    }
    Ok(Outcome::Good)
}

/// Asks the coordinators that the user named, where there are several: they may be reached by other ways than the registry has.
async fn ping_named(ctx: &mut Context<'_>, secs: &mut Secs) {
    if ctx.settings().more_urls.is_empty() {
        return;
    }
    for url in ctx.urls() {
        let client = ctx.token().and_then(|token| ctx.pinger(url.clone(), token));
        let answer = match client {
            Ok(client) => secs::ping_at(&mut secs.secs, &client).await,
            Err(failure) => Err(failure.summary()),
        };
        if let Err(why) = answer {
            ctx.note(format_args!("{url}: {}", escape(&why)));
        }
    }
}

async fn look(ctx: &Context<'_>, store: &SharedStore) -> Result<Secs, Failure> {
    secs::list(store, ctx.now())
        .await
        .map_err(|error| database_failed("reading the registry of SECs", &error))
}

async fn run_expunge(ctx: &mut Context<'_>, args: ExpungeArgs) -> CommandResult {
    let mode = ctx.output_among("secs expunge", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let consent = ctx.settings().consent;
    if !args.dry_run {
        consent.require_destructive("secs expunge")?;
    }
    let store = if args.dry_run { ctx.store_to_read().await? } else { ctx.store_to_change().await? };
    let mut secs = look(ctx, &store).await?;
    secs::ping(&mut secs.secs, ctx.trust()).await;
    let (sec_id, sec) = select(&secs, &args.sec)?;
    let heirs: Vec<SecId> = secs
        .secs
        .iter()
        .filter(|other| other.sec_id != Some(sec_id) && other.status == SecStatus::Alive)
        .filter_map(|heir| heir.sec_id)
        .collect();
    let report = |outcome| Report {
        sec_id,
        outcome,
        was: sec.status,
        time_heartbeat: sec.time_heartbeat,
        unfinished: sec.unfinished,
        heirs: heirs.clone(),
    };
    if sec.status == SecStatus::Expunged {
        return tell(ctx, mode, &report(Done::AlreadyExpunged));
    }
    let Some(time_started) = sec.time_started else {
        return Err(Failure::unusable(format!("SEC {sec_id} is in no registry, so it cannot be expunged"))
            .hint("`sagactl sagas reassign` moves its sagas by hand"));
    };
    show_plan(ctx, &ExpungePlan { sec, heirs: &heirs })?;
    if args.dry_run {
        return tell(ctx, mode, &report(Done::Planned));
    }
    let consent = consent.ask(ctx, &format!("Expunge SEC {sec_id} for ever?")).await?;
    let outcome = carry_out(ctx, &store, sec_id, time_started, consent).await?;
    tell(ctx, mode, &report(outcome))
}

/// The SEC of this id, or of an id that begins so.
fn select<'s>(secs: &'s Secs, wanted: &str) -> Result<(SecId, &'s Sec), Failure> {
    let wanted = wanted.to_lowercase();
    let known = || secs.secs.iter().filter_map(|sec| Some((sec.sec_id?, sec)));
    let matching: Vec<_> =
        known().filter(|(id, _)| !wanted.is_empty() && id.to_string().starts_with(&wanted)).collect();
    match matching[..] {
        [one] => Ok(one),
        [] => {
            let ids: Vec<_> = known().map(|(id, _)| id.to_string()).collect();
            let ids = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
            Err(Failure::unusable(format!("unknown SEC {wanted:?}; known SECs: {ids}")))
        }
        _ => {
            let ids: Vec<_> = matching.iter().map(|(id, _)| id.to_string()).collect();
            Err(Failure::unusable(format!("{wanted:?} may mean several SECs: {}", ids.join(", "))))
        }
    }
}

/// Shows what will be done, beside the answer: on standard error.
fn show_plan(ctx: &mut Context<'_>, plan: &ExpungePlan<'_>) -> Result<(), Failure> {
    let look = ctx.look();
    let mut text = Vec::new();
    render_plan(&mut text, &look, plan)?;
    ctx.console().stderr().write_all(&text)?;
    Ok(())
}

/// Expunges, if the SEC is still as the plan saw it, and looks at it again. The consent is proof that the plan was shown.
async fn carry_out(
    ctx: &mut Context<'_>,
    store: &SharedStore,
    sec_id: SecId,
    time_started: Time,
    _: Consent,
) -> Result<Done, Failure> {
    let limit = ctx.timeout();
    let deadline = Instant::now() + limit;
    let patience = limit - time_for_finding_out(limit);
    let write = store.write(expunge(sec_id, time_started), Until::Durable);
    let written = tokio::time::timeout(patience, write).await;
    let found = secs::look_whether_expunged(store, sec_id, time_started, deadline).await;
    let timed_out = || Failure::new(Kind::TimedOut, format!("timed out expunging SEC {sec_id}"));
    match (written, found) {
        (Ok(Ok(_) | Err(StoreError::Refused(_))), Finding::Applied) => Ok(Done::Expunged),
        (Ok(Ok(_) | Err(StoreError::Refused(_))), Finding::NotApplied) => Err(Failure::new(
            Kind::Bad,
            format!("SEC {sec_id} was not expunged: it has started again meanwhile"),
        )
        .hint("`sagactl secs list --ping` shows what it is now")),
        (Ok(Ok(_) | Err(StoreError::Refused(_))), Finding::Unknown(why)) => {
            let what = format!("SEC {sec_id} could not be looked at after expunging it");
            Err(Failure::new(Kind::Unreachable, what).because(why))
        }
        (Ok(Err(_)) | Err(_), Finding::Applied) => {
            ctx.note_certainty(Certainty::Verified);
            Ok(Done::Expunged)
        }
        (Ok(Err(error)), Finding::NotApplied) => Err(database_failed("expunging", &error).not_applied()),
        (Ok(Err(error)), Finding::Unknown(why)) => {
            Err(database_failed("expunging", &error).perhaps_applied(&why))
        }
        // The server has it, and may be waiting for a lock.
        (Err(_), Finding::NotApplied) => {
            Err(timed_out().perhaps_applied("it is not done, and may still be under way"))
        }
        (Err(_), Finding::Unknown(why)) => Err(timed_out().perhaps_applied(&why)),
    }
}

fn tell(ctx: &mut Context<'_>, mode: OutputMode, report: &Report) -> CommandResult {
    if mode != OutputMode::Table {
        ctx.write_json(mode, report)?;
        return Ok(Outcome::Good);
    }
    let Report { sec_id, outcome, unfinished, .. } = report;
    match outcome {
        Done::Planned => writeln!(ctx.out(), "dry run: nothing was done")?,
        Done::AlreadyExpunged => writeln!(ctx.out(), "SEC {sec_id} is already expunged")?,
        Done::Expunged => {
            writeln!(
                ctx.out(),
                "expunged SEC {sec_id}; {} unfinished sagas wait to be adopted",
                unfinished.total()
            )?;
            ctx.note("other coordinators adopt within seconds; `sagactl activate sec_adoption` does it now");
        }
    }
    Ok(Outcome::Good)
}
