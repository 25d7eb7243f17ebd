//! Puts a coordinator together and runs it: store, SEC, background tasks, both APIs.
//!
//! # Threads
//!
//! The store's writer and readers, the engine, the internal API with the background tasks, and the external API each have
//! threads of their own. So `status` is answered while the external API, recovery and the writer are busy: it shares no
//! queue with any of them. What it asks of the database is looked up by whoever is given for that
//! ([`Config::look_at_database`]), and left out if it takes seconds.
//!
//! # Starting and stopping
//!
//! Start is always recovery: the first pass begins at once and runs beside requests. There is no shutdown path. SIGTERM,
//! SIGINT and a fatal error end the process as a crash would; what is acknowledged is durable, and the next start goes on.

use super::access::Access;
use super::access::guard::{Guard, LoggedIn};
use super::access::hosts::Hosts;
use super::access::session::Sessions;
use super::api::internal::LookAtDatabase;
use super::api::{external, internal};
use super::background::driver::{Driver, TaskInfo, Waker};
use super::background::tasks::saga_recovery::{RecoveryStatus, SagaRecovery};
use super::background::tasks::sec_adoption::SecAdoption;
use super::background::tasks::sec_heartbeat::SecHeartbeat;
use super::drilled::{DrilledKinds, Stage};
use super::fault::Faults;
use super::identity::{self, DataDirLock, IdentityError};
use super::recovery::Recovery;
use super::sagas::SagaRegistry;
use super::sec::{Sagas, SecConfig};
use super::server_log;
use crate::store::error::StoreError;
use crate::store::postgres::{self, OnSessionLoss, PostgresStore};
use crate::store::sql::Statement;
use crate::store::sqlite::{self, SqliteStore};
use crate::store::{FatalHandler, SharedStore, Until, Write};
use crate::wire::bgtasks::{SAGA_RECOVERY, SEC_ADOPTION, SEC_HEARTBEAT};
use crate::wire::ids::SecId;
use crate::wire::info::{Info, ReadyFile};
use crate::wire::time::now;
use dropshot::{BuildError, ConfigDropshot, HandlerTaskMode, ServerBuilder, VersionPolicy};
use std::any::Any;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

/// Largest request body that either API takes, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Time between two heartbeats.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(5);

/// Time between two looks for sagas whose owner has been expunged: how long they wait at most, unless somebody activates the
/// task.
const ADOPTION_PERIOD: Duration = Duration::from_secs(5);

/// File of the embedded database in the data directory.
pub const DATABASE_FILE: &str = "sagactl.db";

/// What a coordinator can run: the reference coordinator's own sagas, or those of a service that embeds this library.
pub struct SagaSet {
    /// Which sagas it can run.
    pub registry: SagaRegistry,
    /// Which of them a drill can make by itself.
    pub drilled: DrilledKinds,
    /// Given to actions; `Arc::new(())` if there is nothing to give.
    pub services: Arc<dyn Any + Send + Sync>,
    /// Statements that make the service's own tables. They are run at every start, so each has to be one that can be.
    pub tables: &'static [&'static str],
}

impl SagaSet {
    /// The reference coordinator's own.
    pub fn reference() -> Self {
        Self {
            registry: SagaRegistry::reference(),
            drilled: DrilledKinds::reference(),
            services: Arc::new(()),
            // Its tables come with the database's own migrations.
            tables: &[],
        }
    }
}

