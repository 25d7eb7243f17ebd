//! `sagactl watchdog`: keeps an eye on a coordinator, and acts.

use crate::cli::config::{DbUrl, OutputMode, Timeout};
use crate::cli::context::Context;
use crate::cli::database::Kept;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::client::Client;
use crate::files::touch;
use crate::observe::activation;
use crate::render;
use crate::watch::hook::Hook;
use crate::watchdog::examine::{examine_api, examine_heartbeat, examine_sagas};
use crate::watchdog::files::{load_policy, save_policy, tell_service_manager};
use crate::watchdog::health::{Examination, Finding, Limits, judge};
use crate::watchdog::policy::{Event, Flag, Past, Policy, Remedy, Rules, Step};
use crate::wire::bgtasks::SAGA_RECOVERY;
use crate::wire::time::Time;
use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for an answer of the coordinator or its database.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// Longest time for `--notify`: a pager that hangs must not keep a watchdog from watching.
const NOTIFY_LIMIT: Duration = Duration::from_secs(30);

/// Keep an eye on a coordinator: flag what is wrong, remedy it, see whether that worked, and call a person if not
///
/// Looks at the internal API, the coordinator's heartbeat file, recovery passes and unfinished sagas. The first remedy is a
/// recovery pass, the next --restart-cmd. When --max-remedies of them brought no progress it stops and names the sagas that
/// are to blame.
#[derive(Debug, clap::Args)]
#[command(after_help = "With --once exits 0 if all is well, at once or after a remedy, and 1 if not.")]
pub struct WatchdogArgs {
    /// Look once, take one remedy if one is due, see whether it worked, and end
    #[arg(long)]
    once: bool,

    /// Time between two looks
    #[arg(long, value_name = "DUR", default_value = "5s")]
    interval: Timeout,

    /// Keep here what is and was wrong and what was done about it
    #[arg(long, value_name = "FILE")]
    state_file: Option<PathBuf>,

    /// Only flag; another watchdog acts, with this one's --state-file as its --act-on
    #[arg(long, requires = "state_file", conflicts_with_all = ["restart_cmd", "act_on"])]
    monitor_only: bool,

    /// Look at nothing, and act on what the watchdog with this --state-file has found
    #[arg(long, value_name = "FILE")]
    act_on: Option<PathBuf>,

    /// Run this for each step, with the step as JSON on standard input
    #[arg(long, value_name = "CMD")]
    notify: Option<String>,

    /// Run this to restart the coordinator
    #[arg(long, value_name = "CMD")]
    restart_cmd: Option<String>,

    /// Longest time for --restart-cmd; then it is killed
    #[arg(long, value_name = "DUR", default_value = "1m")]
    restart_timeout: Timeout,

    /// Touch this after each look, so that something can watch the watchdog
    #[arg(long, value_name = "FILE")]
    heartbeat_file: Option<PathBuf>,

    /// The file that the coordinator touches (`coordinator run --heartbeat-file`)
    #[arg(long, value_name = "FILE", conflicts_with = "act_on")]
    coordinator_heartbeat: Option<PathBuf>,

    /// Oldest heartbeat of the coordinator, and oldest findings of --act-on
    #[arg(long, value_name = "DUR", default_value = "30s")]
    max_beat: Timeout,

    /// Longest time since the last recovery pass [default: two periods of the task]
    #[arg(long, value_name = "DUR")]
    max_age: Option<Timeout>,

    /// Longest recovery pass
    #[arg(long, value_name = "DUR", default_value = "5m")]
    max_pass: Timeout,

    /// Longest time without an event in an unfinished saga
    #[arg(long, value_name = "DUR", default_value = "10m")]
    max_idle: Timeout,

    /// How long a remedy has to show that it worked
    #[arg(long, value_name = "DUR", default_value = "1m")]
    verify_within: Timeout,

    /// How long all must be well until an incident is over
    #[arg(long, value_name = "DUR", default_value = "30s")]
    settle: Timeout,

    /// Wait after a remedy that did not work; doubled each time
    #[arg(long, value_name = "DUR", default_value = "30s")]
    backoff: Timeout,

    /// Remedies without progress after which it is a person's turn
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    max_remedies: u32,

    /// Remedies per hour, whatever the progress
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    max_per_hour: u32,
}

/// What `--once -o json` tells.
#[derive(Debug, Serialize)]
struct Report<'p> {
    /// Whether nothing is wrong.
    healthy: bool,
    /// Whether it is a person's turn.
    escalated: bool,
    /// What is wrong.
    problems: &'p [Flag],
    /// What was wrong, as far as a state file remembers it.
    history: &'p VecDeque<Past>,
}

