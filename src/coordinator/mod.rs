//! The reference coordinator, which is a library as well: a service that runs sagas of its own embeds it and gets
//! storage, recovery, the internal API and the tool.
//!
//! It meets the rest of the program through the database and its APIs only; nothing here knows the tool.
//!
//! Where to look: [`server`] puts it together; [`sec`] runs sagas; [`recovery`] decides what to recover and
//! [`background`] does it; [`sagas`] is how sagas are written; [`api`] is what is served, and
//! [`access`] to whom.

pub mod access;
pub mod api;
pub mod background;
pub mod drilled;
pub mod fault;
pub mod identity;
pub mod recovery;
pub mod sagas;
pub mod sec;
pub mod server;
mod server_log;
