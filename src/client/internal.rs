//! The internal API, call by call.

use super::decode;
use super::error::{CallError, Problem, Unreadable};
use super::excerpt::Excerpt;
use super::operations::{Call, Operation};
use super::transport::{Answer, Client, Content};
use crate::wire::bgtasks::{ActivateRequest, BackgroundTask, ITERATIONS_HEADER};
use crate::wire::ids::{DemoSagaId, SagaId};
use crate::wire::info::Info;
use crate::wire::overview::DatabaseOverview;
use crate::wire::part::Part;
use crate::wire::quiesce::QuiesceStatus;
use crate::wire::sagas::{DemoSaga, InjectErrorRequest, InjectedError, Saga};
use http::HeaderMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// Sagas per page. A Nexus accepts up to 10,000; this many are some hundred kilobytes.
const PAGE: &str = "1000";

/// Largest list that is accepted, all pages together, in bytes: more than a million sagas, and little enough to hold.
const LARGEST_LIST: usize = 256 * 1024 * 1024;

/// Longest page token that is sent back. A Nexus's are some hundred characters.
const LONGEST_TOKEN: usize = 4096;

/// A background task as we understand it, and as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchedTask {
    /// What we understand.
    pub task: BackgroundTask,
    /// The whole answer, with fields that we do not know.
    pub raw: Value,
}

/// How far a coordinator has quiesced, as we understand it, and as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchedQuiesce {
    /// What we understand.
    pub status: QuiesceStatus,
    /// The whole answer, with fields that we do not know.
    pub raw: Value,
}

/// Everything at a glance, as we understand it.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchedOverview {
    /// Who the coordinator is.
    pub info: Info,
    /// The task `saga_recovery`.
    pub task: FetchedTask,
    /// What the database says.
    pub database: Part<DatabaseOverview>,
}

/// One entry of the list of background tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedTask {
    /// Its name.
    pub name: String,
    /// The task, or why this one cannot be read; the others are not affected.
    pub task: Result<FetchedTask, Unreadable>,
}

/// What the coordinator said to a request to activate tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activation {
    /// For each task the first iteration that begins after the request. Ours only; `None` from a Nexus.
    pub iterations: Option<BTreeMap<String, u64>>,
}

/// [`crate::wire::overview::Overview`] with a task that is to be read in two ways.
#[derive(Deserialize)]
struct Overview {
    info: Info,
    task: Box<RawValue>,
    database: Part<DatabaseOverview>,
}

#[derive(Deserialize)]
struct SagaPage {
    items: Vec<Saga>,
    next_page: Option<String>,
}

impl Client {
    /// All background tasks, by name.
    pub async fn list_tasks(&self) -> Result<Vec<ListedTask>, CallError> {
        let call = Call::new(Operation::ListTasks);
        let tasks: BTreeMap<String, Box<RawValue>> = self.fetch(&call, &[]).await?;
        Ok(tasks
            .into_iter()
            .map(|(name, raw)| ListedTask { task: read_task(raw.get().as_bytes()), name })
            .collect())
    }

    /// One background task; `None` if the coordinator has none of that name.
    pub async fn fetch_task(&self, name: &str) -> Result<Option<FetchedTask>, CallError> {
        let call = Call::on(Operation::FetchTask, name);
        let answer = match found(self.succeed(&call, &[], None).await)? {
            Some(answer) => answer,
            None => return Ok(None),
        };
        read_task(&answer.body).map(Some).map_err(|error| self.unreadable(call, error))
    }

    /// Asks for all of these tasks to be run soon; if one is unknown, none is.
    pub async fn activate_tasks(&self, names: &BTreeSet<String>) -> Result<Activation, CallError> {
        let call = Call::new(Operation::ActivateTasks);
        let request = ActivateRequest { bgtask_names: names.clone() };
        let body = serde_json::to_vec(&request).expect("names are plain strings");
        let answer = self.succeed(&call, &[], Some(body)).await?;
        Ok(Activation { iterations: iterations(&answer.headers) })
    }

