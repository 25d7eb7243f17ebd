//! The program: everything is in the library, see `cli`.

use std::process::ExitCode;

// Both halves of the program allocate much and small: sagas and their logs in a coordinator, answers in the tool.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut console = sagactl::cli::console::Console::of_process();
    let result = sagactl::cli::parse(std::env::args_os())
        .and_then(|cli| sagactl::cli::run(cli, &mut console, &|name| std::env::var_os(name)));
    console.finish(result)
}
