//! VPCs and their firewall rules.

use super::super::errors::{not_found, unavailable};
use super::ExternalContext;
use super::errors::{creation_failed, saga_failed, store_failed};
use super::requests::{self, CreateHeaders};
use super::select::{InProject, VpcSelector};
use super::{select, validate};
use crate::coordinator::sagas::vpc_create::{self, VpcCreate};
use crate::coordinator::sagas::vpc_delete::{self, VpcDelete};
use crate::coordinator::sagas::vpc_firewall_rules_update::{self, SWITCH_NODE, VpcFirewallRulesUpdate};
use crate::coordinator::sagas::{Creates, type_names};
use crate::coordinator::sec::SagaOutcome;
use crate::store::domain::firewall;
use crate::wire::external::{FirewallRules, FirewallRulesUpdate, ProjectSelector, Vpc, VpcCreate as Body};
use crate::wire::name::NameOrId;
use crate::wire::time::now;
use dropshot::HttpError;

/// Times that somebody else may be quicker in replacing a VPC's firewall rules before we give up.
const MAX_RULE_ATTEMPTS: usize = 5;

pub(super) async fn create(
    context: &ExternalContext,
    headers: CreateHeaders,
    selector: ProjectSelector,
    body: Body,
) -> Result<Vpc, HttpError> {
    let key = requests::key::<VpcCreate>(headers, &selector, &body)?;
    requests::create::<VpcCreate>(context, key, async {
        validate::description(&body.description)?;
        let project_id = select::project(&*context.store, &selector.project).await?.id;
        let Body { name, description, dns_name } = body;
        let time_created = now();
        Ok(vpc_create::Params {
            project_id,
            name,
            description,
            dns_name,
            time_created,
            in_new_project: false,
        })
    })
    .await
}

pub(super) async fn delete(
    context: &ExternalContext,
    within: &InProject,
    vpc: &NameOrId,
) -> Result<(), HttpError> {
    let vpc_id = select::vpc(&*context.store, within.project.as_ref(), vpc).await?.id;
    requests::run::<VpcDelete>(context, &vpc_delete::Params { vpc_id }).await
}

pub(super) async fn list_rules(
    context: &ExternalContext,
    selector: &VpcSelector,
) -> Result<FirewallRules, HttpError> {
    let vpc = select::vpc(&*context.store, selector.project.as_ref(), &selector.vpc).await?;
    let rules = firewall::list_rules(&*context.store, vpc.id).await.map_err(store_failed)?;
    Ok(FirewallRules { rules })
}

/// Replaces all rules. Whoever is last wins: if somebody else was quicker, their rules are replaced in turn.
pub(super) async fn replace_rules(
    context: &ExternalContext,
    selector: &VpcSelector,
    update: FirewallRulesUpdate,
) -> Result<FirewallRules, HttpError> {
    validate::firewall_rules(&update)?;
    let vpc_id = select::vpc(&*context.store, selector.project.as_ref(), &selector.vpc).await?.id;
    let mut rules = update.rules;
    for _ in 0..MAX_RULE_ATTEMPTS {
        let old_set = firewall::find_rule_set(&*context.store, vpc_id).await.map_err(store_failed)?;
        let old_set =
            old_set.ok_or_else(|| not_found(&format!("{} with id \"{vpc_id}\"", type_names::VPC)))?;
        let params = vpc_firewall_rules_update::Params { vpc_id, old_set, rules, time_created: now() };
        let id = context.sagas.new_id();
        let running = context.sagas.create::<VpcFirewallRulesUpdate>(id, &params, None).await;
        let outcome = running.map_err(creation_failed)?.finished().await;
        match saga_failed(&outcome) {
            None => return Ok(VpcFirewallRulesUpdate::made(id, &params)),
            Some(error) if !was_overtaken(&outcome, &error) => return Err(error),
            Some(_) => rules = params.rules,
        }
    }
    Err(unavailable(firewall::CHANGED_MEANWHILE.to_owned()))
}

fn was_overtaken(outcome: &SagaOutcome, error: &HttpError) -> bool {
    let at_switch = matches!(outcome, SagaOutcome::Failed { node, .. } if node == SWITCH_NODE);
    at_switch && error.status_code.is_client_error()
}
