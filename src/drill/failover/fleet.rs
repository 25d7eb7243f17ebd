//! The coordinators of a failover drill, each with load of its own.

use super::Options;
use crate::blast::{Blast, StartError};
use crate::client::Client;
use crate::drill::database::DrillDatabase;
use crate::drill::harness::{CoordinatorProcess, CoordinatorSpec};
use crate::drill::lab::{ClientFor, DrillError, PROJECT_CREATE, client, load};
use crate::wire::fault::{Direction, Fault, FaultRule, FaultRules};
use crate::wire::ids::SecId;
use std::path::Path;
use tokio::task::JoinHandle;

/// A coordinator and the way to its internal API.
pub(super) struct Member {
    /// Its process.
    pub process: CoordinatorProcess,
    /// For its internal API.
    pub client: Client,
}

/// Load that is on.
pub(super) struct Load {
    /// The handle.
    pub blast: Blast,
    running: JoinHandle<Result<(), StartError>>,
}

impl Member {
    /// Starts a new one, which nobody has been before. Every second waits for all writes of all sagas.
    pub(super) async fn start(
        number: usize,
        scratch: &Path,
        database: &DrillDatabase,
        options: &Options,
        client_for: ClientFor<'_>,
    ) -> Result<Self, DrillError> {
        let mut spec = CoordinatorSpec::new(&scratch.join(format!("coordinator-{number}")))?;
        if let Some(program) = &options.program {
            spec.program.clone_from(program);
        }
        spec.arguments.push("--allow-faults".to_owned());
        if number.is_multiple_of(2) {
            spec.arguments.push("--strict".to_owned());
        }
        spec.arguments.extend(database.arguments());
        let process = CoordinatorProcess::start(spec).await?;
        let client = client(client_for, process.ready())?;
        if !client.list_drilled_sagas().await?.iter().any(|kind| kind.name == PROJECT_CREATE) {
            return Err(DrillError::NoProjects);
        }
        let rule = FaultRule {
            saga: PROJECT_CREATE.to_owned(),
            node: None,
            direction: Direction::Forward,
            fault: Fault::Fail,
            share: options.failing,
        };
        client.set_faults(&FaultRules { rules: vec![rule] }).await?;
        Ok(Self { process, client })
    }

    /// Who it is.
    pub(super) fn sec(&self) -> SecId {
        self.process.ready().sec_id
    }

    /// Makes load on it. `label` is a part of every name.
    pub(super) fn load(&self, label: &str, clients: u32) -> Load {
        let blast = Blast::new(load(self.process.ready(), label, clients));
        let running = tokio::spawn({
            let blast = blast.clone();
            async move { blast.run().await }
        });
        Load { blast, running }
    }
}

impl Load {
    /// Whether a request has been acknowledged, or none ever will be.
    pub(super) fn is_on(&self) -> bool {
        self.blast.progress().totals.done > 0 || self.running.is_finished()
    }

    /// Launches nothing more, and waits for what is under way.
    pub(super) async fn drain(self) -> Result<Blast, DrillError> {
        self.blast.drain();
        self.end().await
    }

    /// Gives up what is under way.
    pub(super) async fn cut(self) -> Result<Blast, DrillError> {
        self.blast.stop_now();
        self.end().await
    }

    async fn end(self) -> Result<Blast, DrillError> {
        self.running.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        Ok(self.blast)
    }
}
