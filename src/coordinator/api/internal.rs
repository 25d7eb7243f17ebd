//! The internal API: Nexus's paths and shapes for background tasks, sagas and demo sagas, and some of our own.
//!
//! Nothing here touches the database to show memory, so these answers are there exactly when they are needed: while the
//! database is down, and during a recovery storm. Only `GET /overview` waits for the database, and not for long.

use super::body::PromptBody;
use super::errors;
use crate::coordinator::background::Driver;
use crate::coordinator::drilled::{Drilled, DrilledKinds, Stage};
use crate::coordinator::fault::Faults;
use crate::coordinator::sagas::demo;
use crate::coordinator::sec::{CreateError, InjectError, Sagas};
use crate::wire::bgtasks::{ActivateRequest, BackgroundTask, ITERATIONS_HEADER, LastResult, SAGA_RECOVERY};
use crate::wire::fault::{DrilledKind, DrilledSaga, FaultRules, PreparedSaga};
use crate::wire::ids::{DemoSagaId, SagaId};
use crate::wire::info::Info;
use crate::wire::overview::{DatabaseOverview, Overview};
use crate::wire::part::Part;
use crate::wire::quiesce::QuiesceStatus;
use crate::wire::recovery::RecoveryReport;
use crate::wire::sagas::{DemoSaga, InjectErrorRequest, InjectedError, Saga};
use dropshot::{
    ClientErrorStatusCode, Header, HttpError, HttpResponseHeaders, HttpResponseOk,
    HttpResponseUpdatedNoContent, PaginationParams, Path, Query, RequestContext, ResultsPage, WhichPage,
};
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What the handlers work with.
pub struct InternalContext {
    /// Background tasks; set before the first request is served.
    pub driver: Arc<OnceLock<Driver>>,
    /// The SEC.
    pub sagas: Sagas,
    /// Makes the answer of `GET /info`.
    pub info: Box<dyn Fn() -> Info + Send + Sync>,
    /// Tells what the database says, for `GET /overview`.
    pub look_at_database: LookAtDatabase,
    /// What drills may do, in a coordinator that was started for that.
    pub drills: Option<Drills>,
}

/// Tells what the database says, and what has become of these sagas. Given to the coordinator, which writes its database for
/// itself and reads it to go on; what operators like to see in it is not the coordinator's business.
pub type LookAtDatabase =
    Box<dyn Fn(Vec<SagaId>) -> BoxFuture<'static, Part<DatabaseOverview>> + Send + Sync>;

/// How long the database may take to say something. Clients wait somewhat longer, see `observe::status`.
const DATABASE_PATIENCE: Duration = Duration::from_secs(3);

/// What a drill works with.
pub struct Drills {
    /// Faults that sagas are to have.
    pub faults: Arc<Faults>,
    /// Sagas that can be made without anybody's help.
    pub kinds: DrilledKinds,
    /// What they are made with.
    pub stage: Stage,
}

impl InternalContext {
    fn driver(&self) -> Result<&Driver, HttpError> {
        self.driver.get().ok_or_else(|| errors::unavailable("background tasks are not there yet".to_owned()))
    }

    fn drills(&self) -> Result<&Drills, HttpError> {
        self.drills
            .as_ref()
            .ok_or_else(|| errors::forbidden("this coordinator was started without --allow-faults"))
    }
}

impl Drills {
    fn kind(&self, name: &str) -> Result<&dyn Drilled, HttpError> {
        self.kinds.find(name).ok_or_else(|| errors::not_found(&format!("drilled saga with name \"{name}\"")))
    }
}

/// Answer of `GET /v1/ping`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Ping {
    /// Always `ok`.
    pub status: PingStatus,
}

/// The one thing that a ping can say.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PingStatus {
    /// The process answers.
    Ok,
}

/// Selects a background task.
#[derive(Deserialize, JsonSchema)]
pub struct TaskPath {
    /// Its name.
    pub bgtask_name: String,
}

/// Selects a saga.
#[derive(Deserialize, JsonSchema)]
pub struct SagaPath {
    /// Its id.
    pub saga_id: SagaId,
}

/// Headers of a request for a demo saga.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct DemoHeaders {
    /// The demo saga id that the saga is to get. Repeating the request with the same one starts no second saga. Nexus has
    /// no such header and chooses the id itself.
    #[serde(default, rename = "idempotency-key")]
    pub idempotency_key: Option<DemoSagaId>,
}

/// Selects a demo saga by the id that completes it.
#[derive(Deserialize, JsonSchema)]
pub struct DemoSagaPath {
    /// Its demo id, not its saga id.
    pub demo_saga_id: DemoSagaId,
}

