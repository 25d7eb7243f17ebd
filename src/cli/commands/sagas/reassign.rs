//! `sagactl sagas reassign`: gives unfinished sagas another owner.

use super::change::ChangeArgs;
use crate::amend::carry_out::{self, Trouble};
use crate::amend::reassign::{Facts, Fate, Moved, Plan, Request, plan};
use crate::cli::commands::saga_ids::resolve;
use crate::cli::commands::why::look;
use crate::cli::config::OutputMode;
use crate::cli::consent::Consent;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::observe::why::judge::judge;
use crate::observe::why::{EngineKind, Owner};
use crate::render::amend::{fate_table, render_reassignment, sagas};
use crate::render::escape::{escape, excerpt};
use crate::saga_log::Reading;
use crate::saga_log::record::SagaRecord;
use crate::store::amend::Capability;
use crate::store::inspect::Inspector;
use crate::wire::ids::SecId;
use serde::Serialize;

/// Sagas that are read at once.
const PAGE: u32 = 1000;

/// Give unfinished sagas another owner, whose next recovery pass takes them up
///
/// What coordinators do by themselves with the sagas of a SEC that has been expunged. All sagas of --from, or those that are
/// named. The old owner must be down; each saga is moved only if it is as the plan saw it.
#[derive(Debug, clap::Args)]
pub(super) struct ReassignArgs {
    /// Whose sagas; a beginning of the id that no other has is enough
    #[arg(long, value_name = "SEC", required_unless_present = "saga")]
    from: Option<String>,

    /// Who gets them
    #[arg(long, value_name = "SEC")]
    to: String,

