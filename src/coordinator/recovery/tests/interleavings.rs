//! Arbitrary interleavings: anything may happen between any two steps of a pass, and creations span any number of passes.

use super::model::{Checked, Health, Mutation, Owner, PendingInsert, Phase, Property};
use super::pass::{Luck, Stage};
use super::world::World;
use crate::coordinator::recovery::Plan;
use crate::wire::ids::SagaId;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;

/// Something that happens. Numbers choose among what is there at the time; if there is nothing, nothing happens.
#[derive(Clone, Copy, Debug)]
enum Op {
    StepPass(Luck),
    CancelPass,
    Create,
    BeginCreation,
    Insert(usize),
    Confirm(usize),
    GiveUpCreation(usize, PendingInsert),
    LandLateInsert(usize),
    Advance { which: usize, steps: u8, fails: bool },
    Relinquish(usize),
    LeaveBehind(Owner, Health),
    Reassign(usize, Owner),
    Abandon(usize),
    Heal(usize),
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<u8>().prop_map(usize::from);
    let owner = prop_oneof![3 => Just(Owner::Us), 1 => Just(Owner::SomebodyElse)];
    let health = prop_oneof![4 => Just(Health::Intact), 2 => Just(Health::Flaky), 1 => Just(Health::Broken)];
    let pending = prop_oneof![Just(PendingInsert::Refused), Just(PendingInsert::MayLand)];
    let luck = (prop::bool::weighted(0.85), which.clone())
        .prop_map(|(database_answers, pick)| Luck { database_answers, pick: pick % 8 });
    prop_oneof![
        40 => luck.prop_map(Op::StepPass),
        1 => Just(Op::CancelPass),
        12 => Just(Op::Create),
        10 => Just(Op::BeginCreation),
        10 => which.clone().prop_map(Op::Insert),
        10 => which.clone().prop_map(Op::Confirm),
        2 => (which.clone(), pending).prop_map(|(which, pending)| Op::GiveUpCreation(which, pending)),
        1 => which.clone().prop_map(Op::LandLateInsert),
        16 => (which.clone(), 1..6_u8, prop::bool::weighted(0.1))
            .prop_map(|(which, steps, fails)| Op::Advance { which, steps, fails }),
        1 => which.clone().prop_map(Op::Relinquish),
        2 => (owner, health).prop_map(|(owner, health)| Op::LeaveBehind(owner, health)),
        2 => (which.clone(), prop_oneof![Just(Owner::Us), Just(Owner::SomebodyElse)])
            .prop_map(|(which, owner)| Op::Reassign(which, owner)),
        1 => which.clone().prop_map(Op::Abandon),
        1 => which.prop_map(Op::Heal),
        1 => Just(Op::Crash),
    ]
}

fn nth<T: Copy>(of: impl IntoIterator<Item = T>, which: usize) -> Option<T> {
    let all: Vec<_> = of.into_iter().collect();
    if all.is_empty() { None } else { Some(all[which % all.len()]) }
}

impl World {
    fn apply(&mut self, op: Op) -> Checked {
        match op {
            Op::StepPass(luck) => {
                self.step_pass(luck)?;
            }
            Op::CancelPass => self.cancel_pass(),
            Op::Create => {
                self.create()?;
            }
            Op::BeginCreation => {
                self.begin_creation();
            }
            Op::Insert(which) => {
                if let Some(id) = nth(self.creations(false), which) {
                    self.insert(id);
                }
            }
            Op::Confirm(which) => {
                if let Some(id) = nth(self.creations(true), which) {
                    self.confirm(id)?;
                }
            }
            Op::GiveUpCreation(which, pending) => {
                if let Some(id) = nth(self.process.creations.keys().copied(), which) {
                    self.give_up_creation(id, pending);
                }
            }
            Op::LandLateInsert(which) => {
                if let Some(index) = nth(0..self.late_inserts.len(), which) {
                    self.land_late_insert(index);
                }
            }
            Op::Advance { which, steps, fails } => {
                if let Some(id) = nth(self.live(), which) {
                    for _ in 0..steps {
                        // It may have stopped the process.
                        if self.process.engine.contains_key(&id) {
                            self.advance(id, fails)?;
                        }
                    }
                }
            }
            Op::Relinquish(which) => {
                let running = self.process.engine.iter().filter(|(_, run)| run.phase == Phase::Running);
                if let Some(id) = nth(running.map(|(id, _)| *id), which) {
                    self.relinquish(id);
                }
            }
            Op::LeaveBehind(owner, health) => {
                self.leave_behind(owner, health);
            }
            Op::Reassign(which, owner) => {
                let others = self.unfinished().into_iter().filter(|id| self.rows[id].owner != owner);
                if let Some(id) = nth(others, which) {
                    self.reassign(id, owner);
                }
            }
            Op::Abandon(which) => {
                if let Some(id) = nth(self.unfinished(), which) {
                    self.abandon(id, "an operator said so");
                }
            }
            Op::Heal(which) => {
                let ill = self.rows.iter().filter(|(_, row)| row.health != Health::Intact);
                if let Some(id) = nth(ill.map(|(id, _)| *id), which) {
                    self.set_health(id, Health::Intact);
                }
            }
            Op::Crash => self.crash(),
        }
        Ok(())
    }

