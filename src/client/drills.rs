//! The part of the internal API that a coordinator offers for drills only.

use super::error::CallError;
use super::operations::{Call, Operation};
use super::transport::Client;
use crate::wire::fault::{DrilledKind, DrilledSaga, FaultRules, PreparedSaga};

impl Client {
    /// Sets all faults that sagas are to have from now on.
    pub async fn set_faults(&self, rules: &FaultRules) -> Result<(), CallError> {
        let body = serde_json::to_vec(rules).expect("rules are JSON");
        self.succeed(&Call::new(Operation::SetFaults), &[], Some(body)).await?;
        Ok(())
    }

    /// Kinds of sagas that a drill can make.
    pub async fn list_drilled_sagas(&self) -> Result<Vec<DrilledKind>, CallError> {
        self.fetch(&Call::new(Operation::ListDrilledSagas), &[]).await
    }

    /// Brings about what a saga of this kind needs.
    pub async fn prepare_drilled_saga(&self, kind: &str) -> Result<PreparedSaga, CallError> {
        self.fetch(&Call::on(Operation::PrepareDrilledSaga, kind), &[]).await
    }

    /// Creates a saga as it was prepared.
    pub async fn create_drilled_saga(&self, kind: &str, saga: &DrilledSaga) -> Result<(), CallError> {
        self.post_drilled(Operation::CreateDrilledSaga, kind, saga).await
    }

    /// Plays the part of somebody outside whom the saga waits for, once.
    pub async fn nudge_drilled_saga(&self, kind: &str, saga: &DrilledSaga) -> Result<(), CallError> {
        self.post_drilled(Operation::NudgeDrilledSaga, kind, saga).await
    }

    async fn post_drilled(
        &self,
        operation: Operation,
        kind: &str,
        saga: &DrilledSaga,
    ) -> Result<(), CallError> {
        let body = serde_json::to_vec(saga).expect("ids and JSON are JSON");
        self.succeed(&Call::on(operation, kind), &[], Some(body)).await?;
        Ok(())
    }
}
