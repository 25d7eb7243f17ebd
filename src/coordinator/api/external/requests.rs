//! From a request to its saga and back to an answer, once per idempotency key.
//!
//! A key is recorded together with the saga that its first request makes, so of several requests with one key exactly one
//! makes a saga, whenever and wherever the others arrive. All of them answer how that saga ended: from its outcome while it
//! is in memory, else from its log. What a create made follows from the saga's id and parameters alone, so the answer is
//! the same to the last byte, also long after.
//!
//! A request that is refused before a saga is made (its parent is not there, say) uses no key up.

use super::super::errors::{internal, invalid_request, unavailable};
use super::ExternalContext;
use super::errors::{action_failed, creation_failed, saga_failed, store_failed};
use crate::coordinator::sagas::{Creates, SagaKind};
use crate::coordinator::sec::{CreateError, SagaOutcome};
use crate::store::sagas::{self as saga_store, IdempotencyKey, LoadedSaga};
use crate::wire::external::MAX_IDEMPOTENCY_KEY_LEN;
use crate::wire::ids::SagaId;
use crate::wire::sagas::CachedState;
use dropshot::HttpError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How long a repeated request waits for a first one that nobody here runs at the moment (recovery is on its way to it).
const MAX_WAIT_FOR_FIRST: Duration = Duration::from_secs(30);

/// Pause between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Headers of a request that creates something.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct CreateHeaders {
    /// A key of the caller's choice, at most 255 characters. Repeating the request with the same key returns the first
    /// one's result instead of creating another object.
    #[serde(default, rename = "idempotency-key")]
    pub idempotency_key: Option<String>,
}

/// The key of a request, with a digest of all that it asked for.
///
/// # Errors
///
/// When the key is empty or too long.
pub(super) fn key<K: SagaKind>(
    headers: CreateHeaders,
    selector: &impl Serialize,
    body: &impl Serialize,
) -> Result<Option<IdempotencyKey>, HttpError> {
    let Some(key) = headers.idempotency_key else { return Ok(None) };
    let length = key.chars().count();
    if !(1..=MAX_IDEMPOTENCY_KEY_LEN).contains(&length) {
        return Err(invalid_request(format!(
            "the idempotency key has {length} characters; 1 to {MAX_IDEMPOTENCY_KEY_LEN} are allowed"
        )));
    }
    Ok(Some(IdempotencyKey { key, request_digest: digest(K::NAME, selector, body)? }))
}

/// Tells requests apart. A key and its request come from the same caller, so nobody gains by making two digests meet.
fn digest(kind: &str, selector: &impl Serialize, body: &impl Serialize) -> Result<String, HttpError> {
    let asked = serde_json::to_vec(&(kind, selector, body)).map_err(|error| internal(error.to_string()))?;
    Ok(Uuid::new_v5(&Uuid::NAMESPACE_OID, &asked).simple().to_string())
}

/// Makes something by a saga with these parameters and answers it, or answers what the key's first request made.
///
/// `params` is awaited only if a saga is to be made: what it looks up may have gone since the first request.
pub(super) async fn create<K: Creates>(
    context: &ExternalContext,
    key: Option<IdempotencyKey>,
    params: impl Future<Output = Result<K::Params, HttpError>>,
) -> Result<K::Object, HttpError> {
    if let Some(key) = &key
        && let Some(first) = find_first(context, key).await?
    {
        return repeat::<K>(context, first).await;
    }
    let (id, params) = (context.sagas.new_id(), params.await?);
    match context.sagas.create::<K>(id, &params, key.clone()).await {
        Ok(running) => answer::<K>(context, id, &params, &running.finished().await),
        Err(CreateError::KeyInUse) => {
            let key = key.ok_or_else(|| internal("a key is in use that was not given".to_owned()))?;
            let mut patience = Patience::new();
            let first = loop {
                match find_first(context, &key).await? {
                    Some(first) => break first,
                    // Its record is not durable yet.
                    None => patience.wait().await?,
                }
            };
            repeat::<K>(context, first).await
        }
        Err(error) => Err(creation_failed(error)),
    }
}

