//! The body of every error answer of both APIs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a server sends with a 4xx or 5xx status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// Id of the request in the server's log; also in the `x-request-id` header.
    pub request_id: String,
    /// Machine-readable kind; absent for errors of the HTTP framework itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// For people.
    pub message: String,
}
