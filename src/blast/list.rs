//! Reads the external API's lists to their end. One that was not proves nothing, and then nothing is claimed.

use super::after;
use super::clean::Listed;
use super::connection::{Alarm, Connection, Exchanged, Outgoing};
use super::target::Target;
use crate::client::excerpt::Excerpt;
use crate::client::operations::Operation;
use http::StatusCode;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;

/// One page of a list; of each item what we look at, everything else is skipped.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
    #[serde(borrow, default)]
    next_page: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct Item<'a> {
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) description: Cow<'a, str>,
}

/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a server that does not answer is asked again: one that was killed at the end of a run is often back in a
/// moment.
pub(super) const DEFAULT_PATIENCE: Duration = Duration::from_secs(3);

/// Time between two attempts.
const RETRY_PERIOD: Duration = Duration::from_millis(100);

/// Largest page that is taken: a thousand projects with the longest of names and descriptions are under a megabyte.
const LARGEST_PAGE: usize = 16 * 1024 * 1024;

/// Most pages that are read: far more than any run makes, and few enough that a server without an end is noticed.
const MOST_PAGES: usize = 100_000;

/// Longest page token that is sent back.
const LONGEST_TOKEN: usize = 4096;

/// All projects whose names begin with `prefix`, from the external API's list.
///
/// # Errors
///
/// Why the list could not be had to its end.
pub(super) async fn list_projects(
    target: &Target,
    prefix: &str,
    patience: Duration,
) -> Result<Vec<Listed>, String> {
    let mut listed = Vec::new();
    let mut list = List::new(target, patience);
    list.each(Operation::ListProjects, &[], |item| {
        if item.name.starts_with(prefix) {
            listed.push(Listed { name: item.name.into_owned(), description: item.description.into_owned() });
        }
    })
    .await?;
    Ok(listed)
}

/// Names of what is in a list.
///
/// # Errors
///
/// Why the list could not be had to its end.
pub(super) async fn list_names(
    target: &Target,
    operation: Operation,
    query: &[(&str, &str)],
) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let mut list = List::new(target, DEFAULT_PATIENCE);
    list.each(operation, query, |item| names.push(item.name.into_owned())).await?;
    Ok(names)
}

/// Why a page could not be had.
enum Setback {
    /// Worth another attempt.
    Passing(String),
    /// It will be the same next time.
    Lasting(String),
}

/// Reads lists, over one connection as long as it lasts.
pub(super) struct List<'t> {
    target: &'t Target,
    patience: Duration,
    connection: Option<Connection>,
}

impl<'t> List<'t> {
    pub(super) fn new(target: &'t Target, patience: Duration) -> Self {
        Self { target, patience, connection: None }
    }

    /// Reads a list to its end.
    pub(super) async fn each(
        &mut self,
        operation: Operation,
        query: &[(&str, &str)],
        mut take: impl FnMut(Item<'_>),
    ) -> Result<(), String> {
        let target = self.target;
        let mut seen_tokens = HashSet::new();
        let mut token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let body = self.page(operation, || target.list(operation, query, token.as_deref())).await?;
            let page: Page<'_> = serde_json::from_slice(&body)
                .map_err(|_| format!("the list of projects is no list: {}", Excerpt::of(&body)))?;
            let is_empty = page.items.is_empty();
            page.items.into_iter().for_each(&mut take);
            let Some(next) = page.next_page else { return Ok(()) };
            let next = next.into_owned();
            if is_empty || next.len() > LONGEST_TOKEN {
                return Err("the list of projects goes on behind its end".to_owned());
            }
            if !seen_tokens.insert(next.clone()) {
                return Err("the list of projects goes in circles".to_owned());
            }
            token = Some(next);
        }
        Err("the list of projects has no end".to_owned())
    }

    /// One page, if need be at the second attempt or the third.
    async fn page(
        &mut self,
        operation: Operation,
        request: impl Fn() -> Outgoing,
    ) -> Result<Vec<u8>, String> {
        let patient_until = after(Instant::now(), self.patience);
        loop {
            match self.attempt(request()).await {
                Ok(body) => return Ok(body),
                Err(Setback::Lasting(reason)) => return Err(reason),
                Err(Setback::Passing(reason))
                    if Instant::now() >= patient_until || !self.target.may_repeat(operation) =>
                {
                    return Err(reason);
                }
                Err(Setback::Passing(_)) => tokio::time::sleep(RETRY_PERIOD).await,
            }
        }
    }

    async fn attempt(&mut self, request: Outgoing) -> Result<Vec<u8>, Setback> {
        let deadline = after(Instant::now(), PAGE_TIMEOUT);
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => Connection::open(self.target, deadline)
                .await
                .map_err(|trouble| Setback::Passing(trouble.message))?,
        };
        let exchanged = connection.exchange(request, LARGEST_PAGE, deadline, &mut Alarm::new()).await;
        let (status, body) = match exchanged {
            Exchanged::Answer(answer) => (answer.status, answer.body),
            Exchanged::Cut(_, trouble) | Exchanged::Lost(trouble) | Exchanged::Unsent(trouble) => {
                return Err(Setback::Passing(trouble.message));
            }
        };
        self.connection = Some(connection);
        if status == StatusCode::OK {
            return Ok(body);
        }
        let reason = format!("listing projects: {status}");
        let may_pass = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        Err(if may_pass { Setback::Passing(reason) } else { Setback::Lasting(reason) })
    }
}
