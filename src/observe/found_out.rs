//! What became of a change whose answer was lost.
//!
//! "The connection was lost" is no answer to somebody who has just changed something: the request may have been carried out or
//! not, and doing it again may be wrong. So after a change that was sent and not answered its effect is looked for, and what
//! is told is *applied* or *not applied*; or, where neither can be known, why not.
//!
//! A few looks with pauses, not one: a request whose connection is gone may still be under way inside the server. Each look
//! is a read of its own, so it is made even when nothing may be tried twice.

use crate::client::Client;
use crate::client::error::CallError;
use crate::wire::ids::{DemoSagaId, SagaId};
use crate::wire::quiesce::QuiesceState;
use crate::wire::sagas::{DemoSaga, SagaState};
use crate::wire::time::{self, Time};
use std::time::{Duration, Instant};

/// Looks at most.
const LOOKS: u32 = 10;

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// How it is known that a change was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The coordinator said so.
    Answered,
    /// Its answer was lost, and what the change does was found done.
    Verified,
}

/// What was found out about a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is done.
    Applied,
    /// It is not done.
    NotApplied,
    /// Neither is known, for this reason.
    Unknown(String),
}

/// Why a change is not known to have been made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It was refused, or never left.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer was lost, and it was found not to be done.
    #[error("not applied")]
    NotApplied(#[source] Box<CallError>),
    /// The answer was lost, and nobody can tell.
    #[error("whether it was applied is not known: {why}")]
    Unknown {
        /// What was lost.
        #[source]
        error: Box<CallError>,
        /// Why nobody can tell.
        why: String,
    },
}

impl Finding {
    /// What this means for a change whose call ended in `error`.
    pub(super) fn settle(self, error: CallError) -> Result<Certainty, ChangeError> {
        match self {
            Self::Applied => Ok(Certainty::Verified),
            Self::NotApplied => Err(ChangeError::NotApplied(Box::new(error))),
            Self::Unknown(why) => Err(ChangeError::Unknown { error: Box::new(error), why }),
        }
    }
}

/// Looks again and again until there is something to tell. `look` answers what one look shows and whether that is final.
pub(super) async fn look_until_settled(
    client: &Client,
    mut look: impl AsyncFnMut() -> Result<(Finding, bool), CallError>,
) -> Finding {
    let in_words = |error: CallError| format!("{}: {}", error.call, error.problem);
    look_until(client.deadline(), async || look().await.map_err(in_words)).await
}

/// The same, whatever is looked at; what keeps one look from being made comes in words.
pub(super) async fn look_until(
    deadline: Instant,
    mut look: impl AsyncFnMut() -> Result<(Finding, bool), String>,
) -> Finding {
    let mut finding = Finding::Unknown("there was no time left to look".to_owned());
    for _ in 0..LOOKS {
        finding = match look().await {
            Ok((settled, true)) => return settled,
            Ok((for_now, false)) => for_now,
            Err(why) => Finding::Unknown(why),
        };
        if Instant::now() + PAUSE >= deadline {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    finding
}

/// Starts a saga that waits until it is completed.
///
/// # Errors
///
/// See [`ChangeError`].
pub async fn create_demo_saga(client: &Client) -> Result<(DemoSaga, Certainty), ChangeError> {
    let wished = DemoSaga::of(DemoSagaId::random());
    let asked_at = time::now();
    match client.create_demo_saga(wished.demo_saga_id).await {
        Ok(saga) => Ok((saga, Certainty::Answered)),
        Err(error) if error.is_in_doubt => {
            let certainty = look_for_saga(client, wished.saga_id, asked_at).await.settle(error)?;
            Ok((wished, certainty))
        }
        Err(error) => Err(error.into()),
    }
}

async fn look_for_saga(client: &Client, saga_id: SagaId, asked_at: Time) -> Finding {
    look_until_settled(client, async || {
        if client.fetch_saga(saga_id).await?.is_some() {
            return Ok((Finding::Applied, true));
        }
        Ok(match client.fetch_info().await? {
            None => {
                let why = "this coordinator chooses ids itself, so the saga cannot be told from others";
                (Finding::Unknown(why.to_owned()), true)
            }
            Some(info) if info.time_started >= asked_at => {
                let why = "the coordinator has started again meanwhile, and recovery may still find the saga";
                (Finding::Unknown(why.to_owned()), false)
            }
            Some(_) => (Finding::NotApplied, false),
        })
    })
    .await
}

/// Lets a demo saga go on; `None` if the coordinator knows none of that id.
///
/// # Errors
///
/// See [`ChangeError`].
pub async fn complete_demo_saga(client: &Client, id: DemoSagaId) -> Result<Option<Certainty>, ChangeError> {
    match client.complete_demo_saga(id).await {
        Ok(known) => Ok(known.then_some(Certainty::Answered)),
        Err(error) if error.is_in_doubt => {
            look_whether_it_goes_on(client, DemoSaga::of(id).saga_id).await.settle(error).map(Some)
        }
        Err(error) => Err(error.into()),
    }
}

async fn look_whether_it_goes_on(client: &Client, saga_id: SagaId) -> Finding {
    look_until_settled(client, async || {
        Ok(match client.fetch_saga(saga_id).await?.map(|saga| saga.state) {
            Some(SagaState::Running) => (Finding::NotApplied, false),
            Some(SagaState::Succeeded | SagaState::Failed { .. } | SagaState::Stuck { .. }) => {
                (Finding::Applied, true)
            }
            None => (Finding::Unknown("the coordinator has no such saga in memory".to_owned()), false),
        })
    })
    .await
}

/// Asks a coordinator to take no more sagas; `None` if it cannot.
///
/// # Errors
///
/// See [`ChangeError`].
pub async fn start_quiesce(client: &Client) -> Result<Option<Certainty>, ChangeError> {
    match client.start_quiesce().await {
        Ok(offered) => Ok(offered.then_some(Certainty::Answered)),
        Err(error) if error.is_in_doubt => look_whether_it_quiesces(client).await.settle(error).map(Some),
        Err(error) => Err(error.into()),
    }
}

async fn look_whether_it_quiesces(client: &Client) -> Finding {
    look_until_settled(client, async || {
        Ok(match client.fetch_quiesce().await?.map(|quiesce| quiesce.status.state) {
            Some(QuiesceState::Running | QuiesceState::Undetermined) => (Finding::NotApplied, false),
            Some(
                QuiesceState::DrainingSagas { .. }
                | QuiesceState::DrainingDb { .. }
                | QuiesceState::RecordingQuiesce { .. }
                | QuiesceState::Quiesced { .. },
            ) => (Finding::Applied, true),
            None => (Finding::Unknown("the coordinator does not say whether it quiesces".to_owned()), true),
        })
    })
    .await
}
