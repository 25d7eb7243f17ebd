//! `sagactl sagas`: sagas as the database has them, whether a coordinator is there or not, and changing them by hand.

mod abandon;
mod change;
mod count;
mod filters;
mod find;
mod inject_error;
mod list;
mod reassign;
mod show;
mod slow;

use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::observe::sagas::SagasError;
use crate::observe::sagas::filter::Glob;
use crate::store::inspect::Inspector;

/// Look at sagas in the database: list, show, count, find, time them; and change them by hand
#[derive(Debug, clap::Args)]
pub struct SagasArgs {
    #[command(subcommand)]
    command: SagasCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SagasCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Count(count::CountArgs),
    Find(find::FindArgs),
    Slow(slow::SlowArgs),
    InjectError(inject_error::InjectErrorArgs),
    Abandon(abandon::AbandonArgs),
    Reassign(reassign::ReassignArgs),
}

/// Carries one of them out.
pub async fn run(ctx: &mut Context<'_>, args: SagasArgs) -> CommandResult {
    match args.command {
        SagasCommand::List(args) => list::run(ctx, args).await,
        SagasCommand::Show(args) => show::run(ctx, args).await,
        SagasCommand::Count(args) => count::run(ctx, args).await,
        SagasCommand::Find(args) => find::run(ctx, args).await,
        SagasCommand::Slow(args) => slow::run(ctx, args).await,
        SagasCommand::InjectError(args) => inject_error::run(ctx, args).await,
        SagasCommand::Abandon(args) => abandon::run(ctx, args).await,
        SagasCommand::Reassign(args) => reassign::run(ctx, args).await,
    }
}

/// A number of things: `1 saga`, `2 sagas`.
fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// For names that no saga has, found out by looking at every saga.
fn unknown_name(inspector: &Inspector, names: &[Glob]) -> Failure {
    let asked: Vec<String> = names.iter().map(|glob| format!("{:?}", glob.0)).collect();
    Failure::unusable(format!("no saga in {} is named {}", inspector.describe().url, asked.join(" or ")))
}

/// Good, unless rows had to be left out because nobody can tell which saga they are.
fn judge_ids(unreadable: u64, left_out: &str) -> CommandResult {
    if unreadable == 0 {
        return Ok(Outcome::Good);
    }
    let rows = counted(unreadable, "row");
    Err(Failure::new(Kind::Nonsense, format!("{rows} of saga without a readable id")).because(left_out))
}

impl From<SagasError> for Failure {
    fn from(error: SagasError) -> Self {
        let text = error.to_string();
        match error {
            SagasError::Inspect(error) => error.into(),
            SagasError::UnknownName { .. } => Self::unusable(text),
            SagasError::NeedsScan { .. } => Self::unusable("listing these would read every saga")
                .because(text)
                .hint("--unfinished uses an index that is there; --scan reads everything all the same"),
            SagasError::NoOwners { .. } => {
                Self::unusable("cannot tell which sagas are orphaned").because(text)
            }
        }
    }
}
