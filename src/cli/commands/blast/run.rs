//! `sagactl blast`: makes load, asks what is on record, tells, judges.

use super::files::Reports;
use super::progress::{Show, run_to_the_end};
use super::records::{self, Found, Question};
use super::verdict::judge;
use crate::blast::login::{Login, log_in};
use crate::blast::names::{DEFAULT_PREFIX, Names, run_id};
use crate::blast::report::Full;
use crate::blast::rules::Rule;
use crate::blast::schedule::{Limits, Pacing, Rate};
use crate::blast::sightings::{Sightings, Watch};
use crate::blast::target::{Credential, Reach, Target};
use crate::blast::workload::Workload;
use crate::blast::{Blast, Config, DEFAULT_GRACE, DEFAULT_REQUEST_TIMEOUT, MOST_WORKERS, Report, limits};
use crate::cli::config::{OutputMode, Timeout};
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind};
use crate::client::token::Password;
use crate::reconcile::Reconciliation;
use crate::render;
use crate::wire::info::Info;
use http::header::AUTHORIZATION;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

/// Workers of a closed loop, unless somebody says otherwise.
const DEFAULT_CONCURRENCY: u32 = 16;

/// Workers of an open loop: enough that a server may take its time without the load waiting for it.
const DEFAULT_OPEN_CONCURRENCY: u32 = 256;

/// What is read unless somebody says otherwise.
const DEFAULT_PATH: &str = "/v1/projects?limit=10";

// Defaults are filled in later, so that "none of these was given" can be told (a subcommand takes none of them).
#[derive(Debug, Default, clap::Args)]
pub(super) struct RunArgs {
    /// What each request does [default: project-create]
    #[arg(long, value_name = "WORKLOAD", value_enum)]
    workload: Option<WorkloadName>,

    /// With --workload get: what is read [default: /v1/projects?limit=10]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,

    /// Requests in flight at the same time, at most 10000 [default: 16, with --rate 256]
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroU32>,

    /// Stop after so many requests
    #[arg(long, value_name = "N")]
    count: Option<NonZeroU64>,

    /// Stop after this time (not counting the warm-up)
    #[arg(long, value_name = "DURATION")]
    duration: Option<Timeout>,

    /// Open loop: start so many requests per second whatever the server does, and count latency from the intended start
    #[arg(long, value_name = "PER SECOND", conflicts_with = "pause")]
    rate: Option<Rate>,

    /// Closed loop: how long each worker waits between two requests [default: not at all]
    #[arg(long, value_name = "DURATION")]
    pause: Option<Timeout>,

    /// Raise the load evenly during this time: worker after worker, or the rate from 0
    #[arg(long, value_name = "DURATION")]
    ramp: Option<Timeout>,

    /// Leave the first while out of rate and latencies; its requests are accounted for all the same
    #[arg(long, value_name = "DURATION")]
    warm_up: Option<Timeout>,

    /// Go on when requests fail; otherwise the first failure ends the blast with exit code 1
    #[arg(long)]
    ignore_errors: bool,

    /// With --ignore-errors: stop after so many failures all the same, with exit code 1
    #[arg(long, value_name = "N", requires = "ignore_errors")]
    max_failures: Option<NonZeroU64>,

    /// Exit 1 if this holds, for example 'p99>2s', 'errors>1%' or 'rate<500'; may be given again
    #[arg(long, value_name = "RULE")]
    fail_if: Vec<Rule>,

    /// What all names begin with [default: dummy-]
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// Id of this run, which is in every name [default: random, or by --seed]
    #[arg(long, value_name = "TEXT")]
    run_id: Option<String>,

    /// Decides everything that is random, so that a run can be repeated
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Write a line about each request to this file as it goes, for `blast reconcile`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Write everything that is known of the run to this file, as JSON, with how it went over time
    #[arg(long, value_name = "FILE")]
    pub(super) json_report: Option<PathBuf>,

    /// Write a page about the run to this file, which needs nothing but a browser
    #[arg(long, value_name = "FILE")]
    pub(super) html_report: Option<PathBuf>,

