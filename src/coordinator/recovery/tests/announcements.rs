//! The queue between creators and recovery.

use crate::coordinator::recovery::announce::{Announcement, announcements};
use crate::coordinator::recovery::{Announcer, BACKLOG_WORTH_A_PASS};
use crate::wire::ids::SagaId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use uuid::Uuid;

fn saga(n: u128) -> SagaId {
    SagaId::from_uuid(Uuid::from_u128(n))
}

/// What is heard of one creation.
fn heard_of(creator: impl FnOnce(&Announcer)) -> Vec<Announcement> {
    let (announcer, mut announcements) = announcements();
    let mark = announcements.mark();
    creator(&announcer);
    announcements.take(mark).announcements
}

#[test]
fn a_creation_is_announced_before_and_after() {
    assert_eq!(
        heard_of(|announcer| announcer.creating(saga(1)).created()),
        [Announcement::Creating(saga(1)), Announcement::Created(saga(1))]
    );
    assert_eq!(
        heard_of(|announcer| announcer.creating(saga(1)).dropped()),
        [Announcement::Creating(saga(1)), Announcement::Dropped(saga(1))]
    );
}

#[test]
fn a_creation_that_is_forgotten_counts_as_dropped() {
    let dropped = [Announcement::Creating(saga(1)), Announcement::Dropped(saga(1))];
    assert_eq!(heard_of(|announcer| drop(announcer.creating(saga(1)))), dropped);
    let panicked = heard_of(|announcer| {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let _creation = announcer.creating(saga(1));
            panic!("in the middle of a creation");
        }));
        outcome.expect_err("it panicked");
    });
    assert_eq!(panicked, dropped);
}

#[test]
fn nothing_is_lost_and_each_creators_order_is_kept() {
    const CREATORS: u128 = 4;
    const SAGAS: u128 = 2_500;
    let (announcer, mut announcements) = announcements();
    let start = announcements.mark();
    let mut heard = Vec::new();
    thread::scope(|scope| {
        let creators: Vec<_> = (0..CREATORS)
            .map(|creator| {
                let announcer = announcer.clone();
                scope.spawn(move || {
                    for n in 0..SAGAS {
                        announcer.creating(saga(creator * SAGAS + n)).created();
                    }
                })
            })
            .collect();
        while creators.iter().any(|creator| !creator.is_finished()) {
            heard.extend(announcements.take(start).announcements);
            thread::yield_now();
        }
    });
    heard.extend(announcements.take(start).announcements);
    for creator in 0..CREATORS {
        let own =
            |announcement: &&Announcement| announcement.saga_id().as_uuid().as_u128() / SAGAS == creator;
        let expected = (creator * SAGAS..(creator + 1) * SAGAS)
            .flat_map(|n| [Announcement::Creating(saga(n)), Announcement::Created(saga(n))]);
        assert!(heard.iter().filter(own).copied().eq(expected), "creator {creator}");
    }
}

#[test]
fn tells_what_was_announced_before_a_mark() {
    let (announcer, mut announcements) = announcements();
    announcer.creating(saga(1)).created();
    let mark = announcements.mark();
    announcer.creating(saga(2)).created();
    let heard = announcements.take(mark);
    assert_eq!((heard.before_mark, heard.announcements.len()), (2, 4));
    // The mark lies before everything that comes now.
    announcer.creating(saga(3)).created();
    assert_eq!(announcements.take(mark).before_mark, 0);
    assert_eq!(announcements.take(announcements.mark()).announcements, []);
}

#[test]
fn a_large_backlog_asks_for_a_pass_and_draining_it_satisfies() {
    let (announcer, mut announcements) = announcements();
    for n in 0..BACKLOG_WORTH_A_PASS / 2 {
        assert!(!announcer.wants_pass());
        announcer.creating(saga(n as u128)).created();
    }
    assert_eq!(announcer.backlog(), BACKLOG_WORTH_A_PASS);
    assert!(announcer.wants_pass());
    announcements.take(announcements.mark());
    assert!(!announcer.wants_pass());
}
