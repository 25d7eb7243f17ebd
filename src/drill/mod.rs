//! Drills: coordinators that are started in order to be broken, and what is learned from it.
//!
//! A drill meets a coordinator as an operator does, as a process, an API and a database, and never from inside. It
//! starts its own in a scratch directory, on free ports and loopback only, runs for a bounded time and leaves nothing
//! behind. Engines here return reports and emit events; who prints them is no concern of theirs.

pub mod crash;
pub mod crash_points;
pub mod database;
pub mod demo;
pub mod failover;
pub mod furious;
pub mod harness;
pub mod lab;
pub mod saga_load;
