//! Consent to what cannot be taken back.
//!
//! A destructive command needs three things: `-w` on its command line, a person who says yes to the plan that it has just
//! shown (or `--yes` where nobody can be asked), and a [`Consent`], which only this file makes and which the code that
//! destroys takes as an argument. So no path through the program leads past the question.

use super::context::Context;
use super::failure::{Failure, Kind};
use std::io::{self, IsTerminal};

/// Flags of every command that destroys something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct ConsentArgs {
    /// Allow a command that changes or deletes what is there
    #[arg(short = 'w', long, global = true)]
    destructive: bool,

    /// Do not ask for confirmation
    #[arg(short = 'y', long, global = true)]
    yes: bool,
}

/// Proof that somebody wants it.
#[derive(Debug)]
pub struct Consent(());

impl ConsentArgs {
    /// Refuses a destructive command without `-w`, before anything is asked of anybody.
    pub fn require_destructive(self, command: &str) -> Result<(), Failure> {
        if self.destructive {
            return Ok(());
        }
        Err(Failure::unusable(format!("{command} cannot be taken back, so it needs -w (--destructive)"))
            .hint("--dry-run shows what it would do and needs no -w"))
    }

    /// Asks, after the plan was shown: `question` is a whole sentence with its numbers in it.
    ///
    /// # Errors
    ///
    /// When the answer is no, or there is nobody to ask.
    pub async fn ask(self, ctx: &mut Context<'_>, question: &str) -> Result<Consent, Failure> {
        if self.yes {
            return Ok(Consent(()));
        }
        if !(io::stdin().is_terminal() && ctx.console().stderr_is_terminal()) {
            return Err(Failure::unusable("there is no terminal to ask for confirmation on")
                .hint("--yes (-y) goes on without asking"));
        }
        // What the plan says must be on the screen before the question.
        ctx.out().flush()?;
        let stderr = ctx.console().stderr();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        // Reading waits for a person, and ^C must end that.
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = read.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        match line {
            Ok(line) if is_yes(&line) => Ok(Consent(())),
            Ok(_) => Err(Failure::new(Kind::Bad, "nothing was done: it was not confirmed")),
            Err(error) => Err(Failure::unusable("reading the answer").caused_by(&error)),
        }
    }
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        assert!(["y\n", "Y", " yes \n"].into_iter().all(is_yes));
        assert!(!["", "\n", "n\n", "yy", "yes please"].into_iter().any(is_yes));
    }

    #[test]
    fn without_the_flag_nothing_is_even_asked() {
        assert!(ConsentArgs::default().require_destructive("blast clean").is_err());
        let allowed = ConsentArgs { destructive: true, yes: false };
        assert!(allowed.require_destructive("blast clean").is_ok());
    }
}
