//! Who executes sagas: the registry of SECs, what each has unfinished, and whether it answers.
//!
//! Whether a SEC is alive is told by its heartbeat, which it writes into the registry every few seconds, or by asking it,
//! which is a fact of this moment. An open connection says nothing. Both are kept apart from being in service: a SEC that
//! is silent keeps its sagas, and one that has been expunged has lost them even if its process still answers.

use super::found_out::{Finding, look_until};
use crate::client::base_url::BaseUrl;
use crate::client::retry::RetryScope;
use crate::client::tls::Trust;
use crate::client::{Client, Config};
use crate::store::SharedStore;
use crate::store::error::StoreError;
use crate::store::secs::{self, RegisteredSec, UnfinishedSagas};
use crate::wire::ids::SecId;
use crate::wire::time::Time;
use futures::future::join_all;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How the database writes that a SEC is out of service.
const EXPUNGED: &str = "expunged";

/// A heartbeat of this age or less is one of a SEC that is alive: it has missed two at most.
pub const FRESH: Duration = Duration::from_secs(15);

/// Longest wait for a SEC to answer.
const PING_PATIENCE: Duration = Duration::from_secs(2);

/// All SECs that are registered or own something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Secs {
    /// Where the registry is.
    pub database: String,
    /// By id.
    pub secs: Vec<Sec>,
}

/// One SEC.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sec {
    /// Which; `None` for sagas that belong to nobody.
    pub sec_id: Option<SecId>,
    /// Whether it is in service and alive.
    pub status: SecStatus,
    /// Where its internal API is.
    pub internal_address: Option<String>,
    /// When its process started.
    pub time_started: Option<Time>,
    /// When it was heard of last.
    pub time_heartbeat: Option<Time>,
    /// How long ago that was, by our clock.
    pub heartbeat_age_secs: Option<i64>,
    /// Unfinished sagas that it owns.
    pub unfinished: Unfinished,
    /// What it said when it was asked; `None` if it was not.
    pub ping: Option<Ping>,
}

/// Whether a SEC is in service and alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecStatus {
    /// It answers, or has been heard of a moment ago.
    Alive,
    /// In service, but it does not answer or has not been heard of for some time. Its sagas stay its own.
    Silent,
    /// Out of service for ever; others take over its sagas.
    Expunged,
    /// It owns sagas and is in no registry.
    Unregistered,
    /// In a state that this version does not know.
    Unknown,
}

/// Sagas that have not come to rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Unfinished {
    /// Going forward.
    pub running: i64,
    /// Being undone.
    pub unwinding: i64,
    /// When the oldest was made.
    pub oldest: Option<Time>,
}

impl Unfinished {
    /// All of them.
    pub fn total(&self) -> i64 {
        self.running + self.unwinding
    }
}

/// What a SEC said when it was asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ping {
    /// Whether it answered, as itself.
    pub answered: bool,
    /// How long the answer took.
    pub took_ms: Option<f64>,
    /// Sagas in flight in its process.
    pub sagas_in_flight: Option<u64>,
    /// Why there was no answer.
    pub error: Option<String>,
}

impl Ping {
    fn unanswered(error: impl Into<String>) -> Self {
        Self { answered: false, took_ms: None, sagas_in_flight: None, error: Some(error.into()) }
    }
}

/// Reads the registry.
pub async fn list(store: &SharedStore, now: Time) -> Result<Secs, StoreError> {
    let (registered, unfinished) =
        tokio::try_join!(secs::list_secs(&**store), secs::count_unfinished(&**store))?;
    Ok(Secs { database: store.url(), secs: merge(registered, unfinished, now) })
}

/// What became of the expunging of a SEC whose process began at `time_started`, when nobody has answered that.
pub async fn look_whether_expunged(
    store: &SharedStore,
    sec: SecId,
    time_started: Time,
    deadline: Instant,
) -> Finding {
    look_until(deadline, async || {
        let reading = tokio::time::timeout_at(deadline.into(), secs::list_secs(&**store)).await;
        let listed = reading.map_err(|_| "no answer in time".to_owned())?;
        let listed = listed.map_err(|error| error.to_string())?;
        Ok(what_became(listed.iter().find(|row| row.id == sec), time_started))
    })
    .await
}

