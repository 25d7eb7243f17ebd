//! `sagactl quiesce start`: asks coordinators to take no more sagas, and waits until they have none left.
//!
//! Without `--wait` nobody is asked unless everybody can be: one that is overlooked would go on taking sagas, and nobody would
//! know. With `--wait` there is somebody who knows. So the others are asked at once, and one that does not answer as soon as it
//! does; [`Waiting`] says who is waited for.

use super::{Peer, ask_all, find_peers, judge_answers, no_answer};
use crate::cli::config::OutputMode;
use crate::cli::consent::Consent;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::observe::found_out::{Certainty, ChangeError, start_quiesce};
use crate::observe::quiesce::{Quiescence, SecQuiescence, State};
use crate::observe::quiesce_wait::{Seen, Waiting};
use crate::render::escape::escape;
use crate::render::quiesce::{quiesce_table, render_total};
use futures::future::join_all;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Time between two looks while waiting.
const PAUSE: Duration = Duration::from_millis(200);

/// Longest wait for each answer while waiting: one that hangs delays the news of all.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Creations are answered with 503 and Retry-After from then on. It cannot be taken back; the next \
                        process takes sagas again."
)]
pub(super) struct StartArgs {
    /// Every coordinator that the database has in service, not only the one at --url
    #[arg(long)]
    all: bool,

    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,

    /// Wait until each of them has quiesced, as long as --timeout; those that do not answer are waited for too, and do not
    /// keep the others from being asked
    #[arg(long)]
    wait: bool,
}

/// What `quiesce start` tells in JSON.
#[derive(Debug, Serialize)]
struct Report<'q> {
    outcome: Done,
    #[serde(flatten)]
    quiescence: &'q Quiescence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Done {
    /// Nothing: it was a dry run.
    Planned,
    /// They were asked.
    Started,
    /// Nothing: they already were.
    AlreadyStarted,
}

