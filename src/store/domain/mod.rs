//! The external API's objects: the statements that write them and the questions that read them.
//!
//! Each statement is written once, in the subset of SQL that the backends share, in the file of its object. Two rules run
//! through all of them.
//!
//! - *Inserts can be repeated.* An object's id is derived from its saga, so a row with the same id is the same row, and a
//!   second insert counts it once more instead of failing. The parent must be there and not be marked by a delete saga,
//!   unless the row itself is there already: an action that runs again after a crash has to succeed again, or what it did
//!   would never be undone.
//! - *Reads see what is there to stay.* Rows that a delete saga has marked are left out.

pub mod blocks;
pub mod firewall;
pub mod gateways;
mod listing;
pub mod parts;
pub mod projects;
pub mod routers;
pub mod routes;
pub mod schema;
pub mod subnets;
#[cfg(test)]
mod tests;
pub mod vpcs;

pub use listing::{PageOrder, PageRequest};

/// Refusal text of inserts whose parent is not there or is being deleted.
pub const PARENT_GONE: &str = "what it belongs to is not there or is being deleted";

/// Refusal text of changes whose object is not there or is being deleted by somebody else.
pub const GONE: &str = "it is not there or is being deleted";
