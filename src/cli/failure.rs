//! What becomes of a command: an [`Outcome`] when it could give its answer, a [`Failure`] when not, and the exit code of
//! each. `docs/exit-codes.md` says the same for people.

use super::config::without_login;
use crate::client::base_url::BaseUrlError;
use crate::client::error::{CallError, ErrorAnswer, Problem, Unreadable};
use crate::client::tls::TrustError;
use crate::client::tls::trouble::Trouble;
use crate::client::token::TokenError;
use crate::observe::found_out::ChangeError;
use clap::error::{ContextKind, ContextValue};
use http::StatusCode;
use std::error::Error;
use std::io;
use std::process::ExitCode;

/// What a command returns.
pub type CommandResult = Result<Outcome, Failure>;

/// A command that gave its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is good.
    Good,
    /// The answer is bad: a check failed, a saga was lost, a pass had failures.
    Bad,
}

/// Why a command gave no answer, or not all of it; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The answer was given and is bad, and there is more to say about it.
    Bad,
    /// Wrong usage, an object that does not exist, or a file that cannot be used.
    Unusable,
    /// A coordinator or database that cannot be reached, or that refused us.
    Unreachable,
    /// The time ran out while waiting.
    TimedOut,
    /// A server or database answered something that makes no sense.
    Nonsense,
    /// Somebody pressed ^C.
    Interrupted,
    /// Nobody reads our output any more (`| head`), which is not an error.
    OutputClosed,
    /// Help or version was asked for and is the whole answer.
    Help,
}

/// Why a command gave no answer.
#[derive(Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    message: String,
    causes: Vec<String>,
    checklist: Vec<String>,
    hint: Option<String>,
}

impl Outcome {
    /// [`Outcome::Good`] if `good` holds.
    pub fn good_if(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }
}

/// The exit code for what became of a command.
pub fn exit_code(result: &CommandResult) -> u8 {
    match result {
        Ok(Outcome::Good) => 0,
        Ok(Outcome::Bad) => 1,
        Err(failure) => match failure.kind {
            Kind::OutputClosed | Kind::Help => 0,
            Kind::Bad => 1,
            Kind::Unusable => 2,
            Kind::Unreachable => 3,
            Kind::TimedOut => 4,
            Kind::Nonsense => 5,
            Kind::Interrupted => 130,
        },
    }
}

impl Failure {
    /// A failure that says what could not be done, and to what.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), checklist: Vec::new(), hint: None }
    }

    /// Wrong usage, or something that does not exist.
    pub fn unusable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unusable, message)
    }

    /// ^C.
    pub fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// Adds an error and everything that caused it, each on a line of its own.
    pub fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Libraries tend to repeat the cause in the message.
            if !self.causes.last().is_some_and(|last| last.ends_with(&text)) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// The same with words in front.
    fn preceded_by(self, words: &str) -> Self {
        Self { message: format!("{words}: {}", self.message), ..self }
    }

    /// A change whose answer was lost, and that was found not to be made.
    pub(super) fn not_applied(self) -> Self {
        self.preceded_by("not applied").hint("it was looked for and is not there; try again")
    }

    /// A change whose answer was lost, and of which nobody can tell what became.
    pub(super) fn perhaps_applied(self, why: &str) -> Self {
        self.preceded_by("applied or not, which is not known").because(format!("looking for it: {why}"))
    }

    /// Adds a cause in words.
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds a likely remedy.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds what was looked at to find the cause, line by line.
    pub fn checklist(self, lines: Vec<String>) -> Self {
        Self { checklist: lines, ..self }
    }

    /// The message and its first cause in one line, for places that have no more room.
    pub fn summary(&self) -> String {
        match self.causes.first() {
            Some(cause) => format!("{}: {cause}", self.message),
            None => self.message.clone(),
        }
    }

    /// A server that no TLS can be spoken with, or that is not who it should be.
    pub(super) fn of_tls(server: &str, trouble: &Trouble) -> Self {
        let failure = match trouble {
            Trouble::NotTls => {
                Self::new(Kind::Nonsense, format!("what listens at {server} does not speak TLS"))
            }
            Trouble::Refused(_) | Trouble::Impossible(_) => {
                Self::new(Kind::Unreachable, format!("no TLS connection to {server}"))
            }
            _ => Self::new(Kind::Unreachable, format!("cannot trust the server at {server}")),
        };
        match trouble.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// What clap has to say: wrong usage, or the help that was asked for.
    pub(super) fn from_clap(mut error: clap::Error) -> Self {
        // It repeats values that were refused, and those of URLs may hold a password.
        if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) {
            let shown = without_login(value).into_owned();
            error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
        }
        let kind = if error.use_stderr() { Kind::Unusable } else { Kind::Help };
        Self::new(kind, error.render().to_string())
    }

    /// Writes everything to standard error; only help that was asked for goes to standard output.
    pub(super) fn write(&self, stdout: &mut dyn io::Write, stderr: &mut dyn io::Write) -> io::Result<()> {
        // Messages hold what servers sent; what could hold more than one line was escaped when it was put in.
        match self.kind {
            Kind::OutputClosed => return Ok(()),
            Kind::Help => return write!(stdout, "{}", self.message),
            // ^C needs no explanation, but the line of the terminal that shows `^C` wants to end.
            Kind::Interrupted => return writeln!(stderr),
            Kind::Bad | Kind::Unusable | Kind::Unreachable | Kind::TimedOut | Kind::Nonsense => {}
        }
        if self.message.starts_with("error: ") {
            // clap brings its own head, usage and end of line.
            write!(stderr, "{}", self.message)?;
        } else {
            writeln!(stderr, "error: {}", self.message)?;
        }
        for cause in &self.causes {
            writeln!(stderr, "caused by: {cause}")?;
        }
        for line in &self.checklist {
            writeln!(stderr, "  {line}")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(stderr, "hint: {hint}")?;
        }
        Ok(())
    }
}

