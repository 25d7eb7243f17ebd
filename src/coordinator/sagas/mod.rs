//! Sagas: how one is written, and the ones that the reference coordinator ships.
//!
//! A saga kind is a type that implements [`SagaKind`]: a name, a durability, its actions and a function from parameters
//! to a DAG. Two kinds of actions exist.
//!
//! - An [`effect`] is a pure function from (parameters, outputs of earlier nodes) to statements and an output. It is
//!   applied through the store's ordered queue. It is synchronous, a plain function pointer, and is given nothing but its
//!   inputs, so there is no connection, client or clock that it could use behind the queue's back.
//! - A [`step`] is an async function with the saga's context; it may do anything.
//!
//! # Durability
//!
//! All events and all effects of a saga go through one queue that is committed in order. With [`Durability::Strict`]
//! nothing takes place before all that came before it is durable. What can take place is a step, an effect, and the end of
//! the saga being told, so these wait and nothing else needs to: a step is begun when its start, and all that was recorded
//! before, is durable; an effect is waited for until it is durable, and with it its start, which is ahead of it in the
//! queue. That an action has *ended* is handed over at once and waited for by whatever is next. Nobody can have acted on it
//! sooner, so a crash leaves nothing that it could not have left had each event been waited for by itself; and a node costs
//! one wait and not three.
//!
//! [`Durability::OwnDatabase`] is for kinds whose every action is an effect; then only the saga's creation and its end are
//! waited for. Why this is sound:
//!
//! 1. The queue keeps the order, so what a crash leaves is a prefix of what the engine handed over.
//! 2. The engine hands over `started` before the action's effect and the effect before `succeeded`, and likewise for
//!    undo. So every prefix is something that a strict coordinator could have left, had it crashed at that point, and
//!    recovery knows what to do with each of those.
//! 3. Nobody outside can have seen more than the prefix: clients are answered after the saga's end is durable, readers
//!    see committed rows only, and an effect reaches nothing but this database.
//!
//! [`SagaRegistry::with`] refuses (panics at start-up) an own-database kind that has a step among its actions. Writes whose
//! refusal is an expected answer (a name that is taken) are waited for until they are *applied*, see [`Effect::or_refuse`];
//! a refusal that nobody waits for derails the saga's lane, and the saga is then run again strictly from its log, where the
//! refusal becomes an ordinary failure of its action.

mod action;
mod delete_parts;
pub mod demo;
mod failure;
pub(super) mod interrupt;
mod line;
pub mod project_create;
pub mod project_delete;
mod refusals;
#[cfg(test)]
pub(crate) mod test_helpers;
pub mod vpc_create;
pub mod vpc_delete;
pub mod vpc_firewall_rules_update;
mod vpc_parts;
pub mod vpc_router_create;
pub mod vpc_router_delete;
pub mod vpc_router_route_create;
pub mod vpc_router_route_delete;
pub mod vpc_subnet_create;
pub mod vpc_subnet_delete;

pub use action::{Effect, EffectFn, Inputs, StepFn, UndoEffectFn, UndoStepFn, derive_uuid, effect, step};
pub(super) use action::{run_caught, undo_caught};
pub use failure::ActionFailure;
pub use interrupt::Interrupts;
pub use refusals::type_names;

use crate::store::error::Refusal;
use crate::store::{Hold, SharedStore};
use crate::wire::ids::SagaId;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The engine's name for the family of sagas that run here.
#[derive(Debug)]
pub struct Engine;

impl steno::SagaType for Engine {
    type ExecContextType = SagaContext;
}

/// What the actions of one saga are given besides parameters and outputs.
pub struct SagaContext {
    /// The saga.
    pub saga_id: SagaId,
    /// The database; effects go through it in order.
    pub store: SharedStore,
    /// What the saga is held by. Effects depend on it: once the saga is another SEC's, none of them is applied any more. A
    /// step that writes to this database by itself has to say so too ([`Write::held`](crate::store::Write::held)). `None` where nobody else can take
    /// a saga.
    pub hold: Option<Hold>,
    /// Which writes are waited for.
    pub durability: Durability,
    /// Demo sagas that can be completed.
    pub demo_waits: Arc<demo::DemoWaits>,
    /// What the embedding service gave its sagas; see [`SagaContext::service`].
    pub services: Arc<dyn Any + Send + Sync>,
    /// Which of its nodes somebody wants to fail.
    pub interrupts: Interrupts,
    /// Why a write of this saga was refused that nobody waited for, if one was.
    pub derailed: OnceLock<Refusal>,
}

impl SagaContext {
    /// What the embedding service gave its sagas, if it is a `T`.
    pub fn service<T: 'static>(&self) -> Option<&T> {
        self.services.downcast_ref()
    }

    /// Why this run of the saga counts for nothing any more and has to be repeated from its log, if so.
    pub fn why_derailed(&self) -> Option<&Refusal> {
        self.derailed.get()
    }

    /// Notes that it does.
    pub fn derail(&self, why: &Refusal) {
        // The first reason is the one that the others come from.
        let _ = self.derailed.set(why.clone());
    }
}

impl fmt::Debug for SagaContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaContext")
            .field("saga_id", &self.saga_id)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

/// Which writes of a saga are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Each effect, and everything before a step is begun. Right for every saga.
    Strict,
    /// Its creation and its end. Only for sagas whose every effect goes through the ordered queue (module text).
    OwnDatabase,
}

