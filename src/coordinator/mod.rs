//! The reference coordinator, which is a library as well: a service that runs sagas of its own embeds it and gets
//! storage, recovery, the internal API and the tool.
//!
//! It meets the rest of the program through the database and its APIs only; nothing here knows the tool.

pub mod recovery;
pub mod sagas;