/// What a coordinator is made from.
pub struct Config {
    /// Where the SEC's id and the lock live. Made if it is not there.
    pub data_dir: PathBuf,
    /// Where sagas live.
    pub database: Database,
    /// Where the internal API listens; port 0 takes a free one.
    pub internal: SocketAddr,
    /// Where the external API listens; port 0 takes a free one.
    pub external: SocketAddr,
    /// Who may call the APIs.
    pub access: Access,
    /// Who this SEC is; kept in the data directory when it is not given.
    pub sec_id: Option<SecId>,
    /// Time between two recovery passes that nobody asked for.
    pub recovery_period: Duration,
    /// Gives up sagas that can never be recovered, instead of leaving that to an operator.
    pub abandon_unrecoverable: bool,
    /// Runs all sagas strictly, also those whose kind could do without.
    pub always_strict: bool,
    /// Which sagas it can run.
    pub sagas: SagaSet,
    /// Takes faults and runs sagas for drills. Never in production: whoever reaches the internal API can then kill it.
    pub allow_faults: bool,
    /// Tells operators what the database says; `observe::lookout` does, for any database.
    pub look_at_database: LookAtDatabase,
    /// Ends the process when going on would break a promise; must not return.
    pub on_fatal: FatalHandler,
    /// Where it logs.
    pub log: slog::Logger,
}

/// Where a coordinator keeps its sagas.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// In a file, which is made if it is not there; [`DATABASE_FILE`] in the data directory as a rule.
    Sqlite(PathBuf),
    /// On a server, which may have it from several coordinators. The database must be there; its tables are made.
    Postgresql {
        /// Where, with everything that is needed to be let in.
        url: String,
        /// What to do when it goes away.
        on_session_loss: OnSessionLoss,
    },
}

impl Database {
    fn open(
        &self,
        sec: SecId,
        on_fatal: &FatalHandler,
        log: &slog::Logger,
    ) -> Result<SharedStore, StoreError> {
        let on_fatal = Arc::clone(on_fatal);
        Ok(match self {
            Self::Sqlite(path) => {
                let options = sqlite::OpenOptions::new(on_fatal).with_log(log.clone());
                Arc::new(SqliteStore::open(path, options)?)
            }
            Self::Postgresql { url, on_session_loss } => {
                let options = postgres::OpenOptions::new(sec, on_fatal).with_log(log.clone());
                let options = postgres::OpenOptions { on_session_loss: *on_session_loss, ..options };
                Arc::new(PostgresStore::open(url, options)?)
            }
        })
    }
}

