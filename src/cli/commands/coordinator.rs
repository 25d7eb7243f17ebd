//! `sagactl coordinator run`: the reference coordinator.

use crate::cli::config::{DbUrl, Source, Verbosity};
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::cli::fatal::end_process;
use crate::client::token::{Password, Token};
use crate::coordinator::access::users::{self, Users};
use crate::coordinator::access::{Access, BearerToken};
use crate::coordinator::identity::IdentityError;
use crate::coordinator::server::{Config, Coordinator, DATABASE_FILE, Database, SagaSet, StartError};
use crate::descriptors::{from_reserve_throughout, keep_reserve};
use crate::files::write_whole;
use crate::observe::lookout::Lookout;
use crate::store::error::StoreError;
use crate::store::inspect::Inspector;
use crate::store::postgres::{self, OnSessionLoss};
use crate::wire::ids::SecId;
use clap::{Args, Subcommand, ValueEnum};
use futures::FutureExt;
use slog::Drain;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The reference coordinator
#[derive(Debug, Args)]
pub struct CoordinatorArgs {
    #[command(subcommand)]
    command: CoordinatorCommand,
}

#[derive(Debug, Subcommand)]
enum CoordinatorCommand {
    Run(Box<RunArgs>),
    HashPassword(HashPasswordArgs),
}

/// Print a user's line for the users file of `coordinator run`
///
/// The password is read from standard input, one line, or from a file that you alone can read.
#[derive(Debug, Args)]
struct HashPasswordArgs {
    /// Whose password it is
    #[arg(value_name = "SILO/USER")]
    user: String,
    /// File with the password
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Run a coordinator until the process is ended
///
/// The first start creates everything. Stopping is crashing: end it any way you like, kill -9 included; the next start
/// recovers what was in flight.
#[derive(Debug, Args)]
struct RunArgs {
    /// Where the database, the SEC's id and the lock live [default: $XDG_DATA_HOME/sagactl]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the internal API listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:12221")]
    internal: SocketAddr,
    /// Where the external API listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:12220")]
    external: SocketAddr,
    /// Who may log in to the external API, one line each as `coordinator hash-password` prints it
    #[arg(long, value_name = "FILE")]
    users_file: Option<PathBuf>,
    /// A name that clients call this coordinator by, besides its addresses; again for more
    #[arg(long, value_name = "NAME")]
    host_name: Vec<String>,
    /// Listen beyond loopback though nobody is asked who they are
    #[arg(long)]
    insecure_no_auth: bool,
    /// Who this SEC is [default: kept in the data directory]
    #[arg(long, value_name = "UUID")]
    sec_id: Option<SecId>,
    /// Time between two recovery passes that nobody asked for
    #[arg(long, value_name = "DUR", default_value = "10m", value_parser = parse_period)]
    recovery_period: Duration,
    /// Give up sagas that can never be recovered, instead of leaving that to an operator
    #[arg(long)]
    abandon_unrecoverable: bool,
    /// Let nothing of a saga begin before all that came before it is durable, also where its kind could do without
    #[arg(long)]
    strict: bool,
    /// What to do when the database server goes away
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = SessionLoss::Wait)]
    on_session_loss: SessionLoss,
    /// Write `sec_id`, `internal_url`, `external_url`, `db_url` and `pid` as JSON here once both APIs answer
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Touch this every 5s from the thread that runs sagas, for `sagactl watchdog --coordinator-heartbeat`
    #[arg(long, value_name = "FILE")]
    heartbeat_file: Option<PathBuf>,
    /// Take faults and run sagas for drills: whoever reaches the internal API can then kill this process
    #[arg(long)]
    allow_faults: bool,
    /// End when standard input closes: for those who start coordinators and must not leave any behind
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

/// What a coordinator does when its database server goes away.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SessionLoss {
    /// Sagas wait, and go on when it is back
    Wait,
    /// The process ends; recovery goes on in the next
    Exit,
}

impl From<SessionLoss> for OnSessionLoss {
    fn from(what: SessionLoss) -> Self {
        match what {
            SessionLoss::Wait => Self::Wait,
            SessionLoss::Exit => Self::Exit,
        }
    }
}

fn parse_period(text: &str) -> Result<Duration, String> {
    let period = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if period.is_zero() { Err("a period must be longer than nothing".to_owned()) } else { Ok(period) }
}

