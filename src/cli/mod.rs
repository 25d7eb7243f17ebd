//! The command line: the only place that knows clap.
//!
//! [`parse`] makes a [`Cli`] from arguments, [`run`] carries it out, and [`console::Console::finish`] turns what became
//! of it into an exit code. A command's arguments and its body stand side by side in `commands/`, one file each.

mod changes;
pub mod commands;
pub mod config;
pub mod consent;
pub mod console;
pub mod context;
mod database;
pub mod failure;
mod fatal;
mod progress;
pub mod runtime;
mod screen;
mod suggest;

use crate::coordinator::server::SagaSet;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use config::{Environment, GlobalArgs, Settings};
use console::Console;
use context::Context;
use failure::{CommandResult, Failure};
use runtime::{Interrupts, block_on};
use std::ffi::OsString;
use std::process::ExitCode;

/// The operator's tool for saga coordinators: see recovery, trigger it, load it, break it, prove it
#[derive(Debug, Parser)]
#[command(name = "sagactl", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 good, 1 the answer is bad, 2 wrong usage, 3 unreachable or refused, \
                        4 timed out waiting, 5 the answer makes no sense, 130 interrupted")]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

/// Every command. One more is one line here and one in [`dispatch`].
#[derive(Debug, Subcommand)]
enum Command {
    Status(commands::status::StatusArgs),
    Activate(commands::activate::ActivateArgs),
    Tasks(commands::tasks::TasksArgs),
    Why(commands::why::WhyArgs),
    Sagas(commands::sagas::SagasArgs),
    Secs(commands::secs::SecsArgs),
    Watch(commands::watch::WatchArgs),
    Watchdog(Box<commands::watchdog::WatchdogArgs>),
    DemoSaga(commands::demo_saga::DemoSagaArgs),
    Blast(Box<commands::blast::BlastArgs>),
    Check(commands::check::CheckArgs),
    Drill(commands::drill::DrillArgs),
    Quiesce(commands::quiesce::QuiesceArgs),
    Coordinator(commands::coordinator::CoordinatorArgs),
    Demo(commands::demo::DemoArgs),
    Completions(commands::completions::CompletionsArgs),
}

impl Command {
    /// Whether `--url` may be repeated.
    fn looks_at_several(&self) -> bool {
        match self {
            Self::Status(args) => args.looks_at_several(),
            Self::Tasks(args) => args.looks_at_several(),
            Self::Secs(args) => args.looks_at_several(),
            Self::Quiesce(_) => true,
            _ => false,
        }
    }
}

/// What the arguments ask for.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Failure> {
    let matches = command().try_get_matches_from(arguments).map_err(Failure::from_clap)?;
    Cli::from_arg_matches(&matches).map_err(Failure::from_clap)
}

/// The whole command tree, as clap knows it.
pub fn command() -> clap::Command {
    say_what_is_missing(Cli::command())
}

/// Where a command is missing, clap would print the whole help as if that had been the wish. An error says more.
fn say_what_is_missing(command: clap::Command) -> clap::Command {
    command.arg_required_else_help(false).mut_subcommands(say_what_is_missing)
}

/// The whole program: does what the process's arguments ask for.
///
/// `sagas` is asked only when a coordinator is to run. A service that passes its own sagas gets the coordinator that runs
/// them and every command of the tool, drills included, in its own program.
pub fn main_with(sagas: fn() -> SagaSet) -> ExitCode {
    let mut console = Console::of_process();
    let result = parse(std::env::args_os())
        .and_then(|cli| run(cli, &mut console, &|name| std::env::var_os(name), sagas));
    console.finish(result)
}

/// Carries a command out.
pub fn run(
    cli: Cli,
    console: &mut Console,
    environment: &Environment<'_>,
    sagas: fn() -> SagaSet,
) -> CommandResult {
    let settings = Settings::resolve(&cli.global, environment)?;
    if !settings.more_urls.is_empty() && !cli.command.looks_at_several() {
        // None is picked silently.
        return Err(Failure::unusable(
            "--url was given more than once, and this command is about one coordinator",
        )
        .hint("status, tasks list, secs list --ping and quiesce look at several"));
    }
    let mut ctx = Context::new(console, settings, environment);
    dispatch(cli.command, &mut ctx, sagas)
}

fn dispatch(command: Command, ctx: &mut Context<'_>, sagas: fn() -> SagaSet) -> CommandResult {
    use Interrupts::EndTheCommand;
    match command {
        Command::Status(args) => block_on(EndTheCommand, commands::status::run(ctx, args)),
        Command::Activate(args) => block_on(EndTheCommand, commands::activate::run(ctx, args)),
        Command::Tasks(args) => block_on(EndTheCommand, commands::tasks::run(ctx, args)),
        Command::Why(args) => block_on(EndTheCommand, commands::why::run(ctx, args)),
        Command::Sagas(args) => block_on(EndTheCommand, commands::sagas::run(ctx, args)),
        Command::Secs(args) => block_on(EndTheCommand, commands::secs::run(ctx, args)),
        Command::Watch(args) => block_on(EndTheCommand, commands::watch::run(ctx, args)),
        Command::Watchdog(args) => block_on(EndTheCommand, commands::watchdog::run(ctx, *args)),
        Command::DemoSaga(args) => block_on(EndTheCommand, commands::demo_saga::run(ctx, args)),
        Command::Blast(args) => block_on(args.interrupts(), commands::blast::run(ctx, *args)),
        Command::Check(args) => block_on(EndTheCommand, commands::check::run(ctx, args)),
        Command::Drill(args) => block_on(EndTheCommand, commands::drill::run(ctx, args)),
        Command::Quiesce(args) => block_on(EndTheCommand, commands::quiesce::run(ctx, args)),
        Command::Coordinator(args) => commands::coordinator::run(ctx, args, sagas),
        Command::Demo(args) => block_on(EndTheCommand, commands::demo::run(ctx, args)),
        Command::Completions(args) => commands::completions::run(ctx, args),
    }
}