/// Why a coordinator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] IdentityError),
    /// The database cannot be used. The cause names it.
    #[error("opening the database")]
    Store(#[source] StoreError),
    /// An API cannot listen there.
    #[error("listening on {address} for the {api} API")]
    Listen {
        /// `internal` or `external`.
        api: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: Box<BuildError>,
    },
    /// The machine would not give a thread.
    #[error("starting a thread")]
    Thread(#[from] std::io::Error),
}

/// A coordinator that runs. Dropping it stops nothing: a coordinator ends with its process.
pub struct Coordinator {
    ready: ReadyFile,
    sagas: Sagas,
    store: SharedStore,
    // Held as long as the process lives, so that no other coordinator uses the directory.
    _lock: DataDirLock,
}

impl Coordinator {
    /// Starts one; returns once both APIs answer. The first recovery pass has then begun but need not have ended.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing is left running or half made, except an empty data directory.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let time_started = now();
        let lock = identity::lock_data_dir(&config.data_dir)?;
        let sec_id = match config.sec_id {
            Some(sec_id) => sec_id,
            None => identity::load_or_create_sec_id(&config.data_dir)?,
        };
        let store = config.database.open(sec_id, &config.on_fatal, &config.log).map_err(StartError::Store)?;
        let SagaSet { registry, drilled, services, tables } = config.sagas;
        make_tables(&store, tables).map_err(StartError::Store)?;
        let (announcer, recovery) = Recovery::new();
        let recovery_waker = Waker::new();
        let faults = config.allow_faults.then(|| Arc::new(Faults::default()));
        let sagas = Sagas::start(SecConfig {
            sec_id,
            store: Arc::clone(&store),
            registry: Arc::new(registry),
            always_strict: config.always_strict,
            announcer,
            recovery_waker: recovery_waker.clone(),
            services,
            faults: faults.clone(),
            on_fatal: Arc::clone(&config.on_fatal),
            log: config.log.clone(),
        })?;

        let Access { token, users, host_names } = config.access;
        let logged_in = match users {
            Some(users) => Some(Arc::new(LoggedIn { users, sessions: Sessions::load(&config.data_dir)? })),
            None => None,
        };
        let hosts = |address: SocketAddr| Hosts::new(address.ip(), host_names.clone());
        let internal_guard = Guard::new(hosts(config.internal), token.clone(), None);
        let external_guard = Guard::new(hosts(config.external), token, logged_in.clone());
        let context = external::ExternalContext {
            sagas: sagas.clone(),
            store: Arc::clone(&store),
            logins: logged_in.map(external::Logins::new),
            log: config.log.clone(),
        };
        let external_address = serve_external(context, external_guard, config.external)?;
        let external_url = format!("http://{external_address}");
        let status = Arc::new(RecoveryStatus::default());
        let recovery = SagaRecovery {
            store: Arc::clone(&store),
            sagas: sagas.clone(),
            recovery,
            status: Arc::clone(&status),
            waker: recovery_waker.clone(),
            abandon_unrecoverable: config.abandon_unrecoverable,
            log: config.log.clone(),
        };
        let adoption = SecAdoption {
            store: Arc::clone(&store),
            sagas: sagas.clone(),
            recovery_waker: recovery_waker.clone(),
            log: config.log.clone(),
        };
        let heartbeat = SecHeartbeat {
            store: Arc::clone(&store),
            sec_id,
            internal_address: String::new(),
            time_started,
            on_fatal: Arc::clone(&config.on_fatal),
        };
        let db_url = store.url();
        let info = {
            let (sagas, store_kind, db_url) = (sagas.clone(), store.kind().to_owned(), db_url.clone());
            move |internal_url: &str| {
                let counts = sagas.counts();
                Info {
                    sec_id,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    pid: std::process::id(),
                    time_started,
                    store: store_kind.clone(),
                    db_url: db_url.clone(),
                    internal_url: internal_url.to_owned(),
                    external_url: external_url.clone(),
                    healthy: true,
                    ready: sagas.is_accepting(),
                    recovered: status.is_recovered(),
                    sagas_recovering: counts.recovered as u64,
                    sagas_in_flight: counts.total() as u64,
                }
            }
        };
        let internal_address = serve_internal(Internal {
            log: config.log.clone(),
            address: config.internal,
            guard: internal_guard,
            sagas: sagas.clone(),
            info: Box::new(info),
            look_at_database: config.look_at_database,
            drills: faults.map(|faults| internal::Drills {
                faults,
                kinds: drilled,
                stage: Stage::new(sagas.clone(), Arc::clone(&store)),
            }),
            recovery: (recovery, recovery_waker, config.recovery_period),
            heartbeat,
            adoption,
            on_fatal: config.on_fatal,
        })?;
        Ok(Self {
            ready: ReadyFile {
                sec_id,
                internal_url: format!("http://{internal_address}"),
                external_url: format!("http://{external_address}"),
                db_url,
                pid: std::process::id(),
            },
            sagas,
            store,
            _lock: lock,
        })
    }

    /// Who it is and where it can be reached.
    pub fn ready(&self) -> &ReadyFile {
        &self.ready
    }

    /// Its SEC, for a service that creates sagas itself.
    pub fn sagas(&self) -> &Sagas {
        &self.sagas
    }

    /// Its database.
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// Lets it run until the process ends.
    pub fn run(self) -> ! {
        loop {
            std::thread::park();
        }
    }
}

/// Makes the tables of an embedding service. One statement at a time: a server is told of each before it carries it out, and
/// would refuse one that is about the table of the one before.
fn make_tables(store: &SharedStore, tables: &[&'static str]) -> Result<(), StoreError> {
    for sql in tables {
        let statement = Statement::new(sql, Vec::new());
        // The store has threads of its own, so this one may wait.
        futures::executor::block_on(store.write(Write::one(statement), Until::Durable))?;
    }
    Ok(())
}

fn dropshot_config(address: SocketAddr) -> ConfigDropshot {
    ConfigDropshot {
        bind_address: address,
        default_request_body_max_bytes: MAX_BODY_BYTES,
        // A client that hangs up must not cancel what it asked for half-way.
        default_handler_task_mode: HandlerTaskMode::Detached,
        ..Default::default()
    }
}

/// Runs `start` on a new thread's own runtime, hands back what it answers, and keeps the runtime going for ever.
fn on_own_thread<T: Send + 'static>(
    name: &str,
    start: impl AsyncFnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    let (answer, started) = mpsc::sync_channel(1);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = answer.send(Err(error.into()));
                return;
            }
        };
        runtime.block_on(async move {
            let result = start().await;
            let go_on = result.is_ok();
            if answer.send(result).is_ok() && go_on {
                std::future::pending::<()>().await;
            }
        });
    })?;
    started.recv().map_err(|_| std::io::Error::other(format!("thread {name:?} ended while it started")))?
}

