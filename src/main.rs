//! The program: everything is in the library, see `cli`.

use sagactl::coordinator::server::SagaSet;
use std::process::ExitCode;

// Both halves of the program allocate much and small: sagas and their logs in a coordinator, answers in the tool.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sagactl::cli::main_with(SagaSet::reference)
}
