//! File descriptors, of which each connection needs one.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Descriptors for everything else: the standard streams, the runtime, a file to write to, the resolver.
const OTHERS: u64 = 32;

/// More connections than this process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{connections} connections need {} file descriptors, and this process may have {limit} at most",
    connections + OTHERS
)]
pub struct TooManyConnections {
    connections: u64,
    limit: u64,
}

/// Makes room for so many connections: the soft limit of the process is raised if it has to be and may be.
///
/// # Errors
///
/// When the hard limit is lower than that.
pub fn make_room_for(connections: u32) -> Result<(), TooManyConnections> {
    let connections = u64::from(connections);
    let needed = connections + OTHERS;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No limit is told by its absence.
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let refused = |limit| TooManyConnections { connections, limit };
    if let Some(limit) = maximum.filter(|maximum| *maximum < needed) {
        return Err(refused(limit));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .map_err(|_| refused(current.unwrap_or(needed)))
}

/// What an error of connecting means if it comes from a limit of this machine and not from the server.
pub(super) fn explain(error: &io::Error) -> Option<String> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some(match getrlimit(Resource::Nofile).current {
            Some(limit) => {
                format!("this process has no file descriptors left, its limit is {limit} (ulimit -n)")
            }
            None => "this process has no file descriptors left".to_owned(),
        }),
        Errno::NFILE => Some("this machine has no file descriptors left".to_owned()),
        Errno::ADDRNOTAVAIL => {
            Some("this machine has no local port left for another connection to the server".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_connections_are_always_possible() {
        assert_eq!(make_room_for(1), Ok(()));
    }

    #[test]
    fn too_many_are_refused_with_the_limit() {
        let Some(maximum) = getrlimit(Resource::Nofile).maximum else { return };
        let Ok(connections) = u32::try_from(maximum) else { return };
        assert_eq!(
            make_room_for(connections).unwrap_err().to_string(),
            format!(
                "{connections} connections need {} file descriptors, and this process may have {maximum} at most",
                u64::from(connections) + 32
            )
        );
    }

    #[test]
    fn limits_of_the_machine_are_named() {
        let explained = |errno: Errno| explain(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!(explained(Errno::MFILE).expect("explained").contains("its limit is "));
        assert_eq!(explained(Errno::CONNREFUSED), None);
    }
}