/// What a SEC's entry tells of its expunging, and whether that can still become something else.
fn what_became(row: Option<&RegisteredSec>, time_started: Time) -> (Finding, bool) {
    match row {
        None => (Finding::Unknown("it is in the registry no more".to_owned()), true),
        Some(row) if row.state == EXPUNGED => (Finding::Applied, true),
        // What was asked for was to expunge the process before this one.
        Some(row) if row.time_started != time_started => (Finding::NotApplied, true),
        Some(_) => (Finding::NotApplied, false),
    }
}

/// Asks SECs whether they are there, all at the same time.
pub async fn ping(secs: &mut [Sec], trust: &Trust) {
    let answers = join_all(secs.iter().map(|sec| ask(sec, trust))).await;
    for (sec, answer) in secs.iter_mut().zip(answers) {
        let Some(answer) = answer else { continue };
        sec.status = match (sec.status, answer.answered) {
            (SecStatus::Alive | SecStatus::Silent, true) => SecStatus::Alive,
            (SecStatus::Alive | SecStatus::Silent, false) => SecStatus::Silent,
            (other, _) => other,
        };
        sec.ping = Some(answer);
    }
}

/// Asks a coordinator at an address that somebody named, and notes of the SEC that it is that it answers.
///
/// # Errors
///
/// Why that says nothing of any of these SECs, in words.
pub async fn ping_at(secs: &mut [Sec], client: &Client) -> Result<(), String> {
    let began = Instant::now();
    let info = match client.with_at_most(PING_PATIENCE).fetch_info().await {
        Ok(Some(info)) => info,
        Ok(None) => return Err("what answers does not say who it is".to_owned()),
        Err(error) => return Err(error.problem.to_string()),
    };
    let sec = secs.iter_mut().find(|sec| sec.sec_id == Some(info.sec_id));
    let Some(sec) = sec else {
        return Err(format!("SEC {} answers, which is not in this registry", info.sec_id));
    };
    if sec.status == SecStatus::Silent {
        sec.status = SecStatus::Alive;
    }
    if !sec.ping.as_ref().is_some_and(|ping| ping.answered) {
        sec.ping = Some(Ping {
            answered: true,
            took_ms: Some(began.elapsed().as_secs_f64() * 1e3),
            sagas_in_flight: Some(info.sagas_in_flight),
            error: None,
        });
    }
    Ok(())
}

/// Nothing can be asked of a SEC whose address is not known.
async fn ask(sec: &Sec, trust: &Trust) -> Option<Ping> {
    let address = sec.internal_address.as_ref()?;
    let base: BaseUrl = match address.parse() {
        Ok(base) => base,
        Err(error) => return Some(Ping::unanswered(format!("its address {address:?} is none: {error}"))),
    };
    // No token goes along: the address comes from a database, and may be anybody's.
    let config = Config {
        base,
        trust: trust.clone(),
        token: None,
        budget: PING_PATIENCE,
        retry: RetryScope::Nothing,
        on_event: Arc::new(|_| {}),
    };
    let client = match Client::new(config) {
        Ok(client) => client,
        Err(error) => return Some(Ping::unanswered(error.to_string())),
    };
    let began = Instant::now();
    Some(match client.fetch_info().await {
        Ok(Some(info)) if Some(info.sec_id) == sec.sec_id => Ping {
            answered: true,
            took_ms: Some(began.elapsed().as_secs_f64() * 1e3),
            sagas_in_flight: Some(info.sagas_in_flight),
            error: None,
        },
        Ok(Some(info)) => Ping::unanswered(format!("SEC {} answers at its address", info.sec_id)),
        Ok(None) => Ping::unanswered("what answers at its address does not say who it is"),
        Err(error) => Ping::unanswered(error.problem.to_string()),
    })
}

