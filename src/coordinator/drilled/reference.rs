//! What the reference coordinator's own sagas need to be there, and what they are made from in a drill.

use super::{DrilledKinds, Stage};
use crate::coordinator::sagas::{
    demo, project_create, project_delete, vpc_create, vpc_delete, vpc_firewall_rules_update,
    vpc_router_create, vpc_router_delete, vpc_router_route_create, vpc_router_route_delete,
    vpc_subnet_create, vpc_subnet_delete,
};
use crate::store::domain::blocks::VpcPrefix;
use crate::store::domain::firewall;
use crate::wire::external::{
    FirewallAction, FirewallDirection, FirewallFilter, FirewallRuleUpdate, FirewallStatus, Project, RouteEnd,
    Router, Subnet, Vpc,
};
use crate::wire::ids::DemoSagaId;
use crate::wire::name::Name;
use crate::wire::time::now;
use anyhow::Context as _;
use futures::FutureExt;

pub(super) fn kinds() -> DrilledKinds {
    DrilledKinds::none()
        .with_nudge::<demo::Demo>(
            |_| async { Ok(demo::Params { id: DemoSagaId::random() }) }.boxed(),
            // Unknown until the saga waits, and then completed.
            |stage, params| {
                stage.demo_waits().complete(params.id);
            },
        )
        .with::<project_create::ProjectCreate>(|_| async { project_params("drilled") }.boxed())
        .with::<project_delete::ProjectDelete>(|stage| {
            async move {
                // Another project beside it, which has to stay.
                project(stage, "bystander").await?;
                let project_id = project(stage, "drilled").await?.id;
                Ok(project_delete::Params { project_id })
            }
            .boxed()
        })
        .with::<vpc_create::VpcCreate>(|stage| {
            async move { vpc_params(&project(stage, "drilled").await?) }.boxed()
        })
        .with::<vpc_delete::VpcDelete>(|stage| {
            async move { Ok(vpc_delete::Params { vpc_id: vpc(stage).await?.id }) }.boxed()
        })
        .with::<vpc_firewall_rules_update::VpcFirewallRulesUpdate>(|stage| {
            async move { firewall_params(stage).await }.boxed()
        })
        .with::<vpc_router_create::VpcRouterCreate>(|stage| {
            async move { router_params(&vpc(stage).await?) }.boxed()
        })
        .with::<vpc_router_delete::VpcRouterDelete>(|stage| {
            async move {
                let router = router(stage).await?;
                stage.make::<vpc_router_route_create::VpcRouterRouteCreate>(&route_params(&router)?).await?;
                Ok(vpc_router_delete::Params { router_id: router.id })
            }
            .boxed()
        })
        .with::<vpc_router_route_create::VpcRouterRouteCreate>(|stage| {
            async move { route_params(&router(stage).await?) }.boxed()
        })
        .with::<vpc_router_route_delete::VpcRouterRouteDelete>(|stage| {
            async move {
                let params = route_params(&router(stage).await?)?;
                let route = stage.make::<vpc_router_route_create::VpcRouterRouteCreate>(&params).await?;
                Ok(vpc_router_route_delete::Params { route_id: route.id })
            }
            .boxed()
        })
        .with::<vpc_subnet_create::VpcSubnetCreate>(|stage| {
            async move { subnet_params(&vpc(stage).await?) }.boxed()
        })
        .with::<vpc_subnet_delete::VpcSubnetDelete>(|stage| {
            async move { Ok(vpc_subnet_delete::Params { subnet_id: subnet(stage).await?.id }) }.boxed()
        })
}

fn name(text: &str) -> anyhow::Result<Name> {
    Ok(text.parse::<Name>()?)
}

fn project_params(called: &str) -> anyhow::Result<project_create::Params> {
    Ok(project_create::Params { name: name(called)?, description: String::new(), time_created: now() })
}

async fn project(stage: &Stage, called: &str) -> anyhow::Result<Project> {
    stage.make::<project_create::ProjectCreate>(&project_params(called)?).await
}

fn vpc_params(project: &Project) -> anyhow::Result<vpc_create::Params> {
    Ok(vpc_create::Params {
        project_id: project.id,
        name: name("drilled")?,
        dns_name: name("drilled")?,
        description: String::new(),
        time_created: now(),
        in_new_project: false,
    })
}

async fn vpc(stage: &Stage) -> anyhow::Result<Vpc> {
    let params = vpc_params(&project(stage, "drilled").await?)?;
    stage.make::<vpc_create::VpcCreate>(&params).await
}

fn router_params(vpc: &Vpc) -> anyhow::Result<vpc_router_create::Params> {
    Ok(vpc_router_create::Params {
        vpc_id: vpc.id,
        name: name("drilled")?,
        description: String::new(),
        time_created: now(),
    })
}

async fn router(stage: &Stage) -> anyhow::Result<Router> {
    let params = router_params(&vpc(stage).await?)?;
    stage.make::<vpc_router_create::VpcRouterCreate>(&params).await
}

fn route_params(router: &Router) -> anyhow::Result<vpc_router_route_create::Params> {
    Ok(vpc_router_route_create::Params {
        router_id: router.id,
        name: name("drilled")?,
        description: String::new(),
        target: RouteEnd::Drop,
        destination: RouteEnd::IpNet("10.0.0.0/8".to_owned()),
        time_created: now(),
    })
}

fn subnet_params(vpc: &Vpc) -> anyhow::Result<vpc_subnet_create::Params> {
    let prefix: VpcPrefix = vpc.ipv6_prefix.parse()?;
    Ok(vpc_subnet_create::Params {
        vpc_id: vpc.id,
        system_router_id: vpc.system_router_id,
        name: name("drilled")?,
        description: String::new(),
        ipv4_block: "10.1.0.0/24".parse()?,
        ipv6_block: prefix.subnet(1),
        time_created: now(),
    })
}

async fn subnet(stage: &Stage) -> anyhow::Result<Subnet> {
    let params = subnet_params(&vpc(stage).await?)?;
    stage.make::<vpc_subnet_create::VpcSubnetCreate>(&params).await
}

async fn firewall_params(stage: &Stage) -> anyhow::Result<vpc_firewall_rules_update::Params> {
    let vpc_id = vpc(stage).await?.id;
    let old_set = firewall::find_rule_set(&**stage.store(), vpc_id).await?;
    Ok(vpc_firewall_rules_update::Params {
        vpc_id,
        old_set: old_set.context("the VPC has no firewall rules")?,
        rules: vec![FirewallRuleUpdate {
            name: name("drilled")?,
            description: String::new(),
            action: FirewallAction::Deny,
            direction: FirewallDirection::Outbound,
            status: FirewallStatus::Enabled,
            priority: 1,
            targets: Vec::new(),
            filters: FirewallFilter::default(),
        }],
        time_created: now(),
    })
}
