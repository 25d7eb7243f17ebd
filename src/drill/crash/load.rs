//! What the load of a crash drill consists of: projects, which the tool knows everything about, or a service's own sagas.

use crate::blast::ledger::Totals;
use crate::blast::{Blast, StartError};
use crate::client::Client;
use crate::drill::lab::{self, DrillError, PROJECT_CREATE, Records};
use crate::drill::saga_load::{SagaLoad, select};
use crate::reconcile::Reconciliation;
use crate::wire::fault::{Direction, DrilledKind, Fault, FaultRule, FaultRules};
use crate::wire::info::ReadyFile;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How much longer one node of each saga of a service takes.
const SLOW_MS: u64 = 150;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) enum Workload {
    /// Projects, through the external API.
    Projects,
    /// Sagas of these kinds, made by the coordinator itself.
    Sagas(Vec<DrilledKind>),
}

/// What is under way, or was.
pub(super) enum Load {
    Projects { blast: Blast, running: JoinHandle<Result<(), StartError>> },
    Sagas(SagaLoad),
}

impl Workload {
    /// Those that were asked for; else projects, if the coordinator makes them; else everything that it can be drilled with.
    pub(super) async fn choose(client: &Client, wanted: &[String]) -> Result<Self, DrillError> {
        let kinds = client.with_fresh_budget().list_drilled_sagas().await?;
        if wanted.is_empty() && kinds.iter().any(|kind| kind.name == PROJECT_CREATE) {
            return Ok(Self::Projects);
        }
        Ok(Self::Sagas(select(kinds, wanted)?))
    }

    /// What makes this share of its sagas fail; and sagas that may be over in no time take some, so that kills meet them.
    pub(super) fn faults(&self, share: f64) -> FaultRules {
        let rule = |saga: &str, fault, share| FaultRule {
            saga: saga.to_owned(),
            node: None,
            direction: Direction::Forward,
            fault,
            share,
        };
        let rules = match self {
            Self::Projects => vec![rule(PROJECT_CREATE, Fault::Fail, share)],
            Self::Sagas(kinds) => kinds
                .iter()
                .flat_map(|DrilledKind { name, .. }| {
                    [rule(name, Fault::Fail, share), rule(name, Fault::Slow { millis: SLOW_MS }, 1.0)]
                })
                .collect(),
        };
        FaultRules { rules }
    }

    /// Starts it. `label` is a part of every name.
    pub(super) fn start(&self, ready: &ReadyFile, client: &Client, label: &str, clients: u32) -> Load {
        match self {
            Self::Projects => {
                let blast = Blast::new(lab::load(ready, label, clients));
                let running = tokio::spawn({
                    let blast = blast.clone();
                    async move { blast.run().await }
                });
                Load::Projects { blast, running }
            }
            Self::Sagas(kinds) => Load::Sagas(SagaLoad::start(client, kinds, clients)),
        }
    }
}

impl Load {
    /// What became of all requests so far.
    pub(super) fn totals(&self) -> Totals {
        match self {
            Self::Projects { blast, .. } => blast.progress().totals,
            Self::Sagas(load) => load.totals(),
        }
    }

    /// Whether something has been acknowledged, or nothing ever will be.
    pub(super) fn is_on(&self) -> bool {
        let is_over = match self {
            Self::Projects { running, .. } => running.is_finished(),
            Self::Sagas(_) => false,
        };
        self.totals().done > 0 || is_over
    }

    /// Gives up what is under way; it stays in doubt.
    pub(super) async fn stop_now(&mut self) -> Result<(), DrillError> {
        match self {
            Self::Projects { blast, running } => {
                blast.stop_now();
                running.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
            }
            Self::Sagas(load) => load.stop_now().await,
        }
        Ok(())
    }

    /// Waits until everything is at rest; answers how long that was after `since`.
    pub(super) async fn wait_until_recovered(
        &self,
        client: &Client,
        since: Instant,
    ) -> Result<Duration, DrillError> {
        match self {
            Self::Projects { .. } => lab::wait_until_recovered(client, since).await,
            Self::Sagas(load) => load.wait_until_recovered(client, since).await,
        }
    }

    /// Holds what was asked for against the records; answers also what lacks a part, where parts are known.
    pub(super) async fn reconcile(
        &self,
        records: &Records,
    ) -> Result<(Reconciliation, Vec<String>), DrillError> {
        match self {
            Self::Projects { blast, .. } => {
                let stem = blast.stem();
                let found = blast.reconcile(&records.recorded(&stem).await?);
                Ok((found, records.incomplete(&stem).await?))
            }
            Self::Sagas(load) => Ok((load.reconcile(records).await?, Vec::new())),
        }
    }
}
