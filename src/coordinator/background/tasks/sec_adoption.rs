//! Task `sec_adoption`: takes over the unfinished sagas of SECs that have been expunged.
//!
//! Nobody takes over from a SEC that is merely silent: it may be slow, or cut off, and still be at work. Expunging is an
//! operator's word that it is over, and from that word on the database accepts nothing from it (see `store::postgres`). So
//! when this task sees a SEC expunged, what its sagas have done is settled, and whoever adopts one sees all of it.
//!
//! Adopting makes this SEC the owner and raises the saga's generation; then recovery, which this task wakes, finds the saga
//! like any other that is unfinished and not running. Several coordinators may adopt from the same SEC at the same time:
//! each takes what no other is just taking. With nobody expunged, or nothing left of them, an activation asks one
//! question and writes nothing. A coordinator that has quiesced leaves them to others; one that is still draining takes
//! its share.

use crate::coordinator::background::driver::Waker;
use crate::coordinator::background::{Activation, Task};
use crate::coordinator::sec::{Adopted, Sagas};
use crate::store::error::StoreError;
use crate::store::{SharedStore, Until, secs};
use crate::wire::ids::SecId;
use crate::wire::time::now;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;

/// Sagas that change hands in one write: enough to share the cost of a commit, few enough not to hold others up.
const BATCH: u32 = 1000;

/// The task.
pub struct SecAdoption {
    /// Where sagas and the registry live.
    pub store: SharedStore,
    /// Who adopts, and runs what is adopted.
    pub sagas: Sagas,
    /// Wakes recovery when there is something new to recover.
    pub recovery_waker: Waker,
    /// Where it logs.
    pub log: slog::Logger,
}

/// What an activation did.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Sagas adopted in all.
    adopted: u64,
    /// The same, by previous owner.
    from: Vec<AdoptedFrom>,
    /// Why it did not even look.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_adopting: Option<&'static str>,
    /// Why it came to an early end, if it did; the next activation goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct AdoptedFrom {
    sec_id: SecId,
    adopted: u64,
}

impl SecAdoption {
    async fn adopt_all(&self, report: &mut Report) -> Result<(), StoreError> {
        for sec_id in secs::list_expunged_with_unfinished(&*self.store).await? {
            report.from.push(AdoptedFrom { sec_id, adopted: 0 });
            loop {
                let write = secs::adopt_unfinished(self.sagas.sec_id(), sec_id, now(), BATCH);
                let adopted = self.store.write(write, Until::Durable).await?.rows.iter().sum::<u64>();
                if adopted == 0 {
                    break;
                }
                report.adopted += adopted;
                if let Some(from) = report.from.last_mut() {
                    from.adopted += adopted;
                }
                // Each batch can be on its way while the next is adopted.
                self.recovery_waker.wake();
            }
        }
        Ok(())
    }
}

impl Task for SecAdoption {
    fn activate<'a>(&'a mut self, _: &'a Activation) -> BoxFuture<'a, serde_json::Value> {
        async move {
            let mut report = Report::default();
            if !self.sagas.adoption_began() {
                report.not_adopting = Some("this coordinator has quiesced");
                return serde_json::to_value(report).expect("numbers, ids and text are JSON");
            }
            let result = self.adopt_all(&mut report).await;
            self.sagas.adoption_ended(match result.is_ok() && report.adopted == 0 {
                true => Adopted::Nothing,
                false => Adopted::SomeOrUnknown,
            });
            if report.adopted > 0 {
                // Those of the last batch may have come after the listing of the pass that it woke.
                self.recovery_waker.wake();
            }
            if let Err(error) = result {
                slog::warn!(self.log, "adopting came to an early end"; "error" => %error);
                report.error = Some(error.to_string());
            }
            for AdoptedFrom { sec_id, adopted } in report.from.iter().filter(|from| from.adopted > 0) {
                slog::warn!(self.log, "adopted sagas of an expunged SEC"; "from" => %sec_id, "sagas" => adopted);
            }
            serde_json::to_value(report).expect("numbers, ids and text are JSON")
        }
        .boxed()
    }
}
