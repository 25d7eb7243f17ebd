//! One run of a saga on a database of its own, with or without a crash in it.
//!
//! Each kind has a *template*: a database in which everything is there that its saga needs. Every run starts from a copy of
//! it, with the same id and the same parameters, so that what two runs leave can be compared row by row.

use super::CrashPointsError;
use super::databases::{Databases, Original, RunDatabase};
use super::ending::Ending;
use crate::client::Client;
use crate::client::base_url::BaseUrl;
use crate::drill::harness::{CoordinatorProcess, CoordinatorSpec, Ended, HarnessError};
use crate::drill::lab::ClientFor;
use crate::store::contents::Contents;
use crate::wire::fault::{DrilledKind, DrilledSaga, FaultRule, FaultRules, PreparedSaga};
use crate::wire::ids::SagaId;
use crate::wire::info::ReadyFile;
use crate::wire::sagas::SagaState;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long one run may take, crash and recovery included. It takes a few tens of milliseconds.
pub const RUN_DEADLINE: Duration = Duration::from_secs(20);

/// Time between two looks at a process or a saga.
const POLL: Duration = Duration::from_millis(1);

/// Looks at a process that is going to die for each at its saga, which only matters if it does not die after all.
const LOOKS_BEFORE_A_CRASH: u32 = 25;

/// A kind of saga with everything that a run of it starts from.
pub(super) struct Template {
    /// The kind.
    pub kind: DrilledKind,
    /// Parameters and nodes.
    pub prepared: PreparedSaga,
    saga: DrilledSaga,
    dir: PathBuf,
    original: Original,
}

/// How a run ended.
pub(super) enum RunEnd {
    /// The saga came to rest.
    AtRest {
        /// How.
        ending: Box<Ending>,
        /// Whether the process died on the way, as it was asked to.
        crashed: bool,
        /// From the start of the second process to the saga at rest.
        recovered_in: Option<Duration>,
    },
    /// It did not, in all the time that there was.
    NeverAtRest,
    /// The coordinator ended itself when it was to recover the saga, with this at the end of its log.
    Died(String),
}

fn make_client(client_for: ClientFor<'_>, ready: &ReadyFile) -> Result<Client, CrashPointsError> {
    let url: BaseUrl = ready.internal_url.parse().expect("the ready file holds the URL it listens on");
    client_for(url).map_err(CrashPointsError::Client)
}

fn copying(source: std::io::Error) -> HarnessError {
    HarnessError::Io { doing: "copying a database".to_owned(), source }
}

/// What a coordinator can be drilled with.
pub(super) async fn list_kinds(
    spec: &CoordinatorSpec,
    client_for: ClientFor<'_>,
) -> Result<Vec<DrilledKind>, CrashPointsError> {
    let coordinator = CoordinatorProcess::start(spec.clone()).await?;
    Ok(make_client(client_for, coordinator.ready())?.list_drilled_sagas().await?)
}

impl Template {
    /// Has a coordinator make everything that a saga of a kind needs, in the data directory of `spec`.
    pub(super) async fn prepare(
        kind: DrilledKind,
        mut spec: CoordinatorSpec,
        databases: &Databases,
        client_for: ClientFor<'_>,
    ) -> Result<Self, CrashPointsError> {
        let dir = spec.data_dir.clone();
        let original = databases.original(&dir).await?;
        spec.arguments.extend(original.arguments());
        let coordinator = CoordinatorProcess::start(spec).await?;
        let client = make_client(client_for, coordinator.ready())?;
        let prepared = client.prepare_drilled_saga(&kind.name).await?;
        coordinator.kill()?;
        original.settle().await?;
        let saga = DrilledSaga { saga_id: SagaId::random(), params: prepared.params.clone() };
        Ok(Self { kind, prepared, saga, dir, original })
    }

    /// What is in the database before the saga.
    pub(super) async fn contents(&self) -> Result<Contents, CrashPointsError> {
        self.original.contents().await
    }

    /// Ends with it; answers the schema on the server that is to stay, if there is one.
    pub(super) fn finish(self, keep: bool) -> Result<Option<String>, CrashPointsError> {
        self.original.finish(keep)
    }

    /// Runs the saga once in the data directory of `spec`, which is made for it and removed.
    pub(super) async fn run(
        &self,
        rules: Vec<FaultRule>,
        crash: bool,
        mut spec: CoordinatorSpec,
        databases: &Databases,
        client_for: ClientFor<'_>,
    ) -> Result<RunEnd, CrashPointsError> {
        let dir = spec.data_dir.clone();
        copy_files(&self.dir, &dir).map_err(copying)?;
        let database = databases.copy_of(&self.original, &spec).await?;
        spec.arguments.extend(database.arguments());
        let end = self.run_in(rules, crash, spec, &database, client_for).await?;
        databases.give_back(database);
        // What is not removed here goes with the scratch directory.
        let _ = std::fs::remove_dir_all(dir);
        Ok(end)
    }

    async fn run_in(
        &self,
        rules: Vec<FaultRule>,
        crash: bool,
        spec: CoordinatorSpec,
        database: &RunDatabase,
        client_for: ClientFor<'_>,
    ) -> Result<RunEnd, CrashPointsError> {
        let deadline = Instant::now() + RUN_DEADLINE;
        let mut coordinator = CoordinatorProcess::start(spec).await?;
        let mut client = make_client(client_for, coordinator.ready())?;
        if !rules.is_empty() {
            client.set_faults(&FaultRules { rules }).await?;
        }
        let created = client.create_drilled_saga(&self.kind.name, &self.saga).await;
        if !crash {
            created?;
        }
        // With a crash ahead, the answer may not have got through.
        let mut crashed = None;
        for look in 1.. {
            if let Some(ended) = coordinator.has_ended()? {
                if crashed.is_some() || !crash || !ended.was_killed() {
                    return Ok(RunEnd::Died(ended.log));
                }
                crashed = Some(Instant::now());
                coordinator = CoordinatorProcess::start(coordinator.into_spec()).await?;
                client = make_client(client_for, coordinator.ready())?;
                continue;
            }
            let is_doomed = crash && crashed.is_none() && !self.kind.waits;
            if (!is_doomed || look % LOOKS_BEFORE_A_CRASH == 0) && self.is_at_rest(&client).await {
                let ending = database.ending(self.saga.saga_id).await?;
                return Ok(RunEnd::AtRest {
                    ending: Box::new(ending),
                    crashed: crashed.is_some(),
                    recovered_in: crashed.map(|since| since.elapsed()),
                });
            }
            if Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(RunEnd::NeverAtRest)
    }

    /// Whether the coordinator says that the saga is at rest. No answer is no: it may be dying this very moment.
    async fn is_at_rest(&self, client: &Client) -> bool {
        let client = client.with_fresh_budget();
        if self.kind.waits {
            // Refused by one that has just died; asked again by the next look.
            let _ = client.nudge_drilled_saga(&self.kind.name, &self.saga).await;
        }
        let saga = client.fetch_saga(self.saga.saga_id).await;
        matches!(saga, Ok(Some(saga)) if saga.state != SagaState::Running)
    }
}

/// Files that belong to one process rather than to the data.
const OF_THE_PROCESS: [&str; 2] = ["ready.json", "coordinator.log"];

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && !OF_THE_PROCESS.iter().any(|name| entry.file_name() == *name) {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

impl Ended {
    /// Whether it was killed, rather than ending itself.
    fn was_killed(&self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        self.status.signal() == Some(rustix::process::Signal::KILL.as_raw())
    }
}
