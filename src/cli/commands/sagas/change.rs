//! What `sagas abandon` and `sagas inject-error` have in common: plan, consent, change, report; one saga or many.

use crate::amend::carry_out::{self, Outcome as Became, Trouble};
use crate::amend::live::OwnerTrouble;
use crate::amend::{Decision, Plan, SecCheck};
use crate::cli::commands::saga_ids::{SagaIds, resolve};
use crate::cli::commands::why::look;
use crate::cli::config::OutputMode;
use crate::cli::consent::Consent;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::client::Client;
use crate::client::base_url::BaseUrl;
use crate::observe::why::judge::judge;
use crate::observe::why::{OwnerFacts, Why};
use crate::render::amend::{render_plan, sagas, shown_name};
use crate::render::escape::escape;
use crate::render::table::{Cell, Column, Table};
use crate::saga_log::Reading;
use crate::store::amend::AmendError;
use crate::store::inspect::Inspector;
use crate::store::inspect::source::Source;
use crate::wire::ids::SagaId;
use serde::Serialize;

/// Flags of every change by hand.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct ChangeArgs {
    /// Only show what would be done
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Do it even if the owner is alive, or nobody knows whether it is
    #[arg(long)]
    bypass_sec_check: bool,
}

impl ChangeArgs {
    pub(super) fn check(self) -> SecCheck {
        if self.bypass_sec_check { SecCheck::Bypassed } else { SecCheck::Required }
    }
}

/// The words of a command.
pub(super) struct Words {
    /// `sagas abandon`
    pub(super) command: &'static str,
    /// `Abandon {} for ever?`, where {} is the sagas.
    pub(super) ask: fn(&str) -> String,
    /// What was done: `abandoned`
    pub(super) done: &'static str,
}

/// What became of one saga.
#[derive(Debug, Serialize)]
struct Report {
    saga_id: SagaId,
    outcome: Fate,
    /// Why, or what it is like now.
    message: Option<String>,
    /// What was, or would be, done; `null` if there is nothing to do.
    plan: Option<Plan>,
    #[serde(skip)]
    name: Option<String>,
    #[serde(skip)]
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    /// Nothing: it was a dry run, or an earlier saga met with trouble.
    Planned,
    /// It was done, and looked at afterwards.
    Done,
    /// Nothing: it already is so.
    AlreadySo,
    /// Nothing: it must not be.
    Refused,
    /// Nothing: it has changed meanwhile.
    ChangedMeanwhile,
    /// It was done, and somebody who runs it has written over it.
    Overwritten,
    /// Nothing: the database did not let us.
    Failed,
    /// Nobody knows.
    InDoubt,
}

/// Plans, asks, changes, tells. `decide` is told what the database can keep.
pub(super) async fn run(
    ctx: &mut Context<'_>,
    words: &Words,
    ids: SagaIds,
    args: ChangeArgs,
    decide: impl Fn(&Reading<'_>, &Why, &OwnerFacts, &Source) -> Decision,
) -> CommandResult {
    let mode = ctx.output_among(
        words.command,
        &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl, OutputMode::Ids],
    )?;
    let consent = ctx.settings().consent;
    if !args.dry_run {
        consent.require_destructive(words.command)?;
    }
    let is_one = ids.is_one();
    let texts = ids.read()?;
    let inspector = ctx.inspector().await?;
    let mut reports: Vec<Report> = Vec::new();
    for text in texts {
        let id = resolve(ctx, &inspector, &text).await?;
        if reports.iter().all(|report| report.saga_id != id) {
            reports.push(plan(ctx, &inspector, id, &decide).await?);
        }
    }
    show_plans(ctx, &inspector, &reports)?;
    let planned = reports.iter().filter(|report| report.outcome == Fate::Planned).count();
    if planned > 0 && !args.dry_run {
        let what = match &reports[..] {
            [one] => format!("saga {}", one.saga_id),
            _ => sagas(planned),
        };
        let consent = consent.ask(ctx, &(words.ask)(&what)).await?;
        carry_out_all(ctx, &inspector, &mut reports, consent).await;
    }
    tell(ctx, mode, words, is_one, args.dry_run, &reports)?;
    judge_reports(words, &reports)
}

