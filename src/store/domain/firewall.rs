//! Firewall rules of VPCs.
//!
//! A VPC's rules are replaced together. So each rule belongs to a *set*, and the VPC says which set is in force: the new
//! rules are written beside the old ones, one update switches over, and only then do the old ones go. A reader never sees
//! a mixture, and names need only be unique within a set.

use super::PARENT_GONE;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::sql::{Row, Statement, Value};
use crate::wire::external::{
    FirewallAction, FirewallDirection, FirewallRule, FirewallRuleUpdate, FirewallStatus,
};
use crate::wire::ids::{FirewallRuleId, VpcId};
use uuid::Uuid;

/// Adds a rule to a set.
pub fn insert(rule: &FirewallRule, rule_set: Uuid) -> Statement {
    let FirewallRule { id, vpc_id, rule, time_created, time_modified } = rule;
    let json = |result: serde_json::Result<String>| Value::Json(result.expect("lists of texts"));
    Statement::new(
        "INSERT INTO vpc_firewall_rule (id, vpc_id, project_id, rule_set, name, description, action, direction, \
         status, priority, targets, filters, time_created, time_modified) \
         SELECT $1, vpc.id, vpc.project_id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 FROM vpc \
         WHERE vpc.id = $13 \
         AND (vpc.deleted_by IS NULL OR EXISTS (SELECT 1 FROM vpc_firewall_rule WHERE id = $1)) \
         /*pg FOR SHARE OF vpc*/ \
         ON CONFLICT (id) DO UPDATE SET time_created = excluded.time_created",
        vec![
            (*id).into(),
            rule_set.into(),
            rule.name.as_str().into(),
            rule.description.as_str().into(),
            Value::Static(match rule.action {
                FirewallAction::Allow => "allow",
                FirewallAction::Deny => "deny",
            }),
            Value::Static(match rule.direction {
                FirewallDirection::Inbound => "inbound",
                FirewallDirection::Outbound => "outbound",
            }),
            Value::Static(match rule.status {
                FirewallStatus::Enabled => "enabled",
                FirewallStatus::Disabled => "disabled",
            }),
            i64::from(rule.priority).into(),
            json(serde_json::to_string(&rule.targets)),
            json(serde_json::to_string(&rule.filters)),
            (*time_created).into(),
            (*time_modified).into(),
            (*vpc_id).into(),
        ],
    )
    .changing_one(PARENT_GONE)
}

/// Removes one rule.
pub fn delete(rule: FirewallRuleId) -> Statement {
    Statement::new("DELETE FROM vpc_firewall_rule WHERE id = $1", vec![rule.into()])
}

/// Removes a set.
pub fn delete_set(vpc: VpcId, rule_set: Uuid) -> Statement {
    Statement::new(
        "DELETE FROM vpc_firewall_rule WHERE vpc_id = $1 AND rule_set = $2",
        vec![vpc.into(), rule_set.into()],
    )
}

/// Refusal text of [`switch`] when another set is in force by now.
pub const CHANGED_MEANWHILE: &str = "the firewall rules were changed by somebody else at the same time";

/// Puts set `new` in force in place of `old`.
pub fn switch(vpc: VpcId, old: Uuid, new: Uuid) -> Statement {
    Statement::new(
        "UPDATE vpc SET firewall_rule_set = $1 \
         WHERE id = $2 AND deleted_by IS NULL AND (firewall_rule_set = $3 OR firewall_rule_set = $1)",
        vec![new.into(), vpc.into(), old.into()],
    )
    .changing_one(CHANGED_MEANWHILE)
}

/// Takes that back.
pub fn switch_back(vpc: VpcId, old: Uuid, new: Uuid) -> Statement {
    Statement::new(
        "UPDATE vpc SET firewall_rule_set = $1 WHERE id = $2 AND firewall_rule_set = $3",
        vec![old.into(), vpc.into(), new.into()],
    )
}

/// The set that is in force, unless the VPC is not there.
pub async fn find_rule_set(store: &dyn Store, vpc: VpcId) -> Result<Option<Uuid>, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT firewall_rule_set FROM vpc WHERE id = $1 AND deleted_by IS NULL",
            vec![vpc.into()],
        ))
        .await?;
    rows.first().map(|row| row.uuid(0)).transpose()
}

/// The rules in force, by name.
pub async fn list_rules(store: &dyn Store, vpc: VpcId) -> Result<Vec<FirewallRule>, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT rule.id, rule.vpc_id, rule.name, rule.description, rule.action, rule.direction, rule.status, \
             rule.priority, rule.targets, rule.filters, rule.time_created, rule.time_modified \
             FROM vpc JOIN vpc_firewall_rule AS rule \
             ON rule.vpc_id = vpc.id AND rule.rule_set = vpc.firewall_rule_set \
             WHERE vpc.id = $1 AND vpc.deleted_by IS NULL AND rule.deleted_by IS NULL ORDER BY rule.name",
            vec![vpc.into()],
        ))
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<FirewallRule, StoreError> {
    let corrupt = |column: &str, reason: String| StoreError::Corrupt { column: column.to_owned(), reason };
    let priority = row.int(7)?;
    Ok(FirewallRule {
        id: FirewallRuleId::from_uuid(row.uuid(0)?),
        vpc_id: VpcId::from_uuid(row.uuid(1)?),
        rule: FirewallRuleUpdate {
            name: row.parsed(2, "a name")?,
            description: row.text(3)?.to_owned(),
            action: match row.text(4)? {
                "allow" => FirewallAction::Allow,
                "deny" => FirewallAction::Deny,
                other => return Err(corrupt("action", format!("{other:?} is not an action"))),
            },
            direction: match row.text(5)? {
                "inbound" => FirewallDirection::Inbound,
                "outbound" => FirewallDirection::Outbound,
                other => return Err(corrupt("direction", format!("{other:?} is not a direction"))),
            },
            status: match row.text(6)? {
                "enabled" => FirewallStatus::Enabled,
                "disabled" => FirewallStatus::Disabled,
                other => return Err(corrupt("status", format!("{other:?} is not a status"))),
            },
            priority: u16::try_from(priority)
                .map_err(|_| corrupt("priority", format!("{priority} is not a priority")))?,
            targets: row.json(8)?,
            filters: row.json(9)?,
        },
        time_created: row.time(10)?,
        time_modified: row.time(11)?,
    })
}