    fn planned(&self) -> Option<&Plan> {
        match &self.process.stage {
            Stage::Executing { builder, .. } => Some(builder.plan()),
            _ => None,
        }
    }

    fn creations(&self, inserted: bool) -> Vec<SagaId> {
        let those = self.process.creations.iter().filter(|(_, creation)| creation.inserted == inserted);
        those.map(|(id, _)| *id).collect()
    }

    fn unfinished(&self) -> Vec<SagaId> {
        self.rows.iter().filter(|(_, row)| row.is_unfinished()).map(|(id, _)| *id).collect()
    }
}

proptest! {
    #![proptest_config(Config { cases: 160, failure_persistence: None, ..Config::default() })]

    #[test]
    fn every_property_holds_in_every_interleaving(
        ops in prop::collection::vec(op(), 1..300),
        abandons_unrecoverable in any::<bool>(),
    ) {
        let mut world = World::new();
        world.abandons_unrecoverable = abandons_unrecoverable;
        let outcome = ops.iter().try_for_each(|op| world.apply(*op)).and_then(|()| world.settle_down());
        prop_assert!(outcome.is_ok(), "{outcome:?}");
    }
}

/// How many fixed interleavings a mistake is given to show itself.
const SEEDS: u32 = 40;

/// An interleaving that is the same in every run.
fn seeded(seed: u32) -> Vec<Op> {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let ops = prop::collection::vec(op(), 300).new_tree(&mut runner);
    ops.expect("the strategy rejects nothing").current()
}

#[track_caller]
fn assert_violates(mutation: Mutation, property: Property) {
    let violated = (0..SEEDS).any(|seed| {
        let mut world = World::with_mutation(mutation, property);
        let outcome = seeded(seed).into_iter().try_for_each(|op| world.apply(op));
        outcome.is_err_and(|violation| violation.property == property)
    });
    assert!(violated, "{mutation:?} went unnoticed in {SEEDS} interleavings");
}

/// The counterpart of the tests after it: without a mistake nothing is noticed, though the same things happen.
#[test]
fn the_same_interleavings_meet_every_race_and_do_no_harm() {
    let mut met = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut world = World::new();
        for op in seeded(seed) {
            let alarms = |world: &World| world.process.last_report.ntotal_sec_errors_bad_state;
            let (was_executing, alarms_before) = (world.planned().is_some(), alarms(&world));
            let outcome = world.apply(op);
            assert!(outcome.is_ok(), "seed {seed}: {outcome:?}");
            let mut happened = vec![("bad state", alarms(&world) > alarms_before)];
            if let Some(plan) = world.planned().filter(|_| !was_executing) {
                happened.extend([
                    ("need", !plan.need().is_empty()),
                    ("skipped", !plan.skipped().is_empty()),
                    ("done", !plan.done().is_empty()),
                    ("just started", !plan.just_started().is_empty()),
                    ("maybe done", !plan.maybe_done().is_empty()),
                    ("in creation", !plan.in_creation().is_empty()),
                ]);
            }
            for (what, happened) in happened {
                *met.entry(what).or_insert(0) += u32::from(happened);
            }
        }
    }
    // Properties say nothing about situations that never arise.
    assert!(met.values().all(|times| *times >= 5), "{met:?}");
}

#[test]
fn notices_when_announcements_are_drained_before_the_listing() {
    assert_violates(Mutation::DrainBeforeListing, Property::P2);
}

#[test]
fn notices_when_creations_are_announced_after_the_insert() {
    assert_violates(Mutation::AnnounceAfterInsert, Property::P2);
}

#[test]
fn notices_when_sagas_are_dropped_because_they_have_completed() {
    assert_violates(Mutation::DropOnCompletion, Property::P2);
}

#[test]
fn notices_when_creations_that_span_passes_are_announced_only_once() {
    assert_violates(Mutation::AnnounceOnce, Property::P2);
}

#[test]
fn notices_when_ambiguous_sagas_are_taken_for_finished() {
    // The saga is not run twice, but only because the SEC is asked as well, and contradicts.
    assert_violates(Mutation::SettleWithoutAsking, Property::P4);
}

#[test]
fn notices_when_a_pass_begins_after_its_listing() {
    assert_violates(Mutation::BeginAfterListing, Property::P4);
}
