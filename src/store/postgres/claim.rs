//! A process's claim to write as one SEC: its mark in the SEC's row.
//!
//! The row is the registry's. Two columns of it are the writer's: `writer_session` says which process may write, and
//! `writer_batch` which of its transactions was the last. Why, is told in [`writer`](super::writer).

use crate::store::error::StoreError;
use crate::store::sagas::{EXPUNGED, expunged};
use crate::store::sql::{Statement, Value};
use crate::wire::ids::SecId;
use tokio_postgres::{Client, Error};
use uuid::Uuid;

/// A claim that was made.
#[derive(Debug)]
pub(super) struct Claim {
    sec: SecId,
    session: Uuid,
    /// Of the transaction that was begun last.
    batch: i64,
}

impl Claim {
    /// Registers the SEC, if it is new, and puts this process's mark on its row in place of any other's: a process starts
    /// under an id when the one before it is gone, or to take over from it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] if the SEC has been expunged; `Ok(Err(_))` if the server failed.
    pub(super) async fn make(client: &Client, sec: SecId) -> Result<Result<Self, StoreError>, Error> {
        let session = Uuid::new_v4();
        let claimed = client
            .execute(
                "INSERT INTO sec (id, internal_address, state, time_started, time_heartbeat, writer_session, writer_batch) \
                 VALUES ($1::TEXT::UUID, '', 'active', now(), now(), $2::TEXT::UUID, 0) \
                 ON CONFLICT (id) DO UPDATE SET writer_session = excluded.writer_session, writer_batch = 0 \
                 WHERE sec.state = 'active'",
                &[&sec.to_string(), &session.to_string()],
            )
            .await?;
        Ok(if claimed == 1 {
            Ok(Self { sec, session, batch: 0 })
        } else {
            Err(StoreError::Unusable(expunged(sec)))
        })
    }

    /// The statement that begins the next transaction.
    pub(super) fn next_mark(&mut self) -> Statement {
        self.batch += 1;
        Statement::new(
            "UPDATE sec SET writer_batch = $1 WHERE id = $2 AND writer_session = $3 AND state = 'active'",
            vec![Value::Int(self.batch), self.sec.into(), self.session.into()],
        )
        .changing_one(EXPUNGED)
    }

    /// Whether the transaction that was begun last was committed; `None` if the row is not this process's any more. Waits
    /// for a transaction that has not ended yet.
    pub(super) async fn is_last_committed(&self, client: &Client) -> Result<Option<bool>, Error> {
        let row = client
            .query_opt(
                "SELECT writer_batch FROM sec WHERE id = $1::TEXT::UUID AND writer_session = $2::TEXT::UUID FOR UPDATE",
                &[&self.sec.to_string(), &self.session.to_string()],
            )
            .await?;
        row.map(|row| Ok(row.try_get::<_, i64>(0)? == self.batch)).transpose()
    }

    /// Why the row could not be marked, in words for the last line of a process.
    pub(super) async fn why_fenced(&self, client: &Client) -> Result<String, Error> {
        let sec = self.sec;
        let row =
            client.query_opt("SELECT state FROM sec WHERE id = $1::TEXT::UUID", &[&sec.to_string()]).await?;
        Ok(match row.map(|row| row.try_get::<_, String>(0)).transpose()?.as_deref() {
            Some("active") => format!("another process has started as SEC {sec}"),
            Some(_) => expunged(sec),
            None => format!("SEC {sec} has been removed from the registry"),
        })
    }
}
