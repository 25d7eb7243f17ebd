//! The runtime of commands that wait for something: one thread, made only when it is needed.
//!
//! Short commands spend most of their time starting, so nothing is started that they do not use: no worker threads, no
//! timers before the first one, no signal handler in commands that never wait.

use super::failure::{CommandResult, Failure, Kind};
use std::future::Future;
use std::pin::pin;

/// Who acts on ^C while a command waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupts {
    /// It ends the command at once with exit code 130. What the command holds is dropped as usual.
    EndTheCommand,
    /// The command itself, which has something to finish or to count first.
    AreTheCommandsOwn,
}

/// Runs a command that waits.
///
/// It is begun here and stays where it is: futures of commands are large, and so are the stacks of functions that hold
/// several. A page of stack that is touched for the first time costs as much as some thousand instructions.
#[inline(never)]
pub fn block_on<F: Future<Output = CommandResult>>(
    interrupts: Interrupts,
    begin: impl FnOnce() -> F,
) -> CommandResult {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Kind::Unusable, "starting the runtime").caused_by(&error))?;
    let result = {
        // What the command holds is dropped inside the runtime, whoever ends it.
        let _inside = runtime.enter();
        let command = pin!(begin());
        runtime.block_on(async {
            match interrupts {
                Interrupts::AreTheCommandsOwn => command.await,
                Interrupts::EndTheCommand => tokio::select! {
                    result = command => result,
                    Ok(()) = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
                },
            }
        })
    };
    // A name that is still being looked up would otherwise hold the process until the resolver gives up.
    runtime.shutdown_background();
    result
}