/// Watches until somebody stops it, or once.
pub async fn run(ctx: &mut Context<'_>, args: WatchdogArgs) -> CommandResult {
    let mut modes = vec![OutputMode::Table, OutputMode::Jsonl];
    modes.extend(args.once.then_some(OutputMode::Json));
    let mode = ctx.output_among("watchdog", &modes)?;
    if args.act_on.is_some() && args.act_on == args.state_file {
        return Err(Failure::unusable("--act-on and --state-file are the same file")
            .hint("what another watchdog has found is kept by that one; this one needs a file of its own"));
    }
    let policy = match &args.state_file {
        Some(path) => read_state(path)?.unwrap_or_default(),
        None => Policy::default(),
    };
    let client = ctx.client()?;
    let mut watchdog = Watchdog { mode, client, database: Kept::default(), policy, is_blind: false, args };
    let mut remedied: Option<Time> = None;
    loop {
        let remedy = watchdog.look_and_decide(ctx).await?;
        // With --once, one remedy is taken, however much is left to do.
        if let Some(remedy) = remedy.filter(|_| !watchdog.args.once || remedied.is_none()) {
            watchdog.act(ctx, remedy).await?;
            remedied = Some(ctx.now());
        }
        watchdog.show_life(ctx);
        if watchdog.args.once {
            let within = watchdog.args.verify_within.0;
            let waits = remedied.is_some_and(|since| {
                ctx.now().signed_duration_since(since).to_std().unwrap_or_default() < within
            });
            if watchdog.policy.is_healthy() || !waits {
                return watchdog.give_verdict(ctx);
            }
        }
        tokio::time::sleep(watchdog.args.interval.0).await;
    }
}

struct Watchdog {
    args: WatchdogArgs,
    mode: OutputMode,
    client: Client,
    database: Kept,
    policy: Policy,
    /// Whether it was said that something cannot be looked at.
    is_blind: bool,
}

impl Watchdog {
    /// Finds out what is wrong, keeps and tells it, and answers what is to be done.
    async fn look_and_decide(&mut self, ctx: &mut Context<'_>) -> Result<Option<Remedy>, Failure> {
        let findings = match self.args.act_on.clone() {
            Some(path) => match self.read_findings(ctx, &path)? {
                Some(findings) => findings,
                None => return Ok(None),
            },
            None => {
                let examination = self.examine(ctx).await;
                judge(&examination, &self.limits(), ctx.now())
            }
        };
        let now = ctx.now();
        let (events, remedy) = match self.args.monitor_only {
            true => (self.policy.observe(findings, now), None),
            false => self.policy.step(findings, &self.rules(), now),
        };
        self.save()?;
        for event in &events {
            self.tell(ctx, event).await?;
        }
        Ok(remedy)
    }

    async fn examine(&mut self, ctx: &mut Context<'_>) -> Examination {
        let mut examination = Examination {
            heartbeat: self.args.coordinator_heartbeat.as_deref().map(examine_heartbeat),
            ..Examination::default()
        };
        let client = self.client.with_fresh_budget().with_at_most(LOOK_PATIENCE);
        examination.api = Some(match examine_api(&client).await {
            Ok((signs, info)) => {
                if let Some(info) = info {
                    self.policy.sec_id = Some(info.sec_id);
                    self.policy.db_url = Some(info.db_url);
                }
                Ok(signs)
            }
            Err(error) => Err(Failure::from(error).summary()),
        });
        let url = ctx.named_database().or_else(|| self.policy.db_url.as_deref()?.parse().ok());
        let looked = match url {
            Some(url) => self.examine_database(ctx, url, &mut examination).await,
            None => Err("no database is known; --db-url names one".to_owned()),
        };
        match looked {
            Ok(()) => self.is_blind = false,
            Err(reason) => {
                if !std::mem::replace(&mut self.is_blind, true) {
                    ctx.note(format_args!("sagas are not watched: {reason}"));
                }
            }
        }
        examination
    }

    async fn examine_database(
        &mut self,
        ctx: &Context<'_>,
        url: DbUrl,
        examination: &mut Examination,
    ) -> Result<(), String> {
        let inspector =
            self.database.take(ctx, &url, LOOK_PATIENCE).await.map_err(|error| error.to_string())?;
        let looking =
            examine_sagas(&inspector, self.policy.sec_id, self.args.max_idle.0, ctx.now(), examination);
        match tokio::time::timeout(LOOK_PATIENCE, looking).await {
            Ok(Ok(())) => {
                self.database.put_back(url, inspector);
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("{url} did not answer in time")),
        }
    }

    /// What another watchdog has found; `None` if it has not looked for some time, so that nobody knows what is wrong now.
    fn read_findings(&mut self, ctx: &mut Context<'_>, path: &Path) -> Result<Option<Vec<Finding>>, Failure> {
        let found = read_state(path)?;
        let now = ctx.now();
        let age = |time: Time| now.signed_duration_since(time).to_std().unwrap_or_default();
        let is_fresh = |found: &Policy| found.time.is_some_and(|time| age(time) <= self.args.max_beat.0);
        match found.filter(is_fresh) {
            Some(found) => {
                self.is_blind = false;
                Ok(Some(found.problems.into_iter().map(|flag| flag.finding).collect()))
            }
            None if self.args.once => {
                Err(Failure::new(Kind::Unreachable, format!("no fresh findings in {}", path.display()))
                    .hint("is the watchdog that writes them running?"))
            }
            None => {
                if !std::mem::replace(&mut self.is_blind, true) {
                    ctx.note(format_args!(
                        "no fresh findings in {}; nothing is done until there are",
                        path.display()
                    ));
                }
                Ok(None)
            }
        }
    }

