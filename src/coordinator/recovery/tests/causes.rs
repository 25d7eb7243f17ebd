//! Which failures are final.

use crate::coordinator::recovery::FailureCause;
use crate::wire::recovery::RecoveryFailureKind::{Permanent, Transient};
use crate::wire::sagas::CachedState;

#[test]
fn only_a_verdict_on_the_sagas_own_data_is_permanent() {
    let text = || "reason".to_owned();
    let cases = [
        (FailureCause::StoreUnavailable(text()), Transient, "could not load the saga: reason"),
        (FailureCause::RowGone, Transient, "the saga is not in the database any more"),
        (
            FailureCause::NotUnfinished(CachedState::Abandoned),
            Transient,
            "the saga has become abandoned since it was listed",
        ),
        (
            FailureCause::OwnerChanged(Some("0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001".parse().expect("a uuid"))),
            Transient,
            "the saga has been re-assigned since it was listed, now to SEC 0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001",
        ),
        (
            FailureCause::OwnerChanged(None),
            Transient,
            "the saga has been re-assigned since it was listed, now to nobody",
        ),
        (
            FailureCause::AlreadyRunning,
            Transient,
            "the engine runs the saga already, though recovery did not know",
        ),
        (FailureCause::EngineRefused(text()), Transient, "the engine did not take the saga: reason"),
        (FailureCause::Unreadable(text()), Permanent, "unreadable saga: reason"),
        (FailureCause::DagUnreadable(text()), Permanent, "unreadable DAG: reason"),
        (FailureCause::LogIllegal(text()), Permanent, "illegal log: reason"),
        (
            FailureCause::UnknownAction { node: "subnet".to_owned(), action: "vpc_create.subnet".to_owned() },
            Permanent,
            r#"unknown action "vpc_create.subnet" in node "subnet""#,
        ),
    ];
    for (cause, kind, message) in cases {
        assert_eq!(cause.classify(), kind, "{cause:?}");
        assert_eq!(cause.to_string(), message);
    }
}
