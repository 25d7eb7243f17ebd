//! A service with a saga of its own: money goes from one account to another, or it stays where it is.
//!
//! The whole program is [`main`]: it is the tool with all its commands, and a coordinator that runs this saga.
//!
//! ```console
//! $ cargo run --example bank -- coordinator run --data-dir /tmp/bank
//! $ cargo run --example bank -- drill crash-points
//! ```

use futures::FutureExt;
use sagactl::coordinator::drilled::DrilledKinds;
use sagactl::coordinator::sagas::{
    Action, ActionFailure, Durability, Effect, Inputs, SagaKind, SagaRegistry, effect,
};
use sagactl::coordinator::server::SagaSet;
use sagactl::store::sql::Statement;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use std::sync::Arc;

/// What the service keeps besides its sagas. Made at every start, so each has to say "if not exists".
const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, balance BIGINT NOT NULL CHECK (balance >= 0))",
    // One row per booking. Its key is the saga, so a booking that is made again is the same booking.
    "CREATE TABLE IF NOT EXISTS booking (saga_id TEXT NOT NULL, account TEXT NOT NULL, amount BIGINT NOT NULL, \
     PRIMARY KEY (saga_id, account))",
    "INSERT INTO account (name, balance) VALUES ('alice', 100), ('bob', 0) ON CONFLICT (name) DO NOTHING",
];

/// The saga.
pub(crate) struct Transfer;

/// What it is made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Params {
    /// Whose money it is.
    pub from: String,
    /// Whose it is to be.
    pub to: String,
    /// How much.
    pub amount: i64,
}

impl SagaKind for Transfer {
    const NAME: &'static str = "transfer";
    // Both actions are effects: statements through the coordinator's own queue, and nothing else.
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        vec![effect("transfer.withdraw", withdraw, pay_back), effect("transfer.deposit", deposit, take_back)]
    }

    fn dag(params: &Params) -> Result<steno::SagaDag, anyhow::Error> {
        let mut builder = steno::DagBuilder::new(steno::SagaName::new(Self::NAME));
        for (action, (name, label)) in
            Self::actions().into_iter().zip([("withdraw", "Withdraw"), ("deposit", "Deposit")])
        {
            builder.append(steno::Node::action(name, label, &*action.for_engine()));
        }
        Ok(steno::SagaDag::new(builder.build()?, serde_json::to_value(params)?))
    }
}

/// Changes a balance once, however often it is asked to: the booking is the proof that it was done. The balance goes first,
/// while the booking is not there; both are applied together or not at all.
fn book(saga: &str, account: &str, amount: i64) -> Vec<Statement> {
    vec![
        Statement::new(
            "UPDATE account SET balance = balance + $1 WHERE name = $2 \
             AND NOT EXISTS (SELECT 1 FROM booking WHERE saga_id = $3 AND account = $2)",
            vec![amount.into(), account.into(), saga.into()],
        ),
        Statement::new(
            "INSERT INTO booking (saga_id, account, amount) VALUES ($1, $2, $3) ON CONFLICT (saga_id, account) DO NOTHING",
            vec![saga.into(), account.into(), amount.into()],
        ),
    ]
}

/// Takes a booking back, if it is there.
fn unbook(saga: &str, account: &str, amount: i64) -> Vec<Statement> {
    vec![
        Statement::new(
            "UPDATE account SET balance = balance - $1 WHERE name = $2 \
             AND EXISTS (SELECT 1 FROM booking WHERE saga_id = $3 AND account = $2)",
            vec![amount.into(), account.into(), saga.into()],
        ),
        Statement::new(
            "DELETE FROM booking WHERE saga_id = $1 AND account = $2",
            vec![saga.into(), account.into()],
        ),
    ]
}

fn withdraw(inputs: &Inputs<'_>) -> Result<Effect, steno::ActionError> {
    let Params { from, amount, .. } = inputs.params()?;
    let statements = book(&inputs.saga_id().to_string(), &from, -amount);
    // The table itself refuses a balance below zero.
    let refused =
        move |_: &_| ActionFailure::InvalidRequest { message: format!("{from} does not have {amount}") };
    Ok(Effect::new(statements, ())?.or_refuse(refused))
}

fn pay_back(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    let Params { from, amount, .. } = inputs.params()?;
    Ok(unbook(&inputs.saga_id().to_string(), &from, -amount))
}

fn deposit(inputs: &Inputs<'_>) -> Result<Effect, steno::ActionError> {
    let Params { to, amount, .. } = inputs.params()?;
    Effect::new(book(&inputs.saga_id().to_string(), &to, amount), ())
}

fn take_back(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    let Params { to, amount, .. } = inputs.params()?;
    Ok(unbook(&inputs.saga_id().to_string(), &to, amount))
}

/// What the coordinator of this service runs.
pub(crate) fn sagas() -> SagaSet {
    SagaSet {
        registry: SagaRegistry::new().with::<Transfer>(),
        // What a drill needs to make one by itself. Anything that has to be there first could be made here.
        drilled: DrilledKinds::none().with::<Transfer>(|_| {
            async { Ok(Params { from: "alice".to_owned(), to: "bob".to_owned(), amount: 30 }) }.boxed()
        }),
        services: Arc::new(()),
        tables: TABLES,
    }
}

/// The whole program.
pub(crate) fn main() -> ExitCode {
    sagactl::cli::main_with(sagas)
}