/// An action as the engine and the registry hold it.
pub type Action = Arc<dyn RegisteredAction>;

mod ours {
    /// Marks the actions of this module.
    pub trait Ours {}
}

/// What the registry wants to know of an action beside what the engine does. There are [`effect`]s and [`step`]s and no
/// others: each waits, in its own way, until what it does may be done ([`Durability`]).
pub trait RegisteredAction: steno::Action<Engine> + ours::Ours {
    /// Its name in DAGs, for example `demo.demo_wait`.
    fn registered_name(&self) -> &'static str;

    /// Whether it can touch nothing but the ordered queue.
    fn own_database_only(&self) -> bool;

    /// The same action, for the engine.
    fn for_engine(self: Arc<Self>) -> Arc<dyn steno::Action<Engine>>;
}

/// A kind of saga.
pub trait SagaKind: Send + Sync + 'static {
    /// Its name in the database, for example `project-create`.
    const NAME: &'static str;
    /// Which of its writes are waited for.
    const DURABILITY: Durability;
    /// What it is made from. Stored in the DAG: identities and user data end up in the database.
    type Params: serde::Serialize + serde::de::DeserializeOwned + fmt::Debug + Send + Sync + 'static;

    /// All actions that its DAG names.
    fn actions() -> Vec<Action>;

    /// Its DAG for these parameters.
    ///
    /// # Errors
    ///
    /// When no DAG can be made of them.
    fn dag(params: &Self::Params) -> Result<steno::SagaDag, anyhow::Error>;
}

/// A kind of saga that makes something and answers what it made.
pub trait Creates: SagaKind {
    /// What it makes.
    type Object;

    /// What a saga of this kind with these parameters makes, or has made: the same at any time, so that an answer can be
    /// given again long after the saga has gone from memory.
    fn made(saga: SagaId, params: &Self::Params) -> Self::Object;
}

/// All kinds of sagas that a coordinator can run.
pub struct SagaRegistry {
    durabilities: BTreeMap<&'static str, Durability>,
    actions: BTreeMap<&'static str, Action>,
}

impl SagaRegistry {
    /// An empty one.
    pub fn new() -> Self {
        Self { durabilities: BTreeMap::new(), actions: BTreeMap::new() }
    }

    /// The reference coordinator's own kinds.
    pub fn reference() -> Self {
        Self::new()
            .with::<demo::Demo>()
            .with::<project_create::ProjectCreate>()
            .with::<project_delete::ProjectDelete>()
            .with::<vpc_create::VpcCreate>()
            .with::<vpc_delete::VpcDelete>()
            .with::<vpc_firewall_rules_update::VpcFirewallRulesUpdate>()
            .with::<vpc_router_create::VpcRouterCreate>()
            .with::<vpc_router_delete::VpcRouterDelete>()
            .with::<vpc_router_route_create::VpcRouterRouteCreate>()
            .with::<vpc_router_route_delete::VpcRouterRouteDelete>()
            .with::<vpc_subnet_create::VpcSubnetCreate>()
            .with::<vpc_subnet_delete::VpcSubnetDelete>()
    }

    /// Adds a kind. Kinds may share actions (a subsaga's, for example).
    ///
    /// # Panics
    ///
    /// If a kind of this name is there already, or if it declares [`Durability::OwnDatabase`] and has an action that could
    /// reach beyond the ordered queue. Both are mistakes of the program and show at its first start.
    pub fn with<K: SagaKind>(mut self) -> Self {
        let previous = self.durabilities.insert(K::NAME, K::DURABILITY);
        assert!(previous.is_none(), "two kinds of saga are called {:?}", K::NAME);
        for action in K::actions() {
            let name = action.registered_name();
            assert!(
                K::DURABILITY == Durability::Strict || action.own_database_only(),
                "saga {:?} declares that it touches nothing but the coordinator's own database, but its action {name:?} could",
                K::NAME,
            );
            self.actions.insert(name, action);
        }
        self
    }

    /// How a saga of this name is run; strictly, if nobody knows the name.
    pub fn durability(&self, saga_name: &str) -> Durability {
        self.durabilities.get(saga_name).copied().unwrap_or(Durability::Strict)
    }

    /// Names of all kinds.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.durabilities.keys().copied()
    }

    /// Whether an action of this name is known.
    pub fn knows_action(&self, action_name: &str) -> bool {
        self.actions.contains_key(action_name)
    }

    /// Whether an action can be cut off while it is under way; `None` if no action of this name is known.
    pub fn can_interrupt(&self, action_name: &str) -> Option<bool> {
        self.actions.get(action_name).map(|action| !action.own_database_only())
    }

    /// The engine's own form of this registry.
    pub fn for_engine(&self) -> steno::ActionRegistry<Engine> {
        self.for_engine_with(|action| action)
    }

    /// The same, with something around each action.
    pub(super) fn for_engine_with(
        &self,
        wrap: impl Fn(Arc<dyn steno::Action<Engine>>) -> Arc<dyn steno::Action<Engine>>,
    ) -> steno::ActionRegistry<Engine> {
        let mut registry = steno::ActionRegistry::new();
        for action in self.actions.values() {
            registry.register(wrap(Arc::clone(action).for_engine()));
        }
        registry
    }
}

impl Default for SagaRegistry {
    fn default() -> Self {
        Self::reference()
    }
}

impl fmt::Debug for SagaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SagaRegistry").field("sagas", &self.durabilities).finish_non_exhaustive()
    }
}
