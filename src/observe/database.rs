//! What the database adds to a look at a coordinator.
//!
//! One function per question, each bounded in time and in rows, so that more sections of `status` are one function and one
//! field more. No answer is a reason in words: a database out of reach takes nothing away from what the API says.

use super::Part;
use crate::store::sagas::{self, SagaSummary};
use crate::store::{SharedStore, error::StoreError};
use crate::wire::ids::SagaId;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

/// Sagas by id.
pub type SagaNames = BTreeMap<SagaId, SagaSummary>;

/// Longest wait for the database: `status` is asked when things are bad, and half an answer in time is better than a whole
/// one too late.
const PATIENCE: Duration = Duration::from_secs(2);

/// Names and present states of sagas.
pub async fn find_names(store: &SharedStore, ids: &[SagaId]) -> Part<SagaNames> {
    in_time(async {
        let summaries = sagas::find_summaries(&**store, ids).await?;
        Ok(summaries.into_iter().map(|summary| (summary.id, summary)).collect())
    })
    .await
}

async fn in_time<T>(question: impl Future<Output = Result<T, StoreError>>) -> Part<T> {
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(Ok(answer)) => Part::Present(answer),
        Ok(Err(error)) => Part::Missing(format!("the database says: {error}")),
        Err(_) => Part::Missing(format!(
            "the database did not answer within {}",
            humantime::format_duration(PATIENCE)
        )),
    }
}
