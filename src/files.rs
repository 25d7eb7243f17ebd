//! Files that appear whole or not at all, and files that are touched as a sign of life.

use crate::descriptors::from_reserve;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

/// Writes a file so that it is there whole or not at all, whatever happens meanwhile: to a temporary file beside it, synced,
/// renamed, and the directory synced.
///
/// # Errors
///
/// Those of the file system; then the old file, if there was one, is still there.
pub fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(dir)?.sync_all()
}

/// Touches a heartbeat file, and makes it if it is not there.
///
/// # Errors
///
/// Those of the file system.
pub fn touch(path: &Path) -> std::io::Result<()> {
    let file = from_reserve(|| OpenOptions::new().create(true).truncate(false).write(true).open(path))?;
    file.set_modified(SystemTime::now())
}
