//! The two kinds of actions, and what both get from us: a panic in one fails its node and harms nobody else.
//!
//! The engine would let a saga whose action panics hang for ever, with no event and no result. Both wrappers catch the
//! panic and turn it into a failure with the panic's text, forward, and into a failed undo, backward.

use super::ours::Ours;
use super::{Action, ActionFailure, Durability, Engine, RegisteredAction, SagaContext};
use crate::store::error::{Refusal, StoreError};
use crate::store::sql::Statement;
use crate::store::{Until, Write};
use crate::wire::ids::{SAGA_ID_ORIGIN, SagaId};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use steno::{ActionContext, ActionError, ActionName, ActionResult, UndoResult};

/// What an action may look at: the parameters of its (sub)saga and the outputs of the nodes before it.
pub struct Inputs<'a> {
    context: &'a ActionContext<Engine>,
}

impl Inputs<'_> {
    /// The saga's id: a base for ids and keys that are the same however often the action runs.
    pub fn saga_id(&self) -> SagaId {
        self.context.user_data().saga_id
    }

    /// The parameters of the saga, or of the subsaga that the node is in.
    pub fn params<T: DeserializeOwned + Serialize + fmt::Debug + Send + Sync + 'static>(
        &self,
    ) -> Result<T, ActionError> {
        self.context.saga_params()
    }

    /// The output of an earlier node of the same (sub)saga. In an undo action the node's own output is there too.
    ///
    /// # Panics
    ///
    /// If there is no such node before this one, which is a mistake in the DAG and fails the node.
    pub fn output<T: DeserializeOwned + Serialize + fmt::Debug + Send + Sync + 'static>(
        &self,
        node: &str,
    ) -> Result<T, ActionError> {
        self.context.lookup(node)
    }

    /// A uuid that belongs to this saga and `what` for ever, so that a repeated action makes the same thing again.
    pub fn derived_uuid(&self, what: &str) -> uuid::Uuid {
        derive_uuid(self.saga_id(), what)
    }
}

/// A uuid that belongs to `saga` and `what` for ever.
///
/// It begins as the saga's id does, with who made it and when. So rows made one after another are neighbours in every
/// index, which random keys would not be, and those of one saga share their pages.
pub fn derive_uuid(saga: SagaId, what: &str) -> uuid::Uuid {
    let saga = saga.as_uuid();
    // Of an id of version 7 the first 48 bits are its time.
    let shared = if saga.get_version_num() == 8 { SAGA_ID_ORIGIN } else { 6 };
    let mut bytes = *uuid::Uuid::new_v5(&saga, what.as_bytes()).as_bytes();
    bytes[..shared].copy_from_slice(&saga.as_bytes()[..shared]);
    // Version 8: neither the time's nor the hash's own version would be true of the whole.
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// What an effect does: statements that are applied together or not at all, and the node's output.
pub struct Effect {
    statements: Vec<Statement>,
    output: serde_json::Value,
    refusal: Option<Explain>,
    /// Whether a refusal is so likely an answer that it is waited for even where nothing else is.
    awaited: bool,
}

/// What a refusal means for the action.
type Explain = Box<dyn FnOnce(&Refusal) -> ActionFailure + Send>;

impl Effect {
    /// Statements that the database has no reason to refuse, and the output.
    ///
    /// # Errors
    ///
    /// When the output cannot be written as JSON.
    pub fn new<T: Serialize>(statements: Vec<Statement>, output: T) -> Result<Self, ActionError> {
        let output = serde_json::to_value(output).map_err(ActionError::new_serialize)?;
        Ok(Self { statements, output, refusal: None, awaited: false })
    }

    /// The database may well refuse this (a name may be taken), and then the action fails with what `explain` makes of it.
    /// Such an effect is waited for even where others are not.
    pub fn or_refuse(self, explain: impl FnOnce(&Refusal) -> ActionFailure + Send + 'static) -> Self {
        Self { refusal: Some(Box::new(explain)), awaited: true, ..self }
    }

    /// The database may refuse this, but hardly ever does (somebody deletes the new object's parent this very moment). Not
    /// worth a wait: where others are not waited for, this is not either, and a refusal derails the saga's run. The run
    /// that is then made strictly fails with what `explain` makes of it.
    pub fn or_rarely_refuse(self, explain: impl FnOnce(&Refusal) -> ActionFailure + Send + 'static) -> Self {
        Self { refusal: Some(Box::new(explain)), awaited: false, ..self }
    }
}

/// The function of an effect.
pub type EffectFn = fn(&Inputs<'_>) -> Result<Effect, ActionError>;
/// The function that undoes an effect: statements that take back what it did, if it did.
pub type UndoEffectFn = fn(&Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error>;

struct EffectAction {
    name: &'static str,
    run: EffectFn,
    undo: UndoEffectFn,
}

/// An action that is a pure function to statements; see the text of [`super`].
pub fn effect(name: &'static str, run: EffectFn, undo: UndoEffectFn) -> Action {
    Arc::new(EffectAction { name, run, undo })
}

impl fmt::Debug for EffectAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "effect {:?}", self.name)
    }
}

impl Ours for EffectAction {}

impl RegisteredAction for EffectAction {
    fn registered_name(&self) -> &'static str {
        self.name
    }

    fn own_database_only(&self) -> bool {
        true
    }

    fn for_engine(self: Arc<Self>) -> Arc<dyn steno::Action<Engine>> {
        self
    }
}

