//! Gathers what a verdict rests on: the database first, then the owner.
//!
//! The order has a trap. Between reading the rows and asking the owner a saga may finish, and the owner forgets what has
//! finished; the two answers together would then look like a saga that its owner has lost. So whenever the owner says that it
//! does not run the saga, the rows are read again, and if they have changed, the owner is asked again.
//!
//! An owner is asked where the database says that it is. That is text from a database, so no token is sent there unless it is
//! the very address that the user named.

use super::{Contact, EngineKind, Memory, OwnerFacts, RecoveryFacts};
use crate::client::base_url::BaseUrl;
use crate::client::error::{CallError, Problem};
use crate::client::{Client, FetchedTask};
use crate::observe::recovery::{PassResult, Recovery};
use crate::saga_log::record::SagaRecords;
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::store::inspect::saga::SecLookup;
use crate::store::inspect::source::{Engine, Origin};
use crate::wire::bgtasks::{CurrentStatus, LastResult, SAGA_RECOVERY};
use crate::wire::ids::{SagaId, SecId};
use crate::wire::sagas::{CachedState, SagaState};
use std::net::IpAddr;
use std::time::Duration;

/// Longest wait for each answer of an owner. One that needs longer is no help to anybody.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often rows are read again that change while their owner is asked. A saga that is that busy is not hung.
const ROUNDS: u32 = 3;

/// Coordinators that can be asked.
pub struct Peers<'p> {
    /// The one that the user named, or the one that is there by default. Its calls are not repeated.
    pub configured: Client,
    /// Whether the user named it.
    pub is_named: bool,
    /// Makes a client for the address of another, without the user's token.
    pub client_at: &'p dyn Fn(BaseUrl) -> Option<Client>,
}

/// A saga with what is known of its owner.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its rows.
    pub records: SagaRecords,
    /// Its owner.
    pub owner: OwnerFacts,
}

/// Reads a saga and asks its owner; `None` if the database does not have it.
///
/// # Errors
///
/// Only if the database cannot be read. An owner that cannot be asked is a fact.
pub async fn ask(
    inspector: &Inspector,
    peers: &Peers<'_>,
    id: SagaId,
) -> Result<Option<Found>, InspectError> {
    let Some(mut records) = inspector.load_saga(id).await? else { return Ok(None) };
    let engine = match inspector.describe().origin {
        Origin::Nexus { .. } => EngineKind::Nexus,
        Origin::Sagactl { .. } | Origin::Unnamed => EngineKind::Ours,
    };
    for round in 1.. {
        let Some(owner) = owner_to_ask(&records) else { break };
        let registry = inspector.load_sec(owner).await?;
        let facts = ask_owner(inspector, peers, id, owner, registry, engine).await;
        let is_settled = matches!(facts.memory, Memory::Running | Memory::NotTold(_));
        if !is_settled && round < ROUNDS {
            match inspector.load_saga(id).await? {
                None => return Ok(None),
                Some(now) if now != records => {
                    records = now;
                    continue;
                }
                Some(_) => {}
            }
        }
        return Ok(Some(Found { records, owner: facts }));
    }
    let why = "nobody has to do anything about it any more";
    Ok(Some(Found { records, owner: OwnerFacts::not_asked(None, engine, why) }))
}

/// The owner, if the saga still depends on it.
fn owner_to_ask(records: &SagaRecords) -> Option<SecId> {
    let saga = records.saga.as_ref()?;
    let state = saga.state.value().and_then(|state| state.parse().ok());
    match state {
        Some(CachedState::Done | CachedState::Abandoned) => None,
        Some(CachedState::Running | CachedState::Unwinding) | None => saga.current_sec.value().copied(),
    }
}

async fn ask_owner(
    inspector: &Inspector,
    peers: &Peers<'_>,
    id: SagaId,
    owner: SecId,
    registry: SecLookup,
    engine: EngineKind,
) -> OwnerFacts {
    let mut facts = OwnerFacts::not_asked(Some(registry), engine, "");
    let (contact, client) = reach(is_local(inspector), peers, owner, facts.address()).await;
    facts.contact = contact;
    let Contact::Answers { is_sure, .. } = facts.contact else {
        facts.memory = Memory::NotTold("its owner does not answer".to_owned());
        return facts;
    };
    let client = client.expect("somebody answered").with_at_most(PATIENCE);
    let (memory, recovery) = tokio::join!(client.fetch_saga(id), client.fetch_task(SAGA_RECOVERY));
    facts.memory = memory_of(memory, is_sure);
    facts.recovery = recovery.ok().flatten().and_then(|task| recovery_of(&task, &Recovery::new(&task), id));
    facts
}

