//! HTTP: how the tool asks a coordinator.
//!
//! This is an edge: it answers questions and knows no policy. Every operation stands in one table with its retry class
//! ([`operations`]), so that none can be added without deciding whether it may be repeated. What comes back is either the
//! value that was asked for or an [`error::Problem`] that a caller can tell from others.
//!
//! # Time
//!
//! A client has a deadline. Everything it does, retries and their waiting included, ends by then; what ran out of time
//! while a server was connected is told from what never got a connection.

pub mod base_url;
pub mod decode;
pub mod diagnosis;
mod drills;
pub mod error;
pub mod excerpt;
mod internal;
pub mod operations;
pub mod retry;
pub mod tls;
pub mod token;
mod transport;

pub use internal::{Activation, FetchedOverview, FetchedQuiesce, FetchedTask, ListedTask};
pub use transport::{Client, Config, Event, RetryNotice, time_for_finding_out};

/// Why no client could be made.
pub type ClientError = Box<dyn std::error::Error + Send + Sync>;