    /// Every saga in the coordinator's memory, by id.
    pub async fn list_sagas(&self) -> Result<Vec<Saga>, CallError> {
        let call = Call::new(Operation::ListSagas);
        let mut sagas = Vec::new();
        let mut seen = BTreeSet::new();
        let mut token: Option<String> = None;
        let mut received = 0;
        let problem = loop {
            let mut query = vec![("limit", PAGE)];
            if let Some(token) = &token {
                query.push(("page_token", token));
            }
            let answer = self.succeed(&call, &query, None).await?;
            received += answer.body.len();
            let page: SagaPage = self.read(call.clone(), &answer)?;
            let is_empty = page.items.is_empty();
            sagas.extend(page.items);
            match page.next_page {
                None => return Ok(sagas),
                // An empty page has nothing that a token could go on behind, and ours would outgrow any URL.
                Some(next) if is_empty || next.len() > LONGEST_TOKEN => {
                    break Problem::BadPage { token: Excerpt::of(next.as_bytes()) };
                }
                Some(_) if received > LARGEST_LIST => break Problem::TooLarge { limit: LARGEST_LIST },
                Some(next) if seen.insert(next.clone()) => token = Some(next),
                Some(next) => break Problem::EndlessPages { token: Excerpt::of(next.as_bytes()) },
            }
        };
        Err(CallError { call, base: self.base().clone(), problem, is_in_doubt: false })
    }

    /// One saga in the coordinator's memory; `None` if it does not know it.
    pub async fn fetch_saga(&self, id: SagaId) -> Result<Option<Saga>, CallError> {
        let call = Call::on(Operation::FetchSaga, id);
        match found(self.succeed(&call, &[], None).await)? {
            Some(answer) => self.read(call, &answer).map(Some),
            None => Ok(None),
        }
    }

    /// Makes a node of a saga in the coordinator's memory fail.
    pub async fn inject_error(&self, id: SagaId, node_id: u32) -> Result<InjectedError, CallError> {
        let call = Call::on(Operation::InjectError, id);
        let body = serde_json::to_vec(&InjectErrorRequest { node_id }).expect("a number is JSON");
        let answer = self.succeed(&call, &[], Some(body)).await?;
        self.read(call, &answer)
    }

    /// Starts a saga that waits until it is completed. A coordinator of ours gives it the ids that [`DemoSaga::of`] makes of
    /// `wish`; a Nexus chooses its own.
    pub async fn create_demo_saga(&self, wish: DemoSagaId) -> Result<DemoSaga, CallError> {
        let call = Call::new(Operation::CreateDemoSaga);
        let content = Content { json: None, key: Some(wish.to_string()) };
        let answer = self.succeed_with(&call, &[], content).await?;
        self.read(call, &answer)
    }

    /// Lets a demo saga go on; false if the coordinator knows none of that id.
    pub async fn complete_demo_saga(&self, id: DemoSagaId) -> Result<bool, CallError> {
        let call = Call::on(Operation::CompleteDemoSaga, id);
        Ok(found(self.succeed(&call, &[], None).await)?.is_some())
    }

    /// Who the coordinator is; `None` if it does not say, as a Nexus.
    pub async fn fetch_info(&self) -> Result<Option<Info>, CallError> {
        self.fetch_if_known(Operation::FetchInfo).await
    }

    /// Everything at a glance; `None` if the coordinator has no such operation, as a Nexus.
    pub async fn fetch_overview(&self) -> Result<Option<FetchedOverview>, CallError> {
        let Some(Overview { info, task, database }) = self.fetch_if_known(Operation::FetchOverview).await?
        else {
            return Ok(None);
        };
        let task = read_task(task.get().as_bytes())
            .map_err(|error| self.unreadable(Call::new(Operation::FetchOverview), error))?;
        Ok(Some(FetchedOverview { info, task, database }))
    }

    /// Whether the coordinator takes sagas and what it has left; `None` if it cannot be asked to quiesce at all, as Nexuses
    /// before August 2025.
    pub async fn fetch_quiesce(&self) -> Result<Option<FetchedQuiesce>, CallError> {
        let operation = Operation::FetchQuiesce;
        let Some(json) = self.fetch_if_known::<Box<RawValue>>(operation).await? else { return Ok(None) };
        let read = || {
            let json = json.get().as_bytes();
            Ok(FetchedQuiesce { raw: decode::from_bytes(json)?, status: decode::from_bytes(json)? })
        };
        read().map(Some).map_err(|error| self.unreadable(Call::new(operation), error))
    }

