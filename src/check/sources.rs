//! Asks coordinators what they have in memory and what their recovery reports, each once per look.

use super::recovery::Coordinator;
use crate::client::error::{CallError, Problem, Unreadable};
use crate::client::{Client, FetchedTask};
use crate::observe::recovery::{Recovery, Trouble};
use crate::observe::why::ask::{Peers, is_local, reach, recovery_of};
use crate::observe::why::{Contact, EngineKind, Memory, OwnerFacts};
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::store::inspect::saga::SecLookup;
use crate::store::inspect::source::Origin;
use crate::wire::bgtasks::SAGA_RECOVERY;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::sagas::SagaState;
use crate::wire::time::Time;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a coordinator to say who it is and how its recovery does.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest wait for the list of all its sagas, which may be long.
const LIST_PATIENCE: Duration = Duration::from_secs(10);

/// A coordinator that answered.
pub(super) struct Spoken {
    /// Where.
    pub(super) at: String,
    /// Who it is, if it says so, or if the database has it there.
    pub(super) sec: Option<SecId>,
    /// When its process started, if it says so.
    process_started: Option<Time>,
    /// Every saga in its memory, and how those at rest ended; or why it did not tell.
    pub(super) memory: Result<HashMap<SagaId, Option<&'static str>>, String>,
    /// An answer about its recovery that makes no sense.
    malformed: Option<Unreadable>,
    /// What its recovery reports, or why it does not.
    pub(super) recovery: Result<(FetchedTask, Recovery), String>,
}

/// An owner of sagas.
struct Owner {
    registry: SecLookup,
    contact: Contact,
    spoken: Option<Arc<Spoken>>,
}

/// Everybody who was asked, in one look.
pub(super) struct Sources<'a> {
    inspector: Option<&'a Inspector>,
    peers: &'a Peers<'a>,
    engine: EngineKind,
    owners: HashMap<SecId, Owner>,
    by_url: BTreeMap<String, Result<Arc<Spoken>, String>>,
}

impl<'a> Sources<'a> {
    /// Asks the coordinator that the user named and every SEC that the database has in service.
    pub(super) async fn ask(
        inspector: Option<&'a Inspector>,
        peers: &'a Peers<'a>,
    ) -> Result<Self, InspectError> {
        let engine = match inspector.map(|inspector| &inspector.describe().origin) {
            Some(Origin::Nexus { .. }) => EngineKind::Nexus,
            _ => EngineKind::Ours,
        };
        let mut sources = Self { inspector, peers, engine, owners: HashMap::new(), by_url: BTreeMap::new() };
        let configured = peers.configured.clone();
        sources.hear(&configured, None).await;
        if let Some(inspector) = inspector {
            for sec in inspector.list_secs().await?.unwrap_or_default() {
                // Whoever is out of service is asked only if a saga still depends on it.
                if sec.state.value().is_some_and(|state| state == "active") {
                    sources.meet(inspector, sec.id, SecLookup::Row(sec)).await;
                }
            }
        }
        Ok(sources)
    }

    pub(super) fn engine(&self) -> EngineKind {
        self.engine
    }

    /// Makes sure that an owner was asked.
    pub(super) async fn look_at(&mut self, owner: SecId) -> Result<(), InspectError> {
        let Some(inspector) = self.inspector else { return Ok(()) };
        if !self.owners.contains_key(&owner) {
            let registry = inspector.load_sec(owner).await?;
            self.meet(inspector, owner, registry).await;
        }
        Ok(())
    }

    async fn meet(&mut self, inspector: &Inspector, id: SecId, registry: SecLookup) {
        let facts = OwnerFacts::not_asked(Some(registry), self.engine, "");
        // A long look must not find everybody silent in the end because its own time was over.
        let Peers { configured, is_named, client_at } = self.peers;
        let peers =
            Peers { configured: configured.with_fresh_budget(), is_named: *is_named, client_at: *client_at };
        let (contact, client) = reach(is_local(inspector), &peers, id, facts.address()).await;
        let spoken = match (&contact, client) {
            (Contact::Answers { .. }, Some(client)) => self.hear(&client, Some(id)).await,
            _ => None,
        };
        let registry = facts.registry.expect("it was put there");
        self.owners.insert(id, Owner { registry, contact, spoken });
    }

    /// Hears a coordinator out, once.
    async fn hear(&mut self, client: &Client, is: Option<SecId>) -> Option<Arc<Spoken>> {
        let url = client.base().to_string();
        if !self.by_url.contains_key(&url) {
            let heard = hear(client, is).await.map(Arc::new).map_err(|error| error.problem.to_string());
            self.by_url.insert(url.clone(), heard);
        }
        self.by_url.get(&url)?.as_ref().ok().cloned()
    }