/// Selects a kind of saga that can be drilled.
#[derive(Deserialize, JsonSchema)]
pub struct DrilledKindPath {
    /// Its name.
    pub saga_name: String,
}

/// The order of the list of sagas.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdSortMode {
    /// Ascending by id.
    #[default]
    IdAscending,
}

/// What the first page of sagas may be asked with.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct SagaScan {
    /// The order; there is only one.
    #[serde(default)]
    pub sort_by: IdSortMode,
}

/// Where the next page of sagas begins.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SagaPageSelector {
    sort_by: IdSortMode,
    last_seen: SagaId,
}

/// The internal API.
#[dropshot::api_description]
pub trait InternalApi {
    /// What the handlers work with.
    type Context;

    /// Tells that the process answers.
    #[endpoint { method = GET, path = "/v1/ping" }]
    async fn ping(rqctx: RequestContext<Self::Context>) -> Result<HttpResponseOk<Ping>, HttpError>;

    /// Tells who this coordinator is and whether it is healthy, ready and recovered.
    #[endpoint { method = GET, path = "/info" }]
    async fn info(rqctx: RequestContext<Self::Context>) -> Result<HttpResponseOk<Info>, HttpError>;

    /// Tells who this coordinator is, what saga recovery did and what became of the sagas that it took up last, which sagas
    /// failed, and how many there are of which kind. The database is asked; if it does not answer within seconds, that is what is
    /// told.
    #[endpoint { method = GET, path = "/overview" }]
    async fn overview(rqctx: RequestContext<Self::Context>) -> Result<HttpResponseOk<Overview>, HttpError>;

    /// Lists background tasks.
    #[endpoint { method = GET, path = "/bgtasks" }]
    async fn bgtask_list(
        rqctx: RequestContext<Self::Context>,
    ) -> Result<HttpResponseOk<BTreeMap<String, BackgroundTask>>, HttpError>;

    /// Shows one background task.
    #[endpoint { method = GET, path = "/bgtasks/view/{bgtask_name}" }]
    async fn bgtask_view(
        rqctx: RequestContext<Self::Context>,
        path: Path<TaskPath>,
    ) -> Result<HttpResponseOk<BackgroundTask>, HttpError>;

    /// Activates background tasks: all of those named, or, if one is unknown, none.
    #[endpoint { method = POST, path = "/bgtasks/activate" }]
    async fn bgtask_activate(
        rqctx: RequestContext<Self::Context>,
        body: PromptBody<ActivateRequest>,
    ) -> Result<HttpResponseHeaders<HttpResponseUpdatedNoContent>, HttpError>;

