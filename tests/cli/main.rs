//! The real binary against servers that behave, misbehave, or are not there: standard output, standard error and exit code.

mod activate;
mod config;
mod connection;
mod demo_saga;
mod status;
mod support;
mod tasks;
mod usage;
