//! How every story and every interleaving ends.

use super::model::{Checked, Health, Owner, Property};
use super::world::World;
use crate::wire::sagas::CachedState;

impl World {
    /// Lets everything come to an end, and checks that it does and that nothing is left of it.
    pub(super) fn settle_down(&mut self) -> Checked {
        self.complete_pass()?;
        self.check_repetition_changes_nothing()?;
        let ids: Vec<_> = self.rows.keys().copied().collect();
        for id in ids {
            if self.rows[&id].health == Health::Flaky {
                self.set_health(id, Health::Intact);
            }
        }
        // A saga that was taken away by hand makes the process stop when it next writes. Each such saga does so once at
        // most, so this comes to an end.
        for _ in 0..=self.rows.len() + self.process.creations.len() + self.late_inserts.len() {
            while !self.late_inserts.is_empty() {
                self.land_late_insert(0);
            }
            let creations: Vec<_> =
                self.process.creations.iter().map(|(id, creation)| (*id, creation.inserted)).collect();
            for (id, inserted) in creations {
                if !inserted {
                    self.insert(id);
                }
                self.confirm(id)?;
            }
            self.pass()?;
            for id in self.live() {
                self.finish(id)?;
            }
            let unfinished = self.rows.values().any(|row| row.is_candidate() && row.health == Health::Intact);
            if !unfinished && self.live().is_empty() {
                break;
            }
        }
        for (id, row) in &self.rows {
            let intact =
                row.owner == Owner::Us && row.health == Health::Intact && row.state != CachedState::Abandoned;
            self.check(
                !intact || (row.state == CachedState::Done && row.is_complete()),
                Property::P11,
                || format!("{id} did not come to rest: {row:?}"),
            )?;
            self.check(
                (row.state == CachedState::Abandoned) == row.abandoned_because.is_some(),
                Property::P9,
                || format!("{id} is abandoned without a reason, or the other way round: {row:?}"),
            )?;
        }
        self.pass()?;
        self.pass()?;
        let rest = self.process.recovery.rest();
        self.check(rest.is_empty(), Property::P7, || format!("everything is at rest, but not {rest:?}"))?;
        self.check(self.process.engine.is_empty(), Property::P7, || {
            format!("the engine was not told to forget {:?}", self.process.engine)
        })
    }

    fn check_repetition_changes_nothing(&mut self) -> Checked {
        if self.abandons_unrecoverable {
            // The first of these passes is such a change itself.
            self.pass()?;
        }
        self.pass()?;
        self.pass()?;
        let rest = self.process.recovery.rest().clone();
        let third = self.pass()?;
        let fourth = self.pass()?;
        self.check(third.counts == fourth.counts && third.removed.is_empty(), Property::P6, || {
            format!("{third:?} is followed by {fourth:?}")
        })?;
        self.check(&rest == self.process.recovery.rest(), Property::P6, || {
            format!("{rest:?} has become {:?}", self.process.recovery.rest())
        })
    }
}
