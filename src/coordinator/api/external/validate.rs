//! Rules for what users give that types alone do not hold.

use super::super::errors::invalid_request;
use crate::wire::external::{
    FirewallFilter, FirewallRuleUpdate, FirewallRulesUpdate, MAX_DESCRIPTION_LEN, RouteCreate, RouteEnd,
};
use dropshot::HttpError;
use ipnetwork::IpNetwork;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Most rules that one VPC may have.
const MAX_FIREWALL_RULES: usize = 1024;

/// Most entries in one list of a firewall rule.
const MAX_RULE_LIST: usize = 256;

/// A description that is not too long.
pub(super) fn description(text: &str) -> Result<(), HttpError> {
    let length = text.chars().count();
    if length > MAX_DESCRIPTION_LEN {
        return Err(invalid_request(format!(
            "the description has {length} characters; at most {MAX_DESCRIPTION_LEN} are allowed"
        )));
    }
    Ok(())
}

/// A route that makes sense.
pub(super) fn route(route: &RouteCreate) -> Result<(), HttpError> {
    description(&route.description)?;
    if matches!(route.target, RouteEnd::IpNet(_)) {
        return Err(invalid_request("the target of a route cannot be a range of addresses".to_owned()));
    }
    if matches!(route.destination, RouteEnd::Instance(_) | RouteEnd::InternetGateway(_) | RouteEnd::Drop) {
        return Err(invalid_request(
            "the destination of a route must be an address, a range of addresses, a VPC or a subnet"
                .to_owned(),
        ));
    }
    addresses(&route.target)?;
    addresses(&route.destination)
}

/// Firewall rules that make sense, one by one and together.
pub(super) fn firewall_rules(update: &FirewallRulesUpdate) -> Result<(), HttpError> {
    if update.rules.len() > MAX_FIREWALL_RULES {
        return Err(invalid_request(format!(
            "{} firewall rules are given; at most {MAX_FIREWALL_RULES} are allowed",
            update.rules.len()
        )));
    }
    let mut names = BTreeSet::new();
    for rule in &update.rules {
        if !names.insert(&rule.name) {
            return Err(invalid_request(format!("two firewall rules are called \"{}\"", rule.name)));
        }
        firewall_rule(rule)?;
    }
    Ok(())
}

fn firewall_rule(rule: &FirewallRuleUpdate) -> Result<(), HttpError> {
    description(&rule.description)?;
    let FirewallFilter { hosts, protocols, ports } = &rule.filters;
    let (hosts, protocols, ports) = (
        hosts.as_deref().unwrap_or_default(),
        protocols.as_deref().unwrap_or_default(),
        ports.as_deref().unwrap_or_default(),
    );
    if [rule.targets.len(), hosts.len(), protocols.len(), ports.len()]
        .iter()
        .any(|length| *length > MAX_RULE_LIST)
    {
        return Err(invalid_request(format!(
            "a list of firewall rule \"{}\" has more than {MAX_RULE_LIST} entries",
            rule.name
        )));
    }
    for end in rule.targets.iter().chain(hosts) {
        if matches!(end, RouteEnd::InternetGateway(_) | RouteEnd::Drop) {
            return Err(invalid_request(format!(
                "firewall rule \"{}\" is for VPCs, subnets, instances, addresses and ranges of addresses only",
                rule.name
            )));
        }
        addresses(end)?;
    }
    if let Some(unknown) =
        protocols.iter().find(|protocol| !["tcp", "udp", "icmp"].contains(&protocol.as_str()))
    {
        return Err(invalid_request(format!(
            "unknown protocol {unknown:?}; known protocols: tcp, udp, icmp"
        )));
    }
    match ports.iter().find(|ports| !is_ports(ports)) {
        Some(bad) => {
            Err(invalid_request(format!("{bad:?} is not a port like \"80\" or a range like \"8000-8080\"")))
        }
        None => Ok(()),
    }
}

/// `80` or `8000-8080`.
fn is_ports(text: &str) -> bool {
    let port = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten()
    };
    match text.split_once('-') {
        Some((first, last)) => {
            matches!((port(first), port(last)), (Some(first), Some(last)) if first <= last)
        }
        None => port(text).is_some(),
    }
}

fn addresses(end: &RouteEnd) -> Result<(), HttpError> {
    match end {
        RouteEnd::Ip(text) if text.parse::<IpAddr>().is_err() => {
            Err(invalid_request(format!("{text:?} is not an IP address")))
        }
        RouteEnd::IpNet(text) if !text.contains('/') || text.parse::<IpNetwork>().is_err() => {
            Err(invalid_request(format!("{text:?} is not an IP range like \"10.0.0.0/8\"")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rules(rules: Value) -> Result<(), String> {
        let update = serde_json::from_value(json!({ "rules": rules })).expect("rules by their shape");
        firewall_rules(&update).map_err(|error| error.external_message)
    }

    fn rule(filters: Value) -> Value {
        json!({"name": "r", "description": "", "action": "allow", "direction": "inbound", "status": "enabled",
               "priority": 1, "targets": [{"type": "vpc", "value": "default"}], "filters": filters})
    }

    #[test]
    fn firewall_rules_make_sense() {
        let good = json!({"hosts": [{"type": "ip_net", "value": "10.0.0.0/8"}], "protocols": ["tcp"],
                          "ports": ["22", "8000-8080"]});
        assert_eq!(rules(json!([rule(good)])), Ok(()));
        assert_eq!(rules(json!([])), Ok(()));
        let cases = [
            (json!({"ports": ["65536"]}), "\"65536\" is not a port"),
            (json!({"ports": ["9-8"]}), "\"9-8\" is not a port"),
            (json!({"ports": ["+80"]}), "\"+80\" is not a port"),
            (json!({"protocols": ["sctp"]}), "unknown protocol \"sctp\""),
            (json!({"hosts": [{"type": "ip", "value": "10.0.0"}]}), "\"10.0.0\" is not an IP address"),
            (json!({"hosts": [{"type": "drop"}]}), "is for VPCs"),
            (json!({"ports": vec!["1"; 257]}), "more than 256 entries"),
        ];
        for (filters, expected) in cases {
            let message = rules(json!([rule(filters)])).expect_err("refused");
            assert!(message.contains(expected), "{message}");
        }
        let twice = rules(json!([rule(json!({})), rule(json!({}))])).expect_err("refused");
        assert_eq!(twice, "two firewall rules are called \"r\"");
    }

    #[test]
    fn routes_make_sense() {
        let check = |target: Value, destination: Value| {
            let body = json!({"name": "r", "description": "", "target": target, "destination": destination});
            route(&serde_json::from_value(body).expect("a route by its shape"))
                .map_err(|error| error.external_message)
        };
        let net = || json!({"type": "ip_net", "value": "10.0.0.0/8"});
        assert_eq!(check(json!({"type": "drop"}), net()), Ok(()));
        assert!(check(net(), net()).expect_err("refused").contains("target"));
        assert!(
            check(json!({"type": "drop"}), json!({"type": "drop"}))
                .expect_err("refused")
                .contains("destination")
        );
        let bad =
            check(json!({"type": "ip", "value": "fd00::1"}), json!({"type": "ip_net", "value": "10.0.0.0"}));
        assert!(bad.expect_err("refused").contains("not an IP range"));
    }

    #[test]
    fn descriptions_are_counted_in_characters() {
        assert!(description(&"ä".repeat(512)).is_ok());
        let error = description(&"ä".repeat(513)).expect_err("refused");
        assert_eq!(error.external_message, "the description has 513 characters; at most 512 are allowed");
    }
}
