//! A command of the operator's that is run for an event.

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A command for the shell, and how long it may take.
#[derive(Clone, Debug)]
pub struct Hook {
    /// As for `sh -c`.
    pub command: String,
    /// Longest time that it may take.
    pub limit: Duration,
}

/// A hook that did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It could not be started or waited for.
    #[error("cannot run {command:?}")]
    Io {
        /// The command.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It said so.
    #[error("{command:?} ended with {status}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It took too long and was killed.
    #[error("{command:?} took longer than {} and was killed", humantime::format_duration(*limit))]
    TimedOut {
        /// The command.
        command: String,
        /// How long it might have taken.
        limit: Duration,
    },
}

/// Everything that a hook started, killed if the hook has not come to its end.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Gone already is as good.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Hook {
    /// Runs the command with `event` as one line of JSON on its standard input and with these variables, and waits until it
    /// has ended well. What it writes goes to standard error: standard output is for events.
    ///
    /// # Errors
    ///
    /// If it cannot be run, ends otherwise than well, or takes too long, in which case it and what it started are killed.
    pub async fn run<T: Serialize>(&self, event: &T, variables: &[(&str, String)]) -> Result<(), HookError> {
        let Self { command, limit } = self;
        let failed = |source| HookError::Io { command: command.clone(), source };
        let mut line = serde_json::to_vec(event).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        let mut child = Command::new("/bin/sh")
            .args(["-c", command])
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(io::stderr())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let mut group = Group(id.and_then(Pid::from_raw));
        let stdin = child.stdin.take();
        let ended = tokio::time::timeout(*limit, async {
            if let Some(mut stdin) = stdin {
                // A hook need not read what it is given.
                let _ = stdin.write_all(&line).await;
            }
            child.wait().await
        });
        let status = match ended.await {
            Err(_) => return Err(HookError::TimedOut { command: command.clone(), limit: *limit }),
            Ok(status) => status.map_err(failed)?,
        };
        // It has ended by itself; what it left running on purpose is its own affair.
        group.0 = None;
        match status.success() {
            true => Ok(()),
            false => Err(HookError::Failed { command: command.clone(), status }),
        }
    }
}