/// Finds the way to a SEC: the address that the database has, else the coordinator that the user named. The client is one
/// for whoever answers; there is none if nobody was asked.
pub(crate) async fn reach(
    db_is_local: bool,
    peers: &Peers<'_>,
    owner: SecId,
    address: Option<&str>,
) -> (Contact, Option<Client>) {
    let configured = peers.configured.base().clone();
    let mut client = None;
    let mut contact = match address.map(str::parse::<BaseUrl>) {
        None => Contact::NotAsked("the database does not say where it is".to_owned()),
        Some(Err(error)) => Contact::NotAsked(format!("where it is by the database is no address: {error}")),
        Some(Ok(address)) => {
            let is_configured = address == configured;
            let asked =
                if is_configured { Some(peers.configured.clone()) } else { (peers.client_at)(address) };
            match asked {
                None => Contact::NotAsked("no connection could be set up".to_owned()),
                Some(asked) => {
                    let contact = ping(&asked, owner, db_is_local).await;
                    client = Some(asked);
                    contact
                }
            }
        }
    };
    // The user may have another way there than the owner's own idea of its address.
    let knows_way = matches!(contact, Contact::Answers { is_sure: true, .. });
    let is_asked = client.as_ref().is_some_and(|client| *client.base() == configured);
    if !knows_way && !is_asked {
        let other = ping(&peers.configured, owner, false).await;
        let is_better = match &other {
            Contact::Answers { is_sure: true, .. } => true,
            // Whoever does not say who it is may be anybody, unless the user says that it is the one.
            Contact::Answers { is_sure: false, .. } => {
                peers.is_named && !matches!(contact, Contact::Answers { .. })
            }
            Contact::Silent { .. } => peers.is_named && matches!(contact, Contact::NotAsked(_)),
            Contact::SomebodyElse { .. } | Contact::NotAsked(_) => false,
        };
        if is_better {
            contact = other;
            client = Some(peers.configured.clone());
        }
    }
    (contact, client)
}

/// Asks whether an owner is there.
async fn ping(client: &Client, owner: SecId, db_is_local: bool) -> Contact {
    let at = client.base().to_string();
    let error = match client.with_at_most(PATIENCE).fetch_info().await {
        Ok(Some(info)) if info.sec_id == owner => {
            return Contact::Answers { at, is_sure: true, process_started: Some(info.time_started) };
        }
        Ok(Some(info)) => return Contact::SomebodyElse { at, sec_id: info.sec_id },
        Ok(None) => return Contact::Answers { at, is_sure: false, process_started: None },
        Err(error) => error,
    };
    // A coordinator that lets nobody in, or is in trouble, lives all the same. An open port does not prove as much.
    if let Problem::Status { .. } = error.problem {
        return Contact::Answers { at, is_sure: false, process_started: None };
    }
    let is_refused = matches!(error.problem, Problem::Unreachable { is_refused: true, .. });
    // A host that refuses is there, and nothing listens. But a loopback address in the database of another machine is that
    // machine's, not ours.
    let is_there = db_is_local || !is_loopback(client.base());
    Contact::Silent { at, reason: in_words(&error), is_conclusive: is_refused && is_there }
}

fn in_words(error: &CallError) -> String {
    error.problem.to_string()
}

/// Whether the database is on this machine, so that its loopback addresses are ours.
pub(crate) fn is_local(inspector: &Inspector) -> bool {
    let source = inspector.describe();
    match source.engine {
        Engine::Sqlite => true,
        Engine::Postgresql | Engine::Cockroachdb => {
            let host = source.url.parse::<http::Uri>().ok().and_then(|url| url.host().map(str::to_owned));
            // Without a host it is a socket in a directory.
            host.is_none_or(|host| host.is_empty() || is_loopback_host(&host))
        }
    }
}

fn is_loopback(base: &BaseUrl) -> bool {
    is_loopback_host(base.host())
}

fn is_loopback_host(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn memory_of(answer: Result<Option<crate::wire::sagas::Saga>, CallError>, is_sure: bool) -> Memory {
    match answer {
        Ok(Some(saga)) => match saga.state {
            SagaState::Running => Memory::Running,
            SagaState::Succeeded => Memory::AtRest("succeeded".to_owned()),
            SagaState::Failed { .. } => Memory::AtRest("failed".to_owned()),
            SagaState::Stuck { .. } => Memory::AtRest("stuck".to_owned()),
        },
        Ok(None) if is_sure => Memory::Missing,
        Ok(None) => Memory::NotTold("whoever answers does not have it, but may not be its owner".to_owned()),
        Err(error) => Memory::NotTold(in_words(&error)),
    }
}

/// What the owner's recovery says about one saga.
pub(crate) fn recovery_of(task: &FetchedTask, recovery: &Recovery, id: SagaId) -> Option<RecoveryFacts> {
    if recovery.trouble.is_some() || recovery.task.error.is_some() {
        return None;
    }
    let mine: Vec<_> =
        recovery.recovery_failures.iter().flatten().filter(|failure| failure.saga_id == id).collect();
    let last = match &task.task.last {
        LastResult::Completed(last) => Some(last),
        LastResult::NeverCompleted => None,
    };
    let result = recovery.last_pass.as_ref().map(|pass| pass.result);
    // Ours keeps the history; of a Nexus only the last pass is known.
    let last_success = match &recovery.recent_passes {
        Some(passes) => {
            passes.iter().find(|pass| pass.end.result == PassResult::Completed).map(|pass| pass.time_started)
        }
        None => last.filter(|_| result == Some(PassResult::Completed)).map(|last| last.start_time),
    };
    let period: Duration = recovery.task.period;
    Some(RecoveryFacts {
        failure: mine.first().map(|&failure| failure.clone()),
        failures: mine.len() as u64,
        recovered: recovery
            .recent_recoveries
            .iter()
            .flatten()
            .find(|recovered| recovered.saga_id == id)
            .map(|recovered| recovered.time),
        last_success,
        last_pass_failed: recovery
            .last_pass
            .as_ref()
            .filter(|pass| pass.result == PassResult::Failed)
            .map(|pass| pass.message.clone().unwrap_or_default()),
        under_way: match &task.task.current {
            CurrentStatus::Running(running) => Some(running.start_time),
            CurrentStatus::Idle => None,
        },
        period,
        next_pass: last
            .and_then(|last| last.start_time.checked_add_signed(chrono::Duration::from_std(period).ok()?)),
    })
}
