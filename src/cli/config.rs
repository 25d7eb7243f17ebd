//! What was asked for, put together from flags, variables, the context file and defaults, in this order.
//!
//! Everything is parsed into types here, so that no command meets a malformed URL or duration. An error names where the
//! value came from: the variable, or the file and line.

mod file;

use super::consent::ConsentArgs;
use super::failure::Failure;
use crate::client::base_url::BaseUrl;
use crate::client::retry::RetryScope;
use clap::ValueEnum;
use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Looks up an environment variable.
pub type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// Where a coordinator's internal API is unless somebody says otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:12221";
/// Where a coordinator's external API is unless somebody says otherwise.
pub const DEFAULT_EXTERNAL_URL: &str = "http://127.0.0.1:12220";
/// How long a command may use the network unless somebody says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Flags that every command takes, before or after its name.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Internal API of the coordinator; repeated, of several, for the commands that look at several [env: SAGACTL_URL]
    /// [default: http://127.0.0.1:12221]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) url: Vec<BaseUrl>,

    /// External API of the coordinator [env: SAGACTL_EXTERNAL_URL] [default: http://127.0.0.1:12220]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) external_url: Option<BaseUrl>,

    /// Database: sqlite:PATH or postgresql://… [env: SAGACTL_DB_URL] [default: what the coordinator says]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) db_url: Option<DbUrl>,

    /// Context of the config file that gives what flags and variables leave open [env: SAGACTL_CONTEXT]
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) context: Option<String>,

    /// How to print the answer [env: SAGACTL_OUTPUT] [default: table]
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum)]
    pub(super) output: Option<OutputMode>,

    /// When to use colours (NO_COLOR is honoured) [default: auto]
    #[arg(long, global = true, value_name = "WHEN", value_enum)]
    pub(super) color: Option<ColorChoice>,

    /// How long the command may use the network, for example 500ms or 2m [env: SAGACTL_TIMEOUT] [default: 30s]
    #[arg(long, global = true, value_name = "DURATION")]
    pub(super) timeout: Option<Timeout>,

    /// Try nothing twice [env: SAGACTL_NO_RETRY]
    #[arg(long, global = true, conflicts_with = "retry")]
    pub(super) no_retry: bool,

    /// What is tried again when a connection fails [env: SAGACTL_RETRY] [default: idempotent]
    #[arg(long, global = true, value_name = "WHAT", value_enum)]
    pub(super) retry: Option<RetryChoice>,

    /// File with a bearer token, readable by you alone [env: SAGACTL_TOKEN_FILE]
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) token_file: Option<PathBuf>,

    /// Trust who is in this PEM file, in place of the system's roots, to vouch for https servers [env: SAGACTL_CA_FILE]
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) ca_file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) consent: ConsentArgs,

    /// Say more on standard error; twice for even more [env: SAGACTL_LOG=warn|info|debug|trace]
    #[arg(short, long = "verbose", global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputMode {
    /// For people
    Table,
    /// One JSON document
    Json,
    /// One JSON document per line
    Jsonl,
    /// Ids only, one per line
    Ids,
}

impl OutputMode {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::Table, Self::Json, Self::Jsonl, Self::Ids];
}

/// What is tried again when a connection fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RetryChoice {
    /// What changes nothing
    Reads,
    /// Also changes that are the same done twice, or that never left
    Idempotent,
    /// Also changes that may then be done twice
    All,
}

impl From<RetryChoice> for RetryScope {
    fn from(choice: RetryChoice) -> Self {
        match choice {
            RetryChoice::Reads => Self::Reads,
            RetryChoice::Idempotent => Self::Idempotent,
            RetryChoice::All => Self::All,
        }
    }
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Verbosity {
    /// What needs attention.
    Warn,
    /// What was done beyond the usual, retries for example.
    Info,
    /// Every request.
    Debug,
    /// Everything.
    Trace,
}

/// How long a command may use the network: more than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub Duration);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match humantime::parse_duration(text) {
            Ok(duration) if duration.is_zero() => Err("must be more than zero".to_owned()),
            Ok(duration) => Ok(Self(duration)),
            Err(error) => Err(format!("{error}; durations look like 500ms, 30s or 2m")),
        }
    }
}

/// Where a database is. Printed without its password.
#[derive(Clone, PartialEq, Eq)]
pub enum DbUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server, as a whole URL.
    Postgresql(String),
}

