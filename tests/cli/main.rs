//! The real binary against servers that behave, misbehave, or are not there: standard output, standard error and exit code.

mod activate;
mod amend;
mod blast;
mod check;
mod config;
mod connection;
mod coordinator;
mod demo_saga;
mod drill;
mod failover;
#[path = "../support/fault_proxy.rs"]
mod fault_proxy;
mod faults;
mod hostile_clients;
mod hostile_servers;
mod inject_live;
mod overview;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/postgres_proxy.rs"]
mod postgres_proxy;
mod quiesce;
mod readme;
mod recovery;
mod retries;
mod sagas;
mod sagas_postgres;
mod scratch_postgres;
mod secrets;
mod secs;
mod security;
mod several;
mod show;
mod status;
mod support;
mod tasks;
mod tls;
#[path = "../support/tls_proxy.rs"]
mod tls_proxy;
mod usage;
mod watch;
mod watchdog;
mod why;
