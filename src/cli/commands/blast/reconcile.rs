//! `sagactl blast reconcile`: a run's own record, held against the records of a coordinator; later, or on another machine.

use super::records::{self, Found, Question};
use crate::blast::journal::{Journal, JournalError};
use crate::blast::report::Reconciled;
use crate::cli::config::OutputMode;
use crate::cli::context::Context;
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};
use crate::render;
use http::header::AUTHORIZATION;
use std::path::{Path, PathBuf};

/// Hold the record of a run (--record) against what a coordinator has on record
///
/// Exits 1 and names what is lost if something that was acknowledged is not there. Works while the coordinator is down if
/// --db-url names its database, and with the record of a run that was killed.
#[derive(Debug, clap::Args)]
pub(super) struct ReconcileArgs {
    /// What --record wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Reads the file, asks, tells.
pub(super) async fn run(ctx: &mut Context<'_>, args: ReconcileArgs) -> CommandResult {
    let mode =
        ctx.output_among("blast reconcile", &[OutputMode::Table, OutputMode::Json, OutputMode::Jsonl])?;
    let reconciled = reconciled(ctx, &args.file).await?;
    if mode == OutputMode::Table {
        let look = ctx.look();
        render::blast::render_reconciled(ctx.out(), &look, &reconciled)?;
    } else {
        ctx.write_json(mode, &reconciled)?;
    }
    Ok(Outcome::good_if(!reconciled.reconciliation.is_inconsistent()))
}

/// Holds a run's own record against what is on record.
pub(in crate::cli::commands) async fn reconciled(
    ctx: &mut Context<'_>,
    file: &Path,
) -> Result<Reconciled, Failure> {
    let journal = Journal::read(file)?;
    let info = records::fetch_info(ctx).await;
    if info.is_some() {
        records::settle(ctx).await;
    }
    let external = ctx.external_url();
    let credential = ctx.token()?.map(|token| (AUTHORIZATION, token.authorization()));
    let ids: Vec<_> = journal.sagas.keys().copied().collect();
    let trust = ctx.trust().clone();
    let question = Question {
        traces: journal.header.workload.traces(),
        stem: journal.names.stem(),
        sagas: &ids,
        external: &external,
        trust: &trust,
        credential: credential.as_ref(),
    };
    let Found { recorded, sagas } = records::find(ctx, &question, info.as_ref()).await.map_err(|reason| {
        Failure::new(Kind::Unreachable, "the records cannot be read")
            .because(reason)
            .hint("--url names the coordinator, --db-url its database")
    })?;
    Ok(Reconciled::new(&journal, &recorded, sagas))
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::unusable("the record cannot be used").caused_by(&error)
    }
}
