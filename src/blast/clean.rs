//! Deletes what runs have made: projects with everything in them, by real deletions through the external API.
//!
//! # Plan, execution, report
//!
//! [`plan`] decides from a list what is to go, and names what stays although it begins alike; [`Cleaning`] carries that
//! out with several requests at a time and keeps what became of each; [`Cleaning::report`] tells. What cannot be deleted
//! does not stop the rest.
//!
//! It may be interrupted and run again at any time: what is there is the only state. A deletion may be sent twice, since a
//! second one only finds that there is nothing any more.
//!
//! # Dependents first
//!
//! Our coordinator deletes a project with everything in it. A Nexus refuses one that is not empty, and then what is inside
//! goes first: subnets, then VPCs, then the project.

use super::after;
use super::answer::{Class, Trouble, judge_cut, judge_no_content};
use super::connection::{Alarm, Connection, Exchanged, Outgoing};
use super::list::{DEFAULT_PATIENCE, list_names, list_projects};
use super::names::run_of;
use super::random::Random;
use super::schedule::backoff;
use super::target::Target;
use super::workload::DESCRIPTION;
use crate::client::operations::{Call, Operation};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Largest answer to a deletion that is taken.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// How long a deletion is tried again when nobody answers it: a coordinator that restarts is back sooner.
const PATIENCE: Duration = Duration::from_secs(15);

/// Which projects are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// What names begin with.
    pub prefix: String,
    /// One run; all if absent.
    pub run_id: Option<String>,
}

/// A project that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What is to go, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Projects to delete, by name.
    pub delete: Vec<String>,
    /// Projects that begin alike and stay.
    pub skipped: Vec<Kept>,
}

/// A project of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
}

/// Decides what is to go. Only what has a name and a description that a blast gives is touched.
pub fn plan(listed: impl IntoIterator<Item = Listed>, selection: &Selection) -> Plan {
    let mut plan = Plan::default();
    for Listed { name, description } in listed {
        let reason = match run_of(&selection.prefix, &name) {
            Some(run) if selection.run_id.as_deref().is_some_and(|wanted| wanted != run) => continue,
            Some(_) if description != DESCRIPTION => "its description is not that of a blast's project",
            Some(_) => {
                plan.delete.push(name);
                continue;
            }
            // Of a single run only its own names are any business of ours.
            None if selection.run_id.is_some() => continue,
            None if !name.starts_with(&selection.prefix) => continue,
            None => "no blast makes such a name",
        };
        plan.skipped.push(Kept { name, reason: reason.to_owned() });
    }
    plan.delete.sort();
    plan.skipped.sort_by(|one, other| one.name.cmp(&other.name));
    plan
}

/// Asks the server what there is, and decides.
///
/// # Errors
///
/// Why the list could not be had to its end.
pub async fn find(target: &Target, selection: &Selection) -> Result<Plan, String> {
    let listed = list_projects(target, &selection.prefix, DEFAULT_PATIENCE).await?;
    Ok(plan(listed, selection))
}

/// What became of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Deleted,
    /// Somebody else was quicker.
    Gone,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// To be deleted in all.
    pub planned: u64,
    /// Deleted.
    pub deleted: u64,
    /// Gone already when their turn came.
    pub already_gone: u64,
    /// Could not be deleted.
    pub failed: u64,
}

/// What was cleaned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What names begin with.
    pub prefix: String,
    /// The run, if it was one.
    pub run_id: Option<String>,
    /// Nothing was done, only looked.
    pub dry_run: bool,
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
    /// Which are to be deleted; only when nothing was done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub planned_names: Vec<String>,
    /// Which could not be deleted, and why.
    pub failures: Vec<Kept>,
    /// Which begin alike and stay.
    pub skipped: Vec<Kept>,
    /// Somebody stopped it before the end.
    pub interrupted: bool,
    /// Planned ones that are still there afterwards; absent if nobody could tell.
    pub remaining: Option<u64>,
}

impl Report {
    /// What a plan comes to if nothing is done.
    pub fn of_plan(plan: &Plan, selection: &Selection) -> Self {
        let planned = plan.delete.len() as u64;
        Self {
            prefix: selection.prefix.clone(),
            run_id: selection.run_id.clone(),
            dry_run: true,
            counts: Counts { planned, ..Counts::default() },
            planned_names: plan.delete.clone(),
            failures: Vec::new(),
            skipped: plan.skipped.clone(),
            interrupted: false,
            remaining: Some(planned),
        }
    }

    /// Whether nothing that was meant is left.
    pub fn is_good(&self) -> bool {
        self.dry_run || (self.counts.failed == 0 && self.remaining == Some(0))
    }
}

/// Whether somebody has stopped it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Nobody has.
    First,
    /// And does so again, in more of a hurry.
    Again,
}

/// A plan that is carried out.
#[derive(Clone)]
pub struct Cleaning {
    shared: Arc<Shared>,
}

