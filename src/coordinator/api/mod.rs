//! The two HTTP APIs. The internal one is Nexus's, for operators; the external one is Oxide's, for users.

mod body;
mod errors;
pub mod external;
pub mod internal;