    /// Lists the sagas in this process's memory.
    #[endpoint { method = GET, path = "/sagas" }]
    async fn saga_list(
        rqctx: RequestContext<Self::Context>,
        query: Query<PaginationParams<SagaScan, SagaPageSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Saga>>, HttpError>;

    /// Shows one saga of this process's memory.
    #[endpoint { method = GET, path = "/sagas/{saga_id}" }]
    async fn saga_view(
        rqctx: RequestContext<Self::Context>,
        path: Path<SagaPath>,
    ) -> Result<HttpResponseOk<Saga>, HttpError>;

    /// Makes a node of a saga in this process's memory fail, so that the saga unwinds: at once if its action is under way, else
    /// when it would begin. Ours only.
    #[endpoint { method = POST, path = "/sagas/{saga_id}/inject-error" }]
    async fn saga_inject_error(
        rqctx: RequestContext<Self::Context>,
        path: Path<SagaPath>,
        body: PromptBody<InjectErrorRequest>,
    ) -> Result<HttpResponseOk<InjectedError>, HttpError>;

    /// Starts a demo saga, which waits until it is completed.
    #[endpoint { method = POST, path = "/demo-saga" }]
    async fn demo_saga_create(
        rqctx: RequestContext<Self::Context>,
        headers: Header<DemoHeaders>,
    ) -> Result<HttpResponseOk<DemoSaga>, HttpError>;

    /// Completes a demo saga.
    #[endpoint { method = POST, path = "/demo-saga/{demo_saga_id}/complete" }]
    async fn demo_saga_complete(
        rqctx: RequestContext<Self::Context>,
        path: Path<DemoSagaPath>,
    ) -> Result<HttpResponseUpdatedNoContent, HttpError>;

    /// Tells whether this coordinator takes new sagas, and what it has still to finish if not.
    #[endpoint { method = GET, path = "/quiesce" }]
    async fn quiesce_get(
        rqctx: RequestContext<Self::Context>,
    ) -> Result<HttpResponseOk<QuiesceStatus>, HttpError>;

    /// Takes no new sagas from now on, and finishes those that are there. It cannot be taken back.
    #[endpoint { method = POST, path = "/quiesce" }]
    async fn quiesce_start(
        rqctx: RequestContext<Self::Context>,
    ) -> Result<HttpResponseUpdatedNoContent, HttpError>;

    /// Sets the faults of sagas that are created or recovered from now on. Only with --allow-faults.
    #[endpoint { method = POST, path = "/fault" }]
    async fn fault_set(
        rqctx: RequestContext<Self::Context>,
        body: PromptBody<FaultRules>,
    ) -> Result<HttpResponseOk<FaultRules>, HttpError>;

    /// Lists kinds of sagas that a drill can make by itself. Only with --allow-faults.
    #[endpoint { method = GET, path = "/drill/sagas" }]
    async fn drill_list(
        rqctx: RequestContext<Self::Context>,
    ) -> Result<HttpResponseOk<Vec<DrilledKind>>, HttpError>;

    /// Brings about what a saga of a kind needs. Only with --allow-faults.
    #[endpoint { method = POST, path = "/drill/sagas/{saga_name}/prepare" }]
    async fn drill_prepare(
        rqctx: RequestContext<Self::Context>,
        path: Path<DrilledKindPath>,
    ) -> Result<HttpResponseOk<PreparedSaga>, HttpError>;

    /// Creates a saga as it was prepared. Only with --allow-faults.
    #[endpoint { method = POST, path = "/drill/sagas/{saga_name}" }]
    async fn drill_create(
        rqctx: RequestContext<Self::Context>,
        path: Path<DrilledKindPath>,
        body: PromptBody<DrilledSaga>,
    ) -> Result<HttpResponseUpdatedNoContent, HttpError>;

    /// Plays the part of somebody outside for a saga that waits for one. Only with --allow-faults.
    #[endpoint { method = POST, path = "/drill/sagas/{saga_name}/nudge" }]
    async fn drill_nudge(
        rqctx: RequestContext<Self::Context>,
        path: Path<DrilledKindPath>,
        body: PromptBody<DrilledSaga>,
    ) -> Result<HttpResponseUpdatedNoContent, HttpError>;
}

/// The coordinator's implementation.
pub enum InternalApiImpl {}

impl InternalApi for InternalApiImpl {
    type Context = InternalContext;

    async fn ping(_: RequestContext<InternalContext>) -> Result<HttpResponseOk<Ping>, HttpError> {
        Ok(HttpResponseOk(Ping { status: PingStatus::Ok }))
    }

    async fn info(rqctx: RequestContext<InternalContext>) -> Result<HttpResponseOk<Info>, HttpError> {
        Ok(HttpResponseOk((rqctx.context().info)()))
    }

    async fn overview(rqctx: RequestContext<InternalContext>) -> Result<HttpResponseOk<Overview>, HttpError> {
        let context = rqctx.context();
        let task = context.driver()?.find(SAGA_RECOVERY);
        let task = task.ok_or_else(|| errors::unavailable("saga recovery is not there yet".to_owned()))?;
        let info = (context.info)();
        let looking = (context.look_at_database)(recovered_sagas(&task));
        let database = tokio::time::timeout(DATABASE_PATIENCE, looking).await.unwrap_or_else(|_| {
            let patience = humantime::format_duration(DATABASE_PATIENCE);
            Part::Missing(format!("the database did not answer the coordinator within {patience}"))
        });
        Ok(HttpResponseOk(Overview { info, task, database }))
    }

    async fn bgtask_list(
        rqctx: RequestContext<InternalContext>,
    ) -> Result<HttpResponseOk<BTreeMap<String, BackgroundTask>>, HttpError> {
        Ok(HttpResponseOk(rqctx.context().driver()?.list()))
    }

    async fn bgtask_view(
        rqctx: RequestContext<InternalContext>,
        path: Path<TaskPath>,
    ) -> Result<HttpResponseOk<BackgroundTask>, HttpError> {
        let name = path.into_inner().bgtask_name;
        let task = rqctx.context().driver()?.find(&name);
        task.map(HttpResponseOk)
            .ok_or_else(|| errors::not_found(&format!("background-task with name \"{name}\"")))
    }

