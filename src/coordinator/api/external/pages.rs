//! Lists, a page at a time.
//!
//! A page's token carries everything that the list was asked with, so that the next page needs nothing but the token, and
//! the last key of the page. An empty page has no token: whoever goes on until there is none has seen everything.

use super::super::errors::invalid_request;
use super::ExternalContext;
use crate::store::domain::PageRequest;
use crate::wire::external::{Project, Route, Router, Subnet, Vpc};
use crate::wire::name::{Name, NameOrId};
use dropshot::{HttpError, HttpResponseOk, PaginationParams, RequestContext, ResultsPage, WhichPage};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most items on one page, whatever is asked for.
const MAX_PAGE_ITEMS: u32 = 1000;

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// Ascending by name.
    #[default]
    NameAscending,
    /// Ascending by id: by time of creation, and coordinator by coordinator where there are several.
    IdAscending,
}

/// What the first page of a list is asked with.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Scan<S> {
    /// The order.
    #[serde(default)]
    pub sort_by: SortBy,
    /// Whose list it is.
    #[serde(flatten)]
    pub selector: S,
}

/// Where the next page begins.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PageStart<S> {
    #[serde(flatten)]
    scan: Scan<S>,
    last_seen: NameOrId,
}

/// The query of a list.
pub(super) type ListQuery<S> = PaginationParams<Scan<S>, PageStart<S>>;

/// Something that lists hold.
pub(super) trait Listed: Serialize + JsonSchema + Send + Sync + 'static {
    /// Its key in a list by id.
    fn id(&self) -> Uuid;
    /// Its key in a list by name.
    fn name(&self) -> &Name;
}

macro_rules! listed {
    ($($object:ident),*) => {
        $(impl Listed for $object {
            fn id(&self) -> Uuid {
                self.id.as_uuid()
            }

            fn name(&self) -> &Name {
                &self.name
            }
        })*
    };
}
listed!(Project, Vpc, Subnet, Router, Route);

/// What a query asks for: the list, and which page of it.
pub(super) fn asked<S>(
    rqctx: &RequestContext<ExternalContext>,
    query: ListQuery<S>,
) -> Result<(Scan<S>, PageRequest), HttpError>
where
    S: DeserializeOwned + Serialize + Send + Sync + 'static,
{
    let limit = rqctx.page_limit(&query)?.get().min(MAX_PAGE_ITEMS);
    let (scan, last_seen) = match query.page {
        WhichPage::First(scan) => (scan, None),
        WhichPage::Next(PageStart { scan, last_seen }) => (scan, Some(last_seen)),
    };
    let page = page_request(scan.sort_by, last_seen, limit)
        .ok_or_else(|| invalid_request("the page token is of another list".to_owned()))?;
    Ok((scan, page))
}

fn page_request(sort_by: SortBy, last_seen: Option<NameOrId>, limit: u32) -> Option<PageRequest> {
    match (sort_by, last_seen) {
        (SortBy::NameAscending, None) => Some(PageRequest::by_name(None, limit)),
        (SortBy::NameAscending, Some(NameOrId::Name(name))) => Some(PageRequest::by_name(Some(name), limit)),
        (SortBy::IdAscending, None) => Some(PageRequest::by_id(None, limit)),
        (SortBy::IdAscending, Some(NameOrId::Id(id))) => Some(PageRequest::by_id(Some(id), limit)),
        (SortBy::NameAscending, Some(NameOrId::Id(_))) | (SortBy::IdAscending, Some(NameOrId::Name(_))) => {
            None
        }
    }
}

/// One page of a list.
pub(super) fn answer<S: Clone + Serialize, T: Listed>(
    scan: &Scan<S>,
    items: Vec<T>,
) -> Result<HttpResponseOk<ResultsPage<T>>, HttpError> {
    let start = |last: &T, scan: &Scan<S>| PageStart {
        scan: scan.clone(),
        last_seen: match scan.sort_by {
            SortBy::NameAscending => NameOrId::Name(last.name().clone()),
            SortBy::IdAscending => NameOrId::Id(last.id()),
        },
    };
    Ok(HttpResponseOk(ResultsPage::new(items, scan, start)?))
}

#[cfg(test)]
mod tests {
    use super::super::select::RouterSelector;
    use super::*;

    #[test]
    fn the_longest_token_is_one_that_the_framework_takes() {
        let name = || NameOrId::Name("a".repeat(63).parse().expect("a name"));
        let selector = RouterSelector { project: Some(name()), vpc: Some(name()), router: name() };
        let start = PageStart { scan: Scan { sort_by: SortBy::NameAscending, selector }, last_seen: name() };
        let page =
            ResultsPage::new(vec![()], &(), |(), ()| start.clone()).expect("a token that is not too long");
        let token = page.next_page.expect("a page that is not empty has a token");
        assert!(token.len() <= 512, "{} bytes", token.len());
    }

    #[test]
    fn a_token_goes_with_its_order() {
        let id = NameOrId::Id(Uuid::nil());
        let name = NameOrId::Name("a".parse().expect("a name"));
        assert!(page_request(SortBy::NameAscending, Some(id.clone()), 1).is_none());
        assert!(page_request(SortBy::IdAscending, Some(name.clone()), 1).is_none());
        assert!(page_request(SortBy::NameAscending, Some(name), 1).is_some());
        assert!(page_request(SortBy::IdAscending, Some(id), 1).is_some());
    }
}
