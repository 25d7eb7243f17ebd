//! What drills have shown.

pub mod crash;
pub mod crash_points;
pub mod furious;