impl steno::Action<Engine> for EffectAction {
    fn do_it(&self, context: ActionContext<Engine>) -> BoxFuture<'_, ActionResult> {
        run_caught(async move {
            if context.user_data().interrupts.grant(&context, self.name) {
                return Err(ActionError::InjectedError);
            }
            let effect = (self.run)(&Inputs { context: &context })?;
            let Effect { statements, output, refusal, awaited } = effect;
            apply(context.user_data(), statements, refusal, awaited).await?;
            Ok(Arc::new(output))
        })
        .boxed()
    }

    fn undo_it(&self, context: ActionContext<Engine>) -> BoxFuture<'_, UndoResult> {
        undo_caught(async move {
            let statements = (self.undo)(&Inputs { context: &context })?;
            apply(context.user_data(), statements, None, false).await.map_err(anyhow::Error::new)
        })
        .boxed()
    }

    fn name(&self) -> ActionName {
        ActionName::new(self.name)
    }
}

/// Hands statements over and waits for as much as the saga's durability asks for.
async fn apply(
    context: &SagaContext,
    statements: Vec<Statement>,
    refusal: Option<Explain>,
    awaited: bool,
) -> Result<(), ActionFailure> {
    if statements.is_empty() {
        return Ok(());
    }
    let write = Write::all(statements).in_lane(context.saga_id).held(context.hold);
    let until = match (context.durability, awaited) {
        (Durability::Strict, _) => Until::Durable,
        (Durability::OwnDatabase, true) => Until::Applied,
        (Durability::OwnDatabase, false) => {
            context.store.write_unwaited(write);
            return Ok(());
        }
    };
    match context.store.write(write, until).await {
        Ok(_) => Ok(()),
        Err(StoreError::Refused(why)) if let Some(explain) = refusal => Err(explain(&why)),
        Err(error) => Err(failed(context, &error)),
    }
}

/// Waits until all that the saga has recorded is durable, and it is still ours. What a step does cannot be taken back by
/// a crash.
async fn settle(context: &SagaContext) -> Result<(), ActionFailure> {
    let nothing = Write::all(Vec::new()).in_lane(context.saga_id).held(context.hold);
    context.store.write(nothing, Until::Durable).await.map_err(|error| failed(context, &error))?;
    Ok(())
}

fn failed(context: &SagaContext, error: &StoreError) -> ActionFailure {
    ActionFailure::internal(match error {
        StoreError::Refused(why) => format!("the database refused: {why}"),
        StoreError::Derailed(why) => {
            // Nothing that this run of the saga still does counts; failing is the quickest way to its end.
            context.derail(why);
            format!("an earlier write was refused: {why}")
        }
        other => other.to_string(),
    })
}

/// The function of a step.
pub type StepFn =
    for<'a> fn(&'a ActionContext<Engine>) -> BoxFuture<'a, Result<serde_json::Value, ActionError>>;
/// The function that undoes a step.
pub type UndoStepFn = for<'a> fn(&'a ActionContext<Engine>) -> BoxFuture<'a, Result<(), anyhow::Error>>;

struct StepAction {
    name: &'static str,
    run: StepFn,
    undo: UndoStepFn,
}

/// An action that may do anything, and must be idempotent and atomic by its own means. It is dropped at one of its waits if an
/// operator wants its node to fail.
pub fn step(name: &'static str, run: StepFn, undo: UndoStepFn) -> Action {
    Arc::new(StepAction { name, run, undo })
}

impl fmt::Debug for StepAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {:?}", self.name)
    }
}

impl Ours for StepAction {}

impl RegisteredAction for StepAction {
    fn registered_name(&self) -> &'static str {
        self.name
    }

    fn own_database_only(&self) -> bool {
        false
    }

    fn for_engine(self: Arc<Self>) -> Arc<dyn steno::Action<Engine>> {
        self
    }
}

impl steno::Action<Engine> for StepAction {
    fn do_it(&self, context: ActionContext<Engine>) -> BoxFuture<'_, ActionResult> {
        run_caught(async move {
            let step = async {
                settle(context.user_data()).await?;
                (self.run)(&context).await.map(Arc::new)
            };
            context.user_data().interrupts.watch_over(&context, self.name, step).await
        })
        .boxed()
    }

    fn undo_it(&self, context: ActionContext<Engine>) -> BoxFuture<'_, UndoResult> {
        undo_caught(async move {
            settle(context.user_data()).await.map_err(anyhow::Error::new)?;
            (self.undo)(&context).await
        })
        .boxed()
    }

    fn name(&self) -> ActionName {
        ActionName::new(self.name)
    }
}

/// Runs an action; a panic in it becomes its failure.
pub(in crate::coordinator) async fn run_caught(action: impl Future<Output = ActionResult>) -> ActionResult {
    caught(action)
        .await
        .unwrap_or_else(|panic| Err(ActionFailure::internal(format!("action panicked: {panic}")).into()))
}

/// Runs an undo action; a panic in it becomes its failure.
pub(in crate::coordinator) async fn undo_caught(undo: impl Future<Output = UndoResult>) -> UndoResult {
    caught(undo).await.unwrap_or_else(|panic| Err(anyhow::anyhow!("undo action panicked: {panic}")))
}

/// Runs a future; a panic in it becomes its text. Nothing it held is used afterwards, so unwind safety is no concern.
async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|payload| {
        payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "(no text)".to_owned())
    })
}