struct Shared {
    target: Target,
    selection: Selection,
    plan: Plan,
    request_timeout: Duration,
    state: Mutex<State>,
    stopped: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// Index of the next project whose turn it is.
    next: usize,
    counts: Counts,
    failures: Vec<Kept>,
}

impl Cleaning {
    /// Makes one ready.
    pub fn new(target: Target, selection: Selection, plan: Plan, request_timeout: Duration) -> Self {
        let counts = Counts { planned: plan.delete.len() as u64, ..Counts::default() };
        let state = Mutex::new(State { counts, ..State::default() });
        let stopped = watch::Sender::new(false);
        Self { shared: Arc::new(Shared { target, selection, plan, request_timeout, state, stopped }) }
    }

    /// Carries the plan out, so many at a time.
    pub async fn run(&self, concurrency: u32) {
        let mut workers = JoinSet::new();
        for worker in 0..concurrency {
            let shared = Arc::clone(&self.shared);
            workers.spawn(async move { shared.work(worker).await });
        }
        while let Some(ended) = workers.join_next().await {
            ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        }
    }

    /// Begins no more deletions; those under way are waited for unless the run itself is dropped.
    pub fn stop(&self) -> Stop {
        if self.shared.stopped.send_replace(true) { Stop::Again } else { Stop::First }
    }

    /// How far it is.
    pub fn counts(&self) -> Counts {
        self.shared.state().counts
    }

    /// What was cleaned; asks the server what is left.
    pub async fn report(&self) -> Report {
        let Shared { target, selection, plan, stopped, .. } = &*self.shared;
        let listed = list_projects(target, &selection.prefix, DEFAULT_PATIENCE).await;
        let planned: HashSet<_> = plan.delete.iter().map(String::as_str).collect();
        let is_left = |listed: &&Listed| planned.contains(listed.name.as_str());
        let remaining = listed.ok().map(|listed| listed.iter().filter(is_left).count() as u64);
        let state = self.shared.state();
        let mut failures = state.failures.clone();
        failures.sort_by(|one, other| one.name.cmp(&other.name));
        Report {
            prefix: selection.prefix.clone(),
            run_id: selection.run_id.clone(),
            dry_run: false,
            counts: state.counts,
            planned_names: Vec::new(),
            failures,
            skipped: plan.skipped.clone(),
            interrupted: *stopped.borrow(),
            remaining,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state")
    }

    fn claim(&self) -> Option<&str> {
        if *self.stopped.borrow() {
            return None;
        }
        let mut state = self.state();
        let name = self.plan.delete.get(state.next)?;
        state.next += 1;
        Some(name)
    }

    async fn work(&self, worker: u32) {
        let mut line = Deleter { shared: self, connection: None, random: Random::of_worker(None, worker) };
        while let Some(name) = self.claim() {
            let result = line.delete_project(name).await;
            let mut state = self.state();
            match result {
                Ok(End::Deleted) => state.counts.deleted += 1,
                Ok(End::Gone) => state.counts.already_gone += 1,
                Err(trouble) => {
                    state.counts.failed += 1;
                    state.failures.push(Kept { name: name.to_owned(), reason: trouble.message });
                }
            }
        }
    }
}

/// One connection, and how it goes with it.
struct Deleter<'s> {
    shared: &'s Shared,
    connection: Option<Connection>,
    random: Random,
}

