//! What a run's end means for the exit code, and what to say about it.

use crate::blast::journal::RecordError;
use crate::blast::schedule::End;
use crate::blast::target::TargetError;
use crate::blast::{Config, Report, StartError};
use crate::cli::failure::{CommandResult, Failure, Kind, Outcome};

/// Judges a run by its report.
pub(super) fn judge(report: &Report, config: &Config, ignore_errors: bool) -> CommandResult {
    if report.nothing_left
        && let Some(first) = &report.first_failure
    {
        let api =
            if config.workload.is_internal() { "--url its internal" } else { "--external-url its external" };
        return Err(Failure::new(Kind::Unreachable, "nothing could be sent")
            .because(first.error.clone())
            .hint(format!("is the coordinator running, and is {api} API?")));
    }
    if !ignore_errors && let Some(first) = &report.first_failure {
        let doing = config.workload.doing(&first.name);
        return Err(Failure::new(Kind::Bad, format!("{doing} failed"))
            .because(first.error.clone())
            .hint("--ignore-errors goes on when requests fail"));
    }
    if report.ended == End::Failures {
        let went_wrong = report.failed + report.in_doubt;
        return Err(Failure::new(
            Kind::Bad,
            format!("{went_wrong} requests went wrong, which --max-failures ends"),
        ));
    }
    let broken: Vec<_> = report.rules.iter().filter(|judged| judged.broken).collect();
    if let Some(first) = broken.first() {
        let all = broken.iter().map(|judged| judged.rule.as_str()).collect::<Vec<_>>().join(", ");
        let failure = Failure::new(Kind::Bad, format!("what must not be is so: {all}"));
        return Err(match first.value {
            Some(_) => failure,
            None => failure.because("nothing was measured, so nothing can be said for it"),
        });
    }
    Ok(Outcome::good_if(report.done > 0 && !report.reconciliation.is_inconsistent()))
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Target(error) => error.into(),
            StartError::Path { .. } => Self::unusable(error.to_string()),
            StartError::Thread(_) => Self::unusable("the blast cannot begin").caused_by(&error),
        }
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Remote { .. } => Self::unusable("load is made on this machine only")
                .caused_by(&error)
                .hint("--allow-remote makes load on other machines, too; be sure that they are yours"),
            TargetError::Trust(error) => error.into(),
            TargetError::NoTlsName { .. } => Self::unusable("the server cannot be checked").caused_by(&error),
            TargetError::Unknown { .. } | TargetError::NoAddress { .. } => {
                Self::new(Kind::Unreachable, "there is nobody to make load on").caused_by(&error)
            }
        }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        Self::unusable("the record of the run cannot be kept").caused_by(&error)
    }
}
