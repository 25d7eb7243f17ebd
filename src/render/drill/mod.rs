//! What drills have shown.

pub mod crash_points;
