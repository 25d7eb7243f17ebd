//! What `sagas abandon` and `sagas inject-error` have in common: plan, consent, change, report; one saga or many.

use crate::amend::carry_out::{self, Outcome as Changed, Trouble};
use crate::amend::{Decision, Plan, SecCheck};
use crate::cli::commands::saga_ids::{SagaIds, resolve};
use crate::cli::commands::why::look;
use crate::cli::config::OutputMode;
use crate::cli::consent::Consent;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::observe::why::judge::judge;
use crate::observe::why::{EngineKind, Why};
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
    outcome: Done,
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
enum Done {
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
    decide: impl Fn(&Reading<'_>, &Why, EngineKind, &Source) -> Decision,
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
    let planned = reports.iter().filter(|report| report.outcome == Done::Planned).count();
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
    decide: &impl Fn(&Reading<'_>, &Why, EngineKind, &Source) -> Decision,
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
    Ok(match decide(&reading, &why, found.owner.engine, inspector.describe()) {
        Decision::Do(plan) => Report { plan: Some(*plan), ..report(Done::Planned, None) },
        Decision::AlreadySo(text) => report(Done::AlreadySo, Some(text)),
        Decision::Refused(refusal) => {
            Report { hint: refusal.hint, ..report(Done::Refused, Some(refusal.reason)) }
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
    for report in reports.iter_mut().filter(|report| report.outcome == Done::Planned) {
        let Some(plan) = &report.plan else { continue };
        let is_over;
        (report.outcome, report.message, is_over) = match carry_out::carry_out(inspector, plan, limit).await {
            Ok(Changed::Done) => (Done::Done, None, false),
            Ok(Changed::ByAnother(now)) => (Done::AlreadySo, Some(now), false),
            Ok(Changed::Changed(now)) => (
                Done::ChangedMeanwhile,
                Some(format!("nothing was done, it has changed meanwhile: {now}")),
                false,
            ),
            Ok(Changed::Overwritten(now)) => (
                Done::Overwritten,
                Some(format!("it was done, and somebody has written over it: {now}")),
                false,
            ),
            Err(trouble) => {
                let (outcome, is_over) = match &trouble {
                    Trouble::NotDone(AmendError::Refused(_)) => (Done::Failed, false),
                    Trouble::NotDone(_) => (Done::Failed, true),
                    Trouble::InDoubt(_) | Trouble::NotSeen(_) => (Done::InDoubt, true),
                };
                let cause =
                    std::error::Error::source(&trouble).map_or(String::new(), |cause| format!(": {cause}"));
                (outcome, Some(format!("{trouble}{cause}")), is_over)
            }
        };
        if is_over {
            return;
        }
    }
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
                Done::Planned => writeln!(ctx.out(), "dry run: nothing was done")?,
                Done::Done => writeln!(ctx.out(), "{} saga {} {name}", words.done, one.saga_id)?,
                Done::AlreadySo => writeln!(ctx.out(), "saga {} {name}: {message}", one.saga_id)?,
                // The error tells it.
                Done::Refused | Done::ChangedMeanwhile | Done::Overwritten | Done::Failed | Done::InDoubt => {
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

fn word(outcome: Done, words: &Words) -> &'static str {
    match outcome {
        Done::Planned => "planned",
        Done::Done => words.done,
        Done::AlreadySo => "already so",
        Done::Refused => "refused",
        Done::ChangedMeanwhile => "changed meanwhile",
        Done::Overwritten => "written over",
        Done::Failed => "failed",
        Done::InDoubt => "in doubt",
    }
}

fn is_good(outcome: Done) -> bool {
    matches!(outcome, Done::Planned | Done::Done | Done::AlreadySo)
}

fn judge_reports(words: &Words, reports: &[Report]) -> CommandResult {
    let bad: Vec<&Report> = reports.iter().filter(|report| !is_good(report.outcome)).collect();
    let kind = |outcome| match outcome {
        Done::Refused | Done::ChangedMeanwhile => Kind::Unusable,
        Done::Failed | Done::InDoubt => Kind::Unreachable,
        Done::Overwritten | Done::Planned | Done::Done | Done::AlreadySo => Kind::Bad,
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
        (None, Done::InDoubt) => failure.hint(format!(
            "`sagactl sagas show {}` shows what is there; doing it again is safe",
            first.saga_id
        )),
        (None, Done::ChangedMeanwhile) => failure.hint("look at it again before you try again"),
        (None, _) => failure,
    })
}
