//! The contract: ids and the JSON shapes that travel between the tool, a coordinator and the database.
//!
//! Nothing here has behaviour beyond parsing and printing itself, and nothing here knows who uses it. Shapes that Oxide
//! Nexus defined keep Nexus's names, field for field; what is ours is spelled out in full words.

pub mod bgtasks;
pub mod error;
pub mod external;
pub mod fault;
pub mod field;
pub mod ids;
pub mod info;
pub mod name;
pub mod overview;
pub mod part;
pub mod quiesce;
pub mod recovery;
pub mod sagas;
pub mod time;
