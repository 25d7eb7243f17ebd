//! Lists of children, a page at a time, by key.

use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::sql::{Row, Statement, Value};
use crate::wire::name::Name;
use uuid::Uuid;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// By what, and where to go on.
    pub order: PageOrder,
    /// At most so many.
    pub limit: u32,
}

impl PageRequest {
    /// By name, from after the last name seen.
    pub fn by_name(after: Option<Name>, limit: u32) -> Self {
        Self { order: PageOrder::Name { after }, limit }
    }

    /// By id, from after the last id seen.
    pub fn by_id(after: Option<Uuid>, limit: u32) -> Self {
        Self { order: PageOrder::Id { after }, limit }
    }
}

/// The key that a list is ordered by, ascending, and the last key that the page before had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageOrder {
    /// By name.
    Name {
        /// The last one seen.
        after: Option<Name>,
    },
    /// By id, which is by time of creation where one coordinator writes.
    Id {
        /// The last one seen.
        after: Option<Uuid>,
    },
}

/// A list's two texts. Both take the parent's id if there is one, then the last key, then the limit.
pub(super) struct Listing {
    pub(super) by_name: &'static str,
    pub(super) by_id: &'static str,
}

impl Listing {
    pub(super) async fn page<T>(
        &self,
        store: &dyn Store,
        parent: Option<Uuid>,
        page: &PageRequest,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        // The empty text and the nil uuid come before every name and id.
        let (sql, after) = match &page.order {
            PageOrder::Name { after } => (self.by_name, Value::from(after.as_ref().map_or("", Name::as_str))),
            PageOrder::Id { after } => (self.by_id, Value::from(after.unwrap_or_default())),
        };
        let params = parent.map(Value::from).into_iter().chain([after, Value::from(i64::from(page.limit))]);
        store.read(Statement::new(sql, params.collect())).await?.iter().map(read).collect()
    }
}

/// The only row of an answer, read, if there is one.
pub(super) async fn find<T>(
    store: &dyn Store,
    statement: Statement,
    read: impl Fn(&Row) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    store.read(statement).await?.first().map(read).transpose()
}