/// Runs one of the commands.
pub fn run(ctx: &mut Context<'_>, args: CoordinatorArgs, sagas: fn() -> SagaSet) -> CommandResult {
    match args.command {
        CoordinatorCommand::Run(args) => run_coordinator(ctx, *args, sagas()),
        CoordinatorCommand::HashPassword(args) => hash_password(ctx, &args),
    }
}

fn run_coordinator(ctx: &mut Context<'_>, args: RunArgs, sagas: SagaSet) -> CommandResult {
    let access = who_may_call(ctx, &args)?;
    let (data_dir, database) = locate(ctx, args.data_dir, args.on_session_loss)?;
    let on_a_server = matches!(database, Database::Postgresql { .. });
    let log = logger(ctx.settings().verbosity);
    report_panics_in_one_line(&log);
    match keep_reserve() {
        Some(descriptors) => slog::info!(log, "file descriptors"; "for connections" => descriptors),
        None => {
            slog::warn!(log, "so few file descriptors that none can be kept from connections; see ulimit -n")
        }
    }
    let lookout = lookout(&database).map_err(|error| {
        Failure::unusable("the coordinator cannot start a thread that looks at its database")
            .caused_by(&error)
    })?;
    let coordinator = Coordinator::start(Config {
        data_dir,
        database,
        internal: args.internal,
        external: args.external,
        access,
        sec_id: args.sec_id,
        recovery_period: args.recovery_period,
        abandon_unrecoverable: args.abandon_unrecoverable,
        always_strict: args.strict,
        sagas,
        allow_faults: args.allow_faults,
        look_at_database: Box::new(move |recovered| lookout.clone().ask(recovered).boxed()),
        on_fatal: end_process("coordinator stops"),
        log,
    })
    .map_err(|error| start_failure(error, on_a_server))?;
    let ready = coordinator.ready();
    if let Some(path) = &args.ready_file {
        let mut json = serde_json::to_vec(ready).expect("ids, numbers and text are JSON");
        json.push(b'\n');
        write_whole(path, &json).map_err(|error| {
            Failure::unusable(format!("cannot write ready file {}", path.display())).caused_by(&error)
        })?;
    }
    if let Some(path) = args.heartbeat_file {
        coordinator.sagas().keep_touching(path.clone()).map_err(|error| {
            Failure::unusable(format!("cannot touch heartbeat file {}", path.display())).caused_by(&error)
        })?;
    }
    ctx.note(format_args!(
        "ready: SEC {}, internal API {}, external API {}, database {}",
        ready.sec_id, ready.internal_url, ready.external_url, ready.db_url
    ));
    if args.until_stdin_closes {
        end_when_stdin_closes();
    }
    coordinator.run()
}

/// Who may call the APIs; whoever others can reach has to ask.
fn who_may_call(ctx: &Context<'_>, args: &RunArgs) -> Result<Access, Failure> {
    // The variable and the context hold what the *tool* shows; what a coordinator asks for is told by the flag.
    let token = match &ctx.settings().token_file {
        Some(chosen) if chosen.source == Source::Flag => {
            let token = Token::load(&chosen.value)?;
            Some(BearerToken::new(token.reveal()))
        }
        _ => None,
    };
    let users = match &args.users_file {
        Some(path) => {
            let users = Users::load(path);
            Some(users.map_err(|error| Failure::unusable("the users file is unusable").caused_by(&error))?)
        }
        None => None,
    };
    let access = Access { token, users, host_names: args.host_name.clone() };
    let asked = [
        ("--internal", args.internal, access.guards_internal(), "--token-file"),
        ("--external", args.external, access.guards_external(), "--token-file or --users-file"),
    ];
    for (flag, address, is_guarded, guards) in asked {
        if !address.ip().is_loopback() && !is_guarded && !args.insecure_no_auth {
            return Err(Failure::unusable(format!("{flag} {address} is not a loopback address"))
                .because("whoever reaches it could call it")
                .hint(format!("give {guards}, or --insecure-no-auth if something else keeps others away")));
        }
    }
    Ok(access)
}

