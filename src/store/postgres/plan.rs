//! In which steps a batch of writes is carried out. Pure.
//!
//! Statements that can be grouped ([`dialect`](super::dialect)) go into one step with others of the same text. That moves a
//! statement ahead of others that were handed over before it, so it must not matter who goes first:
//!
//! - Within a lane the order stands. A statement joins a step only if that comes after the step of the statement before it,
//!   or is that step itself and all that statements of its text do is to add a row of their own each.
//! - Between lanes the order is free. Everything in a batch is committed together, and nobody was told of any of it, so
//!   that no saga can have acted upon what another one of the same batch does.
//! - A write without a lane keeps its place: what was handed over before it comes before it, and likewise behind it.

use super::dialect::can_be_grouped;
use crate::store::sql::{Expect, Statement};
use crate::store::{Hold, Lane, Write};
use std::collections::{HashMap, HashSet};

/// The text of a statement, told apart by where it is: all texts are part of the program.
pub(super) type Key = (usize, usize);

pub(super) fn key(sql: &'static str) -> Key {
    (sql.as_ptr().addr(), sql.len())
}

/// Statements of one text.
#[derive(Debug)]
pub(super) struct Step<'w> {
    pub(super) members: Vec<Member<'w>>,
}

/// A statement, and whose.
#[derive(Debug)]
pub(super) struct Member<'w> {
    /// Which of the writes that the plan was made of.
    pub(super) write: usize,
    pub(super) statement: StatementOrHold<'w>,
}

/// What is carried out.
#[derive(Debug)]
pub(super) enum StatementOrHold<'w> {
    /// One of the write's statements.
    Statement(&'w Statement),
    /// What the write depends on.
    Hold(Statement),
}

impl Member<'_> {
    pub(super) fn statement(&self) -> &Statement {
        match &self.statement {
            StatementOrHold::Statement(statement) => statement,
            StatementOrHold::Hold(statement) => statement,
        }
    }

    /// Whether its rows are to be told.
    pub(super) fn is_counted(&self) -> bool {
        matches!(self.statement, StatementOrHold::Statement(_))
    }
}

impl<'w> Step<'w> {
    /// A step of its own.
    pub(super) fn of(statement: &'w Statement) -> Self {
        Self { members: vec![Member { write: 0, statement: StatementOrHold::Statement(statement) }] }
    }

    pub(super) fn sql(&self) -> &'static str {
        self.first().sql
    }

    fn key(&self) -> Key {
        key(self.sql())
    }

    pub(super) fn expect(&self) -> Expect {
        self.first().expect
    }

    fn first(&self) -> &Statement {
        self.members.first().expect("a step is made for its first member").statement()
    }
}

/// Remembers which texts can be grouped, since looking at a text takes longer than planning it.
#[derive(Debug, Default)]
pub(super) struct Planner {
    groupable: HashMap<(Key, bool), bool>,
}

impl Planner {
    /// The steps of these writes, in order.
    pub(super) fn plan<'w>(&mut self, writes: impl IntoIterator<Item = &'w Write>) -> Vec<Step<'w>> {
        let mut draft = Draft::default();
        for (index, write) in writes.into_iter().enumerate() {
            // A lock that holds a saga is kept until the commit, so once is enough.
            if let Some(hold) = write.hold
                && draft.held.insert(hold)
            {
                let statement = hold.statement();
                let can_join = self.can_be_grouped(&statement);
                draft.add(
                    write.lane,
                    Member { write: index, statement: StatementOrHold::Hold(statement) },
                    can_join,
                );
            }
            for statement in &write.statements {
                let can_join = self.can_be_grouped(statement);
                let member = Member { write: index, statement: StatementOrHold::Statement(statement) };
                draft.add(write.lane, member, can_join);
            }
            if write.lane.is_none() {
                draft.draw_a_line();
            }
        }
        draft.steps
    }

    fn can_be_grouped(&mut self, statement: &Statement) -> bool {
        let key = (key(statement.sql), matches!(statement.expect, Expect::Any));
        *self.groupable.entry(key).or_insert_with(|| can_be_grouped(statement))
    }
}

