//! The schema as an ordered list of migrations.
//!
//! Migrations only go forward. A coordinator applies what is missing when it opens its database, each in a transaction of
//! its own; a database that knows more migrations than the program is refused. A migration that has been released is
//! never changed again: what it should have said is the next migration.
//!
//! The tables are those of Oxide's Nexus as far as Nexus has them, with its names, columns and constraints, so that
//! queries and runbooks carry over. SQLite keeps uuids and RFC 3339 times as text, which keeps its shell usable, and enums
//! as text with a CHECK.
//!
//! Foreign keys must not be `DEFERRABLE`: a deferred one is found broken only when everybody's writes are committed
//! together, when it is too late to refuse the one at fault. Triggers that refuse use `RAISE(ABORT, …)` for a like reason.

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Counts up from 1 without gaps.
    pub version: i64,
    /// What it brings, in a few words for logs.
    pub name: &'static str,
    /// SQLite's text: any number of statements.
    pub sqlite: &'static str,
    /// PostgreSQL's text, likewise, in the subset of CockroachDB.
    pub postgres: &'static str,
}

/// All migrations, oldest first.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "sagas, their logs and owners",
        sqlite: SAGAS_SQLITE,
        postgres: SAGAS_POSTGRES,
    },
    Migration {
        version: 2,
        name: "the external API's objects",
        sqlite: super::domain::schema::SQLITE,
        postgres: super::domain::schema::POSTGRES,
    },
    Migration { version: 3, name: "indexes for listing sagas", sqlite: LISTING, postgres: LISTING },
];

