//! Recovery against a simulated coordinator: stories with the domain's verbs, and arbitrary interleavings of them.
//!
//! [`world`] is the database, the creators and the engine; [`pass`] is a pass cut into steps between which anything can
//! happen; both check at every step what must hold. [`ending`] brings a world to rest and checks that nothing is left. The
//! properties, P1 to P11, are named in [`model::Property`]; a world can be given a [`model::Mutation`], a plausible mistake in
//! how recovery is used, to show that the checks would notice (P10).

mod announcements;
mod causes;
mod ending;
mod interleavings;
mod misuse;
mod model;
mod pass;
mod reports;
mod stories;
mod world;
