//! sagactl: the operator's tool for saga coordinators, and a coordinator to use it on.

pub mod amend;
pub mod blast;
pub mod check;
pub mod cli;
pub mod client;
pub mod coordinator;
pub mod descriptors;
pub mod drill;
pub mod files;
pub mod observe;
pub mod reconcile;
pub mod render;
pub mod saga_log;
pub mod store;
pub mod watch;
pub mod watchdog;
pub mod wire;

#[cfg(test)]
#[path = "../tests/support/fuzz.rs"]
mod fuzz;

#[cfg(test)]
#[path = "../tests/support/postgres_proxy.rs"]
mod postgres_proxy;

#[cfg(test)]
#[path = "../tests/support/postgres.rs"]
mod scratch_postgres;
