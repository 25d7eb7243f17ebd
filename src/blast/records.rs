//! What is on record of a run: from the database where it can be read, else from the external API's list.

use super::http::{Connection, Target};
use crate::store::Store;
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
