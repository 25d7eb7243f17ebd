//! Background tasks: things that a coordinator does again and again, and that anybody may ask for at any time.
//!
//! A task looks at the present state and does what that state asks for. It is never told what has changed: a signal only
//! wakes it sooner than its period would. So a lost or doubled signal costs nothing but time, an activation at any
//! moment is safe, and a restart needs no memory of what was asked before it.
//!
//! [`driver`] knows how to run tasks and nothing of what they do; [`tasks`] holds one file for each.

pub mod driver;
pub mod tasks;

pub use driver::{Activation, Driver, Task};
