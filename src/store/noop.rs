//! A store that keeps nothing: the limit that benchmarks hold real stores against.
//!
//! What a coordinator does per second on this store is what its engine can do at all, so the ratio to a real store is the
//! price of durability. It is of no other use: writes are acknowledged at once, none is refused, and reads find nothing.

use super::error::StoreError;
use super::sql::{Row, Statement};
use super::{Applied, Lane, Store, Until, Write};
use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;

/// Acknowledges everything, keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopStore;

#[async_trait]
impl Store for NoopStore {
    fn write(&self, write: Write, _until: Until) -> BoxFuture<'static, Result<Applied, StoreError>> {
        let applied = Applied { rows: vec![1; write.statements.len()] };
        std::future::ready(Ok(applied)).boxed()
    }

    fn write_unwaited(&self, _write: Write) {}

    fn close_lane(&self, _lane: Lane) {}

    async fn read(&self, _statement: Statement) -> Result<Vec<Row>, StoreError> {
        Ok(Vec::new())
    }

    fn kind(&self) -> &'static str {
        "noop"
    }

    fn url(&self) -> String {
        "noop:".to_owned()
    }
}