    async fn bgtask_activate(
        rqctx: RequestContext<InternalContext>,
        body: PromptBody<ActivateRequest>,
    ) -> Result<HttpResponseHeaders<HttpResponseUpdatedNoContent>, HttpError> {
        let iterations =
            rqctx.context().driver()?.activate(&body.into_inner().bgtask_names).map_err(|unknown| {
                errors::not_found(&format!("background tasks: {}", unknown.0.join(", ")))
            })?;
        let mut response = HttpResponseHeaders::new_unnamed(HttpResponseUpdatedNoContent());
        let named: Vec<_> =
            iterations.iter().map(|(name, iteration)| format!("{name}={iteration}")).collect();
        if let Ok(value) = named.join(",").parse() {
            response.headers_mut().insert(ITERATIONS_HEADER, value);
        }
        Ok(response)
    }

    async fn saga_list(
        rqctx: RequestContext<InternalContext>,
        query: Query<PaginationParams<SagaScan, SagaPageSelector>>,
    ) -> Result<HttpResponseOk<ResultsPage<Saga>>, HttpError> {
        let query = query.into_inner();
        let limit = rqctx.page_limit(&query)?.get();
        let (scan, after) = match query.page {
            WhichPage::First(scan) => (scan, None),
            WhichPage::Next(SagaPageSelector { sort_by, last_seen }) => {
                (SagaScan { sort_by }, Some(last_seen))
            }
        };
        let page = rqctx.context().sagas.list(after, limit as usize);
        Ok(HttpResponseOk(ResultsPage::new(page, &scan, |saga: &Saga, scan| SagaPageSelector {
            sort_by: scan.sort_by,
            last_seen: saga.id,
        })?))
    }

    async fn saga_view(
        rqctx: RequestContext<InternalContext>,
        path: Path<SagaPath>,
    ) -> Result<HttpResponseOk<Saga>, HttpError> {
        let id = path.into_inner().saga_id;
        let saga = rqctx.context().sagas.find(id);
        saga.map(HttpResponseOk).ok_or_else(|| errors::not_found(&format!("saga-dbg with id \"{id}\"")))
    }

    async fn saga_inject_error(
        rqctx: RequestContext<InternalContext>,
        path: Path<SagaPath>,
        body: PromptBody<InjectErrorRequest>,
    ) -> Result<HttpResponseOk<InjectedError>, HttpError> {
        let (id, node_id) = (path.into_inner().saga_id, body.into_inner().node_id);
        match rqctx.context().sagas.inject_error(id, node_id).await {
            Ok(takes_effect) => Ok(HttpResponseOk(InjectedError { node_id, takes_effect })),
            Err(InjectError::UnknownSaga) => Err(errors::not_found(&format!("saga with id \"{id}\""))),
            Err(error @ InjectError::BadNode(_)) => Err(errors::invalid_request(error.to_string())),
            Err(error @ InjectError::TooLate(_)) => Err(errors::conflict(error.to_string())),
            Err(error @ InjectError::NotNow(_)) => Err(errors::unavailable(error.to_string())),
        }
    }

    async fn demo_saga_create(
        rqctx: RequestContext<InternalContext>,
        headers: Header<DemoHeaders>,
    ) -> Result<HttpResponseOk<DemoSaga>, HttpError> {
        let sagas = &rqctx.context().sagas;
        let key = headers.into_inner().idempotency_key;
        let demo = DemoSaga::of(key.unwrap_or_else(DemoSagaId::random));
        let DemoSaga { saga_id, demo_saga_id } = demo;
        // Known before the saga exists, so that whoever gets the id can complete it from the first moment on. Whoever comes
        // second with the same key gets what the first one gets.
        if sagas.find(saga_id).is_some() || !sagas.demo_waits().register_first(demo_saga_id) {
            return Ok(HttpResponseOk(demo));
        }
        match sagas.create::<demo::Demo>(saga_id, &demo::Params { id: demo_saga_id }, None).await {
            Ok(_) => Ok(HttpResponseOk(demo)),
            Err(error) => {
                sagas.demo_waits().forget(demo_saga_id);
                Err(creation_failed(error))
            }
        }
    }

    async fn demo_saga_complete(
        rqctx: RequestContext<InternalContext>,
        path: Path<DemoSagaPath>,
    ) -> Result<HttpResponseUpdatedNoContent, HttpError> {
        let id = path.into_inner().demo_saga_id;
        if rqctx.context().sagas.demo_waits().complete(id) {
            return Ok(HttpResponseUpdatedNoContent());
        }
        Err(HttpError::for_client_error(
            // With the space, as Nexus has it here and nowhere else.
            Some("Not Found".to_owned()),
            ClientErrorStatusCode::NOT_FOUND,
            format!("demo saga with demo saga id {id} (demo_saga)"),
        ))
    }