    /// What is known of the owner of a saga. The owner must have been looked at.
    pub(super) fn facts(&self, owner: Option<SecId>, saga: SagaId) -> OwnerFacts {
        let Some(owner) = owner.and_then(|id| self.owners.get(&id)) else {
            return OwnerFacts::not_asked(None, self.engine, "the saga does not say who owns it");
        };
        let Owner { registry, contact, spoken } = owner;
        let mut facts =
            OwnerFacts::not_asked(Some(registry.clone()), self.engine, "its owner does not answer");
        facts.contact = contact.clone();
        let Some(spoken) = spoken else { return facts };
        let is_sure = matches!(contact, Contact::Answers { is_sure: true, .. });
        facts.memory = match spoken.memory.as_ref().map(|memory| memory.get(&saga)) {
            Err(reason) => Memory::NotTold(reason.clone()),
            Ok(Some(None)) => Memory::Running,
            Ok(Some(Some(end))) => Memory::AtRest((*end).to_owned()),
            Ok(None) if is_sure => Memory::Missing,
            Ok(None) => {
                Memory::NotTold("whoever answers does not have it, but may not be its owner".to_owned())
            }
        };
        facts.recovery =
            spoken.recovery.as_ref().ok().and_then(|(task, recovery)| recovery_of(task, recovery, saga));
        facts
    }

    /// Coordinators that answered.
    pub(super) fn spoken(&self) -> impl Iterator<Item = &Arc<Spoken>> {
        self.by_url.values().filter_map(|heard| heard.as_ref().ok())
    }

    /// A recovery report that is broken.
    pub(super) fn malformed(&self) -> Option<Unreadable> {
        self.spoken().find_map(|spoken| {
            let trouble = spoken.recovery.as_ref().ok().and_then(|(_, recovery)| recovery.trouble.as_ref());
            match trouble {
                Some(Trouble::Malformed(error)) => Some(error.clone()),
                Some(Trouble::Unknown(_)) | None => spoken.malformed.clone(),
            }
        })
    }

    /// Why a coordinator of the registry, or the one that the user named, told nothing.
    pub(super) fn silent(&self) -> Vec<String> {
        let silent = self.owners.iter().filter_map(|(id, owner)| match &owner.contact {
            Contact::Answers { .. } => None,
            Contact::NotAsked(reason) => Some(format!("SEC {id} was not asked: {reason}")),
            Contact::SomebodyElse { at, sec_id } => {
                Some(format!("SEC {sec_id} answers at {at}, not SEC {id}"))
            }
            Contact::Silent { at, reason, .. } => Some(format!("SEC {id} does not answer at {at}: {reason}")),
        });
        let mut silent: Vec<String> = silent.collect();
        silent.sort();
        if self.peers.is_named || self.spoken().next().is_none() {
            let refused = self.by_url.iter().filter_map(|(url, heard)| Some((url, heard.as_ref().err()?)));
            silent.extend(refused.map(|(url, reason)| format!("nobody to ask at {url}: {reason}")));
        }
        silent
    }
}

impl Spoken {
    /// What concerns recovery, if it reports any.
    pub(super) fn coordinator(&self) -> Result<Coordinator<'_>, String> {
        let (_, recovery) = self.recovery.as_ref().map_err(Clone::clone)?;
        Ok(Coordinator { sec: self.sec, at: &self.at, recovery, process_started: self.process_started })
    }
}

async fn hear(client: &Client, is: Option<SecId>) -> Result<Spoken, CallError> {
    let asked = client.with_fresh_budget().with_at_most(PATIENCE);
    let info = asked.fetch_info().await?;
    let lister = client.with_fresh_budget().with_at_most(LIST_PATIENCE);
    let (task, sagas) = tokio::join!(asked.fetch_task(SAGA_RECOVERY), lister.list_sagas());
    let at = client.base().to_string();
    let in_memory = |sagas: Vec<crate::wire::sagas::Saga>| {
        let end = |state: &SagaState| match state {
            SagaState::Running => None,
            SagaState::Succeeded => Some("succeeded"),
            SagaState::Failed { .. } => Some("failed"),
            SagaState::Stuck { .. } => Some("stuck"),
        };
        sagas.iter().map(|saga| (saga.id, end(&saga.state))).collect()
    };
    let malformed = match &task {
        Err(CallError { problem: Problem::Unreadable(error), .. }) => Some(error.clone()),
        _ => None,
    };
    Ok(Spoken {
        malformed,
        sec: info.as_ref().map(|info| info.sec_id).or(is),
        process_started: info.as_ref().map(|info| info.time_started),
        memory: sagas
            .map(in_memory)
            .map_err(|error| format!("{at} does not list its sagas: {}", error.problem)),
        recovery: match task {
            Ok(Some(task)) => {
                let recovery = Recovery::new(&task);
                Ok((task, recovery))
            }
            Ok(None) => Err(format!("{at} has no task {SAGA_RECOVERY:?}")),
            Err(error) => Err(format!("{at} does not tell what recovery did: {}", error.problem)),
        },
        at,
    })
}