/// Puts the registry and the owners of sagas together. Pure.
fn merge(registered: Vec<RegisteredSec>, unfinished: Vec<UnfinishedSagas>, now: Time) -> Vec<Sec> {
    let mut owned: BTreeMap<Option<SecId>, Unfinished> = unfinished
        .into_iter()
        .map(|UnfinishedSagas { owner, running, unwinding, oldest }| {
            (owner, Unfinished { running, unwinding, oldest: Some(oldest) })
        })
        .collect();
    let mut secs: Vec<Sec> = registered
        .into_iter()
        .map(|RegisteredSec { id, internal_address, state, time_started, time_heartbeat }| {
            let age = now.signed_duration_since(time_heartbeat);
            Sec {
                sec_id: Some(id),
                status: match state.as_str() {
                    // A heartbeat ahead of our clock is fresh: clocks differ.
                    "active" if age.to_std().unwrap_or_default() <= FRESH => SecStatus::Alive,
                    "active" => SecStatus::Silent,
                    EXPUNGED => SecStatus::Expunged,
                    _ => SecStatus::Unknown,
                },
                internal_address: Some(internal_address).filter(|address| !address.is_empty()),
                time_started: Some(time_started),
                time_heartbeat: Some(time_heartbeat),
                heartbeat_age_secs: Some(age.num_seconds()),
                unfinished: owned.remove(&Some(id)).unwrap_or_default(),
                ping: None,
            }
        })
        .collect();
    secs.extend(owned.into_iter().map(|(sec_id, unfinished)| Sec {
        sec_id,
        status: SecStatus::Unregistered,
        internal_address: None,
        time_started: None,
        time_heartbeat: None,
        heartbeat_age_secs: None,
        unfinished,
        ping: None,
    }));
    secs.sort_by_key(|sec| sec.sec_id);
    secs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + secs, 0).expect("a time in range")
    }

    fn sec(number: u128) -> SecId {
        SecId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn registered(number: u128, state: &str, heartbeat: i64) -> RegisteredSec {
        RegisteredSec {
            id: sec(number),
            internal_address: "http://127.0.0.1:1".to_owned(),
            state: state.to_owned(),
            time_started: at(-1000),
            time_heartbeat: at(heartbeat),
        }
    }

    #[test]
    fn heartbeats_tell_who_is_alive_and_the_registry_who_is_in_service() {
        let registry = vec![
            registered(1, "active", -15),
            registered(2, "active", -16),
            registered(3, "expunged", 0),
            registered(4, "active", 5),
            registered(5, "resting", 0),
        ];
        let statuses: Vec<_> = merge(registry, Vec::new(), at(0)).iter().map(|sec| sec.status).collect();
        use SecStatus::{Alive, Expunged, Silent, Unknown};
        assert_eq!(statuses, [Alive, Silent, Expunged, Alive, Unknown]);
    }

    #[test]
    fn the_registry_tells_what_became_of_an_expunging() {
        let (asked, later) = (at(-1000), at(-5));
        let row = |state| registered(1, state, 0);
        let restarted = RegisteredSec { time_started: later, ..row("active") };
        assert_eq!(what_became(Some(&row("expunged")), asked), (Finding::Applied, true));
        assert_eq!(what_became(Some(&row("active")), asked), (Finding::NotApplied, false));
        assert_eq!(what_became(Some(&restarted), asked), (Finding::NotApplied, true));
        assert!(matches!(what_became(None, asked), (Finding::Unknown(_), true)));
    }

    #[test]
    fn owners_that_nobody_registered_are_there_too() {
        let count =
            |owner, running, unwinding| UnfinishedSagas { owner, running, unwinding, oldest: at(-77) };
        let owned = vec![count(None, 1, 2), count(Some(sec(1)), 3, 4), count(Some(sec(2)), 5, 6)];
        let secs = merge(vec![registered(2, "active", 0)], owned, at(0));
        let shown: Vec<_> = secs.iter().map(|sec| (sec.sec_id, sec.status, sec.unfinished.total())).collect();
        assert_eq!(
            shown,
            [
                (None, SecStatus::Unregistered, 3),
                (Some(sec(1)), SecStatus::Unregistered, 7),
                (Some(sec(2)), SecStatus::Alive, 11),
            ]
        );
    }
}
