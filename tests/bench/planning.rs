//! Deciding what to recover, without a database: a million sagas, and the pass that finds nothing new.

use crate::table::{Budget, Table};
use sagactl::coordinator::recovery::{ExecutionBuilder, PassMeta, Recovery, Settled};
use sagactl::wire::bgtasks::ActivationReason;
use sagactl::wire::ids::SagaId;
use sagactl::wire::time::now;
use std::time::{Duration, Instant};

/// Plans for a database full of sagas that nobody runs.
pub(crate) fn run(table: &mut Table) {
    let ids: Vec<SagaId> = (0..1_000_000).map(|_| SagaId::random()).collect();
    let (_announcer, mut recovery) = Recovery::new();
    let started = Instant::now();
    let drained = {
        let listing = recovery.begin_pass().listed(ids);
        recovery.drain(listing)
    };
    let plan = recovery.plan(drained, Settled::Known(Vec::new()));
    let planned = started.elapsed();
    assert_eq!(plan.need().len(), 1_000_000);
    let budget = Budget::FigureAtMost(1.0);
    table.add("planning 1,000,000 sagas", planned.as_secs_f64(), "s", None, budget);

    // Hand the plan in, so that the next pass knows all of them.
    let mut execution = ExecutionBuilder::new(plan);
    let ids = execution.plan().need().to_vec();
    for id in &ids {
        execution.saga_recovery_success(*id, "project-create".to_owned(), now());
    }
    let meta = PassMeta {
        iteration: 1,
        reason: ActivationReason::Timeout,
        time_started: now(),
        duration: Duration::ZERO,
    };
    recovery.finish_pass(execution.build(), meta);
    let started = Instant::now();
    let listing = recovery.begin_pass().listed(ids);
    let drained = recovery.drain(listing);
    let plan = recovery.plan(drained, Settled::Known(Vec::new()));
    assert_eq!(plan.skipped().len(), 1_000_000);
    table.add("planning when all of them run here", started.elapsed().as_secs_f64(), "s", None, Budget::None);
}
