//! What the server's answers to a batch of statements mean for its writes. Pure.

use super::plan::Step;
use super::trouble::{Trouble, classify};
use crate::store::error::{Refusal, Rule};

/// What came of steps before the commit.
pub(super) enum Executed {
    /// Rows changed, per write and statement.
    Rows(Vec<Vec<u64>>),
    /// This write was refused.
    Refused(usize, Refusal),
    /// One of several was, by this rule.
    Unclear(Rule),
}

/// What the answers to all steps mean.
pub(super) fn gather(
    steps: &[Step<'_>],
    answers: impl Iterator<Item = Result<u64, tokio_postgres::Error>>,
    writes: usize,
) -> Result<Executed, Trouble> {
    let mut rows = vec![Vec::new(); writes];
    for (step, answer) in steps.iter().zip(answers) {
        // Once a statement has failed the server refuses all that follow, so the first answer that is no success tells.
        let (changed, refusal) = match answer {
            Ok(changed) => (changed, refusal_of(step, changed)?),
            Err(error) => match classify(&error) {
                Trouble::Refused(refusal) => (0, Some(refusal)),
                trouble => return Err(trouble),
            },
        };
        match (refusal, &step.members[..]) {
            (None, [member]) if member.is_counted() => rows[member.write].push(changed),
            (None, members) => {
                for member in members.iter().filter(|member| member.is_counted()) {
                    rows[member.write].push(1);
                }
            }
            (Some(refusal), [member]) => return Ok(Executed::Refused(member.write, refusal)),
            (Some(refusal), _) => return Ok(Executed::Unclear(refusal.rule)),
        }
    }
    Ok(Executed::Rows(rows))
}

/// The refusal that is in a number of changed rows, if it is not as expected.
fn refusal_of(step: &Step<'_>, changed: u64) -> Result<Option<Refusal>, Trouble> {
    let row_count = |what: &str| Some(Refusal { rule: Rule::RowCount, what: what.to_owned() });
    if step.members.len() > 1 {
        // Each changes one row or is refused.
        return Ok(if changed == step.members.len() as u64 { None } else { row_count("of several") });
    }
    match step.expect().otherwise() {
        Some(what) if changed == 0 => Ok(row_count(what)),
        Some(_) if changed > 1 => Err(Trouble::Hopeless(format!(
            "{changed} rows were changed by a statement that names one: {}",
            step.sql()
        ))),
        Some(_) | None => Ok(None),
    }
}
