//! What is on record of a run: from the database where it can be read, else from the external API's list.

use super::http::{Connection, Target};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::sql::Statement;
use ::http::{Method, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;

/// How often each name is on record.
pub type Recorded = HashMap<String, u64>;

/// Names per page that is asked for.
const PAGE: usize = 1000;

/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Projects whose names begin with `stem`, from the database. The index on names answers this alone.
///
/// # Errors
///
/// Why the database could not be asked.
pub async fn from_database(store: &dyn Store, stem: &str) -> Result<Recorded, String> {
    let mut recorded = Recorded::new();
    // Names hold nothing above `z`, so this is past every name with that beginning.
    let end = format!("{stem}~");
    let mut after = stem.to_owned();
    loop {
        let rows = store
            .read(Statement::new(
                "SELECT name FROM project WHERE name > $1 AND name < $2 ORDER BY name LIMIT 1000",
                vec![after.as_str().into(), end.as_str().into()],
            ))
            .await
            .map_err(|error| error.to_string())?;
        for row in &rows {
            let name = row.text(0).map_err(|error| error.to_string())?;
            *recorded.entry(name.to_owned()).or_default() += 1;
        }
        match rows.last() {
            Some(row) if rows.len() == PAGE => {
                row.text(0).map_err(|error| error.to_string())?.clone_into(&mut after)
            }
            _ => return Ok(recorded),
        }
    }
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Item>,
    next_page: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
}

/// Projects whose names begin with `stem`, from the external API's list.
///
/// # Errors
///
/// Why the list could not be had to its end.
pub async fn from_api(target: &Target, stem: &str) -> Result<Recorded, String> {
    let mut recorded = Recorded::new();
    let mut connection = Connection::default();
    let mut token: Option<String> = None;
    loop {
        let page_token = token.as_deref().map(|token| format!("&page_token={token}")).unwrap_or_default();
        let request = target
            .request()
            .method(Method::GET)
            .uri(format!("{}/v1/projects?limit={PAGE}{page_token}", target.path_prefix))
            .body(Full::new(Bytes::new()))
            .map_err(|error| format!("the list of projects has a page token that is no text: {error}"))?;
        let answer =
            connection.send(target, request, PAGE_TIMEOUT).await.map_err(|no_answer| no_answer.text)?;
        if answer.status != StatusCode::OK {
            return Err(format!("listing projects: {}", answer.status));
        }
        let page: Page = serde_json::from_slice(&answer.body)
            .map_err(|error| format!("the list of projects is no list: {error}"))?;
        for item in page.items {
            if item.name.starts_with(stem) {
                *recorded.entry(item.name).or_default() += 1;
            }
        }
        match page.next_page {
            None => return Ok(recorded),
            Some(next) if token.as_ref() == Some(&next) => {
                return Err("the list of projects goes in circles".to_owned());
            }
            Some(next) => token = Some(next),
        }
    }
}

/// Names of projects beginning with `stem` that lack a part of what `project-create` makes: evidence of a saga that ended
/// without having done everything.
///
/// # Errors
///
/// Why the database could not be asked.
pub async fn incomplete_projects(store: &dyn Store, stem: &str) -> Result<Vec<String>, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT name FROM project WHERE name > $1 AND name < $2 AND NOT (\
               EXISTS (SELECT 1 FROM project_quota WHERE project_quota.project_id = project.id) \
               AND EXISTS (SELECT 1 FROM vpc \
                 WHERE vpc.project_id = project.id AND vpc.name = 'default' AND vpc.time_ready IS NOT NULL \
                 AND EXISTS (SELECT 1 FROM vpc_router WHERE vpc_router.id = vpc.system_router_id) \
                 AND EXISTS (SELECT 1 FROM internet_gateway WHERE internet_gateway.vpc_id = vpc.id) \
                 AND EXISTS (SELECT 1 FROM vpc_dns_record WHERE vpc_dns_record.vpc_id = vpc.id) \
                 AND 3 = (SELECT count(*) FROM router_route WHERE router_route.vpc_router_id = vpc.system_router_id) \
                 AND 3 = (SELECT count(*) FROM vpc_firewall_rule WHERE vpc_firewall_rule.vpc_id = vpc.id) \
                 AND EXISTS (SELECT 1 FROM vpc_subnet WHERE vpc_subnet.vpc_id = vpc.id \
                   AND EXISTS (SELECT 1 FROM subnet_gateway WHERE subnet_gateway.subnet_id = vpc_subnet.id) \
                   AND 2 = (SELECT count(*) FROM subnet_address_pool \
                     WHERE subnet_address_pool.subnet_id = vpc_subnet.id)))) \
             ORDER BY name",
            vec![stem.into(), format!("{stem}~").into()],
        ))
        .await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}
