//! Saga `vpc-subnet-delete`: a subnet that a user made, with the route that leads to it.

use super::line::{self, LineNode, line, nothing};
use super::refusals::{not_changed, type_names};
use super::{Action, Durability, Effect, Inputs, SagaKind};
use crate::store::domain::{routes, subnets};
use crate::store::sql::Statement;
use crate::wire::ids::SubnetId;
use serde::{Deserialize, Serialize};
use steno::{ActionError, SagaDag};

/// The kind.
pub struct VpcSubnetDelete;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The subnet.
    pub subnet_id: SubnetId,
}

const LINE: &[LineNode] = line! { "vpc_subnet_delete";
    "subnet" "Subnet": mark_subnet, unmark_subnet;
    "subnet_route" "SubnetRoute": mark_route, unmark_route;
    "purge" "Purge": purge, nothing;
};

impl SagaKind for VpcSubnetDelete {
    const NAME: &'static str = "vpc-subnet-delete";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE)
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        line::saga_dag::<Self>(LINE, params)
    }
}

fn mark_subnet(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let id = inputs.params::<Params>()?.subnet_id;
    let refused = not_changed(type_names::SUBNET, id);
    Ok(Effect::new(vec![subnets::mark(id, inputs.saga_id())], id)?.or_refuse(refused))
}

fn unmark_subnet(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![subnets::unmark(inputs.params::<Params>()?.subnet_id, inputs.saga_id())])
}

fn mark_route(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(vec![routes::mark_of_subnet(inputs.params::<Params>()?.subnet_id, inputs.saga_id())], ())
}

fn unmark_route(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![routes::unmark_of_subnet(inputs.params::<Params>()?.subnet_id, inputs.saga_id())])
}

fn purge(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(subnets::delete_whole(inputs.params::<Params>()?.subnet_id), ())
}

#[cfg(test)]
mod tests {
    use super::super::test_helpers::{TestBed, check_saga, moment, numbered_saga};
    use super::super::vpc_subnet_create::{self, VpcSubnetCreate};
    use super::*;
    use crate::store::domain::PageRequest;
    use crate::store::domain::blocks::VpcPrefix;
    use crate::wire::external::Vpc;

    async fn moon(bed: &TestBed) -> Vpc {
        let project = bed.project(1, "apollo").await;
        bed.vpc(2, &project, "moon").await
    }

    #[tokio::test]
    async fn deletes_a_subnet_with_its_parts_and_nothing_else() {
        let (_, after) = check_saga::<VpcSubnetDelete>(async |bed| {
            let vpc = moon(bed).await;
            let prefix: VpcPrefix = vpc.ipv6_prefix.parse().expect("a prefix");
            let params = vpc_subnet_create::Params {
                vpc_id: vpc.id,
                system_router_id: vpc.system_router_id,
                name: "crater".parse().expect("a name"),
                description: String::new(),
                ipv4_block: "10.0.0.0/24".parse().expect("a block"),
                ipv6_block: prefix.subnet(1),
                time_created: moment(),
            };
            Params { subnet_id: bed.make::<VpcSubnetCreate>(numbered_saga(3), &params).await.id }
        })
        .await;
        let alone = TestBed::new(Durability::OwnDatabase);
        moon(&alone).await;
        assert_eq!(after, alone.contents().await);
    }

    #[tokio::test]
    async fn the_default_subnet_stays() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let vpc = moon(&bed).await;
        let all = subnets::list_subnets(&*bed.store, vpc.id, &PageRequest::by_name(None, 100))
            .await
            .expect("a read");
        let before = bed.contents().await;
        bed.refused::<VpcSubnetDelete>(numbered_saga(3), &Params { subnet_id: all[0].id }).await;
        assert_eq!(bed.contents().await, before);
    }
}
