//! Saga `vpc-firewall-rules-update`: replaces all firewall rules of a VPC.
//!
//! 1. The new rules are written as a set of their own, which nobody sees yet.
//! 2. The VPC is switched from the set that was in force when the saga was made to the new one. If another set is in force
//!    by now, somebody else was quicker, and the saga unwinds; whoever made it may look again and make another.
//! 3. The old rules are removed. Nothing comes after that, so it never has to be undone, and until then undoing is exact.

use super::line::{self, LineNode, line, nothing};
use super::refusals::{not_added, type_names};
use super::{Action, ActionFailure, Creates, Durability, Effect, Inputs, SagaKind, derive_uuid};
use crate::store::domain::firewall;
use crate::store::sql::Statement;
use crate::wire::external::{FirewallRule, FirewallRuleUpdate, FirewallRules};
use crate::wire::ids::{FirewallRuleId, SagaId, VpcId};
use crate::wire::time::Time;
use serde::{Deserialize, Serialize};
use steno::{ActionError, SagaDag};
use uuid::Uuid;

/// The kind.
pub struct VpcFirewallRulesUpdate;

/// What the saga is made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// The VPC.
    pub vpc_id: VpcId,
    /// The set in force when the saga was made.
    pub old_set: Uuid,
    /// The new rules, with names that differ.
    pub rules: Vec<FirewallRuleUpdate>,
    /// When it was asked for.
    pub time_created: Time,
}

/// The node that fails when somebody else has changed the rules since the saga was made.
pub const SWITCH_NODE: &str = "switch";

const LINE: &[LineNode] = line! { "vpc_firewall_rules_update";
    "new_rules" "NewRules": insert_rules, delete_rules;
    "switch" "Switch": switch, switch_back;
    "purge_old" "PurgeOld": delete_old_rules, nothing;
};

impl SagaKind for VpcFirewallRulesUpdate {
    const NAME: &'static str = "vpc-firewall-rules-update";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = Params;

    fn actions() -> Vec<Action> {
        line::actions(LINE)
    }

    fn dag(params: &Params) -> Result<SagaDag, anyhow::Error> {
        line::saga_dag::<Self>(LINE, params)
    }
}

impl Creates for VpcFirewallRulesUpdate {
    type Object = FirewallRules;

    /// By name, as a list of them is read.
    fn made(saga: SagaId, params: &Params) -> FirewallRules {
        let rule = |rule: &FirewallRuleUpdate| FirewallRule {
            id: FirewallRuleId::from_uuid(derive_uuid(saga, &format!("rule {}", rule.name))),
            vpc_id: params.vpc_id,
            rule: rule.clone(),
            time_created: params.time_created,
            time_modified: params.time_created,
        };
        let mut rules: Vec<FirewallRule> = params.rules.iter().map(rule).collect();
        rules.sort_by(|one, other| one.rule.name.cmp(&other.rule.name));
        FirewallRules { rules }
    }
}

fn new_set(inputs: &Inputs<'_>) -> Uuid {
    inputs.derived_uuid("firewall_rule_set")
}

fn insert_rules(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let params: Params = inputs.params()?;
    let rules = VpcFirewallRulesUpdate::made(inputs.saga_id(), &params).rules;
    let statements = rules.iter().map(|rule| firewall::insert(rule, new_set(inputs))).collect();
    let effect = Effect::new(statements, new_set(inputs))?;
    // Names that are given twice are refused before a saga is made, so it is the VPC that may be the matter.
    let name = rules.first().map(|rule| rule.rule.name.clone());
    Ok(match name {
        Some(name) => effect.or_rarely_refuse(not_added(
            type_names::FIREWALL_RULE,
            &name,
            type_names::VPC,
            params.vpc_id,
        )),
        None => effect,
    })
}

fn delete_rules(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    let params: Params = inputs.params()?;
    Ok(vec![firewall::delete_set(params.vpc_id, new_set(inputs))])
}

fn switch(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let params: Params = inputs.params()?;
    let statement = firewall::switch(params.vpc_id, params.old_set, new_set(inputs));
    let refused = |_: &_| ActionFailure::InvalidRequest { message: firewall::CHANGED_MEANWHILE.to_owned() };
    Ok(Effect::new(vec![statement], ())?.or_refuse(refused))
}

fn switch_back(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    let params: Params = inputs.params()?;
    Ok(vec![firewall::switch_back(params.vpc_id, params.old_set, new_set(inputs))])
}

fn delete_old_rules(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let params: Params = inputs.params()?;
    let rules = VpcFirewallRulesUpdate::made(inputs.saga_id(), &params);
    Effect::new(vec![firewall::delete_set(params.vpc_id, params.old_set)], rules)
}

#[cfg(test)]
mod tests {
    use super::super::test_helpers::{TestBed, check_saga, count, moment, numbered_saga};
    use super::*;
    use crate::wire::external::{FirewallAction, FirewallDirection, FirewallFilter, FirewallStatus};

    fn rule(name: &str, priority: u16) -> FirewallRuleUpdate {
        FirewallRuleUpdate {
            name: name.parse().expect("a name"),
            description: String::new(),
            action: FirewallAction::Deny,
            direction: FirewallDirection::Outbound,
            status: FirewallStatus::Disabled,
            priority,
            targets: Vec::new(),
            filters: FirewallFilter { ports: Some(vec!["80-90".to_owned()]), ..FirewallFilter::default() },
        }
    }

    async fn params(bed: &TestBed, names: &[&str]) -> Params {
        let project = bed.project(1, "apollo").await;
        let vpc_id = bed.vpc(2, &project, "moon").await.id;
        let old_set = firewall::find_rule_set(&*bed.store, vpc_id).await.expect("a read").expect("a VPC");
        let rules = names.iter().zip(1..).map(|(name, priority)| rule(name, priority)).collect();
        Params { vpc_id, old_set, rules, time_created: moment() }
    }

    #[tokio::test]
    async fn replaces_all_rules() {
        // One of the new rules has the name of an old one.
        let (before, after) =
            check_saga::<VpcFirewallRulesUpdate>(async |bed| params(bed, &["no-web", "allow-ssh"]).await)
                .await;
        assert_eq!(count(&after, "vpc_firewall_rule") + 1, count(&before, "vpc_firewall_rule"));
    }

    #[tokio::test]
    async fn answers_what_it_wrote() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let params = params(&bed, &["no-web", "allow-ssh"]).await;
        let made = bed.make::<VpcFirewallRulesUpdate>(numbered_saga(3), &params).await;
        assert_eq!(firewall::list_rules(&*bed.store, params.vpc_id).await.expect("a read"), made.rules);
    }

    #[tokio::test]
    async fn can_leave_no_rules() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let params = params(&bed, &[]).await;
        bed.make::<VpcFirewallRulesUpdate>(numbered_saga(3), &params).await;
        assert_eq!(firewall::list_rules(&*bed.store, params.vpc_id).await.expect("a read"), []);
    }

    #[tokio::test]
    async fn gives_way_to_whoever_was_quicker() {
        let bed = TestBed::new(Durability::OwnDatabase);
        let params = params(&bed, &["no-web"]).await;
        bed.make::<VpcFirewallRulesUpdate>(numbered_saga(3), &params).await;
        let before = bed.contents().await;
        let (node, why) = bed.refused::<VpcFirewallRulesUpdate>(numbered_saga(4), &params).await;
        assert_eq!(node, SWITCH_NODE);
        assert_eq!(why.to_string(), firewall::CHANGED_MEANWHILE);
        assert_eq!(bed.contents().await, before);
    }
}