impl From<io::Error> for Failure {
    /// Errors of writing the answer; other input and output has its own errors.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::new(Kind::OutputClosed, "nobody reads the output")
        } else {
            Self::unusable("cannot write the output").caused_by(&error)
        }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        let (TokenError::Read { what, .. }
        | TokenError::Exposed { what, .. }
        | TokenError::Malformed { what, .. }) = &error;
        let failure = Self::unusable(format!("the {what} file cannot be used")).caused_by(&error);
        match error {
            TokenError::Exposed { path, .. } => failure.hint(format!("chmod 600 {}", path.display())),
            TokenError::Read { .. } | TokenError::Malformed { .. } => failure,
        }
    }
}

impl From<TrustError> for Failure {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::NoSystemRoots { .. } => Self::unusable("no https server can be trusted")
                .caused_by(&error)
                .hint("install the system's CA certificates, or name a PEM file with --ca-file"),
            TrustError::Read { .. } | TrustError::Unusable { .. } => {
                Self::unusable("the CA file cannot be used").caused_by(&error)
            }
        }
    }
}

impl From<BaseUrlError> for Failure {
    fn from(error: BaseUrlError) -> Self {
        Self::unusable("the URL cannot be used").caused_by(&error)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let CallError { call, base, problem, is_in_doubt: _ } = error;
        let cause = format!("{call}: {problem}");
        match problem {
            Problem::Unreachable { checklist, .. } => {
                Self::new(Kind::Unreachable, format!("cannot reach a coordinator at {base}"))
                    .because(cause)
                    .checklist(checklist.steps.iter().map(ToString::to_string).collect())
                    .hint("`sagactl coordinator run` starts a coordinator, --url names another address")
            }
            Problem::Lost { checklist, .. } => {
                Self::new(Kind::Unreachable, format!("no answer from the coordinator at {base}"))
                    .because(cause)
                    .checklist(checklist.steps.iter().map(ToString::to_string).collect())
                    .hint("if the coordinator was just stopped or killed, start it and try again")
            }
            Problem::TimedOut { .. } => {
                Self::new(Kind::TimedOut, format!("timed out waiting for the coordinator at {base}"))
                    .because(cause)
                    .hint("something accepts connections there but does not answer; --timeout waits longer")
            }
            Problem::NotHttp { checklist, .. } => {
                Self::new(Kind::Nonsense, format!("what listens at {base} is not a coordinator"))
                    .because(cause)
                    .checklist(checklist.steps.iter().map(ToString::to_string).collect())
                    .hint(WRONG_PORT)
            }
            Problem::Tls(trouble) => Self::of_tls(&base.to_string(), &trouble).because(cause),
            Problem::WantsTls { checklist } => {
                Self::new(Kind::Nonsense, format!("what listens at {base} does not speak plain HTTP"))
                    .because(cause)
                    .checklist(checklist.steps.iter().map(ToString::to_string).collect())
                    .hint("is it https:// in place of http://?")
            }
            Problem::Status { status, ref body } => {
                let (kind, message, hint) = judge_status(status, body);
                let failure = Self::new(kind, format!("{message} {base}")).because(cause);
                match hint {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            }
            Problem::Unreadable(ref unreadable) => {
                let hint = match unreadable {
                    Unreadable::NotJson { .. } => WRONG_PORT,
                    Unreadable::WrongShape { .. } => {
                        "a coordinator of another version perhaps; curl shows the whole answer"
                    }
                };
                Self::new(Kind::Nonsense, format!("cannot make sense of the answer from {base}"))
                    .because(cause)
                    .hint(hint)
            }
            Problem::TooLarge { .. } | Problem::BadPage { .. } | Problem::EndlessPages { .. } => {
                Self::new(Kind::Nonsense, format!("cannot make sense of the answer from {base}"))
                    .because(cause)
            }
        }
    }
}

impl From<ChangeError> for Failure {
    /// A change whose answer was lost is told by what was found out about it, never by the loss alone.
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Call(error) => error.into(),
            ChangeError::NotApplied(error) => Self::from(*error).not_applied(),
            ChangeError::Unknown { error, why } => Self::from(*error).perhaps_applied(&why),
        }
    }
}