    /// Asks the coordinator to take no more sagas; false if it cannot.
    pub async fn start_quiesce(&self) -> Result<bool, CallError> {
        let call = Call::new(Operation::StartQuiesce);
        match self.succeed(&call, &[], None).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_unknown_operation() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What only some coordinators say.
    async fn fetch_if_known<T: DeserializeOwned>(
        &self,
        operation: Operation,
    ) -> Result<Option<T>, CallError> {
        match self.fetch(&Call::new(operation), &[]).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_unknown_operation() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn fetch<T: DeserializeOwned>(
        &self,
        call: &Call,
        query: &[(&str, &str)],
    ) -> Result<T, CallError> {
        let answer = self.succeed(call, query, None).await?;
        self.read(call.clone(), &answer)
    }

    fn read<T: DeserializeOwned>(&self, call: Call, answer: &Answer) -> Result<T, CallError> {
        decode::from_bytes(&answer.body).map_err(|error| self.unreadable(call, error))
    }

    fn unreadable(&self, call: Call, error: Unreadable) -> CallError {
        CallError { call, base: self.base().clone(), problem: error.into(), is_in_doubt: false }
    }

    /// Makes a call whose status must be one of success.
    pub(super) async fn succeed(
        &self,
        call: &Call,
        query: &[(&str, &str)],
        json: Option<Vec<u8>>,
    ) -> Result<Answer, CallError> {
        self.succeed_with(call, query, Content { json, key: None }).await
    }

    async fn succeed_with(
        &self,
        call: &Call,
        query: &[(&str, &str)],
        content: Content,
    ) -> Result<Answer, CallError> {
        let answer = self.call(call, query, content).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(CallError {
            call: call.clone(),
            base: self.base().clone(),
            problem: answer.problem(),
            is_in_doubt: false,
        })
    }
}

/// Turns "there is no such object" into `None`.
fn found(result: Result<Answer, CallError>) -> Result<Option<Answer>, CallError> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_unknown_object() => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_task(json: &[u8]) -> Result<FetchedTask, Unreadable> {
    // Twice, because types are read best from the text itself: there the tag of a variant comes before its content, so
    // that the path of an error reaches into the content.
    Ok(FetchedTask { task: decode::from_bytes(json)?, raw: decode::from_bytes(json)? })
}

/// Reads our coordinator's `task=iteration` pairs. A header that cannot be read counts as none: the iteration can be worked
/// out without it.
fn iterations(headers: &HeaderMap) -> Option<BTreeMap<String, u64>> {
    let text = headers.get(ITERATIONS_HEADER)?.to_str().ok()?;
    text.split(',')
        .map(|pair| {
            let (name, iteration) = pair.trim().split_once('=')?;
            Some((name.to_owned(), iteration.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_are_read_or_left() {
        let read = |text: &str| {
            iterations(&HeaderMap::from_iter([(
                http::HeaderName::from_static(ITERATIONS_HEADER),
                http::HeaderValue::from_str(text).unwrap(),
            )]))
        };
        let expected = BTreeMap::from([("saga_recovery".to_owned(), 8), ("sec_heartbeat".to_owned(), 31)]);
        assert_eq!(read("saga_recovery=8, sec_heartbeat=31"), Some(expected));
        assert_eq!(read("saga_recovery"), None);
        assert_eq!(read("saga_recovery=soon"), None);
        assert_eq!(iterations(&HeaderMap::new()), None);
    }

    #[test]
    fn fuzzed_iterations_are_read_or_left() {
        let seeds = ["saga_recovery=8, sec_heartbeat=31", "a=1,b=2,,c=18446744073709551616", "=", ""];
        crate::fuzz::fuzz(&seeds, |bytes, _| {
            let Ok(value) = http::HeaderValue::from_bytes(bytes) else { return };
            let name = http::HeaderName::from_static(ITERATIONS_HEADER);
            if let Some(read) = iterations(&HeaderMap::from_iter([(name, value)])) {
                assert!(read.len() <= bytes.len());
            }
        });
    }

    #[test]
    fn fuzzed_pages_of_sagas_are_read_or_refused() {
        let seeds = [
            r#"{"items":[{"id":"0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001","state":{"state":"succeeded"}}],"next_page":"x"}"#,
            r#"{"items":[{"id":"0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001","state":{"state":"failed","error_node_name":"n",
                "error_info":{"error":"action_failed","source_error":{"a":[1]}}}}],"next_page":null}"#,
            r#"{"message":"no","error_code":null,"request_id":"r"}"#,
        ];
        crate::fuzz::fuzz(&seeds, |bytes, _| {
            if let Err(error) = decode::from_bytes::<SagaPage>(bytes) {
                let told = error.to_string();
                assert!(!told.contains(char::is_control), "{told:?}");
                assert!(told.len() < 20_000, "{}", told.len());
            }
            let _ = serde_json::from_slice::<crate::wire::error::ErrorBody>(bytes);
        });
    }
}