fn hash_password(ctx: &mut Context<'_>, args: &HashPasswordArgs) -> CommandResult {
    if !users::is_user_name(&args.user) {
        return Err(Failure::unusable(format!("{:?} is not SILO/USER", args.user)));
    }
    let password = match &args.password_file {
        Some(path) => Password::load(path)?,
        None => Password::from_input(std::io::stdin().lock())
            .map_err(|error| Failure::unusable("there is no password on standard input").caused_by(&error))?,
    };
    writeln!(ctx.out(), "{}:{}", args.user, users::hash(password.reveal()))?;
    Ok(Outcome::Good)
}

/// The data directory and the database.
fn locate(
    ctx: &Context<'_>,
    data_dir: Option<PathBuf>,
    on_session_loss: SessionLoss,
) -> Result<(PathBuf, Database), Failure> {
    // Variables and contexts name the database that the *tool* looks at; a coordinator is told by a flag.
    let given = ctx.db_url().filter(|chosen| chosen.source == Source::Flag).map(|chosen| &chosen.value);
    let data_dir = match (data_dir, given) {
        (Some(dir), _) => dir,
        (None, Some(DbUrl::Sqlite(file))) => match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        },
        (None, Some(DbUrl::Postgresql(_)) | None) => ctx.default_data_dir()?,
    };
    let database = match given {
        Some(DbUrl::Postgresql(url)) => {
            // Not by clap, which repeats what it refuses: there may be a password in it.
            postgres::check_url(url)
                .map_err(|error| Failure::unusable("--db-url is unusable").caused_by(&error))?;
            Database::Postgresql { url: url.clone(), on_session_loss: on_session_loss.into() }
        }
        Some(DbUrl::Sqlite(file)) => Database::Sqlite(file.clone()),
        None => Database::Sqlite(data_dir.join(DATABASE_FILE)),
    };
    Ok((data_dir, database))
}

/// Who looks at the coordinator's database for operators who ask the coordinator.
fn lookout(database: &Database) -> std::io::Result<Lookout> {
    let database = database.clone();
    Lookout::start(async move |options| match &database {
        // What is opened late must not fail because clients have taken all descriptors.
        Database::Sqlite(path) => from_reserve_throughout(Inspector::open_file(path, options)).await,
        Database::Postgresql { url, on_session_loss: _ } => Inspector::open_server(url, options).await,
    })
}

fn start_failure(error: StartError, on_a_server: bool) -> Failure {
    let kind = match &error {
        StartError::Store(StoreError::Unavailable(_)) => Kind::Unreachable,
        // A server that would not let us in; a file that is no database is something that cannot be used.
        StartError::Store(StoreError::Unusable(_)) if on_a_server => Kind::Unreachable,
        _ => Kind::Unusable,
    };
    let hint = match &error {
        StartError::DataDir(IdentityError::InUse(_)) => {
            Some("give each coordinator a --data-dir of its own, or stop the other one".to_owned())
        }
        StartError::Listen { api, .. } => {
            Some(format!("choose another address with --{api}; port 0 takes a free one"))
        }
        _ => None,
    };
    let failure = Failure::new(kind, "the coordinator cannot start").caused_by(&error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn end_when_stdin_closes() {
    std::thread::spawn(|| {
        let mut sink = [0; 64];
        while std::io::stdin().lock().read(&mut sink).is_ok_and(|read| read > 0) {}
        #[expect(clippy::exit, reason = "there is no shutdown path: stopping is crashing")]
        std::process::exit(0)
    });
}

fn logger(verbosity: Verbosity) -> slog::Logger {
    let level = match verbosity {
        Verbosity::Warn => slog::Level::Warning,
        Verbosity::Info => slog::Level::Info,
        Verbosity::Debug => slog::Level::Debug,
        Verbosity::Trace => slog::Level::Trace,
    };
    let decorator = slog_term::PlainSyncDecorator::new(std::io::stderr());
    let drain = slog_term::FullFormat::new(decorator).use_utc_timestamp().build().ignore_res();
    slog::Logger::root(slog::LevelFilter::new(drain, level).ignore_res(), slog::o!())
}

/// Actions may panic; that fails their node and is in its log. Here it is worth a line, not a backtrace.
fn report_panics_in_one_line(log: &slog::Logger) {
    let log = log.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text =
            text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        slog::error!(log, "panic"; "thread" => thread.name().unwrap_or("?"), "at" => place, "text" => text);
    }));
}
