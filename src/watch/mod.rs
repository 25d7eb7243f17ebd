//! A stream of what happened to sagas, SECs and recovery, of which nothing is missed.
//!
//! Nobody sends events. A watcher looks at the database and at a coordinator's reports, compares what it sees with what it
//! has told so far, and tells the difference. So it does not matter how long a look was impossible, whether the coordinator
//! was restarted meanwhile, or whether the watcher itself was: the next look tells what was missed. What happened twice
//! between two looks (a saga that changed hands from A to B to C) is told as one transition from the last state told.
//!
//! ```text
//!   database ─┐                                                  ┌─> standard output
//!             ├─ look ─> Sighting ─> Memory::take (pure) ─> events ─> hook
//!   API ──────┘                            │                     └─> told: one mark in the state file
//!                                          └─> state file: memory and events, before the first of them is told
//! ```
//!
//! What is in memory lets a kill -9 at any moment cost nothing but one repetition:
//!
//! 1. Before the first event of a look is told, the state file holds them all, numbered, beside the memory that follows from
//!    them. It is written to a temporary file, synced and renamed.
//! 2. An event is told: printed, and given to the hook until the hook accepts it.
//! 3. A mark is appended to the state file and synced.
//!
//! A watcher that was killed begins with the events that have no mark. Only the one between steps 2 and 3 can be told
//! again, and then under the same number. A mark per event, rather than a new file per event, keeps this at one short write
//! however much there is to remember.

pub mod event;
pub mod hook;
pub mod look;
pub mod memory;
pub mod sighting;
pub mod state_file;
#[cfg(test)]
mod tests;
