//! Saga `vpc-router-create`: a router of a VPC.

use super::line::{self, LineNode, line};
use super::refusals::{not_added, type_names};
use super::{Action, Creates, Durability, Effect, Inputs, SagaKind, derive_uuid};
use crate::store::domain::routers;
use crate::store::sql::Statement;
use crate::wire::external::{Router, RouterKind};
use crate::wire::ids::{RouterId, SagaId, VpcId};
use crate::wire::name::Name;
use crate::wire::time::Time;
use serde::{Deserialize, Serialize};
use steno::{ActionError, SagaDag};

/// The kind.
pub struct VpcRouterCreate;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The VPC that the router will be in.
    pub vpc_id: VpcId,
    /// Unique in its VPC.
    pub name: Name,
    /// For people.
    pub description: String,
    /// When it was asked for.
    pub time_created: Time,
}

const LINE: &[LineNode] = line! { "vpc_router_create";
    "router" "Router": insert_router, delete_router;
};

impl SagaKind for VpcRouterCreate {
    const NAME: &'static str = "vpc-router-create";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE)
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        line::saga_dag::<Self>(LINE, params)
    }
}

impl Creates for VpcRouterCreate {
    type Object = Router;

    fn made(saga: SagaId, params: &Params) -> Router {
        Router {
            id: RouterId::from_uuid(derive_uuid(saga, "router")),
            name: params.name.clone(),
            description: params.description.clone(),
            kind: RouterKind::Custom,
            vpc_id: params.vpc_id,
            time_created: params.time_created,
            time_modified: params.time_created,
        }
    }
}

fn router(inputs: &Inputs<'_>) -> Result<Router, ActionError> {
    Ok(VpcRouterCreate::made(inputs.saga_id(), &inputs.params()?))
}

fn insert_router(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let router = router(inputs)?;
    let refused = not_added(type_names::ROUTER, &router.name, type_names::VPC, router.vpc_id);
    Ok(Effect::new(vec![routers::insert(&router)], &router)?.or_refuse(refused))
}

fn delete_router(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(routers::delete_with_routes(router(inputs)?.id))
}

#[cfg(test)]
mod tests {
    use super::super::test_helpers::{TestBed, check_saga, count, moment, numbered_saga};
    use super::*;

    fn params(vpc_id: VpcId, name: &str) -> Params {
        Params {
            vpc_id,
            name: name.parse().expect("a name"),
            description: String::new(),
            time_created: moment(),
        }
    }

    #[tokio::test]
    async fn makes_a_router() {
        let (before, after) = check_saga::<VpcRouterCreate>(async |bed| {
            let project = bed.project(1, "apollo").await;
            params(bed.vpc(2, &project, "moon").await.id, "north")
        })
        .await;
        assert_eq!(count(&after, "vpc_router"), count(&before, "vpc_router") + 1);
    }

    #[tokio::test]
    async fn answers_what_it_wrote_and_refuses_a_second_of_the_name() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let project = bed.project(1, "apollo").await;
        let vpc = bed.vpc(2, &project, "moon").await;
        let made = bed.router(3, &vpc, "north").await;
        assert_eq!(routers::find_router(&*bed.store, made.id).await.expect("a read"), Some(made));
        let (_, why) = bed.refused::<VpcRouterCreate>(numbered_saga(4), &params(vpc.id, "north")).await;
        assert_eq!(why.to_string(), "already exists: vpc-router \"north\"");
    }
}
