//! What a watchdog leaves on disk, and what it tells the service manager.

use super::policy::Policy;
use crate::files::write_whole;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// Reads a state file; `None` if there is none yet.
///
/// # Errors
///
/// If it cannot be read or is something else.
pub fn load_policy(path: &Path) -> io::Result<Option<Policy>> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(serde_json::from_slice(&content)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a state file, whole or not at all.
///
/// # Errors
///
/// Those of the file system.
pub fn save_policy(path: &Path, policy: &Policy) -> io::Result<()> {
    let mut json = serde_json::to_vec_pretty(policy).map_err(io::Error::from)?;
    json.push(b'\n');
    write_whole(path, &json)
}

/// Tells systemd that the service is ready and alive. `socket` is `NOTIFY_SOCKET`: a path, or a name that begins with `@`.
///
/// # Errors
///
/// If nobody listens there.
pub fn tell_service_manager(socket: &str) -> io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1\nWATCHDOG=1", &address).map(|_| ())
}