/// Runs a saga that answers nothing but its success.
pub(super) async fn run<K: SagaKind>(context: &ExternalContext, params: &K::Params) -> Result<(), HttpError> {
    let id = context.sagas.new_id();
    let running = context.sagas.create::<K>(id, params, None).await.map_err(creation_failed)?;
    succeeded(context, id, &running.finished().await)
}

fn answer<K: Creates>(
    context: &ExternalContext,
    id: SagaId,
    params: &K::Params,
    outcome: &SagaOutcome,
) -> Result<K::Object, HttpError> {
    succeeded(context, id, outcome).map(|()| K::made(id, params))
}

fn succeeded(context: &ExternalContext, id: SagaId, outcome: &SagaOutcome) -> Result<(), HttpError> {
    let Some(error) = saga_failed(outcome) else { return Ok(()) };
    if error.status_code.is_server_error() {
        slog::error!(context.log, "a saga that a request waited for failed";
            "saga_id" => %id, "error" => &error.internal_message);
    }
    Err(error)
}

/// The saga of the key's first request, if there was one.
async fn find_first(context: &ExternalContext, key: &IdempotencyKey) -> Result<Option<SagaId>, HttpError> {
    let found = saga_store::find_idempotency_key(&*context.store, &key.key).await.map_err(store_failed)?;
    match found {
        Some((_, digest)) if digest != key.request_digest => {
            Err(invalid_request("idempotency key was used for another request".to_owned()))
        }
        other => Ok(other.map(|(saga, _)| saga)),
    }
}

/// The answer to the request that made saga `first`, once it has come to rest.
async fn repeat<K: Creates>(context: &ExternalContext, first: SagaId) -> Result<K::Object, HttpError> {
    let mut patience = Patience::new();
    let saga = loop {
        if let Some(running) = context.sagas.find_running(first) {
            running.finished().await;
        }
        let saga = saga_store::load_saga(&*context.store, first).await.map_err(store_failed)?;
        let saga = saga.ok_or_else(|| internal(format!("saga {first} has a key but no row")))?;
        match saga.state {
            CachedState::Done | CachedState::Abandoned => break saga,
            // Nobody here runs it: recovery is on its way to it.
            CachedState::Running | CachedState::Unwinding => patience.wait().await?,
        }
    };
    result_in_log(&saga)?;
    let params = params_in_dag::<K>(&saga.dag)
        .map_err(|error| internal(format!("the parameters of saga {first} cannot be read: {error}")))?;
    Ok(K::made(first, &params))
}

/// How a saga at rest ended, by its log.
fn result_in_log(saga: &LoadedSaga) -> Result<(), HttpError> {
    let find = |kind: &str| saga.events.iter().find(|event| event.event_type == kind);
    if saga.state == CachedState::Abandoned {
        return Err(internal(format!("saga {} was abandoned", saga.id)));
    }
    if let Some(event) = find("undo_failed") {
        return Err(internal(format!("saga {} is stuck: undoing node {} failed", saga.id, event.node_id)));
    }
    let Some(event) = find("failed") else { return Ok(()) };
    let data = event.data.as_deref().unwrap_or("null");
    let error = serde_json::from_str(data)
        .map_err(|error| internal(format!("why saga {} failed cannot be read: {error}", saga.id)))?;
    Err(action_failed(&event.node_id.to_string(), &error))
}

/// The parameters that a saga was made from.
fn params_in_dag<K: SagaKind>(dag: &str) -> Result<K::Params, anyhow::Error> {
    let mut dag: serde_json::Value = serde_json::from_str(dag)?;
    let start = dag["start_node"].as_u64().map(|index| format!("/graph/nodes/{index}/Start/params"));
    let params = start.and_then(|path| dag.pointer_mut(&path)).map(serde_json::Value::take);
    Ok(serde_json::from_value(params.ok_or_else(|| anyhow::anyhow!("no start node"))?)?)
}

