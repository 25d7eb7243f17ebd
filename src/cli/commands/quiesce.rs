//! `sagactl quiesce`: let coordinators finish what they have, without taking more.

mod start;

use super::why::look;
use crate::cli::config::{OutputMode, Source};
use crate::cli::context::Context;
use crate::cli::database::CONNECT_PATIENCE;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::client::Client;
use crate::client::base_url::BaseUrl;
use crate::observe::quiesce::{self, Blocker, Quiescence, SecQuiescence, State};
use crate::observe::why::judge::judge;
use crate::render::escape::escape;
use crate::render::quiesce::{quiesce_table, render_blockers, render_total};
use crate::saga_log::Reading;
use crate::store::inspect::Inspector;
use crate::store::inspect::saga::SecLookup;
use crate::wire::ids::SecId;
use crate::wire::part::Part;
use futures::future::join_all;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Longest wait for each answer of a coordinator, if the command has that much time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pending sagas that are looked up in the database, per coordinator; the oldest ones.
const MOST_LOOKED_UP: usize = 50;

/// See and start quiescing: no new sagas, running ones are finished, then the coordinator says so
#[derive(Debug, clap::Args)]
pub struct QuiesceArgs {
    #[command(subcommand)]
    command: QuiesceCommand,
}

#[derive(Debug, clap::Subcommand)]
enum QuiesceCommand {
    /// Who takes sagas, who is draining, who has quiesced
    Status(StatusArgs),
    /// What keeps coordinators from having quiesced
    Why,
    /// Ask a coordinator to take no more sagas, for as long as its process lives
    Start(start::StartArgs),
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// Only these columns, in this order
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    columns: Vec<String>,
}

/// One coordinator and what keeps it, for JSON.
#[derive(Debug, Serialize)]
struct Blocked<'q> {
    sec_id: Option<SecId>,
    url: &'q str,
    state: State,
    blockers: Vec<Blocker>,
}

/// A coordinator that can be asked.
struct Peer {
    client: Client,
    expected: Option<SecId>,
}

/// Looks or starts.
pub async fn run(ctx: &mut Context<'_>, args: QuiesceArgs) -> CommandResult {
    match args.command {
        QuiesceCommand::Status(args) => status(ctx, args).await,
        QuiesceCommand::Why => why(ctx).await,
        QuiesceCommand::Start(args) => start::run(ctx, args).await,
    }
}

async fn status(ctx: &mut Context<'_>, args: StatusArgs) -> CommandResult {
    let mode = ctx.output_among("quiesce status", &OutputMode::ALL)?;
    let (peers, _) = find_peers(ctx).await?;
    let quiescence = ask_all(&peers, PATIENCE).await;
    match mode {
        OutputMode::Table => {
            let look = ctx.look();
            let table = quiesce_table(&look, &quiescence);
            let table = match args.columns.is_empty() {
                true => table,
                false => table.select(&args.columns).map_err(|error| Failure::unusable(error.to_string()))?,
            };
            table.render(&look, ctx.out())?;
            render_total(ctx.out(), &quiescence.total)?;
        }
        OutputMode::Ids => {
            for id in quiescence.secs.iter().filter_map(|sec| sec.sec_id) {
                writeln!(ctx.out(), "{id}")?;
            }
        }
        OutputMode::Json | OutputMode::Jsonl => ctx.write_json(mode, &quiescence)?,
    }
    judge_answers(&quiescence)
}