/// Starts.
pub(super) async fn run(ctx: &mut Context<'_>, args: StartArgs) -> CommandResult {
    let mode =
        ctx.output_among("quiesce start", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let consent = ctx.settings().consent;
    if !args.dry_run {
        consent.require_destructive("quiesce start")?;
    }
    let peers = match args.all {
        true => find_peers(ctx).await?.0,
        false => named_peers(ctx)?,
    };
    // A part of the time only: whoever hangs must not keep the others from being asked.
    let before = ask_all(&peers, super::PATIENCE.min(ctx.timeout() / 4)).await;
    let is_anybody_there = before.secs.iter().any(|sec| sec.state != State::NoAnswer);
    if !(args.wait && is_anybody_there) {
        judge_answers(&before)?;
    }
    if let Some(sec) = before.secs.iter().find(|sec| sec.state == State::NotOffered) {
        return Err(Failure::unusable(format!(
            "the coordinator at {} cannot be asked to quiesce",
            escape(&sec.url)
        ))
        .hint("Nexus has it since August 2025"));
    }
    // With those that are to be asked once they answer.
    let asked: Vec<&Peer> = peers
        .iter()
        .zip(&before.secs)
        .filter(|(_, sec)| matches!(sec.state, State::Running | State::Undetermined | State::NoAnswer))
        .map(|(peer, _)| peer)
        .collect();
    if asked.is_empty() {
        let done = Done::AlreadyStarted;
        return match args.wait && !args.dry_run {
            true => wait(ctx, mode, done, &peers, before, None).await,
            false => tell(ctx, mode, done, &before).and_then(|()| judge_answers(&before)),
        };
    }
    show_plan(ctx, &before)?;
    if args.dry_run {
        tell(ctx, mode, Done::Planned, &before)?;
        return judge_answers(&before);
    }
    let question = match &asked[..] {
        [one] => format!("Quiesce the coordinator at {}?", one.client.base()),
        all => format!("Quiesce {} coordinators?", all.len()),
    };
    let consent = consent.ask(ctx, &question).await?;
    if args.wait {
        return wait(ctx, mode, Done::Started, &peers, before, Some(&consent)).await;
    }
    for answer in ask_to_quiesce(&asked, &consent).await {
        match answer? {
            Some(certainty) => ctx.note_certainty(certainty),
            None => return Err(Failure::unusable("a coordinator cannot be asked to quiesce")),
        }
    }
    let after = ask_all(&peers, super::PATIENCE).await;
    tell(ctx, mode, Done::Started, &after)?;
    judge_answers(&after)
}

/// The coordinators that were named.
fn named_peers(ctx: &mut Context<'_>) -> Result<Vec<Peer>, Failure> {
    let mut peers = vec![Peer { client: ctx.client()?, expected: None }];
    for url in ctx.settings().more_urls.clone() {
        peers.push(Peer { client: ctx.client_at(url, ctx.token()?)?, expected: None });
    }
    Ok(peers)
}

/// Shows what will be done, beside the answer: on standard error.
fn show_plan(ctx: &mut Context<'_>, before: &Quiescence) -> Result<(), Failure> {
    let mut lines = String::from("plan: take no more sagas, for as long as these processes live\n");
    for sec in &before.secs {
        let who = sec.sec_id.map_or("SEC ?".to_owned(), |id| format!("SEC {id}"));
        let pending = sec.sagas_pending.map_or("?".to_owned(), |count| count.to_string());
        let url = escape(&sec.url);
        lines.push_str(&match sec.state {
            State::Running | State::Undetermined => {
                format!("  {who} at {url}: has {pending} sagas to finish\n")
            }
            State::NoAnswer => format!("  {who} at {url}: does not answer; it is asked as soon as it does\n"),
            state => format!("  {who} at {url}: already {state}\n"),
        });
    }
    lines.push_str("  creations are answered with 503 from then on; it cannot be taken back\n");
    ctx.console().stderr().write_all(lines.as_bytes())?;
    Ok(())
}

type Asked = Result<Option<Certainty>, ChangeError>;

/// What each of them answered; `None` is one that cannot be asked.
async fn ask_to_quiesce(peers: &[&Peer], _: &Consent) -> Vec<Asked> {
    join_all(peers.iter().map(|peer| start_quiesce(&peer.client))).await
}

/// Asks whoever takes sagas, if that was consented to, until each has been seen quiesced or the time is over.
async fn wait(
    ctx: &mut Context<'_>,
    mode: OutputMode,
    outcome: Done,
    peers: &[Peer],
    mut last: Quiescence,
    consent: Option<&Consent>,
) -> CommandResult {
    let mut waiting = Waiting::new(peers.len());
    loop {
        let seen = waiting.look(&last.secs);
        if waiting.is_over() {
            tell(ctx, mode, outcome, &last)?;
            return Ok(Outcome::Good);
        }
        note_changes(ctx, &last, &seen);
        if let Some(consent) = consent
            && !seen.to_ask.is_empty()
        {
            let to_ask: Vec<&Peer> = seen.to_ask.iter().map(|&index| &peers[index]).collect();
            for answer in ask_to_quiesce(&to_ask, consent).await {
                match answer {
                    Ok(certainty) => ctx.note_certainty(certainty.unwrap_or(Certainty::Answered)),
                    // It takes sagas still, as the next look shows, and is asked again.
                    Err(error) => ctx.note(format_args!("asking again: {error}")),
                }
            }
        }
        if Instant::now() + PAUSE >= ctx.deadline() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        last = ask_all(peers, PATIENCE.min(ctx.timeout() / 4)).await;
    }
    tell(ctx, mode, outcome, &last)?;
    if mode == OutputMode::Table {
        let look = ctx.look();
        quiesce_table(&look, &last).render(&look, ctx.out())?;
    }
    Err(not_over(&last, &waiting))
}

fn note_changes(ctx: &mut Context<'_>, last: &Quiescence, seen: &Seen) {
    for &index in &seen.fell_silent {
        ctx.note(format_args!("{}; waiting for it and the others", no_answer(&last.secs[index])));
    }
    for &index in &seen.came_back {
        ctx.note(format_args!("the coordinator at {} answers again", escape(&last.secs[index].url)));
    }
}

/// The failure of a wait whose time is over.
fn not_over(last: &Quiescence, waiting: &Waiting) -> Failure {
    let left: Vec<&SecQuiescence> = waiting.left().map(|index| &last.secs[index]).collect();
    let silent: Vec<&SecQuiescence> =
        left.iter().copied().filter(|sec| sec.state == State::NoAnswer).collect();
    let pending = last.total.sagas_pending;
    let what = match silent.len() {
        0 => format!("not quiesced yet: {pending} sagas are pending"),
        count => format!(
            "not quiesced yet: {pending} sagas are pending, and {count} of {} do not answer",
            last.secs.len()
        ),
    };
    let mut failure = Failure::new(Kind::TimedOut, what);
    for sec in &silent {
        let why = sec.error.as_deref().unwrap_or("no reason");
        failure = failure.because(format!("{}: {}", no_answer(sec), escape(why)));
    }
    match silent.iter().find_map(|sec| sec.sec_id).filter(|_| silent.len() == left.len()) {
        Some(id) => {
            failure.hint(format!("if it is gone for good, `sagactl secs expunge {id}` says so to the others"))
        }
        None => failure.hint("`sagactl quiesce why` says what keeps it; --timeout waits longer"),
    }
}

fn tell(ctx: &mut Context<'_>, mode: OutputMode, outcome: Done, after: &Quiescence) -> Result<(), Failure> {
    if mode != OutputMode::Table {
        ctx.write_json(mode, &Report { outcome, quiescence: after })?;
        return Ok(());
    }
    match outcome {
        Done::Planned => writeln!(ctx.out(), "dry run: nothing was done")?,
        Done::Started => writeln!(ctx.out(), "asked to quiesce")?,
        Done::AlreadyStarted => writeln!(ctx.out(), "already asked to quiesce")?,
    }
    render_total(ctx.out(), &after.total)?;
    Ok(())
}
