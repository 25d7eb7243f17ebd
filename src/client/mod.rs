//! HTTP: how the tool asks a coordinator.
//!
//! This is an edge: it answers questions and knows no policy. Every operation stands in one table with its retry class
//! (`operations`), so that none can be added without deciding whether it may be repeated.

pub mod base_url;
pub mod token;