const WRONG_PORT: &str =
    "is that the port of the internal API? it is 12221 unless it was set, and 12232 on newer Nexuses";

/// Kind, first words and hint for a status that is not success.
fn judge_status(status: StatusCode, body: &ErrorAnswer) -> (Kind, &'static str, Option<&'static str>) {
    match (status, body) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => (
            Kind::Unreachable,
            "not let in by the coordinator at",
            Some("--token-file names a file with the bearer token"),
        ),
        (StatusCode::SERVICE_UNAVAILABLE, _) => (
            Kind::Unreachable,
            "not available just now: the coordinator at",
            Some("it may be starting, quiescing, or without its database; try again"),
        ),
        (status, _) if status.is_server_error() => (
            Kind::Unreachable,
            "trouble inside the coordinator at",
            Some("the cause is in the coordinator's log, under the id of the request"),
        ),
        // The framework's own answer for a path that it does not know, or somebody else's page.
        (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, ErrorAnswer::Parsed(error))
            if error.error_code.is_none() =>
        {
            (Kind::Nonsense, "there is no such operation at", Some(WRONG_PORT))
        }
        (_, ErrorAnswer::Foreign(_)) => (Kind::Nonsense, "no coordinator answers at", Some(WRONG_PORT)),
        (status, ErrorAnswer::Parsed(_)) if status.is_client_error() => {
            (Kind::Unusable, "refused by the coordinator at", None)
        }
        (_, ErrorAnswer::Parsed(_)) => {
            (Kind::Nonsense, "cannot make sense of the answer from", Some(WRONG_PORT))
        }
    }
}

/// The process's exit code for a result.
pub(super) fn process_exit_code(result: &CommandResult) -> ExitCode {
    ExitCode::from(exit_code(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_documented_exit_code() {
        let code = |kind| exit_code(&Err(Failure::new(kind, "x")));
        assert_eq!(exit_code(&Ok(Outcome::good_if(true))), 0);
        assert_eq!(exit_code(&Ok(Outcome::good_if(false))), 1);
        for (kind, expected) in [
            (Kind::Bad, 1),
            (Kind::Unusable, 2),
            (Kind::Unreachable, 3),
            (Kind::TimedOut, 4),
            (Kind::Nonsense, 5),
            (Kind::Interrupted, 130),
            (Kind::OutputClosed, 0),
            (Kind::Help, 0),
        ] {
            assert_eq!(code(kind), expected, "{kind:?}");
        }
    }

    #[test]
    fn a_failure_is_told_in_this_order() {
        let broken = io::Error::other("disk on fire");
        let failure = Failure::unusable("cannot read the thing")
            .caused_by(&broken)
            .because("somebody lit it")
            .checklist(vec!["✓ disk there".to_owned()])
            .hint("fetch water");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        failure.write(&mut out, &mut err).unwrap();
        assert!(out.is_empty());
        assert_eq!(
            String::from_utf8(err).unwrap(),
            "error: cannot read the thing\ncaused by: disk on fire\ncaused by: somebody lit it\n  ✓ disk there\n\
             hint: fetch water\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        closed.write(&mut out, &mut err).unwrap();
        assert!(out.is_empty() && err.is_empty());
    }
}
