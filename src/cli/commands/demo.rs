//! `sagactl demo`: the two-minute tour, which takes a few seconds.

use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::client::tls::Trust;
use crate::client::{Client, Config};
use crate::drill::demo::{self, CLIENTS, DemoError, Event, LOAD, Tour};
use crate::drill::harness::HarnessError;
use crate::render::style::Style;
use crate::render::{self, Limit, time};
use std::sync::Arc;

/// Take the tour: load a coordinator, kill it with sagas in flight, recover them, prove that nothing was lost
///
/// Starts a coordinator of its own in a scratch directory, on free loopback ports, and removes everything afterwards.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Keep the scratch directory, with the database to look at
    #[arg(long)]
    keep: bool,
}

/// Recovered sagas and passes that are worth showing on a tour.
const ROWS: usize = 5;

/// Takes the tour.
pub async fn run(ctx: &mut Context<'_>, args: DemoArgs) -> CommandResult {
    let settings = ctx.settings().clone();
    let client_for = move |base| {
        Client::new(Config {
            base,
            trust: Trust::system(),
            token: None,
            budget: settings.timeout,
            retry: settings.retry,
            on_event: Arc::new(|_| {}),
        })
    };
    let mut told = Ok(());
    let tour = demo::run(args.keep, client_for, &mut |event| {
        if told.is_ok() {
            told = tell(ctx, &event);
        }
    })
    .await;
    told?;
    conclude(ctx, tour?)
}

fn heading(ctx: &mut Context<'_>, text: &str) -> std::io::Result<()> {
    let paint = ctx.look().paint;
    writeln!(ctx.out(), "\n{}", paint.apply(Style::Heading, text))
}

fn tell(ctx: &mut Context<'_>, event: &Event<'_>) -> std::io::Result<()> {
    match event {
        Event::Started { data_dir, ready, time_to_ready } => {
            heading(ctx, "1. A coordinator, on SQLite, in a directory of its own")?;
            writeln!(ctx.out(), "   SEC {}, pid {}", ready.sec_id, ready.pid)?;
            writeln!(ctx.out(), "   data in {}", data_dir.display())?;
            writeln!(ctx.out(), "   ready after {}", time::measured(*time_to_ready))?;
        }
        Event::Loading => {
            heading(ctx, &format!("2. Load: {CLIENTS} clients create projects, each by a saga of 22 nodes"))?;
            writeln!(ctx.out(), "   for {} ...", time::coarse(LOAD))?;
        }
        Event::Killed { totals } => {
            let acknowledged = totals.done;
            heading(ctx, "3. kill -9, with sagas in flight")?;
            writeln!(ctx.out(), "   {acknowledged} projects were acknowledged to clients until then")?;
            writeln!(ctx.out(), "   {} requests have no answer yet", totals.in_flight)?;
        }
        Event::Recovered { recovered, time_to_ready, time_to_recovered } => {
            heading(ctx, "4. Start it again: recovery is a part of every start")?;
            writeln!(ctx.out(), "   ready after {}", time::measured(*time_to_ready))?;
            writeln!(
                ctx.out(),
                "   {recovered} sagas recovered, all at rest {} after the start of the process",
                time::measured(*time_to_recovered)
            )?;
        }
    }
    // Each chapter as it happens, also into a pipe.
    ctx.out().flush()
}

fn conclude(ctx: &mut Context<'_>, tour: Tour) -> CommandResult {
    let Tour { status, report, incomplete, kept } = tour;
    heading(ctx, "5. What an operator sees: sagactl status")?;
    writeln!(ctx.out())?;
    let look = ctx.look();
    render::status::render_status(ctx.out(), &look, &status, Limit::Rows(ROWS))?;
    heading(ctx, "6. The proof: every request, held against the database")?;
    writeln!(ctx.out())?;
    render::blast::render_report(ctx.out(), &look, &report)?;
    writeln!(ctx.out(), "  projects that lack a part:        {:>8}", incomplete.len())?;
    for name in &incomplete {
        writeln!(ctx.out(), "  incomplete: {name}")?;
    }
    let failures = status.recovery.since_start.as_ref().map_or(0, |counters| counters.recovery_errors);
    let good = report.done > 0
        && report.reconciliation.verdict == crate::reconcile::Verdict::Consistent
        && incomplete.is_empty()
        && failures == 0;
    let rate = report.rate_per_sec;
    if good {
        heading(ctx, "Nothing was lost, nothing was done twice, nothing was left half done.")?;
        writeln!(ctx.out(), "   ({rate:.0} durable sagas per second while it lasted)")?;
    } else {
        heading(ctx, "This should not have happened: the records do not agree with what clients were told.")?;
    }
    match kept {
        Some(dir) => writeln!(ctx.out(), "\nThe data stays in {}", dir.display())?,
        None => writeln!(ctx.out(), "\nThe coordinator and its data are gone; --keep would have kept them.")?,
    }
    writeln!(ctx.out(), "\nTry it yourself, in three terminals:")?;
    writeln!(ctx.out(), "   sagactl coordinator run --data-dir /tmp/tour")?;
    writeln!(ctx.out(), "   sagactl blast --concurrency 64 --ignore-errors")?;
    writeln!(ctx.out(), "   sagactl status --watch")?;
    writeln!(ctx.out(), "and kill -9 the first whenever you like.")?;
    Ok(Outcome::good_if(good))
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        let kind = match &error {
            DemoError::Harness(HarnessError::Io { .. }) | DemoError::Client(_) | DemoError::Load(_) => {
                Kind::Unusable
            }
            DemoError::Harness(HarnessError::NotReady { .. }) | DemoError::NotRecovered => Kind::TimedOut,
            DemoError::Harness(_) => Kind::Unreachable,
            DemoError::Status(_) | DemoError::Call(_) | DemoError::Store(_) => Kind::Nonsense,
        };
        Self::new(kind, "the tour ended early").caused_by(&error)
    }
}
