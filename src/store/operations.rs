//! Everything that the tool does in a database, with its retry class, as [`crate::client::operations`] has it for the APIs.
//!
//! What a coordinator does in its own database is not in here: it writes in order, under its fence, and finds out by itself
//! what became of a commit whose answer was lost (`store::postgres`).

use crate::client::operations::RetryClass;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident: $class:ident, $doing:literal, $lost:literal;)*) => {
        /// What the tool does in a database.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum DatabaseOperation {
            $($(#[$doc])* $name,)*
        }

        impl DatabaseOperation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Whether it may be repeated.
            pub const fn retry_class(self) -> RetryClass {
                match self {
                    $(Self::$name => RetryClass::$class,)*
                }
            }

            /// What is done, for people.
            pub const fn doing(self) -> &'static str {
                match self {
                    $(Self::$name => $doing,)*
                }
            }

            /// What is done when it was sent and no answer came.
            pub const fn when_lost(self) -> &'static str {
                match self {
                    $(Self::$name => $lost,)*
                }
            }
        }
    };
}

operations! {
    // In a session that can change nothing, one complete answer per question.
    /// Look at sagas, logs, SECs, and what sagas have made.
    Look: Safe, "looking at sagas, logs, SECs and projects", "asked again in a new session, once";
    // Conditional on everything that was seen, but a second one cannot tell its own first one from somebody else's.
    /// Give up a saga.
    Abandon: UnsentOnly, "`sagas abandon`", "found out by reading the saga again";
    /// Have nodes fail.
    InjectErrors: UnsentOnly, "`sagas inject-error`", "found out by reading the log again";
    /// Move sagas to another owner.
    Reassign: UnsentOnly, "`sagas reassign`", "found out by reading the sagas again";
    /// Put a SEC out of service.
    Expunge: UnsentOnly, "`secs expunge`", "found out by reading the registry again";
}