#[derive(Default)]
struct Draft<'w> {
    steps: Vec<Step<'w>>,
    /// The steps of each text that can still be joined, in order.
    open: HashMap<Key, Vec<usize>>,
    /// The step of each lane's last statement, and whose that is.
    last: HashMap<Lane, (usize, usize)>,
    /// Steps before this one cannot be joined any more.
    line: usize,
    held: HashSet<Hold>,
}

impl<'w> Draft<'w> {
    fn add(&mut self, lane: Option<Lane>, member: Member<'w>, can_join: bool) {
        let key = key(member.statement().sql);
        let Some(lane) = lane else {
            self.steps.push(Step { members: vec![member] });
            return;
        };
        // Two rows of one key are an error of PostgreSQL's. Then the writes are carried out one by one, so they must be two.
        let adds_its_own = matches!(member.statement().expect, Expect::OneOfItsOwn(_));
        let earliest = match self.last.get(&lane) {
            None => self.line,
            Some(&(step, write))
                if adds_its_own && write != member.write && self.steps[step].key() == key =>
            {
                self.line.max(step)
            }
            Some(&(step, _)) => self.line.max(step + 1),
        };
        let write = member.write;
        let open = self.open.entry(key).or_default();
        // The first that will do. If statements joined the last one, each lane that has a text twice in a row would make a
        // step of its own.
        let joined = open.get(open.partition_point(|&step| step < earliest)).filter(|_| can_join);
        let step = match joined {
            Some(&step) => {
                self.steps[step].members.push(member);
                step
            }
            None => {
                self.steps.push(Step { members: vec![member] });
                let step = self.steps.len() - 1;
                if can_join {
                    open.push(step);
                }
                step
            }
        };
        self.last.insert(lane, (step, write));
    }