    /// Carries a remedy out. It is written down before.
    async fn act(&mut self, ctx: &mut Context<'_>, remedy: Remedy) -> Result<(), Failure> {
        self.policy.begin(remedy, ctx.now());
        self.save()?;
        // A restart may take its time, which is not a sign of death.
        self.show_life(ctx);
        let error = match remedy {
            Remedy::Activate => {
                let client = self.client.with_fresh_budget().with_at_most(LOOK_PATIENCE);
                let asked = activation::activate(&client, &BTreeSet::from([SAGA_RECOVERY.to_owned()])).await;
                asked.err().map(|error| Failure::from(error).summary())
            }
            Remedy::Restart => self.restart().await,
        };
        let event = self.policy.remedied(remedy, error, ctx.now());
        self.tell(ctx, &event).await
    }

    async fn restart(&self) -> Option<String> {
        let command = self.args.restart_cmd.clone()?;
        let hook = Hook { command, limit: self.args.restart_timeout.0 };
        hook.run(&self.policy.problems, &[]).await.err().map(|error| error.to_string())
    }

    async fn tell(&self, ctx: &mut Context<'_>, event: &Event) -> Result<(), Failure> {
        match self.mode {
            OutputMode::Table => {
                let look = ctx.look();
                render::watchdog::render_event(ctx.out(), &look, event)?;
            }
            OutputMode::Jsonl => ctx.write_json(self.mode, event)?,
            // The report at the end holds everything.
            OutputMode::Json | OutputMode::Ids => {}
        }
        ctx.out().flush()?;
        if let Some(command) = self.args.notify.clone() {
            let hook = Hook { command, limit: NOTIFY_LIMIT };
            if let Err(error) = hook.run(event, &[("SAGACTL_EVENT", word(&event.step).to_owned())]).await {
                ctx.note(format_args!("nobody was notified: {error}"));
            }
        }
        Ok(())
    }

    fn give_verdict(&self, ctx: &mut Context<'_>) -> CommandResult {
        let policy = &self.policy;
        match self.mode {
            OutputMode::Table => {
                let look = ctx.look();
                render::watchdog::render_verdict(ctx.out(), &look, &policy.problems)?;
            }
            OutputMode::Json => {
                let report = Report {
                    healthy: policy.is_healthy(),
                    escalated: policy.is_escalated(),
                    problems: &policy.problems,
                    history: &policy.history,
                };
                ctx.write_json(self.mode, &report)?;
            }
            OutputMode::Jsonl | OutputMode::Ids => {}
        }
        Ok(Outcome::good_if(policy.is_healthy()))
    }

    fn save(&self) -> Result<(), Failure> {
        let Some(path) = &self.args.state_file else { return Ok(()) };
        save_policy(path, &self.policy).map_err(|error| {
            Failure::unusable(format!("cannot write state file {}", path.display())).caused_by(&error)
        })
    }

    /// Touches the heartbeat file and tells the service manager. From this loop and nowhere else: a side thread would go on
    /// after the loop is stuck.
    fn show_life(&self, ctx: &mut Context<'_>) {
        if let Some(path) = &self.args.heartbeat_file
            && let Err(error) = touch(path)
        {
            ctx.note(format_args!("cannot touch {}: {error}", path.display()));
        }
        let socket = ctx.variable("NOTIFY_SOCKET").and_then(|socket| socket.into_string().ok());
        if let Some(socket) = socket.filter(|socket| !socket.is_empty())
            && let Err(error) = tell_service_manager(&socket)
        {
            ctx.note(format_args!("the service manager does not listen: {error}"));
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_beat: self.args.max_beat.0,
            max_age: self.args.max_age.map(|Timeout(age)| age),
            max_pass: self.args.max_pass.0,
            max_idle: self.args.max_idle.0,
        }
    }

    fn rules(&self) -> Rules {
        Rules {
            can_restart: self.args.restart_cmd.is_some(),
            can_activate: true,
            verify_within: self.args.verify_within.0,
            settle: self.args.settle.0,
            backoff: self.args.backoff.0,
            max_remedies: self.args.max_remedies,
            max_per_hour: self.args.max_per_hour,
        }
    }
}

fn word(step: &Step) -> &'static str {
    match step {
        Step::Flagged { .. } => "flagged",
        Step::Cleared { .. } => "cleared",
        Step::Remedied { .. } => "remedied",
        Step::Verified { .. } => "verified",
        Step::NotVerified { .. } => "not_verified",
        Step::Escalated { .. } => "escalated",
    }
}

fn read_state(path: &Path) -> Result<Option<Policy>, Failure> {
    load_policy(path).map_err(|error| {
        Failure::unusable(format!("cannot use state file {}", path.display())).caused_by(&error)
    })
}