async fn why(ctx: &mut Context<'_>) -> CommandResult {
    let mode = ctx.output_among("quiesce why", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let (peers, inspector) = find_peers(ctx).await?;
    let quiescence = ask_all(&peers, PATIENCE).await;
    let now = ctx.now();
    let mut all = Vec::new();
    for sec in &quiescence.secs {
        let mut blockers = sec.blockers(now);
        if let Some(inspector) = &inspector {
            look_up(ctx, inspector, &mut blockers).await;
        }
        all.push(Blocked { sec_id: sec.sec_id, url: &sec.url, state: sec.state, blockers });
    }
    if mode == OutputMode::Table {
        let look = ctx.look();
        for (sec, blocked) in quiescence.secs.iter().zip(&all) {
            render_blockers(ctx.out(), &look, sec, &blocked.blockers)?;
        }
    } else {
        ctx.write_json_list(mode, &all)?;
    }
    judge_answers(&quiescence)
}

/// Adds what the database knows of pending sagas: where they are, and how they do. As far as the time goes.
async fn look_up(ctx: &mut Context<'_>, inspector: &Inspector, blockers: &mut [Blocker]) {
    let sagas = blockers.iter_mut().filter(|blocker| matches!(blocker, Blocker::Saga { .. }));
    for blocker in sagas.take(MOST_LOOKED_UP) {
        let Blocker::Saga { saga_id, node, verdict, .. } = blocker else { continue };
        if Instant::now() >= ctx.deadline() {
            return;
        }
        if let Ok(found) = look(ctx, inspector, *saga_id).await {
            let why = judge(&Reading::of(&found.records), &found.owner, ctx.now());
            *node = why.node;
            *verdict = Some(why.verdict.as_str().to_owned());
        }
    }
}

/// Good, if everybody answered.
fn judge_answers(quiescence: &Quiescence) -> CommandResult {
    let silent: Vec<&SecQuiescence> =
        quiescence.secs.iter().filter(|sec| sec.state == State::NoAnswer).collect();
    let Some(first) = silent.first() else { return Ok(Outcome::Good) };
    let more = match silent.len() {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let failure = Failure::new(Kind::Unreachable, format!("{}{more}", no_answer(first)));
    let failure = failure.because(escape(first.error.as_deref().unwrap_or("no reason")));
    Err(match first.sec_id {
        Some(id) => {
            failure.hint(format!("if it is gone for good, `sagactl secs expunge {id}` says so to the others"))
        }
        None => failure.hint("--url names another address"),
    })
}

fn no_answer(sec: &SecQuiescence) -> String {
    let who = sec.sec_id.map_or("a coordinator".to_owned(), |id| format!("SEC {id}"));
    format!("no answer from {who} at {}", escape(&sec.url))
}

async fn ask_all(peers: &[Peer], patience: Duration) -> Quiescence {
    let answers = peers.iter().map(|peer| async move {
        let client = peer.client.with_at_most(patience);
        quiesce::ask(&client, peer.expected).await
    });
    Quiescence::of(join_all(answers).await)
}

/// The coordinators at each --url and those that the database has in service, each once; and the database, if there is one.
async fn find_peers(ctx: &mut Context<'_>) -> Result<(Vec<Peer>, Option<Inspector>), Failure> {
    let url = ctx.settings().url.clone();
    let client = ctx.pinger(ctx.settings().url.value.clone(), ctx.token()?)?;
    // A part of the time only: whoever hangs must not keep the others from being asked.
    let info = client.with_at_most(PATIENCE.min(ctx.timeout() / 4)).fetch_info().await.ok().flatten();
    let inspector = match ctx.inspector_of(info.as_ref(), CONNECT_PATIENCE.min(ctx.time_left())).await {
        Part::Present(inspector) => Some(inspector),
        Part::Missing(reason) => {
            ctx.note(format_args!("only the coordinator at {} is asked: {reason}", url.value));
            None
        }
    };
    let mut peers: Vec<Peer> = Vec::new();
    if let Some(inspector) = &inspector {
        for (id, address) in in_service(inspector).await? {
            let is_configured = info.as_ref().is_some_and(|info| info.sec_id == id) || address == url.value;
            // An address from a database is not told the user's token.
            let client = if is_configured { client.clone() } else { ctx.pinger(address, None)? };
            peers.push(Peer { client, expected: Some(id) });
        }
    }
    let is_there = peers.iter().any(|peer| *peer.client.base() == url.value);
    // The default address stands for nobody if nobody is there and others are known.
    let is_meant = url.source != Source::Default || info.is_some() || peers.is_empty();
    if !is_there && is_meant {
        ctx.internal_url();
        peers.insert(0, Peer { client, expected: None });
    }
    for more in ctx.settings().more_urls.clone() {
        if peers.iter().any(|peer| *peer.client.base() == more) {
            continue;
        }
        let client = ctx.pinger(more, ctx.token()?)?;
        // It may be one of them by another way.
        let info = client.with_at_most(PATIENCE.min(ctx.timeout() / 4)).fetch_info().await.ok().flatten();
        match peers
            .iter_mut()
            .find(|peer| info.as_ref().is_some_and(|info| peer.expected == Some(info.sec_id)))
        {
            Some(peer) => peer.client = client,
            None => peers.push(Peer { client, expected: None }),
        }
    }
    if let Some(inspector) = &inspector {
        ctx.note(format_args!("SECs in service by {}", inspector.describe()));
    }
    Ok((peers, inspector))
}

/// SECs that the registry has in service and whose address it knows.
async fn in_service(inspector: &Inspector) -> Result<Vec<(SecId, BaseUrl)>, Failure> {
    let mut found = Vec::new();
    for id in inspector.list_sec_ids().await?.unwrap_or_default() {
        let SecLookup::Row(record) = inspector.load_sec(id).await? else { continue };
        if record.state.value().map(String::as_str) != Some("active") {
            continue;
        }
        let address = record.internal_address.value().and_then(|address| address.parse().ok());
        found.extend(address.map(|address| (id, address)));
    }
    Ok(found)
}
