//! `sagactl blast`: load, and afterwards the truth about it.

use crate::blast::http::Target;
use crate::blast::names::Names;
use crate::blast::schedule::Limits;
use crate::blast::{Blast, Config, Report, records};
use crate::cli::config::{OutputMode, Source, Timeout};
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::observe::Part;
use crate::reconcile::Reconciliation;
use crate::render;
use crate::wire::info::Info;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::{Duration, Instant};

/// Most workers of one blast.
const MOST_WORKERS: usize = 10_000;

/// How often the live line is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How often a line is written where there is no terminal to draw on.
const PLAIN_LINE: Duration = Duration::from_secs(5);

/// How long the coordinator may take to tell who it is, before and after the load.
const ASIDE: Duration = Duration::from_secs(2);

/// How long sagas that nobody waits for any more may take to end before the records are read.
const SETTLE: Duration = Duration::from_secs(5);

/// Create projects as fast as the server lets us, and say afterwards what became of each
///
/// Runs until ^C unless --count or --duration ends it. The first ^C starts no more requests and waits for those in
/// flight, the second waits for nothing. At the end every request is held against the records.
#[derive(Debug, clap::Args)]
pub struct BlastArgs {
    /// Requests in flight at the same time
    #[arg(long, value_name = "N", default_value = "16")]
    concurrency: NonZeroUsize,

    /// Stop after so many requests
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,

    /// Stop after this time
    #[arg(long, value_name = "DURATION")]
    duration: Option<Timeout>,

    /// How long each worker waits between two requests [default: not at all]
    #[arg(long, value_name = "DURATION")]
    pause: Option<Timeout>,

    /// Go on when requests fail; otherwise the first failure ends the blast with exit code 1
    #[arg(long)]
    ignore_errors: bool,

    /// With --ignore-errors: stop after so many failures all the same
    #[arg(long, value_name = "N", requires = "ignore_errors")]
    max_failures: Option<NonZeroU64>,

    /// What all names begin with
    #[arg(long, value_name = "TEXT", default_value = "dummy-")]
    prefix: String,

    /// Id of this run, which is in every name [default: random]
    #[arg(long, value_name = "TEXT")]
    run_id: Option<String>,

    /// How long a single request may take
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    request_timeout: Timeout,

    /// How long requests in flight are waited for after ^C
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    grace: Timeout,