fn serve_external(
    context: external::ExternalContext,
    guard: Guard,
    address: SocketAddr,
) -> Result<SocketAddr, StartError> {
    let log = server_log::over(&context.log);
    on_own_thread("external-api", async move || {
        let server = ServerBuilder::new(external::api_description(), context, log)
            .config(dropshot_config(address))
            .version_policy(VersionPolicy::Dynamic(Box::new(guard)))
            .start()
            .map_err(|source| StartError::Listen { api: "external", address, source: Box::new(source) })?;
        let bound = server.local_addr();
        // The server lives as long as its thread.
        std::mem::forget(server);
        Ok(bound)
    })
}

struct Internal {
    log: slog::Logger,
    address: SocketAddr,
    guard: Guard,
    sagas: Sagas,
    info: Box<dyn Fn(&str) -> Info + Send + Sync>,
    look_at_database: LookAtDatabase,
    drills: Option<internal::Drills>,
    recovery: (SagaRecovery, Waker, Duration),
    heartbeat: SecHeartbeat,
    adoption: SecAdoption,
    on_fatal: FatalHandler,
}

fn serve_internal(parts: Internal) -> Result<SocketAddr, StartError> {
    on_own_thread("internal-api", async move || {
        let Internal {
            log,
            address,
            guard,
            sagas,
            info,
            look_at_database,
            drills,
            recovery: (recovery, waker, period),
            mut heartbeat,
            adoption,
            on_fatal,
        } = parts;
        // The tasks want the address that the server is yet to be given, and the server wants the tasks.
        let driver = Arc::new(OnceLock::new());
        let url = Arc::new(OnceLock::<String>::new());
        let context = internal::InternalContext {
            driver: Arc::clone(&driver),
            sagas,
            drills,
            info: {
                let url = Arc::clone(&url);
                Box::new(move || info(url.get().map_or("", String::as_str)))
            },
            look_at_database,
        };
        let server = ServerBuilder::new(internal::api_description(), context, server_log::over(&log))
            .config(dropshot_config(address))
            .version_policy(VersionPolicy::Dynamic(Box::new(guard)))
            .start()
            .map_err(|source| StartError::Listen { api: "internal", address, source: Box::new(source) })?;
        let bound = server.local_addr();
        std::mem::forget(server);
        let internal_url = format!("http://{bound}");
        heartbeat.internal_address.clone_from(&internal_url);
        // Nothing waits before both are set, so no request on this thread's runtime can find them empty.
        let _ = url.set(internal_url);
        let mut tasks = Driver::new(on_fatal);
        tasks.start(
            TaskInfo {
                name: SAGA_RECOVERY,
                description: "recovers unfinished sagas that are assigned to this coordinator",
                period,
            },
            waker,
            recovery,
        );
        tasks.start(
            TaskInfo {
                name: SEC_HEARTBEAT,
                description: "keeps this coordinator's entry in the registry of SECs fresh",
                period: HEARTBEAT_PERIOD,
            },
            Waker::new(),
            heartbeat,
        );
        tasks.start(
            TaskInfo {
                name: SEC_ADOPTION,
                description: "takes over unfinished sagas of SECs that have been expunged",
                period: ADOPTION_PERIOD,
            },
            Waker::new(),
            adoption,
        );
        let _ = driver.set(tasks);
        Ok(bound)
    })
}
