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
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
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

/// Every command. One more is one line here, one in [`DESCRIPTIONS`] and one in [`dispatch`].
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

/// How clap is told of the arguments of each command.
const DESCRIPTIONS: [(&str, Describe); 16] = {
    use commands::*;
    [
        ("status", status::StatusArgs::augment_args),
        ("activate", activate::ActivateArgs::augment_args),
        ("tasks", tasks::TasksArgs::augment_args),
        ("why", why::WhyArgs::augment_args),
        ("sagas", sagas::SagasArgs::augment_args),
        ("secs", secs::SecsArgs::augment_args),
        ("watch", watch::WatchArgs::augment_args),
        ("watchdog", watchdog::WatchdogArgs::augment_args),
        ("demo-saga", demo_saga::DemoSagaArgs::augment_args),
        ("blast", blast::BlastArgs::augment_args),
        ("check", check::CheckArgs::augment_args),
        ("drill", drill::DrillArgs::augment_args),
        ("quiesce", quiesce::QuiesceArgs::augment_args),
        ("coordinator", coordinator::CoordinatorArgs::augment_args),
        ("demo", demo::DemoArgs::augment_args),
        ("completions", completions::CompletionsArgs::augment_args),
    ]
};

type Describe = fn(clap::Command) -> clap::Command;

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
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parse_as = |command: clap::Command| Cli::from_arg_matches(&command.try_get_matches_from(&arguments)?);
    // Either reads what is right in the same way. Help and errors are for the whole tree to give.
    parse_as(branches(&arguments)).or_else(|_| parse_as(command())).map_err(Failure::from_clap)
}

/// Of the command tree, as much as these arguments could mean: to describe all of it to clap takes longer than most
/// commands take for their answers.
fn branches(arguments: &[OsString]) -> clap::Command {
    let named = DESCRIPTIONS.iter().filter(|(name, _)| arguments.iter().any(|argument| argument == name));
    let branches = named.map(|(name, describe)| describe(clap::Command::new(*name)));
    GlobalArgs::augment_args(clap::Command::new("sagactl")).subcommands(branches)
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
        Command::Status(args) => block_on(EndTheCommand, || commands::status::run(ctx, args)),
        Command::Activate(args) => block_on(EndTheCommand, || commands::activate::run(ctx, args)),
        Command::Tasks(args) => block_on(EndTheCommand, || commands::tasks::run(ctx, args)),
        Command::Why(args) => block_on(EndTheCommand, || commands::why::run(ctx, args)),
        Command::Sagas(args) => block_on(EndTheCommand, || commands::sagas::run(ctx, args)),
        Command::Secs(args) => block_on(EndTheCommand, || commands::secs::run(ctx, args)),
        Command::Watch(args) => block_on(EndTheCommand, || commands::watch::run(ctx, args)),
        Command::Watchdog(args) => block_on(EndTheCommand, || commands::watchdog::run(ctx, *args)),
        Command::DemoSaga(args) => block_on(EndTheCommand, || commands::demo_saga::run(ctx, args)),
        Command::Blast(args) => block_on(args.interrupts(), || commands::blast::run(ctx, *args)),
        Command::Check(args) => block_on(EndTheCommand, || commands::check::run(ctx, args)),
        Command::Drill(args) => block_on(EndTheCommand, || commands::drill::run(ctx, args)),
        Command::Quiesce(args) => block_on(EndTheCommand, || commands::quiesce::run(ctx, args)),
        Command::Coordinator(args) => commands::coordinator::run(ctx, args, sagas),
        Command::Demo(args) => block_on(EndTheCommand, || commands::demo::run(ctx, args)),
        Command::Completions(args) => commands::completions::run(ctx, args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_described_as_in_the_whole_tree() {
        let inside = |command: &clap::Command| {
            let arguments: Vec<_> =
                command.get_arguments().map(|argument| argument.get_id().clone()).collect();
            let commands: Vec<_> =
                command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
            (command.get_name().to_owned(), arguments, commands)
        };
        let described = DESCRIPTIONS.map(|(name, describe)| inside(&describe(clap::Command::new(name))));
        let whole: Vec<_> = Cli::command().get_subcommands().map(inside).collect();
        assert_eq!(described[..], whole);
    }

    #[test]
    fn a_branch_is_read_as_the_whole_tree_is() {
        for line in [
            "status",
            "--url http://127.0.0.1:1 -v status -v --limit 3 -o json --watch=5s",
            "tasks show recovery --timeout 2s",
            "demo-saga --yes create",
            "sagas list --idle 1h --url http://status",
            "--context status why demo",
            "drill crash --cycles 2",
            "coordinator run --data-dir blast",
        ] {
            let arguments: Vec<OsString> =
                "sagactl".split(' ').chain(line.split(' ')).map(OsString::from).collect();
            let parse_as = |command: clap::Command| {
                let matches = command.try_get_matches_from(&arguments).expect(line);
                format!("{:?}", Cli::from_arg_matches(&matches).expect(line))
            };
            assert_eq!(parse_as(branches(&arguments)), parse_as(command()));
        }
    }
}