    /// No progress
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the blast, asks the records, tells.
pub async fn run(ctx: &mut Context<'_>, args: BlastArgs) -> CommandResult {
    let mode = ctx.output_among("blast", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let config = configure(ctx, &args)?;
    let target = config.target.clone();
    // Asked before the load: a coordinator that dies under it has then told where its database is.
    let info = fetch_info(ctx, &target).await;
    let blast = Blast::new(config);
    let duration = run_with_progress(ctx, &blast, args.quiet).await?;
    let reconciliation = reconcile(ctx, &blast, &target, info.as_ref()).await;
    let report = blast.report(duration, reconciliation);
    if mode == OutputMode::Table {
        let look = ctx.look();
        render::blast::render_report(ctx.out(), &look, &report)?;
    } else {
        ctx.write_json(mode, &report)?;
    }
    judge(&report, args.ignore_errors)
}

fn configure(ctx: &mut Context<'_>, args: &BlastArgs) -> Result<Config, Failure> {
    if args.concurrency.get() > MOST_WORKERS {
        return Err(Failure::unusable(format!(
            "--concurrency {} is more than the {MOST_WORKERS} that one blast can do",
            args.concurrency
        )));
    }
    let run_id = args.run_id.clone().unwrap_or_else(|| format!("{:08x}", rand::random::<u32>()));
    let names = Names::new(&args.prefix, &run_id).map_err(|error| {
        Failure::unusable("--prefix and --run-id make no good names")
            .caused_by(&error)
            .hint("names begin with a lower-case letter and hold lower-case letters, digits and -")
    })?;
    let url = ctx.external_url();
    let bearer_token = ctx.token()?.map(|token| {
        let header = token.authorization();
        header.to_str().unwrap_or_default().trim_start_matches("Bearer ").to_owned()
    });
    Ok(Config {
        target: Target {
            host: url.host().to_owned(),
            port: url.port(),
            path_prefix: url.path_prefix().trim_end_matches('/').to_owned(),
            bearer_token,
        },
        concurrency: args.concurrency.get(),
        limits: Limits {
            count: args.count.map(NonZeroU64::get),
            duration: args.duration.map(|Timeout(duration)| duration),
            max_failures: if args.ignore_errors { args.max_failures.map(NonZeroU64::get) } else { Some(1) },
        },
        pause: args.pause.map_or(Duration::ZERO, |Timeout(pause)| pause),
        request_timeout: args.request_timeout.0,
        grace: args.grace.0,
        names,
        run_id,
    })
}

/// Who the coordinator behind the internal API is, if it is the one that is being blasted.
async fn fetch_info(ctx: &mut Context<'_>, target: &Target) -> Option<Info> {
    let client = ctx.client().ok()?.with_at_most(ASIDE);
    let info = client.fetch_info().await.ok().flatten()?;
    let same = info.external_url.strip_prefix("http://") == Some(target.authority().as_str());
    same.then_some(info)
}

/// Runs to the end, drawing progress and obeying ^C. Answers how long it took.
async fn run_with_progress(ctx: &mut Context<'_>, blast: &Blast, quiet: bool) -> Result<Duration, Failure> {
    let on_terminal = ctx.console().stderr_is_terminal() && !quiet;
    let line = ProgressBar::with_draw_target(
        None,
        if on_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
    )
    .with_style(ProgressStyle::with_template("{msg}").expect("a template without mistakes"));
    let started = Instant::now();
    let mut interrupted = false;
    let mut next_plain_line = started + PLAIN_LINE;
    let mut run = std::pin::pin!(blast.run());
    loop {
        tokio::select! {
            () = &mut run => break,
            signal = tokio::signal::ctrl_c() => {
                signal.map_err(|error| Failure::unusable("cannot listen for ^C").caused_by(&error))?;
                let totals = render::blast::totals_line(blast.progress().totals);
                line.suspend(|| ctx.note(format_args!("at signal: {totals}")));
                if interrupted { blast.stop_now() } else { blast.drain() }
                interrupted = true;
            }
            () = tokio::time::sleep(REDRAW) => {
                let progress = blast.progress();
                line.set_message(render::blast::progress_line(&progress));
                if !quiet && !on_terminal && Instant::now() >= next_plain_line {
                    ctx.note(render::blast::progress_line(&progress));
                    next_plain_line += PLAIN_LINE;
                }
            }
        }
    }
    let took = started.elapsed();
    line.finish_and_clear();
    if interrupted {
        ctx.note(format_args!("final: {}", render::blast::totals_line(blast.progress().totals)));
    }
    Ok(took)
}

/// Holds the books against the records, wherever these can be read.
async fn reconcile(
    ctx: &mut Context<'_>,
    blast: &Blast,
    target: &Target,
    info: Option<&Info>,
) -> Reconciliation {
    if info.is_some() {
        settle(ctx).await;
    }
    let stem = blast.stem();
    let named_by_user = ctx.db_url().is_some_and(|chosen| chosen.source != Source::Default);
    let mut reasons = Vec::new();
    if named_by_user || info.is_some() {
        match ctx.store(info) {
            Part::Present(store) => match records::from_database(&*store, &stem).await {
                Ok(recorded) => return blast.reconcile(&recorded),
                Err(reason) => reasons.push(reason),
            },
            Part::Missing(reason) => reasons.push(reason),
        }
    }
    match records::from_api(target, &stem).await {
        Ok(recorded) => blast.reconcile(&recorded),
        Err(reason) => {
            reasons.push(reason);
            Reconciliation::not_checked(reasons.join("; "))
        }
    }
}

/// Sagas go on when their clients have gone; the records are worth reading once these have ended.
async fn settle(ctx: &mut Context<'_>) {
    let Ok(client) = ctx.client() else { return };
    let deadline = Instant::now() + SETTLE;
    while Instant::now() < deadline {
        match client.with_fresh_budget().with_at_most(ASIDE).fetch_info().await {
            Ok(Some(info)) if info.sagas_in_flight > 0 || !info.recovered => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            _ => return,
        }
    }
}

fn judge(report: &Report, ignore_errors: bool) -> CommandResult {
    let only_refused = report.errors.iter().all(|error| error.class == "refused");
    if report.done == 0
        && only_refused
        && let Some(first) = &report.first_failure
    {
        return Err(Failure::new(Kind::Unreachable, "nothing could be sent")
            .because(first.error.clone())
            .hint("is the coordinator running, and is --external-url its external API?"));
    }
    if !ignore_errors && let Some(first) = &report.first_failure {
        return Err(Failure::new(Kind::Bad, format!("creating project {} failed", first.name))
            .because(first.error.clone())
            .hint("--ignore-errors goes on when requests fail"));
    }
    Ok(Outcome::good_if(report.done > 0 && !report.reconciliation.is_inconsistent()))
}