impl FromStr for DbUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", "")) => Err("a path must follow sqlite:".to_owned()),
            Some(("sqlite", path)) => Ok(Self::Sqlite(PathBuf::from(path))),
            Some(("postgresql" | "postgres", rest)) if rest.starts_with("//") => {
                Ok(Self::Postgresql(text.to_owned()))
            }
            _ => Err("databases are sqlite:PATH or postgresql://…".to_owned()),
        }
    }
}

impl fmt::Display for DbUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            // Passwords stand before the first `@` or in the query; neither is needed to recognise it.
            Self::Postgresql(url) => {
                let rest = url.split_once("//").map_or("", |(_, rest)| rest);
                let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
                let rest = rest.split_once('?').map_or(rest, |(before, _)| before);
                write!(f, "postgresql://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host))
            }
        }
    }
}

impl fmt::Debug for DbUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who chose a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag.
    Flag,
    /// An environment variable.
    Variable,
    /// A context of the config file, in these words.
    Context(String),
    /// Nobody.
    Default,
}

impl Source {
    /// Whether it counts before another.
    fn is_nearer_than(&self, other: &Self) -> bool {
        let distance = |source: &Self| match source {
            Self::Flag => 0,
            Self::Variable => 1,
            Self::Context(_) => 2,
            Self::Default => 3,
        };
        distance(self) < distance(other)
    }

    /// Whether the user gave the value for this very command, so that nobody need be told of it.
    pub fn is_given(&self) -> bool {
        matches!(self, Self::Flag | Self::Variable)
    }
}

/// A value and who chose it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen<T> {
    /// The value.
    pub value: T,
    /// Who chose it.
    pub source: Source,
}

/// Everything that flags, variables and the config file decide.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The internal API.
    pub url: Chosen<BaseUrl>,
    /// Those of more coordinators, if several were named; each once.
    pub more_urls: Vec<BaseUrl>,
    /// The external API.
    pub external_url: Chosen<BaseUrl>,
    /// The database, if anybody named one.
    pub db_url: Option<Chosen<DbUrl>>,
    /// How to print.
    pub output: OutputMode,
    /// Colours.
    pub color: ColorChoice,
    /// Budget for the network.
    pub timeout: Duration,
    /// What may be tried again.
    pub retry: RetryScope,
    /// File with the bearer token.
    pub token_file: Option<Chosen<PathBuf>>,
    /// File with the certificates that are trusted in place of the system's.
    pub ca_file: Option<Chosen<PathBuf>>,
    /// Consent to what cannot be taken back, as far as the command line gives it.
    pub consent: ConsentArgs,
    /// How much to say on standard error.
    pub verbosity: Verbosity,
}

impl Settings {
    /// Puts the settings together.
    pub fn resolve(flags: &GlobalArgs, environment: &Environment<'_>) -> Result<Self, Failure> {
        let context = match &flags.context {
            Some(name) => Some(name.clone()),
            None => variable(environment, "SAGACTL_CONTEXT")?,
        };
        let file = file::load(environment, context.as_deref())?;
        let sources = Sources { environment, file: &file };

        let url = sources.choose(flags.url.first().cloned(), "SAGACTL_URL", "url")?;
        let mut more_urls: Vec<BaseUrl> = Vec::new();
        for (index, more) in flags.url.iter().enumerate().skip(1) {
            if !flags.url[..index].contains(more) {
                more_urls.push(more.clone());
            }
        }
        let external_url =
            sources.choose(flags.external_url.clone(), "SAGACTL_EXTERNAL_URL", "external-url")?;
        let no_color = environment("NO_COLOR").is_some_and(|value| !value.is_empty());
        Ok(Self {
            url: url.unwrap_or_else(|| default_url(DEFAULT_URL)),
            more_urls,
            external_url: external_url.unwrap_or_else(|| default_url(DEFAULT_EXTERNAL_URL)),
            db_url: sources.choose(flags.db_url.clone(), "SAGACTL_DB_URL", "db-url")?,
            output: sources
                .choose(flags.output.map(Word), "SAGACTL_OUTPUT", "output")?
                .map_or(OutputMode::Table, |chosen| chosen.value.0),
            color: match (flags.color, no_color) {
                (Some(choice), _) => choice,
                (None, true) => ColorChoice::Never,
                (None, false) => {
                    sources.in_file::<Word<_>>("color")?.map_or(ColorChoice::Auto, |c| c.value.0)
                }
            },
            timeout: sources
                .choose(flags.timeout, "SAGACTL_TIMEOUT", "timeout")?
                .map_or(DEFAULT_TIMEOUT, |chosen| chosen.value.0),
            retry: sources.retry(flags)?,
            token_file: sources.choose(flags.token_file.clone(), "SAGACTL_TOKEN_FILE", "token-file")?,
            ca_file: sources.choose(flags.ca_file.clone(), "SAGACTL_CA_FILE", "ca-file")?,
            consent: flags.consent,
            verbosity: match flags.verbose {
                0 => sources
                    .choose(None::<Word<Verbosity>>, "SAGACTL_LOG", "log")?
                    .map_or(Verbosity::Warn, |chosen| chosen.value.0),
                1 => Verbosity::Info,
                2 => Verbosity::Debug,
                _ => Verbosity::Trace,
            },
        })
    }
}

