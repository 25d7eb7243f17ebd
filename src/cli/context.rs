//! What a command is given: settings, streams, and a client and a database that are made when they are first asked for.

use super::config::{Chosen, ColorChoice, DbUrl, Environment, OutputMode, Settings, Source, Verbosity};
use super::console::{self, Console, Size};
use super::failure::{Failure, Kind};
use crate::client::base_url::BaseUrl;
use crate::client::retry::RetryScope;
use crate::client::tls::Trust;
use crate::client::token::Token;
use crate::client::{Client, Config, Event};
use crate::observe::found_out::Certainty;
use crate::render::style::Paint;
use crate::render::{Look, TimeStyle, json};
use crate::store::SharedStore;
use crate::store::error::StoreError;
use crate::store::inspect::Inspector;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::SqliteStore;
use crate::wire::info::Info;
use crate::wire::part::Part;
use crate::wire::time::{self, Time};
use serde::Serialize;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Fewer columns than this make no readable table; a narrower terminal wraps lines instead.
const NARROWEST: usize = 40;

/// What a command is given.
pub struct Context<'c> {
    console: &'c mut Console,
    settings: Settings,
    environment: &'c Environment<'c>,
    started: Instant,
    trust: Trust,
    client: Option<Client>,
    store: Option<SharedStore>,
    pub(super) inspector: Option<Inspector>,
    db_url_noted: bool,
    url_noted: bool,
    external_url_noted: bool,
    /// What the coordinator in turn may use of the command's time.
    share: Option<Duration>,
}

impl<'c> Context<'c> {
    pub(super) fn new(
        console: &'c mut Console,
        settings: Settings,
        environment: &'c Environment<'c>,
    ) -> Self {
        let trust = match &settings.ca_file {
            Some(chosen) => Trust::only(chosen.value.clone()),
            None => Trust::system(),
        };
        Self {
            console,
            trust,
            settings,
            environment,
            started: Instant::now(),
            client: None,
            store: None,
            inspector: None,
            db_url_noted: false,
            url_noted: false,
            external_url_noted: false,
            share: None,
        }
    }

    /// What flags, variables and the config file decided.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where data goes.
    pub fn out(&mut self) -> &mut dyn Write {
        self.console.stdout()
    }

    /// The process's streams, for commands that draw in place.
    pub fn console(&mut self) -> &mut Console {
        self.console
    }

    /// An environment variable, for the few that are not settings.
    pub fn variable(&self, name: &str) -> Option<std::ffi::OsString> {
        (self.environment)(name)
    }

    /// The present moment.
    pub fn now(&self) -> Time {
        time::now()
    }

    /// How long the command may use the network in all.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// When the command's time for the network is over.
    pub fn deadline(&self) -> Instant {
        self.started + self.settings.timeout
    }

    /// Tells the user something beside the answer: `note: …` on standard error.
    pub fn note(&mut self, text: impl std::fmt::Display) {
        // Notes are a courtesy: a closed standard error must not end a command.
        let _ = writeln!(self.console.stderr(), "note: {text}");
    }

    /// Tells that a change is known to be made although its answer was lost.
    pub fn note_certainty(&mut self, certainty: Certainty) {
        match certainty {
            Certainty::Answered => {}
            Certainty::Verified => self.note("applied (verified): the answer was lost, and it is there"),
        }
    }

    /// Tells what was done beyond the usual, if the user asked for that much.
    pub fn log(&mut self, verbosity: Verbosity, text: impl std::fmt::Display) {
        if self.settings.verbosity >= verbosity {
            let _ = writeln!(self.console.stderr(), "{text}");
        }
    }

    /// How things are to look on standard output, now.
    pub fn look(&self) -> Look {
        Look {
            paint: self.paint(self.console.stdout_is_terminal()),
            width: self.width(),
            times: if self.console.stdout_is_terminal() { TimeStyle::Relative } else { TimeStyle::Rfc3339 },
            now: self.now(),
        }
    }