    /// Only these, each by its id or a beginning of it
    #[arg(long, value_name = "SAGA", num_args = 1..)]
    saga: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// What it tells in JSON.
#[derive(Debug, Serialize)]
struct Report {
    outcome: Done,
    from: Option<SecId>,
    to: SecId,
    /// How many changed hands.
    moved: usize,
    owners: Vec<Owner>,
    warnings: Vec<String>,
    sagas: Vec<Moved>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Done {
    /// Nothing: it was a dry run.
    Planned,
    /// What was meant to move is there, or has come to its end.
    Reassigned,
    /// Nothing: there is nothing to move.
    NothingToDo,
    /// Some are neither there nor at rest.
    LeftSome,
}

/// Reassigns.
pub(super) async fn run(ctx: &mut Context<'_>, args: ReassignArgs) -> CommandResult {
    let ReassignArgs { from, to, saga, change } = args;
    let mode =
        ctx.output_among("sagas reassign", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let consent = ctx.settings().consent;
    if !change.dry_run {
        consent.require_destructive("sagas reassign")?;
    }
    let inspector = ctx.inspector().await?;
    let known = inspector.list_sec_ids().await?;
    let to = select(&to, known.as_deref())?;
    let from = match from {
        Some(from) => Some(select_owner(&inspector, &from, known.as_deref()).await?),
        None => None,
    };
    let time = ctx.now();
    let request = Request { from, to, time, check: change.check() };
    let facts = gather(ctx, &inspector, &request, &saga).await?;
    let plan = plan(facts, &request).map_err(|refusal| {
        let failure = Failure::unusable(refusal.reason);
        match refusal.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    show_plan(ctx, &inspector, &plan)?;
    if plan.moves.is_empty() {
        return tell(ctx, mode, &plan, from, Done::NothingToDo, Vec::new());
    }
    if change.dry_run {
        let planned = plan.moves.iter().map(|planned| Moved {
            saga_id: planned.saga_id,
            name: planned.name.clone(),
            fate: Fate::Planned,
            message: None,
        });
        return tell(ctx, mode, &plan, from, Done::Planned, planned.collect());
    }
    let question = format!("Reassign {} to SEC {to}?", sagas(plan.moves.len()));
    let consent = consent.ask(ctx, &question).await?;
    let moved = carry_out_plan(ctx, &inspector, &plan, consent).await?;
    let is_left = moved.iter().chain(&plan.others).any(|saga| saga.fate == Fate::LeftAlone);
    tell(ctx, mode, &plan, from, if is_left { Done::LeftSome } else { Done::Reassigned }, moved)
}

/// The SEC of this id, or of an id that begins so.
fn select(wanted: &str, known: Option<&[SecId]>) -> Result<SecId, Failure> {
    if let Ok(id) = wanted.parse() {
        return Ok(id);
    }
    let shown = excerpt(wanted, 80);
    let known = known.unwrap_or_default();
    let begins = |id: &&SecId| !wanted.is_empty() && id.to_string().starts_with(&wanted.to_lowercase());
    let matching: Vec<&SecId> = known.iter().filter(begins).collect();
    let listed = |ids: &mut dyn Iterator<Item = &SecId>| {
        let ids: Vec<String> = ids.map(ToString::to_string).collect();
        if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
    };
    match matching[..] {
        [one] => Ok(*one),
        [] => Err(Failure::unusable(format!(
            "unknown SEC {shown:?}; known SECs: {}",
            listed(&mut known.iter())
        ))),
        _ => Err(Failure::unusable(format!(
            "{shown:?} may mean several SECs: {}",
            listed(&mut matching.into_iter())
        ))),
    }
}

/// The same for an owner, who need not be in the registry if it owns something.
async fn select_owner(
    inspector: &Inspector,
    wanted: &str,
    known: Option<&[SecId]>,
) -> Result<SecId, Failure> {
    let owner = select(wanted, known)?;
    let is_known = known.is_some_and(|known| known.contains(&owner));
    if !is_known && inspector.list_unfinished_of(owner, None, 1).await?.is_empty() {
        return Err(Failure::unusable(format!("unknown SEC {owner}: it is in no registry and owns nothing"))
            .hint("`sagactl secs list` lists those that there are"));
    }
    Ok(owner)
}

async fn gather(
    ctx: &mut Context<'_>,
    inspector: &Inspector,
    request: &Request,
    named: &[String],
) -> Result<Facts, Failure> {
    let mut found: Vec<SagaRecord> = Vec::new();
    if named.is_empty() {
        let mut after = None;
        while let Some(from) = request.from.filter(|from| *from != request.to) {
            let page = inspector.list_unfinished_of(from, after, PAGE).await?;
            after = page.last().map(|saga| saga.id);
            let is_last = page.len() < PAGE as usize;
            found.extend(page);
            if is_last {
                break;
            }
        }
    } else {
        let mut ids = Vec::new();
        for text in named {
            ids.push(resolve(ctx, inspector, text).await?);
        }
        ids.sort();
        ids.dedup();
        found = inspector.load_sagas(&ids).await?;
        if let Some(missing) = ids.iter().find(|id| found.iter().all(|saga| saga.id != **id)) {
            return Err(Failure::unusable(format!("saga {missing} has no row, only events")));
        }
    }
    // One saga of each owner stands for all: how an owner is does not depend on the saga.
    let mut owners: Vec<Owner> = Vec::new();
    let mut engine = EngineKind::Ours;
    for saga in &found {
        let owner = saga.current_sec.value().copied();
        if owner == Some(request.to) || owners.iter().any(|known| known.sec_id == owner) {
            continue;
        }
        let looked = look(ctx, inspector, saga.id).await?;
        let why = judge(&Reading::of(&looked.records), &looked.owner, ctx.now());
        engine = looked.owner.engine;
        if why.owner.sec_id == owner {
            owners.push(why.owner);
        }
    }
    Ok(Facts {
        target: inspector.load_sec(request.to).await?,
        sagas: found,
        owners,
        engine,
        capability: Capability::to_reassign(inspector.describe()),
    })
}

/// Shows what will be done, beside the answer: on standard error.
fn show_plan(ctx: &mut Context<'_>, inspector: &Inspector, plan: &Plan) -> Result<(), Failure> {
    let look = ctx.look();
    let mut text = Vec::new();
    render_reassignment(&mut text, &look, plan)?;
    ctx.console().stderr().write_all(&text)?;
    ctx.note(format_args!("in {}", inspector.describe()));
    Ok(())
}

async fn carry_out_plan(
    ctx: &Context<'_>,
    inspector: &Inspector,
    plan: &Plan,
    _: Consent,
) -> Result<Vec<Moved>, Failure> {
    carry_out::reassign(inspector, plan, ctx.timeout()).await.map_err(|trouble| {
        let failure = Failure::new(Kind::Unreachable, "sagas reassign").caused_by(&trouble);
        match trouble {
            Trouble::NotDone(_) | Trouble::Owner(_) => failure,
            Trouble::InDoubt(_) | Trouble::NotSeen(_) => {
                failure.hint("`sagactl sagas list --unfinished` shows what is there; doing it again is safe")
            }
        }
    })
}

fn tell(
    ctx: &mut Context<'_>,
    mode: OutputMode,
    plan: &Plan,
    from: Option<SecId>,
    outcome: Done,
    moved: Vec<Moved>,
) -> CommandResult {
    let all: Vec<Moved> = moved.into_iter().chain(plan.others.iter().cloned()).collect();
    let moved = all.iter().filter(|saga| saga.fate == Fate::Moved).count();
    let is_left = all.iter().any(|saga| saga.fate == Fate::LeftAlone);
    if mode != OutputMode::Table {
        let report = Report {
            outcome,
            from,
            to: plan.to,
            moved,
            owners: plan.owners.clone(),
            warnings: plan.warnings.clone(),
            sagas: all,
        };
        ctx.write_json(mode, &report)?;
    } else {
        tell_table(ctx, plan, from, outcome, &all, moved)?;
    }
    if !is_left {
        return Ok(Outcome::Good);
    }
    // Nothing worked, and nothing is as it was wanted: that is no good question.
    let kind = if moved == 0 && outcome != Done::Planned { Kind::Unusable } else { Kind::Bad };
    Err(Failure::new(kind, "some sagas were left alone").hint("look at them again before you try again"))
}

fn tell_table(
    ctx: &mut Context<'_>,
    plan: &Plan,
    from: Option<SecId>,
    outcome: Done,
    all: &[Moved],
    moved: usize,
) -> Result<(), Failure> {
    // Those that moved are what was asked for; the others each have something to tell.
    let others: Vec<&Moved> =
        all.iter().filter(|saga| !matches!(saga.fate, Fate::Moved | Fate::Planned)).collect();
    if !others.is_empty() {
        let look = ctx.look();
        fate_table(others.into_iter().map(|saga| (saga, word(saga.fate)))).render(&look, ctx.out())?;
    }
    match outcome {
        Done::Planned => writeln!(ctx.out(), "dry run: nothing was done")?,
        Done::NothingToDo if all.is_empty() => {
            let whose = from.map_or("nobody".to_owned(), |from| format!("SEC {from}"));
            writeln!(ctx.out(), "nothing to do: {whose} has no unfinished sagas")?;
        }
        Done::NothingToDo => writeln!(ctx.out(), "nothing was moved")?,
        Done::Reassigned | Done::LeftSome => {
            writeln!(ctx.out(), "{}", escape(&format!("reassigned {} to SEC {}", sagas(moved), plan.to)))?;
            ctx.note("its next recovery pass takes them up; `sagactl activate recovery` there does it now");
        }
    }
    Ok(())
}

fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Planned => "planned",
        Fate::Moved => "moved",
        Fate::AlreadyThere => "already there",
        Fate::AtRest => "at rest",
        Fate::LeftAlone => "left alone",
    }
}
