//! `sagactl completions`: lets a shell complete commands and flags.

use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Outcome};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: sagactl completions bash > ~/.local/share/bash-completion/completions/sagactl"
)]
pub struct CompletionsArgs {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Prints the script.
pub fn run(ctx: &mut Context<'_>, args: CompletionsArgs) -> CommandResult {
    // Generated in memory, because the generator panics when its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::command(), "sagactl", &mut script);
    ctx.out().write_all(&script)?;
    Ok(Outcome::Good)
}