    /// Colours for a stream that is a terminal, or is not.
    pub fn paint(&self, is_terminal: bool) -> Paint {
        let on = match self.settings.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && self.variable("TERM").is_none_or(|term| term != "dumb"),
        };
        if on { Paint::On } else { Paint::Off }
    }

    /// Columns that tables may use: the terminal's, or COLUMNS where somebody sets it for a pipe.
    fn width(&self) -> Option<usize> {
        let terminal = self.console.stdout_size().map(|size: Size| size.columns);
        let variable = || self.variable("COLUMNS")?.into_string().ok()?.parse().ok();
        terminal.or_else(variable).map(|columns: usize| columns.max(NARROWEST))
    }

    /// Internal APIs of all coordinators that were named, or of the one that is there by default.
    pub fn urls(&self) -> Vec<BaseUrl> {
        std::iter::once(&self.settings.url.value).chain(&self.settings.more_urls).cloned().collect()
    }

    /// Goes on to another of the coordinators that were named: clients and databases that are asked for from now on are
    /// its. It may use the `share`th part of what is left of the command's time, so that one that hangs does not keep the
    /// others from being asked.
    pub fn turn_to(&mut self, url: &BaseUrl, share: u32) {
        self.settings.url.value = url.clone();
        self.client = None;
        self.store = None;
        self.inspector = None;
        self.share = Some(self.time_left() / share.max(1));
    }

    /// How much time the command has left, in whole milliseconds: people may be told of it.
    pub(super) fn time_left(&self) -> Duration {
        time::in_millis(self.deadline().saturating_duration_since(Instant::now()))
    }

    /// The way to print, which must be one of those that make sense for the command.
    pub fn output_among(&self, command: &str, sensible: &[OutputMode]) -> Result<OutputMode, Failure> {
        use clap::ValueEnum as _;
        let name = |mode: &OutputMode| {
            mode.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
        };
        let asked = self.settings.output;
        if sensible.contains(&asked) {
            return Ok(asked);
        }
        let known: Vec<_> = sensible.iter().map(name).collect();
        Err(Failure::unusable(format!(
            "{command} has no output format {:?}; it has {}",
            name(&asked),
            known.join(", ")
        )))
    }

    /// Writes a report as JSON: over several lines, or as one line for [`OutputMode::Jsonl`].
    pub fn write_json<T: Serialize + ?Sized>(&mut self, mode: OutputMode, report: &T) -> io::Result<()> {
        match mode {
            OutputMode::Jsonl => json::write_compact(self.out(), report),
            OutputMode::Json | OutputMode::Table | OutputMode::Ids => json::write_pretty(self.out(), report),
        }
    }

    /// A client for the internal API, made when it is first asked for; its time is the command's.
    pub fn client(&mut self) -> Result<Client, Failure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let base = self.internal_url();
        let client = self.make_client(base, self.token()?, self.settings.retry)?;
        self.client = Some(client.clone());
        Ok(client)
    }

    /// A client that asks once, for finding out whether somebody is there at all.
    ///
    /// # Errors
    ///
    /// If it cannot be set up, or the token that it is to use cannot be read.
    pub fn pinger(&self, base: BaseUrl, token: Option<Token>) -> Result<Client, Failure> {
        self.make_client(base, token, RetryScope::Nothing)
    }

    /// A client for another coordinator than the command's.
    ///
    /// # Errors
    ///
    /// If it cannot be set up.
    pub fn client_at(&self, base: BaseUrl, token: Option<Token>) -> Result<Client, Failure> {
        self.make_client(base, token, self.settings.retry)
    }

    /// Makes clients that ask once, while the command does other things with its context. Each has the command's whole time for
    /// the network, for commands that keep asking.
    pub(super) fn pinger_maker(&self) -> impl Fn(BaseUrl, Option<Token>) -> Option<Client> + use<> {
        let (verbosity, budget, trust) = (self.settings.verbosity, self.timeout(), self.trust.clone());
        move |base, token| {
            let trust = trust.clone();
            Client::new(client_config(base, trust, token, RetryScope::Nothing, budget, verbosity)).ok()
        }
    }

    fn make_client(&self, base: BaseUrl, token: Option<Token>, retry: RetryScope) -> Result<Client, Failure> {
        let left = self.time_left();
        let left = self.share.map_or(left, |share| share.min(left));
        if base.is_https() {
            // Before anything else is made of it, for its error is the user's to mend.
            self.trust.client_config()?;
        }
        Client::new(client_config(base, self.trust.clone(), token, retry, left, self.settings.verbosity))
            .map_err(|error| Failure::new(Kind::Unusable, "setting up the HTTP client").caused_by(&*error))
    }

    /// Writes a list as JSON: an array, or one line per item for [`OutputMode::Jsonl`].
    pub fn write_json_list<T: Serialize>(&mut self, mode: OutputMode, items: &[T]) -> io::Result<()> {
        if mode != OutputMode::Jsonl {
            return self.write_json(mode, items);
        }
        items.iter().try_for_each(|item| self.write_json(mode, item))
    }

    /// Base URL of the internal API; says which one if the user did not name it.
    pub fn internal_url(&mut self) -> BaseUrl {
        let chosen = self.settings.url.clone();
        if !std::mem::replace(&mut self.url_noted, true) {
            self.note_choice("internal API", "--url", &chosen);
        }
        chosen.value
    }

    /// Base URL of the external API; says which one if the user did not name it.
    pub fn external_url(&mut self) -> BaseUrl {
        let chosen = self.settings.external_url.clone();
        if !std::mem::replace(&mut self.external_url_noted, true) {
            self.note_choice("external API", "--external-url", &chosen);
        }
        chosen.value
    }

    fn note_choice<T: std::fmt::Display>(&mut self, what: &str, flag: &str, chosen: &Chosen<T>) {
        let value = &chosen.value;
        match &chosen.source {
            Source::Flag | Source::Variable => {}
            Source::Context(context) => self.note(format_args!("using {what} {value} ({context})")),
            Source::Default => {
                self.note(format_args!("using {what} {value} (the default; {flag} names another)"));
            }
        }
    }

    /// Who may say who an `https` server is.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The bearer token, if there is to be one.
    pub fn token(&self) -> Result<Option<Token>, Failure> {
        let file = self.settings.token_file.as_ref();
        file.map(|chosen| Token::load(&chosen.value)).transpose().map_err(Failure::from)
    }

    /// The database that the user named, if any.
    pub fn db_url(&self) -> Option<&Chosen<DbUrl>> {
        self.settings.db_url.as_ref()
    }

    /// The database that the user named, if any; says which one if it was not named for this very command.
    pub(super) fn named_database(&mut self) -> Option<DbUrl> {
        let chosen = self.settings.db_url.clone()?;
        if !chosen.source.is_given() && !std::mem::replace(&mut self.db_url_noted, true) {
            self.note_choice("database", "--db-url", &chosen);
        }
        Some(chosen.value)
    }

    /// The database, read-only: the one that the user named, else the one that the coordinator says it uses. Opened when it
    /// is first asked for.
    pub fn store(&mut self, info: Option<&Info>) -> Part<SharedStore> {
        if let Some(store) = &self.store {
            return Part::Present(store.clone());
        }
        let url = match self.database_of(info) {
            Part::Present(url) => url,
            Part::Missing(reason) => return Part::Missing(reason),
        };
        match open_store(&url) {
            Ok(store) => {
                self.store = Some(store.clone());
                Part::Present(store)
            }
            Err(error) => Part::Missing(format!("{url}: {error}")),
        }
    }
}

fn client_config(
    base: BaseUrl,
    trust: Trust,
    token: Option<Token>,
    retry: RetryScope,
    budget: Duration,
    verbosity: Verbosity,
) -> Config {
    Config {
        base,
        trust,
        token,
        budget,
        retry,
        on_event: Arc::new(move |event| {
            let worth_telling = match event {
                Event::Retry(_) => Verbosity::Info,
                Event::Request { .. } => Verbosity::Debug,
            };
            if verbosity >= worth_telling {
                console::log_line(event);
            }
        }),
    }
}

/// Opens a database for reading. A file is opened here, on this thread: the command has nothing else to do meanwhile.
fn open_store(url: &DbUrl) -> Result<SharedStore, StoreError> {
    match url {
        DbUrl::Sqlite(path) => Ok(Arc::new(SqliteStore::open_read_only(path)?)),
        DbUrl::Postgresql(url) => Ok(Arc::new(PostgresStore::open_read_only(url)?)),
    }
}