async fn plan(
    ctx: &mut Context<'_>,
    inspector: &Inspector,
    id: SagaId,
    decide: &impl Fn(&Reading<'_>, &Why, &OwnerFacts, &Source) -> Decision,
) -> Result<Report, Failure> {
    let found = look(ctx, inspector, id).await?;
    let reading = Reading::of(&found.records);
    let why = judge(&reading, &found.owner, ctx.now());
    let report = |outcome, message| Report {
        saga_id: id,
        outcome,
        message,
        plan: None,
        name: why.name.clone(),
        hint: None,
    };
    Ok(match decide(&reading, &why, &found.owner, inspector.describe()) {
        Decision::Do(plan) => Report { plan: Some(*plan), ..report(Fate::Planned, None) },
        Decision::AlreadySo(text) => report(Fate::AlreadySo, Some(text)),
        Decision::Refused(refusal) => {
            Report { hint: refusal.hint, ..report(Fate::Refused, Some(refusal.reason)) }
        }
    })
}

/// Shows what will be done, beside the answer: on standard error.
fn show_plans(ctx: &mut Context<'_>, inspector: &Inspector, reports: &[Report]) -> Result<(), Failure> {
    let look = ctx.look();
    let mut text = Vec::new();
    for plan in reports.iter().filter_map(|report| report.plan.as_ref()) {
        render_plan(&mut text, &look, plan)?;
    }
    ctx.console().stderr().write_all(&text)?;
    ctx.note(format_args!("in {}", inspector.describe()));
    Ok(())
}

/// Changes one after the other. One that fails for its own reasons does not keep the others from being tried; a database
/// that is out of reach does.
async fn carry_out_all(ctx: &Context<'_>, inspector: &Inspector, reports: &mut [Report], _: Consent) {
    let limit = ctx.timeout();
    for report in reports.iter_mut().filter(|report| report.outcome == Fate::Planned) {
        let Some(plan) = &report.plan else { continue };
        let is_over;
        let owner = plan.owner_address().and_then(|at| client_of_owner(ctx, at));
        let became = carry_out::carry_out(inspector, owner.as_ref(), plan, limit).await;
        (report.outcome, report.message, is_over) = match became {
            Ok(Became::Done) => (Fate::Done, None, false),
            Ok(Became::Awaited(what)) => (Fate::Done, Some(what), false),
            Ok(Became::ByAnother(now)) => (Fate::AlreadySo, Some(now), false),
            Ok(Became::Changed(now)) => (
                Fate::ChangedMeanwhile,
                Some(format!("nothing was done, it has changed meanwhile: {now}")),
                false,
            ),
            Ok(Became::Overwritten(now)) => (
                Fate::Overwritten,
                Some(format!("it was done, and somebody has written over it: {now}")),
                false,
            ),
            Err(trouble) => {
                let (outcome, is_over) = match &trouble {
                    Trouble::NotDone(AmendError::Refused(_)) => (Fate::Failed, false),
                    Trouble::NotDone(_) => (Fate::Failed, true),
                    Trouble::InDoubt(_) | Trouble::NotSeen(_) => (Fate::InDoubt, true),
                    Trouble::Owner(OwnerTrouble::Declined(_)) => (Fate::Refused, false),
                    // Another saga may be another owner's.
                    Trouble::Owner(OwnerTrouble::NotTold(_) | OwnerTrouble::NoWay) => (Fate::Failed, false),
                    Trouble::Owner(OwnerTrouble::Unanswered(_) | OwnerTrouble::NotInLog) => {
                        (Fate::InDoubt, false)
                    }
                };
                (outcome, Some(with_causes(&trouble)), is_over)
            }
        };
        if is_over {
            return;
        }
    }
}

/// The way to a saga's owner. Its address may be from the database, and then it is not told the user's token.
fn client_of_owner(ctx: &Context<'_>, at: &str) -> Option<Client> {
    let base: BaseUrl = at.parse().ok()?;
    let token = if base == ctx.settings().url.value { ctx.token().ok()? } else { None };
    ctx.client_at(base, token).ok()
}

fn with_causes(trouble: &Trouble) -> String {
    let mut text = trouble.to_string();
    let mut next = std::error::Error::source(trouble);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

const COLUMNS: [Column; 4] =
    [Column::text("SAGA_ID"), Column::text("NAME"), Column::text("OUTCOME"), Column::message("MESSAGE", 12)];

fn tell(
    ctx: &mut Context<'_>,
    mode: OutputMode,
    words: &Words,
    is_one: bool,
    dry_run: bool,
    reports: &[Report],
) -> Result<(), Failure> {
    match (mode, reports) {
        (OutputMode::Table, [one]) => {
            let name = shown_name(one.name.as_deref());
            let message = escape(one.message.as_deref().unwrap_or_default());
            match one.outcome {
                Fate::Planned => writeln!(ctx.out(), "dry run: nothing was done")?,
                Fate::Done if message.is_empty() => {
                    writeln!(ctx.out(), "{} saga {} {name}", words.done, one.saga_id)?;
                }
                Fate::Done => {
                    writeln!(ctx.out(), "{} saga {} {name}: {message}", words.done, one.saga_id)?;
                }
                Fate::AlreadySo => writeln!(ctx.out(), "saga {} {name}: {message}", one.saga_id)?,
                // The error tells it.
                Fate::Refused | Fate::ChangedMeanwhile | Fate::Overwritten | Fate::Failed | Fate::InDoubt => {
                }
            }
        }
        (OutputMode::Table, _) => {
            let mut table = Table::new(&COLUMNS);
            for report in reports {
                table.push(vec![
                    Cell::new(report.saga_id),
                    Cell::or_unknown(report.name.as_ref()),
                    Cell::new(word(report.outcome, words)),
                    Cell::or_absent(report.message.as_ref()),
                ]);
            }
            let look = ctx.look();
            table.render(&look, ctx.out())?;
            if dry_run {
                ctx.note("dry run: nothing was done");
            }
        }
        (OutputMode::Ids, _) => {
            for report in reports.iter().filter(|report| is_good(report.outcome)) {
                writeln!(ctx.out(), "{}", report.saga_id)?;
            }
        }
        (OutputMode::Json, [one]) if is_one => ctx.write_json(mode, one)?,
        (OutputMode::Json | OutputMode::Jsonl, _) => ctx.write_json_list(mode, reports)?,
    }
    Ok(())
}

fn word(outcome: Fate, words: &Words) -> &'static str {
    match outcome {
        Fate::Planned => "planned",
        Fate::Done => words.done,
        Fate::AlreadySo => "already so",
        Fate::Refused => "refused",
        Fate::ChangedMeanwhile => "changed meanwhile",
        Fate::Overwritten => "written over",
        Fate::Failed => "failed",
        Fate::InDoubt => "in doubt",
    }
}

fn is_good(outcome: Fate) -> bool {
    matches!(outcome, Fate::Planned | Fate::Done | Fate::AlreadySo)
}

fn judge_reports(words: &Words, reports: &[Report]) -> CommandResult {
    let bad: Vec<&Report> = reports.iter().filter(|report| !is_good(report.outcome)).collect();
    let kind = |outcome| match outcome {
        Fate::Refused | Fate::ChangedMeanwhile => Kind::Unusable,
        Fate::Failed | Fate::InDoubt => Kind::Unreachable,
        Fate::Overwritten | Fate::Planned | Fate::Done | Fate::AlreadySo => Kind::Bad,
    };
    let Some(first) = bad.first() else { return Ok(Outcome::Good) };
    if bad.len() < reports.len() {
        return Err(Failure::new(
            Kind::Bad,
            format!("{}: {} of {} failed", words.command, bad.len(), sagas(reports.len())),
        ));
    }
    let failure = match &bad[..] {
        [one] => Failure::new(kind(one.outcome), format!("{} {}", words.command, one.saga_id)),
        _ => Failure::new(kind(first.outcome), format!("{}: none of {}", words.command, sagas(bad.len()))),
    };
    let failure = failure.because(escape(first.message.as_deref().unwrap_or_default()));
    Err(match (&first.hint, first.outcome) {
        (Some(hint), _) => failure.hint(escape(hint)),
        (None, Fate::InDoubt) => failure.hint(format!(
            "`sagactl sagas show {}` shows what is there; doing it again is safe",
            first.saga_id
        )),
        (None, Fate::ChangedMeanwhile) => failure.hint("look at it again before you try again"),
        (None, _) => failure,
    })
}
