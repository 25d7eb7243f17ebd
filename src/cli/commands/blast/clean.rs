//! `sagactl blast clean`: deletes what runs have made, and nothing else.

use super::progress::{Show, live_line};
use crate::blast::clean::{self, Cleaning, Plan, Report, Selection, Stop};
use crate::blast::names::DEFAULT_PREFIX;
use crate::blast::target::{Reach, Target};
use crate::blast::{DEFAULT_REQUEST_TIMEOUT, MOST_WORKERS};
use crate::cli::config::{OutputMode, Timeout};
use crate::cli::consent::Consent;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::render;
use http::header::AUTHORIZATION;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// How often the live line is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a line is written where there is no terminal to draw on.
const PLAIN_LINE: Duration = Duration::from_secs(5);

/// Delete what runs have made: projects with everything in them, by real deletions
///
/// Only projects that have both a name and a description of a blast's are deleted; what merely begins alike is named and
/// stays. May be interrupted and run again. Needs -w; --dry-run shows what would go.
#[derive(Debug, clap::Args)]
pub(super) struct CleanArgs {
    /// What names begin with
    #[arg(long, value_name = "TEXT", default_value = DEFAULT_PREFIX)]
    prefix: String,

    /// Only what this run has made [default: every run's]
    #[arg(long, value_name = "TEXT")]
    run_id: Option<String>,

    /// Deletions at the same time
    #[arg(long, value_name = "N", default_value = "16")]
    concurrency: NonZeroU32,

    /// How long a single deletion may take [default: 30s]
    #[arg(long, value_name = "DURATION")]
    request_timeout: Option<Timeout>,

    /// Only show what would be deleted
    #[arg(long)]
    dry_run: bool,

    /// No progress
    #[arg(short, long)]
    quiet: bool,
}

/// Plans, asks, deletes, tells.
pub(super) async fn run(ctx: &mut Context<'_>, args: CleanArgs) -> CommandResult {
    let mode = ctx.output_among("blast clean", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let consent = ctx.settings().consent;
    if !args.dry_run {
        consent.require_destructive("blast clean")?;
    }
    let credential = ctx.token()?.map(|token| (AUTHORIZATION, token.authorization()));
    // Deleting what one has made there is no load, wherever that is.
    let url = ctx.external_url();
    let target = Target::resolve(&url, ctx.trust(), credential.as_ref(), Reach::Anywhere).await?;
    if let Some(trouble) = target.find_tls_trouble().await {
        return Err(Failure::of_tls(&url.to_string(), &trouble).because(trouble.to_string()));
    }
    let target = target.with_retry(ctx.settings().retry);
    let selection = Selection { prefix: args.prefix.clone(), run_id: args.run_id.clone() };
    let plan = clean::find(&target, &selection).await.map_err(|reason| {
        Failure::new(Kind::Unreachable, "what is there cannot be listed")
            .because(reason)
            .hint("--external-url names the external API of the coordinator")
    })?;
    if args.dry_run || plan.delete.is_empty() {
        let report = Report { dry_run: args.dry_run, ..Report::of_plan(&plan, &selection) };
        tell(ctx, mode, &report)?;
        return Ok(Outcome::Good);
    }
    show_plan(ctx, &plan)?;
    let question = format!("Delete {} projects at {}?", plan.delete.len(), target.base());
    let consent = consent.ask(ctx, &question).await?;
    let timeout = args.request_timeout.map_or(DEFAULT_REQUEST_TIMEOUT, |Timeout(timeout)| timeout);
    let cleaning = Cleaning::new(target, selection, plan, timeout);
    carry_out(ctx, &cleaning, &args, consent).await;
    let report = tokio::select! {
        report = cleaning.report() => report,
        _ = tokio::signal::ctrl_c() => return Err(Failure::interrupted()),
    };
    tell(ctx, mode, &report)?;
    if report.interrupted && !report.is_good() {
        return Err(Failure::interrupted());
    }
    Ok(Outcome::good_if(report.is_good()))
}

/// Shows what will go, beside the answer: on standard error.
fn show_plan(ctx: &mut Context<'_>, plan: &Plan) -> Result<(), Failure> {
    let mut text = Vec::new();
    render::blast_clean::render_plan(&mut text, plan)?;
    ctx.console().stderr().write_all(&text)?;
    Ok(())
}

/// The consent is proof that the plan was shown and confirmed.
async fn carry_out(ctx: &mut Context<'_>, cleaning: &Cleaning, args: &CleanArgs, _: Consent) {
    let show = if args.quiet { Show::Nothing } else { Show::Progress };
    let line = live_line(ctx, show);
    let plain = line.is_hidden() && show == Show::Progress;
    let mut next_plain_line = Instant::now() + PLAIN_LINE;
    let concurrency = args.concurrency.get().min(MOST_WORKERS);
    let mut run = std::pin::pin!(cleaning.run(concurrency));
    loop {
        tokio::select! {
            () = &mut run => break,
            _ = tokio::signal::ctrl_c() => {
                if cleaning.stop() == Stop::Again {
                    break;
                }
            }
            () = tokio::time::sleep(REDRAW) => {
                let now = || render::blast_clean::progress_line(cleaning.counts());
                if plain && Instant::now() >= next_plain_line {
                    ctx.note(now());
                    next_plain_line += PLAIN_LINE;
                } else if !line.is_hidden() {
                    line.set_message(now());
                }
            }
        }
    }
    line.finish_and_clear();
}

fn tell(ctx: &mut Context<'_>, mode: OutputMode, report: &Report) -> Result<(), Failure> {
    if mode == OutputMode::Table {
        render::blast_clean::render_report(ctx.out(), report)?;
    } else {
        ctx.write_json(mode, report)?;
    }
    Ok(())
}
