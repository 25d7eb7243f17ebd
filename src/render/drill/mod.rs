//! What drills have shown.

pub mod crash;
pub mod crash_points;
pub mod failover;
pub mod furious;
