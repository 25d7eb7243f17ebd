//! Which sagas a command is about: whole ids, beginnings of ids, or `-` for ids on standard input.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::render::escape::excerpt;
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::wire::ids::SagaId;
use std::io::BufRead;

/// Candidates that are listed when a beginning is not enough.
const MOST_CANDIDATES: u32 = 10;

/// Sagas as they are named on the command line.
#[derive(Debug, clap::Args)]
pub(super) struct SagaIds {
    /// Which saga: its id, or a beginning of it that no other has; - reads ids from standard input
    #[arg(value_name = "SAGA", required = true)]
    sagas: Vec<String>,
}

impl SagaIds {
    /// Whether exactly one saga is named, so that the answer is one and no list.
    pub(super) fn is_one(&self) -> bool {
        matches!(self.sagas.as_slice(), [one] if one != "-")
    }

    /// The ids as they were given, with standard input in the place of `-`.
    pub(super) fn read(self) -> Result<Vec<String>, Failure> {
        let mut ids = Vec::new();
        for saga in self.sagas {
            if saga != "-" {
                ids.push(saga);
                continue;
            }
            for line in std::io::stdin().lock().lines() {
                let line =
                    line.map_err(|error| Failure::unusable("cannot read standard input").caused_by(&error))?;
                ids.extend(line.split_whitespace().map(str::to_owned));
            }
        }
        match ids.is_empty() {
            true => Err(Failure::unusable("there is no saga id on standard input")),
            false => Ok(ids),
        }
    }
}

/// The saga that is meant by an id or its beginning.
///
/// # Errors
///
/// If none is, or several are, which are then listed.
pub(super) async fn resolve(ctx: &Context<'_>, inspector: &Inspector, text: &str) -> Result<SagaId, Failure> {
    let shown = excerpt(text, 80);
    let find = format!("`sagactl sagas find '{shown}'` finds sagas that mention it");
    // One more, to know whether these are all.
    let found = match inspector.find_by_prefix(text, MOST_CANDIDATES + 1).await {
        Ok(found) => found,
        Err(InspectError::BadQuestion(_)) => {
            return Err(Failure::unusable(format!(
                "{shown:?} is neither a saga's id nor the beginning of one"
            ))
            .hint(find));
        }
        Err(error) => return Err(error.into()),
    };
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let source = &inspector.describe().url;
            let failure = Failure::unusable(format!("unknown saga {shown:?}: {source} has none of that id"));
            Err(match text.parse::<SagaId>() {
                Ok(_) => failure.hint(format!("if it is the id of a project or of something else, {find}")),
                Err(_) => failure.hint("`sagactl sagas list` lists the newest sagas"),
            })
        }
        several => Err(ambiguous(ctx, inspector, &shown, several).await?),
    }
}

async fn ambiguous(
    ctx: &Context<'_>,
    inspector: &Inspector,
    shown: &str,
    found: &[SagaId],
) -> Result<Failure, Failure> {
    let look = ctx.look();
    let most = MOST_CANDIDATES as usize;
    let rows = inspector.load_sagas(&found[..found.len().min(most)]).await?;
    let mut lines: Vec<String> = found
        .iter()
        .take(most)
        .map(|id| match rows.iter().find(|row| row.id == *id) {
            None => format!("{id}  (no row, only events)"),
            Some(row) => {
                let text = |field: &crate::wire::field::Field<String>| {
                    field.value().map_or("?".to_owned(), |text| excerpt(text, 40))
                };
                let created = row.time_created.value();
                let created = created.map_or("?".to_owned(), |time| crate::render::time::when(&look, *time));
                format!("{id}  {}  {}  {created}", text(&row.name), text(&row.state))
            }
        })
        .collect();
    let count = match found.len() > most {
        true => {
            lines.push("…".to_owned());
            format!("more than {most}")
        }
        false => found.len().to_string(),
    };
    Ok(Failure::unusable(format!("{shown:?} begins the ids of {count} sagas"))
        .checklist(lines)
        .hint("give more of the id"))
}