impl Deleter<'_> {
    async fn delete_project(&mut self, name: &str) -> Result<End, Trouble> {
        let target = &self.shared.target;
        let delete = Operation::DeleteProject;
        match self.delete(delete, || target.delete_project(name)).await {
            Err(trouble) if may_hold_something(trouble.class) => {
                // Why it could not be emptied says more than that it is not empty.
                self.delete_contents(name).await?;
                self.delete(delete, || target.delete_project(name)).await
            }
            result => result,
        }
    }

    /// Deletes subnets and VPCs of a project.
    async fn delete_contents(&mut self, project: &str) -> Result<(), Trouble> {
        let target = &self.shared.target;
        let listing = |reason| Trouble::new(Class::Body, reason);
        let in_project = [("project", project)];
        for vpc in list_names(target, Operation::ListVpcs, &in_project).await.map_err(listing)? {
            let in_vpc = [("project", project), ("vpc", vpc.as_str())];
            for subnet in list_names(target, Operation::ListSubnets, &in_vpc).await.map_err(listing)? {
                let call = Call::on(Operation::DeleteSubnet, subnet);
                self.delete(call.operation, || target.on_object(&call, &in_vpc)).await?;
            }
            let call = Call::on(Operation::DeleteVpc, &vpc);
            self.delete(call.operation, || target.on_object(&call, &in_project)).await?;
        }
        Ok(())
    }

    /// Deletes something, trying again as long as nobody gives an answer that settles it.
    async fn delete(&mut self, operation: Operation, request: impl Fn() -> Outgoing) -> Result<End, Trouble> {
        let may_repeat = self.shared.target.may_repeat(operation);
        let patient_until = after(Instant::now(), PATIENCE);
        let mut tried = 0;
        loop {
            let trouble = match self.attempt(request()).await {
                Ok(()) => return Ok(End::Deleted),
                Err(trouble) => trouble,
            };
            match trouble.class {
                // The first attempt may have deleted it, and its answer was lost.
                Class::Status(404) => return Ok(if tried == 0 { End::Gone } else { End::Deleted }),
                Class::Status(status) if status < 500 && status != 429 => return Err(trouble),
                _ if !may_repeat => return Err(trouble),
                _ if Instant::now() >= patient_until || *self.shared.stopped.borrow() => return Err(trouble),
                _ => {}
            }
            tried += 1;
            sleep(backoff(tried, self.random.fraction())).await;
        }
    }

    async fn attempt(&mut self, request: Outgoing) -> Result<(), Trouble> {
        let deadline = after(Instant::now(), self.shared.request_timeout);
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => Connection::open(&self.shared.target, deadline).await?,
        };
        match connection.exchange(request, LARGEST_ANSWER, deadline, &mut Alarm::new()).await {
            Exchanged::Answer(answer) => {
                self.connection = Some(connection);
                judge_no_content(answer.status, &answer.body)
            }
            Exchanged::Cut(status, trouble) => Err(judge_cut(status, trouble)),
            Exchanged::Lost(trouble) | Exchanged::Unsent(trouble) => Err(trouble),
        }
    }
}

/// Whether a refusal may mean that there is something inside.
fn may_hold_something(class: Class) -> bool {
    matches!(class, Class::Status(400 | 409))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listed(names: &[(&str, &str)]) -> Vec<Listed> {
        names
            .iter()
            .map(|(name, description)| Listed {
                name: (*name).to_owned(),
                description: (*description).to_owned(),
            })
            .collect()
    }

    fn selection(run_id: Option<&str>) -> Selection {
        Selection { prefix: "dummy-".to_owned(), run_id: run_id.map(str::to_owned) }
    }

    const OURS: &str = DESCRIPTION;

    #[test]
    fn only_what_a_blast_has_made_goes_and_what_looks_like_it_is_named() {
        let there = [
            ("dummy-r1-0-1", OURS),
            ("dummy-r1-0-0", OURS),
            ("dummy-r1-2-0-7", OURS),
            ("dummy-r2-0-0", "my own"),
            ("dummy-production", OURS),
            ("other-r1-0-0", OURS),
        ];
        let all = plan(listed(&there), &selection(None));
        assert_eq!(all.delete, ["dummy-r1-0-0", "dummy-r1-0-1", "dummy-r1-2-0-7"]);
        let skipped: Vec<_> = all.skipped.iter().map(|kept| kept.name.as_str()).collect();
        assert_eq!(skipped, ["dummy-production", "dummy-r2-0-0"]);

        let one_run = plan(listed(&there), &selection(Some("r1")));
        assert_eq!(one_run.delete, ["dummy-r1-0-0", "dummy-r1-0-1"], "run r1-2 is another");
        assert_eq!(one_run.skipped, []);
        let foreign = plan(listed(&there), &selection(Some("r2")));
        assert_eq!((foreign.delete.len(), foreign.skipped.len()), (0, 1));
    }

    #[test]
    fn a_plan_as_a_report_has_done_nothing() {
        let plan = plan(listed(&[("dummy-r1-0-0", OURS)]), &selection(None));
        let report = Report::of_plan(&plan, &selection(None));
        assert_eq!((report.counts.planned, report.counts.deleted, report.remaining), (1, 0, Some(1)));
        assert!(report.dry_run && report.is_good());
    }

    proptest! {
        /// Whatever is there: nothing goes that does not belong to the selection, and nothing is in two places.
        #[test]
        fn nothing_foreign_goes(
            names in proptest::collection::btree_set("(dummy-|other-)[a-c0-2-]{1,10}", 0..30),
            ours in any::<bool>(),
            run in proptest::option::of("[a-c0-2]{1,2}"),
        ) {
            let description = if ours { OURS } else { "theirs" };
            let there: Vec<_> = names.iter().map(|name| (name.as_str(), description)).collect();
            let selection = selection(run.as_deref());
            let plan = plan(listed(&there), &selection);
            prop_assert!(ours || plan.delete.is_empty());
            for name in &plan.delete {
                let stem = format!("dummy-{}", run.as_ref().map_or(String::new(), |run| format!("{run}-")));
                prop_assert!(name.starts_with(&stem), "{}", name);
                prop_assert!(plan.skipped.iter().all(|kept| kept.name != *name));
                prop_assert!(names.contains(name));
            }
        }
    }
}