    async fn quiesce_get(
        rqctx: RequestContext<InternalContext>,
    ) -> Result<HttpResponseOk<QuiesceStatus>, HttpError> {
        Ok(HttpResponseOk(rqctx.context().sagas.quiesce_status()))
    }

    async fn quiesce_start(
        rqctx: RequestContext<InternalContext>,
    ) -> Result<HttpResponseUpdatedNoContent, HttpError> {
        rqctx.context().sagas.quiesce();
        Ok(HttpResponseUpdatedNoContent())
    }

    async fn fault_set(
        rqctx: RequestContext<InternalContext>,
        body: PromptBody<FaultRules>,
    ) -> Result<HttpResponseOk<FaultRules>, HttpError> {
        let drills = rqctx.context().drills()?;
        let rules = body.into_inner();
        if let Some(rule) = rules.rules.iter().find(|rule| !(0.0..=1.0).contains(&rule.share)) {
            return Err(errors::invalid_request(format!("share {} is not between 0 and 1", rule.share)));
        }
        drills.faults.set_rules(rules.rules.clone());
        Ok(HttpResponseOk(rules))
    }

    async fn drill_list(
        rqctx: RequestContext<InternalContext>,
    ) -> Result<HttpResponseOk<Vec<DrilledKind>>, HttpError> {
        Ok(HttpResponseOk(rqctx.context().drills()?.kinds.list()))
    }

    async fn drill_prepare(
        rqctx: RequestContext<InternalContext>,
        path: Path<DrilledKindPath>,
    ) -> Result<HttpResponseOk<PreparedSaga>, HttpError> {
        let drills = rqctx.context().drills()?;
        let kind = drills.kind(&path.into_inner().saga_name)?;
        kind.prepare(&drills.stage)
            .await
            .map(HttpResponseOk)
            .map_err(|error| errors::invalid_request(format!("{error:#}")))
    }

    async fn drill_create(
        rqctx: RequestContext<InternalContext>,
        path: Path<DrilledKindPath>,
        body: PromptBody<DrilledSaga>,
    ) -> Result<HttpResponseUpdatedNoContent, HttpError> {
        let drills = rqctx.context().drills()?;
        let DrilledSaga { saga_id, params } = body.into_inner();
        let kind = drills.kind(&path.into_inner().saga_name)?;
        kind.create(&drills.stage, saga_id, params).await.map_err(creation_failed)?;
        Ok(HttpResponseUpdatedNoContent())
    }

    async fn drill_nudge(
        rqctx: RequestContext<InternalContext>,
        path: Path<DrilledKindPath>,
        body: PromptBody<DrilledSaga>,
    ) -> Result<HttpResponseUpdatedNoContent, HttpError> {
        let drills = rqctx.context().drills()?;
        let kind = drills.kind(&path.into_inner().saga_name)?;
        kind.nudge(&drills.stage, body.into_inner().params)
            .map_err(|error| errors::invalid_request(format!("{error:#}")))?;
        Ok(HttpResponseUpdatedNoContent())
    }
}

/// The sagas that recovery says it took up last.
fn recovered_sagas(task: &BackgroundTask) -> Vec<SagaId> {
    let LastResult::Completed(last) = &task.last else { return Vec::new() };
    // In place of a report there may be the reason why there is none.
    let report = RecoveryReport::deserialize(&last.details);
    let recovered = report.map_or_else(|_| Vec::new(), |report| report.recent_recoveries);
    recovered.into_iter().map(|recovery| recovery.saga_id).collect()
}

/// A saga that could not be created, as an answer.
fn creation_failed(error: CreateError) -> HttpError {
    match error {
        CreateError::NotAccepting => errors::not_accepting(error.to_string()),
        CreateError::Store(ref cause) if cause.is_transient() => errors::unavailable(error.to_string()),
        other => errors::internal(other.to_string()),
    }
}

/// The API with its implementation, for a server.
pub fn api_description() -> dropshot::ApiDescription<InternalContext> {
    internal_api_mod::api_description::<InternalApiImpl>().expect("a consistent API")
}

/// The OpenAPI document.
///
/// # Panics
///
/// If the description contradicts itself, which the comparison with the committed document would show.
pub fn openapi() -> serde_json::Value {
    let description = internal_api_mod::stub_api_description().expect("a consistent API");
    description
        .openapi("sagactl internal API", semver::Version::new(1, 0, 0))
        .description("A saga coordinator's own view of its background tasks and sagas.")
        .json()
        .expect("an OpenAPI document is JSON")
}
