//! `sagactl status`: recovery at a glance.

use super::several::ask_each;
use crate::cli::config::{OutputMode, Timeout};
use crate::cli::context::Context;
use crate::cli::database::CONNECT_PATIENCE;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::cli::screen::Screen;
use crate::client::Client;
use crate::observe::database::{self, DatabaseView};
use crate::observe::recovery::Trouble;
use crate::observe::status::{self, ApiPart, Everything, SeenBy, Status, StatusError};
use crate::render::{self, Limit, escape::escape, style::Style};
use crate::wire::part::Part;
use crate::wire::time::Time;
use std::time::Duration;

/// Longest wait for a connection to a database that its coordinator has no connection to.
const SECOND_ATTEMPT: Duration = Duration::from_secs(2);

/// Show what saga recovery did: last pass, counters, recovered and failed sagas
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Look again and again, drawing in place on a terminal
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true, default_missing_value = "2s")]
    watch: Option<Timeout>,

    /// Most rows per table; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: usize,
}

impl StatusArgs {
    /// Whether several coordinators may be looked at.
    pub fn looks_at_several(&self) -> bool {
        self.watch.is_none()
    }
}

/// Looks once, or until somebody stops it.
pub async fn run(ctx: &mut Context<'_>, args: StatusArgs) -> CommandResult {
    let mode = ctx.output_among("status", &OutputMode::ALL)?;
    let limit = if args.limit == 0 { Limit::None } else { Limit::Rows(args.limit) };
    if let Some(Timeout(interval)) = args.watch {
        if matches!(mode, OutputMode::Json | OutputMode::Ids) {
            return Err(Failure::unusable("--watch goes with the output formats table and jsonl"));
        }
        return watch(ctx, mode, limit, interval).await;
    }
    let answers = ask_each(ctx, async |ctx| {
        let client = ctx.client()?;
        look_once(ctx, &client).await
    })
    .await;
    let statuses: Vec<&Status> = answers.good.iter().map(|(_, status)| status).collect();
    match (mode, &statuses[..]) {
        (_, []) => {}
        (OutputMode::Json, several) if !answers.is_one() => ctx.write_json_list(mode, several)?,
        (_, several) => {
            for (index, status) in several.iter().enumerate() {
                if mode == OutputMode::Table && index > 0 {
                    writeln!(ctx.out())?;
                }
                write(ctx, mode, limit, status)?;
            }
        }
    }
    let malformed = answers.finish()?.into_iter().find_map(|status| match status.recovery.trouble {
        Some(Trouble::Malformed(error)) => Some(error),
        Some(Trouble::Unknown(_)) | None => None,
    });
    match malformed {
        Some(error) => Err(Failure::new(Kind::Nonsense, "cannot read the recovery report").caused_by(&error)),
        None => Ok(Outcome::Good),
    }
}

/// Asks the coordinator, and the database itself if the coordinator does not tell what is in it.
async fn look_once(ctx: &mut Context<'_>, client: &Client) -> Result<Status, Failure> {
    let Everything { api, database } = match ctx.db_url() {
        // What the user named is looked at without anybody between.
        Some(_) => Everything { api: status::ask_api(client).await?, database: None },
        None => status::ask_for_everything(client).await?,
    };
    let ApiPart { task, info } = api;
    let mut status = Status::new(client.base().to_string(), &task, &info, ctx.now());
    let is_known = |view: &Part<DatabaseView>| view.as_option().is_some_and(|view| !view.is_blank());
    let told = match database {
        Some(told) if is_known(&told) => {
            status.add_database(told, SeenBy::Coordinator);
            return Ok(status);
        }
        told => told,
    };
    // What is out of its reach need not be out of ours.
    let patience = if told.is_some() { SECOND_ATTEMPT } else { CONNECT_PATIENCE };
    let own = match ctx.inspector_of(info.as_option(), patience.min(client.time_left())).await {
        Part::Present(inspector) => {
            let patience = database::PATIENCE.min(client.time_left());
            let recovered = status.recovery.recovered_ids();
            Part::Present(database::look(&inspector, &recovered, ctx.now(), patience).await)
        }
        Part::Missing(reason) => Part::Missing(reason),
    };
    match told {
        // If it is, what the coordinator says of it counts.
        Some(told) if !is_known(&own) => status.add_database(told, SeenBy::Coordinator),
        _ => status.add_database(own, SeenBy::Sagactl),
    }
    Ok(status)
}

