//! Bodies of requests, which have to come while somebody is willing to wait for them.
//!
//! The server waits for a body as long as its client likes, and each that drips in holds a handler. Here is where every
//! handler with a body gets it from, so that none can be without an end.

use async_trait::async_trait;
use dropshot::{
    ApiEndpointBodyContentType, ClientErrorStatusCode, ExclusiveExtractor, ExtractorMetadata, HttpError,
    RequestContext, ServerContext, TypedBody,
};
use http::header::CONNECTION;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// How long a body may take, counted from the end of the head: enough for the largest one on a line of 7 kB/s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A body of JSON that has come in time. In the API's document it is like any other.
pub struct PromptBody<T>(T);

impl<T> PromptBody<T> {
    /// What was in it.
    pub fn into_inner(self) -> T {
        self.0
    }
}

#[async_trait]
impl<T: JsonSchema + DeserializeOwned + Send + Sync + 'static> ExclusiveExtractor for PromptBody<T> {
    async fn from_request<Context: ServerContext>(
        rqctx: &RequestContext<Context>,
        request: http::Request<dropshot::Body>,
    ) -> Result<Self, HttpError> {
        match timeout(PATIENCE, TypedBody::<T>::from_request(rqctx, request)).await {
            Ok(body) => Ok(Self(body?.into_inner())),
            Err(_) => Err(too_slow()),
        }
    }

    fn metadata(content_type: ApiEndpointBodyContentType) -> ExtractorMetadata {
        TypedBody::<T>::metadata(content_type)
    }
}

fn too_slow() -> HttpError {
    let error = HttpError::for_client_error(
        Some("RequestTimeout".to_owned()),
        ClientErrorStatusCode::REQUEST_TIMEOUT,
        format!("the body did not come within {}", humantime::format_duration(PATIENCE)),
    );
    // What may still come of the body is not read any more.
    error.with_header(CONNECTION, "close").expect("a name and a value that headers may have")
}
