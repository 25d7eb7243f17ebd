//! `sagactl check`: does everything hold that ought to?

use super::blast::client_record;
use super::saga_ids::resolve;
use crate::check::history::{History, HistoryError};
use crate::check::invariant::Invariant;
use crate::check::look::Look;
use crate::check::{Options, Report, Verdict};
use crate::cli::config::{OutputMode, Source, Timeout};
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::cli::progress::Progress;
use crate::observe::why::ask::Peers;
use crate::render;
use crate::store::inspect::Inspector;
use crate::wire::ids::SagaId;
use crate::wire::part::Part;
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Time between two tries of `--wait`.
const AGAIN: Duration = Duration::from_millis(500);

/// Check every invariant against the database and the coordinators; exit 1 if one does not hold
///
/// Nothing is told after one look: what seems wrong is looked at again until it has been seen three times, over a second.
/// What cannot be told, for want of a coordinator for example, is n/a and says why. Works on a database alone.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Only these invariants, I1 to I12
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    only: Vec<Invariant>,

    /// Only these sagas: ids, or beginnings of ids that no others have
    #[arg(long, value_name = "SAGA")]
    saga: Vec<String>,

    /// Keep trying for so long until everything holds
    #[arg(long, value_name = "DURATION")]
    wait: Option<Timeout>,

    /// Longest time without an event that an unfinished saga may have (I5)
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    max_idle: Timeout,

    /// A blast's own record (blast --record), to be held against what is on record (I12)
    #[arg(long, value_name = "FILE")]
    client: Option<PathBuf>,

    /// Read every saga, not only the unfinished and the newest
    #[arg(long)]
    all: bool,

    /// Keep in FILE what was found, with its begin and end, and show all of it
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<&'a History>,
}

/// Checks.
pub async fn run(ctx: &mut Context<'_>, args: CheckArgs) -> CommandResult {
    let mode = ctx.output_among("check", &OutputMode::ALL)?;
    let deadline = args.wait.map(|Timeout(wait)| Instant::now() + wait);
    let mut history = args.history.as_deref().map(History::load).transpose()?;
    let (inspector, ids) = sources(ctx, &args).await?;
    let options = options(&args, ids, history.as_ref());
    let report = loop {
        let result = check(ctx, &args, &options, &inspector).await;
        let is_good = matches!(&result, Ok(report) if report.verdict == Verdict::Ok);
        match deadline {
            Some(deadline) if !is_good && Instant::now() + AGAIN < deadline => {
                tokio::time::sleep(AGAIN).await
            }
            _ => break result?,
        }
    };
    if let (Some(history), Some(path)) = (&mut history, &args.history) {
        history.update(&report, &options.sagas);
        history.save(path)?;
    }
    write(ctx, mode, &report, history.as_ref())?;
    for note in &report.looked_at.notes {
        let note = render::escape::escape(note).into_owned();
        ctx.note(note);
    }
    conclude(&report)
}

/// The database, if there is one, and the sagas that are named.
async fn sources(ctx: &mut Context<'_>, args: &CheckArgs) -> Result<(Part<Inspector>, Vec<SagaId>), Failure> {
    // A database that was named is to be used; one that was only guessed may be missing.
    let is_named = ctx.db_url().is_some();
    let inspector = match ctx.inspector().await {
        Ok(inspector) => Part::Present(inspector),
        Err(failure) if is_named || !args.saga.is_empty() => return Err(failure),
        Err(failure) => Part::Missing(failure.summary()),
    };
    let mut ids = Vec::new();
    if let Part::Present(inspector) = &inspector {
        for text in &args.saga {
            ids.push(resolve(ctx, inspector, text).await?);
        }
    }
    Ok((inspector, ids))
}

fn options(args: &CheckArgs, sagas: Vec<SagaId>, history: Option<&History>) -> Options {
    let mut only = if args.only.is_empty() { Invariant::ALL.to_vec() } else { args.only.clone() };
    if !sagas.is_empty() && args.only.is_empty() {
        // Of one saga the others say nothing.
        only.retain(|invariant| invariant.is_about_sagas());
    }
    Options {
        only,
        sagas,
        also: history.map(History::open_sagas).unwrap_or_default(),
        max_idle: args.max_idle.0,
        all: args.all,
    }
}

async fn check(
    ctx: &mut Context<'_>,
    args: &CheckArgs,
    options: &Options,
    inspector: &Part<Inspector>,
) -> Result<Report, Failure> {
    let client = match (&args.client, options.only.contains(&Invariant::I12)) {
        (Some(file), true) => Part::Present(client_record(ctx, file).await?),
        _ => Part::Missing("no record of a client was given (--client FILE)".to_owned()),
    };
    let url = ctx.settings().url.clone();
    let make_client = ctx.pinger_maker();
    let configured = make_client(url.value.clone(), ctx.token()?)
        .ok_or_else(|| Failure::new(Kind::Unusable, "setting up the HTTP client"))?;
    // An address from a database is not told the user's token.
    let client_at = |address| make_client(address, None);
    let peers = Peers { configured, is_named: url.source != Source::Default, client_at: &client_at };
    let look = Look { inspector: inspector.clone(), peers: &peers, client, options };
    let mut progress = Progress::new(ctx);
    let report = look.check(&mut |read| progress.show(ctx, || format!("{read} sagas read"))).await?;
    Ok(report)
}

fn write(
    ctx: &mut Context<'_>,
    mode: OutputMode,
    report: &Report,
    history: Option<&History>,
) -> Result<(), Failure> {
    match mode {
        OutputMode::Table => {
            let look = ctx.look();
            render::check::render_report(ctx.out(), &look, report)?;
            if let Some(history) = history {
                render::check::render_history(ctx.out(), &look, history)?;
            }
        }
        OutputMode::Json | OutputMode::Jsonl => ctx.write_json(mode, &Answer { report, history })?,
        OutputMode::Ids => {
            let mut ids: Vec<SagaId> = report
                .invariants
                .iter()
                .flat_map(|judged| &judged.evidence)
                .filter_map(|problem| problem.saga_id)
                .collect();
            ids.sort();
            ids.dedup();
            for id in ids {
                writeln!(ctx.out(), "{id}")?;
            }
        }
    }
    Ok(())
}

/// A check in which nothing could be checked is no success.
fn conclude(report: &Report) -> CommandResult {
    if let Some(error) = &report.malformed {
        return Err(Failure::new(Kind::Nonsense, "cannot read the recovery report").caused_by(error));
    }
    match report.verdict {
        Verdict::Ok => Ok(Outcome::Good),
        Verdict::Fail => Ok(Outcome::Bad),
        Verdict::Na => {
            let reason = report.invariants.iter().find_map(|judged| judged.reason.clone());
            Err(Failure::new(Kind::Unreachable, "nothing could be checked")
                .because(reason.unwrap_or_else(|| "no source answered".to_owned()))
                .hint("--url names a coordinator, --db-url a database, --client a client's own record"))
        }
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        Self::unusable("the history cannot be used").caused_by(&error)
    }
}
