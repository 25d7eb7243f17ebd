//! One look at a coordinator and its database.
//!
//! What comes out is a report whose parts may each be missing, with the reason: an older coordinator offers less, a
//! database may be out of reach, and what cannot be read must not hide what can. Tables and JSON are both made from the
//! same report, so they cannot disagree.
//!
//! ```text
//!   client (task, info) ──┐
//!                         ├──> Status ──> render, JSON
//!   database (names, ..) ─┘
//! ```
//!
//! A coordinator of ours has somebody look at its database for those who ask it ([`lookout`]); then all of it comes from the
//! client.

pub mod activation;
pub mod database;
pub mod found_out;
pub mod lookout;
mod overview;
pub mod quiesce;
pub mod quiesce_wait;
pub mod recovery;
pub mod saga;
pub mod sagas;
pub mod secs;
pub mod status;
pub mod task;
pub mod why;
