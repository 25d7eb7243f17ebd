//! One file per background task.

pub mod saga_recovery;
pub mod sec_adoption;
pub mod sec_heartbeat;
