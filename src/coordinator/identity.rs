//! The data directory: who this SEC is, kept across restarts, and the lock that keeps two coordinators apart.

use crate::files::write_whole;
use crate::wire::ids::SecId;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "lock";
const SEC_ID_FILE: &str = "sec-id";
const KEY_FILE: &str = "session-key";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Another coordinator uses it.
    #[error("data directory {0} is in use by another coordinator")]
    InUse(PathBuf),
    /// Something in it cannot be made, read or written.
    #[error("{doing} {path}")]
    Io {
        /// `making`, `opening`, `reading`, `writing`.
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file with the SEC's id holds something else.
    #[error("{path} does not hold a SEC id but {found:?}")]
    BadSecId {
        /// Which file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// The file with the key of sessions holds something else.
    #[error("{0} does not hold a key; take it away for a new one, which ends all sessions")]
    BadKey(PathBuf),
}

/// Held while a coordinator uses a data directory; the system drops it with the process, however that ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Io { doing, path, source }
}

/// Makes the directory if need be and takes its lock.
///
/// # Errors
///
/// When it cannot be made or written, or another coordinator has it.
pub fn lock_data_dir(dir: &Path) -> Result<DataDirLock, IdentityError> {
    std::fs::create_dir_all(dir).map_err(io("making data directory", dir))?;
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io("opening the lock file", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(DataDirLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(IdentityError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(io("locking", &path)(error)),
    }
}

/// The id of the SEC that uses this directory; made at the first start.
///
/// # Errors
///
/// When the file cannot be read or written, or holds something else.
pub fn load_or_create_sec_id(dir: &Path) -> Result<SecId, IdentityError> {
    let path = dir.join(SEC_ID_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            text.trim().parse().map_err(|_| IdentityError::BadSecId { path, found: text.trim().to_owned() })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let id = SecId::random();
            write_whole(&path, format!("{id}\n").as_bytes()).map_err(io("writing", &path))?;
            Ok(id)
        }
        Err(error) => Err(io("reading", &path)(error)),
    }
}

/// The secret that sessions of this coordinator's users are made with; made at the first start.
///
/// # Errors
///
/// When the file cannot be read or written, or holds something else.
pub fn load_or_create_key(dir: &Path) -> Result<[u8; 32], IdentityError> {
    let path = dir.join(KEY_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => <[u8; 32]>::try_from(bytes).map_err(|_| IdentityError::BadKey(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key: [u8; 32] = rand::random();
            // Temporary files, from which it is made, are readable by their owner alone.
            write_whole(&path, &key).map_err(io("writing", &path))?;
            Ok(key)
        }
        Err(error) => Err(io("reading", &path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_coordinator_at_a_time() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let first = lock_data_dir(dir.path()).expect("free");
        assert!(matches!(lock_data_dir(dir.path()), Err(IdentityError::InUse(_))));
        drop(first);
        lock_data_dir(dir.path()).expect("free again");
    }

    #[test]
    fn the_key_survives_restarts_and_is_a_secret() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a scratch directory");
        let key = load_or_create_key(dir.path()).expect("made");
        assert_eq!(load_or_create_key(dir.path()).expect("read"), key);
        let path = dir.path().join(KEY_FILE);
        assert_eq!(std::fs::metadata(&path).expect("a file").permissions().mode() & 0o077, 0);
        std::fs::write(&path, "short").expect("written");
        assert!(matches!(load_or_create_key(dir.path()), Err(IdentityError::BadKey(_))));
    }

    #[test]
    fn the_sec_id_survives_restarts() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let id = load_or_create_sec_id(dir.path()).expect("made");
        assert_eq!(load_or_create_sec_id(dir.path()).expect("read"), id);
        std::fs::write(dir.path().join(SEC_ID_FILE), "nonsense").expect("written");
        let error = load_or_create_sec_id(dir.path()).expect_err("nonsense is no id").to_string();
        assert!(error.ends_with("does not hold a SEC id but \"nonsense\""), "{error}");
    }
}