fn default_url(text: &str) -> Chosen<BaseUrl> {
    Chosen { value: text.parse().expect("the default is a URL"), source: Source::Default }
}

struct Sources<'a> {
    environment: &'a Environment<'a>,
    file: &'a Option<file::ContextFile>,
}

impl Sources<'_> {
    /// The flag's value, else the variable's, else the file's.
    fn choose<T>(&self, flag: Option<T>, variable_name: &str, key: &str) -> Result<Option<Chosen<T>>, Failure>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        if let Some(value) = flag {
            return Ok(Some(Chosen { value, source: Source::Flag }));
        }
        if let Some(text) = variable(self.environment, variable_name)? {
            let value = text.parse().map_err(|error| {
                let shown = without_login(&text);
                Failure::unusable(format!("invalid value {shown:?} of variable {variable_name}: {error}"))
            })?;
            return Ok(Some(Chosen { value, source: Source::Variable }));
        }
        self.in_file(key)
    }

    /// `--no-retry` and `--retry` contradict each other, so the one that was said nearer to the command counts; where both were
    /// said in the same place, the more careful one.
    fn retry(&self, flags: &GlobalArgs) -> Result<RetryScope, Failure> {
        let off = self.choose(flags.no_retry.then_some(Switch(true)), "SAGACTL_NO_RETRY", "no-retry")?;
        let off = off.filter(|chosen| chosen.value.0);
        let scope = self.choose(flags.retry.map(Word), "SAGACTL_RETRY", "retry")?;
        Ok(match (off, scope) {
            (Some(off), Some(scope)) if scope.source.is_nearer_than(&off.source) => scope.value.0.into(),
            (Some(_), _) => RetryScope::Nothing,
            (None, Some(scope)) => scope.value.0.into(),
            (None, None) => RetryScope::default(),
        })
    }

    fn in_file<T>(&self, key: &str) -> Result<Option<Chosen<T>>, Failure>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let Some(file) = self.file else { return Ok(None) };
        let value = file.parse(key)?;
        Ok(value.map(|value| Chosen { value, source: Source::Context(file.to_string()) }))
    }
}

/// A variable's value; an empty one counts as not set, as everywhere in the shell world.
fn variable(environment: &Environment<'_>, name: &str) -> Result<Option<String>, Failure> {
    match environment(name) {
        None => Ok(None),
        Some(value) if value.is_empty() => Ok(None),
        Some(value) => value
            .into_string()
            .map(Some)
            .map_err(|_| Failure::unusable(format!("the value of variable {name} is not UTF-8"))),
    }
}

/// A value that was refused, as it may be repeated: whatever else it is, it may be a URL with a password in it.
pub(super) fn without_login(text: &str) -> Cow<'_, str> {
    if text.contains('@') {
        return Cow::Owned(match text.split_once("://") {
            Some((scheme, _)) if !scheme.contains('@') => format!("{scheme}://…"),
            _ => "…".to_owned(),
        });
    }
    match text.split_once('?') {
        Some((before, _)) => Cow::Owned(format!("{before}?…")),
        None => Cow::Borrowed(text),
    }
}

/// A value that is one of a few words.
struct Word<T>(T);

impl<T: ValueEnum> FromStr for Word<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        T::from_str(text, false).map(Self).map_err(|_| {
            let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            let words: Vec<_> = words.map(|word| word.get_name().to_owned()).collect();
            format!("possible values are {}", words.join(", "))
        })
    }
}

/// A yes or no in words.
struct Switch(bool);

impl FromStr for Switch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(Self(true)),
            "0" | "false" | "no" | "off" => Ok(Self(false)),
            _ => Err("possible values are true and false"),
        }
    }
}

#[cfg(test)]
mod tests;