fn write(ctx: &mut Context<'_>, mode: OutputMode, limit: Limit, status: &Status) -> Result<(), Failure> {
    match mode {
        OutputMode::Table => {
            let look = ctx.look();
            render::status::render_status(ctx.out(), &look, status, limit)?;
        }
        OutputMode::Json | OutputMode::Jsonl => ctx.write_json(mode, status)?,
        OutputMode::Ids => {
            for recovered in status.recovery.recent_recoveries.iter().flatten() {
                writeln!(ctx.out(), "{}", recovered.saga_id)?;
            }
        }
    }
    Ok(())
}

/// What a watcher remembers from one look to the next.
#[derive(Default)]
struct Watched {
    last: Option<(Time, Status)>,
    lost: Option<(Time, String)>,
}

/// Looks again and again. Losing the coordinator is what one watches for, so it is shown and not the end; wrong usage is.
async fn watch(ctx: &mut Context<'_>, mode: OutputMode, limit: Limit, interval: Duration) -> CommandResult {
    let client = ctx.client()?;
    let in_place = mode == OutputMode::Table && ctx.console().stdout_is_terminal();
    let mut screen = Screen::default();
    let mut watched = Watched::default();
    loop {
        let looked = look_once(ctx, &client.with_fresh_budget()).await;
        let now = ctx.now();
        match looked {
            Ok(status) => {
                let regained = watched.lost.take();
                let is_first = watched.last.is_none();
                if !in_place {
                    if let Some((since, _)) = regained {
                        ctx.note(format_args!("answers again, after {}", elapsed(since, now)));
                    }
                    if mode == OutputMode::Table && !is_first {
                        writeln!(ctx.out())?;
                    }
                    write(ctx, mode, limit, &status)?;
                    ctx.out().flush()?;
                }
                watched.last = Some((now, status));
            }
            Err(failure) if matches!(failure.kind, Kind::Unusable | Kind::OutputClosed) => {
                return Err(failure);
            }
            Err(failure) => {
                let is_news = watched.lost.is_none();
                let (since, _) = watched.lost.take().unwrap_or((now, String::new()));
                let summary = failure.summary();
                if is_news && !in_place {
                    ctx.note(format_args!("no answer: {summary}; still trying"));
                }
                watched.lost = Some((since, summary));
            }
        }
        if in_place {
            let picture = picture(ctx, limit, &watched, now)?;
            screen.draw(ctx.console(), &picture)?;
        }
        tokio::time::sleep(interval).await;
    }
}

/// The last status, under a line that says so if it is not of this moment.
fn picture(ctx: &Context<'_>, limit: Limit, watched: &Watched, now: Time) -> Result<String, Failure> {
    let look = ctx.look();
    let mut text = Vec::new();
    if let Some((since, reason)) = &watched.lost {
        let age = match &watched.last {
            Some((time, _)) => format!(" (what follows is {} old)", elapsed(*time, now)),
            None => String::new(),
        };
        let line = format!("no answer for {}{age}: {}", elapsed(*since, now), escape(reason));
        text.extend_from_slice(look.paint.apply(Style::Failed, line).as_bytes());
        text.extend_from_slice(b"\n\n");
    }
    if let Some((_, status)) = &watched.last {
        render::status::render_status(&mut text, &look, status, limit)?;
    }
    Ok(String::from_utf8(text).expect("only text was written"))
}

fn elapsed(since: Time, now: Time) -> String {
    render::time::coarse(now.signed_duration_since(since).to_std().unwrap_or_default())
}

impl From<StatusError> for Failure {
    fn from(error: StatusError) -> Self {
        match error {
            StatusError::Call(error) => error.into(),
            StatusError::NoRecoveryTask { .. } => Self::unusable(error.to_string())
                .hint("`sagactl tasks list` shows what it has; is it a coordinator of sagas?"),
        }
    }
}
