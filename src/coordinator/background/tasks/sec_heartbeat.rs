//! Task `sec_heartbeat`: keeps this SEC's row in the registry fresh, so that others can tell how long it has been silent.
//!
//! Silence alone moves no saga: only an operator's expunging does. A SEC that finds its row expunged stops at once.

use crate::coordinator::background::{Activation, Task};
use crate::store::error::{Rule, StoreError};
use crate::store::{FatalHandler, SharedStore, Until, sagas};
use crate::wire::ids::SecId;
use crate::wire::time::{Time, now};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

/// The task.
pub struct SecHeartbeat {
    /// The registry's database.
    pub store: SharedStore,
    /// Whose row.
    pub sec_id: SecId,
    /// Where others reach this SEC's internal API.
    pub internal_address: String,
    /// When this process started.
    pub time_started: Time,
    /// Ends the process when it has been expunged.
    pub on_fatal: FatalHandler,
}

impl SecHeartbeat {
    /// Freshens the row once.
    ///
    /// # Errors
    ///
    /// When the database did not take it. Does not return if this SEC has been expunged.
    pub async fn beat(&self) -> Result<Time, StoreError> {
        let time = now();
        let write = sagas::heartbeat(self.sec_id, &self.internal_address, self.time_started, time);
        match self.store.write(write, Until::Durable).await {
            Ok(_) => Ok(time),
            Err(StoreError::Refused(why)) if why.rule == Rule::RowCount && why.what == sagas::EXPUNGED => {
                match (self.on_fatal)(&sagas::expunged(self.sec_id)) {}
            }
            Err(error) => Err(error),
        }
    }
}

impl Task for SecHeartbeat {
    fn activate<'a>(&'a mut self, _: &'a Activation) -> BoxFuture<'a, serde_json::Value> {
        async move {
            match self.beat().await {
                Ok(time) => json!({ "sec_id": self.sec_id, "time_heartbeat": time }),
                Err(error) => json!({ "error": error.to_string() }),
            }
        }
        .boxed()
    }
}
