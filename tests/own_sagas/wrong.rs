//! A saga that is wrong in two ways, each of them once a real bug of a real control plane.
//!
//! - Action `subnet` inserts without asking whether it has done so before. Replayed after a crash, it finds its own subnet
//!   in the way, and fails.
//! - The undo action of `vpc` takes for granted that there is something to delete. Replayed, it cannot finish, and the saga
//!   is stuck.

use futures::FutureExt;
use sagactl::coordinator::drilled::DrilledKinds;
use sagactl::coordinator::sagas::{Action, Durability, Effect, Inputs, SagaKind, SagaRegistry, effect};
use sagactl::coordinator::server::SagaSet;
use sagactl::store::sql::{Statement, Value};
use std::sync::Arc;

const TABLES: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS wrong_vpc (id TEXT PRIMARY KEY)",
    "CREATE TABLE IF NOT EXISTS wrong_subnet (block TEXT PRIMARY KEY, vpc_id TEXT NOT NULL)",
];

struct Wrong;

impl SagaKind for Wrong {
    const NAME: &'static str = "wrong";
    const DURABILITY: Durability = Durability::Strict;
    type Params = ();

    fn actions() -> Vec<Action> {
        vec![
            effect("wrong.vpc", insert_vpc, delete_vpc),
            effect("wrong.subnet", insert_subnet, delete_subnet),
            effect("wrong.last", nothing, nothing_to_undo),
        ]
    }

    fn dag((): &()) -> Result<steno::SagaDag, anyhow::Error> {
        let mut builder = steno::DagBuilder::new(steno::SagaName::new(Self::NAME));
        for (action, name) in Self::actions().into_iter().zip(["vpc", "subnet", "last"]) {
            builder.append(steno::Node::action(name, name, &*action.for_engine()));
        }
        Ok(steno::SagaDag::new(builder.build()?, serde_json::Value::Null))
    }
}

/// The VPC's id as the tables keep it, which is a text on every database.
fn vpc_id(inputs: &Inputs<'_>) -> Value {
    inputs.derived_uuid("vpc").to_string().into()
}

fn insert_vpc(inputs: &Inputs<'_>) -> Result<Effect, steno::ActionError> {
    let insert = Statement::new(
        "INSERT INTO wrong_vpc (id) VALUES ($1) ON CONFLICT (id) DO NOTHING",
        vec![vpc_id(inputs)],
    );
    Effect::new(vec![insert], ())
}

fn delete_vpc(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    let delete = Statement::new("DELETE FROM wrong_vpc WHERE id = $1", vec![vpc_id(inputs)]);
    Ok(vec![delete.changing_one("the VPC is not there")])
}

fn insert_subnet(inputs: &Inputs<'_>) -> Result<Effect, steno::ActionError> {
    let insert = Statement::new(
        "INSERT INTO wrong_subnet (block, vpc_id) VALUES ('10.0.0.0/24', $1)",
        vec![vpc_id(inputs)],
    );
    Effect::new(vec![insert], ())
}

fn delete_subnet(_: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![Statement::new("DELETE FROM wrong_subnet WHERE block = '10.0.0.0/24'", Vec::new())])
}

fn nothing(_: &Inputs<'_>) -> Result<Effect, steno::ActionError> {
    Effect::new(Vec::new(), ())
}

fn nothing_to_undo(_: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(Vec::new())
}

/// What this coordinator runs.
pub(crate) fn sagas() -> SagaSet {
    SagaSet {
        registry: SagaRegistry::new().with::<Wrong>(),
        drilled: DrilledKinds::none().with::<Wrong>(|_| async { Ok(()) }.boxed()),
        services: Arc::new(()),
        tables: TABLES,
    }
}
