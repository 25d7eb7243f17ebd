//! Finds what is on record of a run: in the database if it can be read, which works while the coordinator is dead, else
//! in the external API's list.

use crate::blast::records::{self, Recorded, SagaOutcomes};
use crate::blast::target::{Credential, Reach, Target};
use crate::blast::workload::Traces;
use crate::cli::config::Source;
use crate::cli::context::Context;
use crate::client::base_url::BaseUrl;
use crate::client::tls::Trust;
use crate::wire::ids::SagaId;
use crate::wire::info::Info;
use crate::wire::part::Part;
use std::time::{Duration, Instant};

/// How long the coordinator may take to tell who it is, before and after the load.
const ASIDE: Duration = Duration::from_secs(2);

/// How long sagas that nobody waits for any more may take to end before the records are read.
const SETTLE: Duration = Duration::from_secs(5);

/// Time between two looks at whether they have.
const SETTLE_POLL: Duration = Duration::from_millis(20);

/// What a run may have left behind.
pub(super) struct Question<'q> {
    /// Where it is to be found.
    pub(super) traces: Traces,
    /// What names of the run begin with.
    pub(super) stem: &'q str,
    /// Sagas whose ids are known.
    pub(super) sagas: &'q [SagaId],
    /// The external API, if there is no database.
    pub(super) external: &'q BaseUrl,
    /// Who may say who it is.
    pub(super) trust: &'q Trust,
    /// How to prove who we are there.
    pub(super) credential: Option<&'q Credential>,
}

/// What was found.
pub(super) struct Found {
    /// What is there of the run.
    pub(super) recorded: Recorded,
    /// What became of its sagas, where a database tells.
    pub(super) sagas: Option<SagaOutcomes>,
}

/// Who the coordinator behind the internal API is.
pub(super) async fn fetch_info(ctx: &mut Context<'_>) -> Option<Info> {
    let client = ctx.client().ok()?.with_fresh_budget().with_at_most(ASIDE);
    client.fetch_info().await.ok().flatten()
}

/// Sagas go on when their clients have gone; the records are worth reading once these have ended.
pub(super) async fn settle(ctx: &mut Context<'_>) {
    let Ok(client) = ctx.client() else { return };
    let deadline = Instant::now() + SETTLE;
    while Instant::now() < deadline {
        match client.with_fresh_budget().with_at_most(ASIDE).fetch_info().await {
            Ok(Some(info)) if info.sagas_in_flight > 0 || !info.recovered => {
                tokio::time::sleep(SETTLE_POLL).await;
            }
            _ => return,
        }
    }
}

/// Finds what is on record, or why nobody can tell.
pub(super) async fn find(
    ctx: &mut Context<'_>,
    question: &Question<'_>,
    info: Option<&Info>,
) -> Result<Found, String> {
    if question.traces == Traces::None {
        return Err("this workload makes nothing that could be on record".to_owned());
    }
    let named_by_user = ctx.db_url().is_some_and(|chosen| chosen.source != Source::Default);
    let mut reasons = Vec::new();
    if named_by_user || info.is_some() {
        match ctx.store(info) {
            Part::Present(store) => {
                let recorded = match question.traces {
                    Traces::Sagas => records::sagas_from_database(&*store, question.sagas).await,
                    Traces::Projects | Traces::None => records::from_database(&*store, question.stem).await,
                };
                match recorded {
                    Ok(recorded) => {
                        let sagas = match question.traces {
                            // A Nexus keeps no keys, and has no table to ask then.
                            Traces::Projects => records::saga_outcomes(&*store, question.stem).await.ok(),
                            Traces::Sagas | Traces::None => None,
                        };
                        return Ok(Found { recorded, sagas });
                    }
                    Err(reason) => reasons.push(reason),
                }
            }
            Part::Missing(reason) => reasons.push(reason),
        }
    }
    if question.traces == Traces::Sagas {
        reasons.push("sagas are looked up in the database; --db-url names one".to_owned());
        return Err(reasons.join("; "));
    }
    match from_api(question).await {
        Ok(recorded) => Ok(Found { recorded, sagas: None }),
        Err(reason) => {
            reasons.push(reason);
            Err(reasons.join("; "))
        }
    }
}

async fn from_api(question: &Question<'_>) -> Result<Recorded, String> {
    // Reading a list is no load.
    let target = Target::resolve(question.external, question.trust, question.credential, Reach::Anywhere)
        .await
        .map_err(|error| error.to_string())?;
    records::from_api(&target, question.stem).await
}