/// Waits between two looks at a first request, but not for ever.
struct Patience {
    deadline: Instant,
}

impl Patience {
    fn new() -> Self {
        Self { deadline: Instant::now() + MAX_WAIT_FOR_FIRST }
    }

    async fn wait(&mut self) -> Result<(), HttpError> {
        if Instant::now() >= self.deadline {
            return Err(unavailable("the first request with this key has not come to an end yet".to_owned()));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::sagas::project_create::{Params, ProjectCreate};
    use crate::store::sagas::Event;
    use crate::wire::ids::{NodeId, SecId};
    use crate::wire::time::now;

    fn headers(key: &str) -> CreateHeaders {
        CreateHeaders { idempotency_key: Some(key.to_owned()) }
    }

    #[test]
    fn keys_have_a_length() {
        assert_eq!(
            key::<ProjectCreate>(CreateHeaders { idempotency_key: None }, &(), &()).expect("no key"),
            None
        );
        for (text, good) in [("", false), ("k", true), (&"ä".repeat(255), true), (&"k".repeat(256), false)] {
            assert_eq!(key::<ProjectCreate>(headers(text), &(), &()).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn a_digest_is_of_the_whole_request() {
        let one = digest("project-create", &"a", &"b").expect("a digest");
        assert_eq!(one, digest("project-create", &"a", &"b").expect("a digest"));
        for (kind, selector, body) in
            [("vpc-create", "a", "b"), ("project-create", "ab", ""), ("project-create", "a", "c")]
        {
            assert_ne!(one, digest(kind, &selector, &body).expect("a digest"), "{kind} {selector} {body}");
        }
    }

    /// Type and data of each event.
    type Events<'a> = &'a [(&'a str, Option<&'a str>)];

    fn loaded(state: CachedState, events: Events<'_>) -> LoadedSaga {
        let params = Params {
            name: "apollo".parse().expect("a name"),
            description: String::new(),
            time_created: now(),
        };
        let id = SagaId::random();
        let event = |(event_type, data): &(&str, Option<&str>)| Event {
            saga_id: id,
            node_id: NodeId(0),
            event_type: (*event_type).to_owned(),
            data: data.map(str::to_owned),
            time: now(),
            creator: SecId::random(),
        };
        LoadedSaga {
            id,
            name: ProjectCreate::NAME.to_owned(),
            dag: serde_json::to_string(&ProjectCreate::dag(&params).expect("a DAG")).expect("a DAG is JSON"),
            state,
            current_sec: None,
            generation: 1,
            events: events.iter().map(event).collect(),
        }
    }

    #[test]
    fn a_log_tells_how_its_saga_ended() {
        let taken = r#"{"ActionFailed":{"source_error":{"ObjectAlreadyExists":
            {"type_name":"project","object_name":"apollo"}}}}"#;
        let failed = ("failed", Some(taken));
        let cases: [(CachedState, Events<'_>, Option<u16>); 5] = [
            (CachedState::Done, &[("started", None), ("succeeded", Some("null"))], None),
            (CachedState::Done, &[failed, ("undo_finished", None)], Some(400)),
            (CachedState::Done, &[failed, ("undo_failed", None)], Some(500)),
            (CachedState::Done, &[("failed", Some("\"InjectedError\""))], Some(500)),
            (CachedState::Abandoned, &[failed], Some(500)),
        ];
        for (state, events, status) in cases {
            let result = result_in_log(&loaded(state, events));
            assert_eq!(
                result.err().map(|error| error.status_code.as_status().as_u16()),
                status,
                "{events:?}"
            );
        }
    }

    #[test]
    fn a_dag_tells_what_its_saga_was_made_from() {
        let params = params_in_dag::<ProjectCreate>(&loaded(CachedState::Done, &[]).dag).expect("parameters");
        assert_eq!(params.name.as_str(), "apollo");
        for bad in ["", "{}", r#"{"start_node":7,"graph":{"nodes":[]}}"#] {
            assert!(params_in_dag::<ProjectCreate>(bad).is_err(), "{bad}");
        }
    }
}
