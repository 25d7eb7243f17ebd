//! `GET /info` of our coordinator (a Nexus does not have it; the tool treats it as optional), and the ready file.

use super::ids::SecId;
use super::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who this coordinator is and how it is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Info {
    /// Its id as a SEC.
    pub sec_id: SecId,
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// When this process started.
    pub time_started: Time,
    /// `sqlite` or `postgresql`.
    pub store: String,
    /// Where the database is, without passwords.
    pub db_url: String,
    /// Base URL of the internal API.
    pub internal_url: String,
    /// Base URL of the external API.
    pub external_url: String,
    /// The process answers: always true in an answer.
    pub healthy: bool,
    /// It accepts new sagas.
    pub ready: bool,
    /// A recovery pass is complete and the last one left nothing behind that could not be recovered.
    pub recovered: bool,
    /// Sagas in flight that recovery took up.
    pub sagas_recovering: u64,
    /// All sagas in flight.
    pub sagas_in_flight: u64,
}

/// What `--ready-file` holds once both APIs answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyFile {
    /// Id as a SEC.
    pub sec_id: SecId,
    /// Base URL of the internal API, with the real port.
    pub internal_url: String,
    /// Base URL of the external API, with the real port.
    pub external_url: String,
    /// Where the database is.
    pub db_url: String,
    /// Process id.
    pub pid: u32,
}
