//! `sagactl tasks`: the coordinator's background tasks.

use super::several::ask_each;
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::cli::suggest::closest;
use crate::client::ListedTask;
use crate::client::excerpt::Excerpt;
use crate::observe::activation::{self, UnknownTask};
use crate::observe::recovery::Recovery;
use crate::observe::task::{TaskView, details};
use crate::render;
use crate::render::escape::{escape, excerpt};
use crate::render::task::LONGEST_NAME;
use crate::wire::bgtasks::SAGA_RECOVERY;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::str::FromStr;

/// The name that people use for `saga_recovery`.
const RECOVERY_ALIAS: &str = "recovery";

/// Look at the coordinator's background tasks
#[derive(Debug, clap::Args)]
pub struct TasksArgs {
    #[command(subcommand)]
    command: TasksCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TasksCommand {
    /// List all background tasks, one per line
    List(ListArgs),
    /// Show background tasks in full
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only these columns, in this order
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    columns: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Which tasks; "recovery" means saga_recovery [default: all]
    #[arg(value_name = "TASK")]
    tasks: Vec<TaskName>,
}

impl TasksArgs {
    /// Whether several coordinators may be looked at.
    pub fn looks_at_several(&self) -> bool {
        matches!(self.command, TasksCommand::List(_))
    }
}

/// The name of a background task, with the alias resolved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskName(pub String);

impl FromStr for TaskName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("a task has a name"),
            RECOVERY_ALIAS => Ok(Self(SAGA_RECOVERY.to_owned())),
            name => Ok(Self(name.to_owned())),
        }
    }
}

/// Lists or shows.
pub async fn run(ctx: &mut Context<'_>, args: TasksArgs) -> CommandResult {
    match args.command {
        TasksCommand::List(args) => list(ctx, args).await,
        TasksCommand::Show(args) => show(ctx, args).await,
    }
}

async fn list(ctx: &mut Context<'_>, args: ListArgs) -> CommandResult {
    let mode = ctx.output_among("tasks list", &OutputMode::ALL)?;
    let answers = ask_each(ctx, async |ctx| Ok(ctx.client()?.list_tasks().await?)).await;
    let is_one = answers.is_one();
    let each = || answers.good.iter().flat_map(|(url, tasks)| tasks.iter().map(move |task| (url, task)));
    let look = ctx.look();
    match mode {
        // Its failure says it all, as below.
        _ if answers.good.is_empty() => {}
        OutputMode::Table => {
            let views: Vec<_> = each()
                .map(|(url, task)| (url, &*task.name, task.task.as_ref().ok().map(TaskView::new)))
                .collect();
            let rows = views.iter().map(|(url, name, view)| (*url, *name, view.as_ref()));
            let table = render::tasks::task_table(&look, rows);
            let table = match args.columns.is_empty() {
                true if is_one => table.without("COORDINATOR"),
                true => table,
                false => table.select(&args.columns).map_err(|error| Failure::unusable(error.to_string()))?,
            };
            table.render(&look, ctx.out())?;
        }
        OutputMode::Ids => {
            let names: BTreeSet<&str> = each().map(|(_, task)| &*task.name).collect();
            for name in names {
                writeln!(ctx.out(), "{}", escape(name))?;
            }
        }
        OutputMode::Json | OutputMode::Jsonl => {
            let all = each().map(|(url, task)| {
                let mut task = in_json(task);
                if !is_one {
                    task["coordinator"] = url.to_string().into();
                }
                task
            });
            let all: Vec<Value> = all.collect();
            ctx.write_json_list(mode, &all)?;
        }
    }
    let tasks = answers.finish()?;
    judge(tasks.into_iter().flatten().collect())
}

async fn show(ctx: &mut Context<'_>, args: ShowArgs) -> CommandResult {
    let mode = ctx.output_among("tasks show", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let client = ctx.client()?;
    let mut tasks = Vec::new();
    if args.tasks.is_empty() {
        tasks = client.list_tasks().await?;
    } else {
        for TaskName(name) in args.tasks.into_iter().collect::<BTreeSet<_>>() {
            match client.fetch_task(&name).await? {
                Some(task) => tasks.push(ListedTask { name, task: Ok(task) }),
                None => return Err(unknown_task(&activation::unknown(&client, &name).await?)),
            }
        }
    }
    if mode != OutputMode::Table {
        ctx.write_json_list(mode, &tasks.iter().map(in_json).collect::<Vec<_>>())?;
        return judge(tasks);
    }
    let look = ctx.look();
    for (index, listed) in tasks.iter().enumerate() {
        let out = ctx.out();
        if index > 0 {
            writeln!(out)?;
        }
        match &listed.task {
            Ok(task) if listed.name == SAGA_RECOVERY => {
                let recovery = Recovery::new(task);
                render::task::render_recovery(out, &look, &recovery)?;
                render::task::render_tables(out, &look, &recovery, render::Limit::None)?;
            }
            Ok(task) => {
                let view = TaskView::new(task);
                render::task::render_task(out, &look, &view)?;
                if let (None, Some(details)) = (&view.error, details(&task.task)) {
                    render::task::render_details(out, details)?;
                }
            }
            Err(error) => {
                let name = excerpt(&listed.name, LONGEST_NAME);
                writeln!(out, "task: \"{name}\"")?;
                render::status::render_notes(out, &look, &[error.to_string()])?;
            }
        }
    }
    judge(tasks)
}

/// A task in JSON: what is understood of it, and everything that it reports.
fn in_json(listed: &ListedTask) -> Value {
    match &listed.task {
        Ok(task) => {
            let mut value = serde_json::to_value(TaskView::new(task)).expect("a task is plain data");
            value["details"] = json!(details(&task.task));
            value
        }
        Err(error) => json!({"name": listed.name, "unreadable": error.to_string()}),
    }
}

/// A task that could not be read hides no other, but the command says in the end that there was one.
fn judge(tasks: Vec<ListedTask>) -> CommandResult {
    match tasks.into_iter().find_map(|listed| Some((listed.name, listed.task.err()?))) {
        None => Ok(Outcome::Good),
        Some((name, error)) => {
            Err(Failure::new(Kind::Nonsense, format!("cannot read task {}", Excerpt::of(name.as_bytes())))
                .caused_by(&error))
        }
    }
}

/// The failure for a task that does not exist.
pub(super) fn unknown_task(unknown: &UnknownTask) -> Failure {
    let UnknownTask { name, known } = unknown;
    let names: Vec<String> = known.iter().map(|name| excerpt(name, LONGEST_NAME)).collect();
    let failure = Failure::unusable(format!("unknown task {name:?}; known tasks: {}", names.join(", ")));
    match closest(name, known.iter().map(String::as_str).chain([RECOVERY_ALIAS])) {
        Some(meant) => failure.hint(format!("did you mean {meant:?}?")),
        None => failure,
    }
}
