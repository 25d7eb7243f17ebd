//! Understands a saga's DAG and event log: what each node is doing, in which order things ran, where a saga hangs, and
//! whether its log is legal. Pure: rows in, a reading out.

pub mod action_error;
pub mod mentions;
pub mod node_names;
pub mod record;
pub mod summary;
pub mod timing;