/// The version that this program reads and writes.
pub const CURRENT_VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// Why it deviates from the order of Nexus's columns, and has an index more:
///
/// - `saga_dag` comes last. SQLite stores a row's columns one after the other, so that whatever follows the DAG could only
///   be reached through the DAG's pages, and the fence of every event asks for `current_sec` and `adopt_generation`.
/// - `saga_recovery_candidates` holds everything that listing candidates asks for. With `lookup_saga_by_sec` alone each
///   candidate's row would be fetched for its state, a page or more each, because rows with a DAG in them are large.
const SAGAS_SQLITE: &str = "
CREATE TABLE sagactl_schema (
    singleton INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO sagactl_schema (singleton, version) VALUES (1, 0);

CREATE TABLE saga (
    id TEXT NOT NULL PRIMARY KEY,
    creator TEXT NOT NULL,
    time_created TEXT NOT NULL,
    name TEXT NOT NULL CONSTRAINT saga_name_length CHECK (length(name) <= 128),
    saga_state TEXT NOT NULL
        CONSTRAINT saga_state_known CHECK (saga_state IN ('running', 'unwinding', 'done', 'abandoned')),
    current_sec TEXT,
    adopt_generation INTEGER NOT NULL,
    adopt_time TEXT NOT NULL,
    abandon_time TEXT,
    abandon_reason TEXT
        CONSTRAINT abandon_reason_known CHECK (abandon_reason IN ('omdb', 'unrecoverable', 'orphaned')),
    abandon_comment TEXT,
    saga_dag TEXT NOT NULL,
    CONSTRAINT abandoned_requires_metadata CHECK (
        saga_state <> 'abandoned'
        OR (abandon_time IS NOT NULL AND abandon_reason IS NOT NULL AND abandon_comment IS NOT NULL)
    ),
    CONSTRAINT not_abandoned_requires_no_metadata CHECK (
        saga_state = 'abandoned'
        OR (abandon_time IS NULL AND abandon_reason IS NULL AND abandon_comment IS NULL)
    )
) STRICT;
CREATE UNIQUE INDEX lookup_saga_by_sec ON saga (current_sec, id) WHERE saga_state <> 'done';
CREATE INDEX saga_recovery_candidates ON saga (current_sec, id, saga_state) WHERE saga_state <> 'done';

CREATE TABLE saga_node_event (
    saga_id TEXT NOT NULL,
    node_id INTEGER NOT NULL,
    event_type TEXT NOT NULL CONSTRAINT event_type_length CHECK (length(event_type) <= 31),
    data TEXT,
    event_time TEXT NOT NULL,
    creator TEXT NOT NULL,
    PRIMARY KEY (saga_id, node_id, event_type)
) STRICT, WITHOUT ROWID;

CREATE TABLE sec (
    id TEXT NOT NULL PRIMARY KEY,
    internal_address TEXT NOT NULL,
    state TEXT NOT NULL CONSTRAINT sec_state_known CHECK (state IN ('active', 'expunged')),
    time_started TEXT NOT NULL,
    time_heartbeat TEXT NOT NULL
) STRICT;

CREATE TABLE idempotency_key (
    key TEXT NOT NULL PRIMARY KEY,
    request_digest TEXT NOT NULL,
    saga_id TEXT NOT NULL,
    time_created TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// As a Nexus has them, but for what is ours:
///
/// - `writer_session` and `writer_batch` belong to the process that writes as this SEC, see `store::postgres`. Its every
///   transaction changes them.
/// - There is no index on candidates beside `lookup_saga_by_sec`: DAGs are kept outside of the rows, which are small.
const SAGAS_POSTGRES: &str = "
CREATE TABLE sagactl_schema (
    singleton BIGINT NOT NULL PRIMARY KEY CHECK (singleton = 1),
    version BIGINT NOT NULL
);
INSERT INTO sagactl_schema (singleton, version) VALUES (1, 0);

CREATE TYPE saga_state AS ENUM ('running', 'unwinding', 'done', 'abandoned');
CREATE TYPE saga_abandon_reason AS ENUM ('omdb', 'unrecoverable', 'orphaned');

CREATE TABLE saga (
    id UUID NOT NULL PRIMARY KEY,
    creator UUID NOT NULL,
    time_created TIMESTAMPTZ NOT NULL,
    name VARCHAR(128) NOT NULL,
    saga_dag JSONB NOT NULL,
    saga_state saga_state NOT NULL,
    current_sec UUID,
    adopt_generation BIGINT NOT NULL,
    adopt_time TIMESTAMPTZ NOT NULL,
    abandon_time TIMESTAMPTZ,
    abandon_reason saga_abandon_reason,
    abandon_comment TEXT,
    CONSTRAINT abandoned_requires_metadata CHECK (
        saga_state <> 'abandoned'
        OR (abandon_time IS NOT NULL AND abandon_reason IS NOT NULL AND abandon_comment IS NOT NULL)
    ),
    CONSTRAINT not_abandoned_requires_no_metadata CHECK (
        saga_state = 'abandoned'
        OR (abandon_time IS NULL AND abandon_reason IS NULL AND abandon_comment IS NULL)
    )
);
CREATE UNIQUE INDEX lookup_saga_by_sec ON saga (current_sec, id) WHERE saga_state <> 'done';

CREATE TABLE saga_node_event (
    saga_id UUID NOT NULL,
    node_id BIGINT NOT NULL,
    event_type VARCHAR(31) NOT NULL,
    data JSONB,
    event_time TIMESTAMPTZ NOT NULL,
    creator UUID NOT NULL,
    PRIMARY KEY (saga_id, node_id, event_type)
);

CREATE TABLE sec (
    id UUID NOT NULL PRIMARY KEY,
    internal_address TEXT NOT NULL,
    state TEXT NOT NULL CONSTRAINT sec_state_known CHECK (state IN ('active', 'expunged')),
    time_started TIMESTAMPTZ NOT NULL,
    time_heartbeat TIMESTAMPTZ NOT NULL,
    writer_session UUID,
    writer_batch BIGINT
);

CREATE TABLE idempotency_key (
    key TEXT NOT NULL PRIMARY KEY,
    request_digest TEXT NOT NULL,
    saga_id UUID NOT NULL,
    time_created TIMESTAMPTZ NOT NULL
);
";

/// What listing needs beyond what running sagas needs, kept to what is cheap to write. A saga of 22 nodes makes some 45
/// rows of a log; of these indexes it pays for two entries, at its creation.
///
/// - `saga_by_time`: newest first, and spans of time. The id is the tie-breaker that makes pages exact.
/// - `saga_by_name`: the same for sagas of one name; and finding out which names there are by jumping from one to the next.
/// - `saga_node_event_failures`: what failed of late. It holds events of failures only, so that a log without one does
///   not touch it.
///
/// Unfinished sagas have had an index from the start. There is none by state or outcome: nearly all sagas are done and have
/// succeeded, and those that are not are what the other two indexes hold.
const LISTING: &str = "
CREATE INDEX saga_by_time ON saga (time_created, id);
CREATE INDEX saga_by_name ON saga (name, time_created, id);
CREATE INDEX saga_node_event_failures ON saga_node_event (event_time, saga_id, node_id, event_type)
    WHERE event_type IN ('failed', 'undo_failed');
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_count_up_from_one_without_gaps() {
        let versions: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        let expected: Vec<i64> = (1..).take(MIGRATIONS.len()).collect();
        assert_eq!(versions, expected);
    }
}