    fn draw_a_line(&mut self) {
        self.line = self.steps.len();
        self.open.clear();
        // It may be what moves sagas.
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sql::Value;
    use crate::wire::ids::SagaId;
    use proptest::prelude::*;
    use uuid::Uuid;

    const TEXTS: [&str; 4] = [
        "INSERT INTO t (a) VALUES ($1)",
        "UPDATE t SET a = $1 WHERE id = $1",
        "DELETE FROM t WHERE id = $1",
        "INSERT INTO u (a) SELECT $1 FROM t WHERE id = $1",
    ];

    fn lane(number: u8) -> Lane {
        SagaId::from_uuid(Uuid::from_u128(number.into()))
    }

    /// Numbers the statements so that each can be told from all others.
    fn writes(shapes: &[(Option<u8>, Vec<usize>)]) -> Vec<Write> {
        let mut number = 0;
        let write = |(of_lane, texts): &(Option<u8>, Vec<usize>)| {
            let statements = texts.iter().map(|&text| {
                number += 1;
                Statement::new(TEXTS[text], vec![Value::Int(number)]).changing_one("one")
            });
            Write { lane: of_lane.map(lane), ..Write::all(statements.collect()) }
        };
        shapes.iter().map(write).collect()
    }

    fn number(statement: &Statement) -> i64 {
        match statement.params[..] {
            [Value::Int(number)] => number,
            ref other => panic!("not one of this test's statements: {other:?}"),
        }
    }

    fn planned(writes: &[Write]) -> Vec<Vec<i64>> {
        let steps = Planner::default().plan(writes);
        steps
            .iter()
            .map(|step| step.members.iter().map(|member| number(member.statement())).collect())
            .collect()
    }

    #[test]
    fn sagas_that_do_the_same_share_steps() {
        let shapes = [
            (Some(1), vec![0]),
            (Some(2), vec![0]),
            (Some(1), vec![1]),
            (Some(2), vec![1]),
            (Some(3), vec![0]),
        ];
        assert_eq!(planned(&writes(&shapes)), [vec![1, 2, 5], vec![3, 4]]);
    }

    #[test]
    fn a_saga_never_overtakes_itself() {
        let shapes = [(Some(1), vec![0, 1, 0]), (Some(2), vec![1, 0])];
        assert_eq!(planned(&writes(&shapes)), [vec![1], vec![2, 4], vec![3, 5]]);
    }

    #[test]
    fn sagas_that_do_the_same_several_times_share_each_time() {
        let shapes: Vec<_> = (1..=3).map(|saga| (Some(saga), vec![0, 0, 1, 0])).collect();
        let each = [1, 2, 3, 4].map(|first| vec![first, first + 4, first + 8]);
        assert_eq!(planned(&writes(&shapes)), each);
    }

    #[test]
    fn what_only_adds_rows_shares_a_step_with_other_writes_of_its_saga() {
        let one = |saga| (Some(saga), vec![0]);
        let mut writes = writes(&[one(1), one(1), one(2), (Some(1), vec![1]), one(1), (Some(2), vec![0, 0])]);
        for statement in writes.iter_mut().flat_map(|write| &mut write.statements) {
            statement.expect = Expect::OneOfItsOwn("one");
        }
        assert_eq!(planned(&writes), [vec![1, 2, 3, 6], vec![4], vec![5, 7]]);
    }

    #[test]
    fn nothing_passes_a_write_without_a_lane() {
        let shapes = [(Some(1), vec![0]), (None, vec![0, 0]), (Some(2), vec![0]), (Some(3), vec![0])];
        assert_eq!(planned(&writes(&shapes)), [vec![1], vec![2], vec![3], vec![4, 5]]);
    }

    #[test]
    fn a_saga_is_held_once_before_what_depends_on_it() {
        let hold =
            |number| Hold { saga: lane(number), sec: crate::wire::ids::SecId::random(), generation: 1 };
        let holds = [hold(1), hold(2)];
        let shapes = [(Some(1), vec![0]), (Some(2), vec![2]), (Some(1), vec![0])];
        let mut writes = writes(&shapes);
        for (write, hold) in writes.iter_mut().zip([holds[0], holds[1], holds[0]]) {
            write.hold = Some(hold);
        }
        let steps = Planner::default().plan(&writes);
        let kinds: Vec<(bool, usize)> =
            steps.iter().map(|step| (step.members[0].is_counted(), step.members.len())).collect();
        assert_eq!(kinds, [(false, 2), (true, 1), (true, 1), (true, 1)]);
    }

    #[test]
    fn a_saga_is_held_again_after_a_write_that_may_have_moved_it() {
        let hold = Hold { saga: lane(1), sec: crate::wire::ids::SecId::random(), generation: 1 };
        let mut writes = writes(&[(Some(1), vec![0]), (None, vec![1]), (Some(1), vec![0])]);
        for write in writes.iter_mut().filter(|write| write.lane.is_some()) {
            write.hold = Some(hold);
        }
        let steps = Planner::default().plan(&writes);
        let kinds: Vec<bool> = steps.iter().map(|step| step.members[0].is_counted()).collect();
        assert_eq!(kinds, [false, true, true, false, true]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_statement_is_carried_out_once_and_in_its_lanes_order(
            shapes in prop::collection::vec(
                (prop::option::weighted(0.9, 0_u8..4), prop::collection::vec(0_usize..4, 0..4)), 0..20,
            ),
            adds_rows in any::<bool>(),
        ) {
            let mut writes = writes(&shapes);
            // Of the texts only the first can be an addition of a row.
            for statement in writes.iter_mut().flat_map(|write| &mut write.statements) {
                if adds_rows && statement.sql == TEXTS[0] {
                    statement.expect = Expect::OneOfItsOwn("one");
                }
            }
            let steps = Planner::default().plan(&writes);
            let mut place = HashMap::new();
            for (index, step) in steps.iter().enumerate() {
                for member in &step.members {
                    prop_assert_eq!(member.statement().sql, step.sql());
                    prop_assert!(place.insert(number(member.statement()), index).is_none());
                }
            }
            let mut before: Vec<(usize, Option<Lane>, &Statement, usize)> = Vec::new();
            for (index, write) in writes.iter().enumerate() {
                for statement in &write.statements {
                    let here = place[&number(statement)];
                    for &(other, lane, earlier, there) in &before {
                        let is_ordered = write.lane.is_none() || lane.is_none() || lane == write.lane;
                        let may_share = matches!(statement.expect, Expect::OneOfItsOwn(_))
                            && earlier.sql == statement.sql
                            && write.lane.is_some()
                            && lane == write.lane
                            && other != index;
                        prop_assert!(!is_ordered || there < here || (may_share && there == here));
                    }
                    before.push((index, write.lane, statement, here));
                }
            }
            prop_assert_eq!(place.len(), before.len());
        }
    }
}
