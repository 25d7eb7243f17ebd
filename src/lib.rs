//! sagactl: the operator's tool for saga coordinators, and a coordinator to use it on.

pub mod coordinator;
pub mod store;
pub mod wire;