    /// Log in as this user first
    #[arg(long, value_name = "SILO/USER", requires = "password_file", conflicts_with = "token_file")]
    login: Option<Login>,

    /// With --login: file with the password, readable by you alone
    #[arg(long, value_name = "PATH", requires = "login")]
    password_file: Option<PathBuf>,

    /// Make load on another machine, too
    #[arg(long)]
    allow_remote: bool,

    /// How long a single request may take [default: 30s]
    #[arg(long, value_name = "DURATION")]
    request_timeout: Option<Timeout>,

    /// How long requests in flight are waited for after ^C [default: 5s]
    #[arg(long, value_name = "DURATION")]
    grace: Option<Timeout>,

    /// No progress
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum WorkloadName {
    /// Create a project
    #[default]
    ProjectCreate,
    /// Create a project and delete it again
    ProjectCycle,
    /// Start a demo saga and complete it, through the internal API
    DemoSaga,
    /// Read what is at --path
    Get,
}

/// Runs the blast, asks the records, tells.
pub(super) async fn run(ctx: &mut Context<'_>, args: RunArgs) -> CommandResult {
    let mode = ctx.output_among("blast", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let config = configure(ctx, &args).await?;
    // Asked before the load: a coordinator that dies under it has then told where its database is.
    let info = records::fetch_info(ctx).await.filter(|info| is_of(info, &config));
    let reports = Reports::open(&args)?;
    let blast = Blast::new(config);
    if let Some(path) = &args.record {
        blast.record_to(path)?;
    }
    let show = if args.quiet { Show::Nothing } else { Show::Progress };
    let watch = if info.is_some() { ctx.client().ok().map(Watch::start) } else { None };
    run_to_the_end(ctx, &blast, show).await??;
    let recorded = blast.finish_record();
    let report = conclude(ctx, &blast, &args.fail_if, info.as_ref()).await;
    let sightings = match watch {
        Some(watch) => watch.finish().await,
        None => Sightings::default(),
    };
    let full = Full {
        report: Report { recovery: sightings.seen(), ..report },
        course: blast.course(),
        restarts: sightings.restarts().to_vec(),
        passes: sightings.passes().to_vec(),
    };
    let report = &full.report;
    if mode == OutputMode::Table {
        let look = ctx.look();
        render::blast::render_report(ctx.out(), &look, report)?;
    } else {
        ctx.write_json(mode, report)?;
    }
    reports.write(&full)?;
    recorded?;
    judge(report, blast.config(), args.ignore_errors)
}

async fn configure(ctx: &mut Context<'_>, args: &RunArgs) -> Result<Config, Failure> {
    let workload = workload(args)?;
    let default = if args.rate.is_some() { DEFAULT_OPEN_CONCURRENCY } else { DEFAULT_CONCURRENCY };
    let concurrency = args.concurrency.map_or(default, NonZeroU32::get);
    if concurrency > MOST_WORKERS {
        return Err(Failure::unusable(format!(
            "--concurrency {concurrency} is more than the {MOST_WORKERS} that one blast can do"
        )));
    }
    limits::make_room_for(concurrency).map_err(|error| {
        Failure::unusable(error.to_string()).hint("`ulimit -Hn` shows the limit; --concurrency asks for less")
    })?;
    let run_id = args.run_id.clone().unwrap_or_else(|| run_id(args.seed));
    let names = Names::new(args.prefix.as_deref().unwrap_or(DEFAULT_PREFIX), &run_id).map_err(|error| {
        Failure::unusable("--prefix and --run-id make no good names")
            .caused_by(&error)
            .hint("names begin with a lower-case letter and hold lower-case letters, digits and -")
    })?;
    let duration = |given: Option<Timeout>| given.map_or(Duration::ZERO, |Timeout(duration)| duration);
    let target = if workload.is_internal() { ctx.internal_url() } else { ctx.external_url() };
    let reach = if args.allow_remote { Reach::Anywhere } else { Reach::Loopback };
    let mut config = Config {
        workload,
        reach,
        trust: ctx.trust().clone(),
        pacing: match args.rate {
            Some(rate) => Pacing::OpenLoop { rate },
            None => Pacing::ClosedLoop { pause: duration(args.pause) },
        },
        ramp: duration(args.ramp),
        warm_up: duration(args.warm_up),
        limits: Limits {
            count: args.count.map(NonZeroU64::get),
            duration: args.duration.map(|Timeout(duration)| duration),
            max_failures: if args.ignore_errors { args.max_failures.map(NonZeroU64::get) } else { Some(1) },
        },
        grace: args.grace.map_or(DEFAULT_GRACE, |Timeout(grace)| grace),
        request_timeout: args.request_timeout.map_or(DEFAULT_REQUEST_TIMEOUT, |Timeout(timeout)| timeout),
        seed: args.seed,
        ..Config::new(target, names, concurrency)
    };
    check_certificate(&config).await?;
    config.credential = credential(ctx, args, &config).await?;
    Ok(config)
}

fn workload(args: &RunArgs) -> Result<Workload, Failure> {
    let workload = args.workload.unwrap_or_default();
    if args.path.is_some() && workload != WorkloadName::Get {
        return Err(Failure::unusable("--path is for --workload get, which reads what is there"));
    }
    Ok(match workload {
        WorkloadName::ProjectCreate => Workload::ProjectCreate,
        WorkloadName::ProjectCycle => Workload::ProjectCycle,
        WorkloadName::DemoSaga => Workload::DemoSaga,
        WorkloadName::Get => {
            Workload::Get { path: args.path.clone().unwrap_or_else(|| DEFAULT_PATH.to_owned()) }
        }
    })
}

/// A server that is not who it should be is told once, and not by every request.
async fn check_certificate(config: &Config) -> Result<(), Failure> {
    if !config.target.is_https() {
        return Ok(());
    }
    let target = Target::resolve(&config.target, &config.trust, None, config.reach).await?;
    match target.find_tls_trouble().await {
        None => Ok(()),
        Some(trouble) => {
            Err(Failure::of_tls(&config.target.to_string(), &trouble).because(trouble.to_string()))
        }
    }
}

/// A session of the user who logs in, else the bearer token, if there is one.
async fn credential(
    ctx: &mut Context<'_>,
    args: &RunArgs,
    config: &Config,
) -> Result<Option<Credential>, Failure> {
    let (Some(login), Some(path)) = (&args.login, &args.password_file) else {
        return Ok(ctx.token()?.map(|token| (AUTHORIZATION, token.authorization())));
    };
    let password = Password::load(path)?;
    let target = Target::resolve(&config.target, &config.trust, None, config.reach).await?;
    match log_in(&target, login, &password, config.request_timeout).await {
        Ok(session) => Ok(Some(session)),
        Err(error) => {
            Err(Failure::new(Kind::Unreachable, format!("cannot log in as {login} at {}", config.target))
                .caused_by(&error))
        }
    }
}

/// Whether it is this coordinator that the load goes to.
fn is_of(info: &Info, config: &Config) -> bool {
    let url = if config.workload.is_internal() { &info.internal_url } else { &info.external_url };
    url.strip_prefix("http://") == Some(config.target.authority().as_str())
}

/// Holds the run against the records, wherever these can be read, and puts everything together.
async fn conclude(ctx: &mut Context<'_>, blast: &Blast, rules: &[Rule], info: Option<&Info>) -> Report {
    let config = blast.config();
    let question = Question {
        traces: config.workload.traces(),
        stem: config.names.stem(),
        sagas: &blast.saga_ids(),
        external: &config.target,
        trust: &config.trust,
        credential: config.credential.as_ref(),
    };
    let look = async {
        if info.is_some() {
            records::settle(ctx).await;
        }
        records::find(ctx, &question, info).await
    };
    let found = tokio::select! {
        found = look => found,
        _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
    };
    let (reconciliation, sagas) = match found {
        Ok(Found { recorded, sagas }) => (blast.reconcile(&recorded), sagas),
        Err(reason) => (Reconciliation::not_checked(reason), None),
    };
    Report { rules: blast.judge(rules), sagas, ..blast.report(reconciliation) }
}
