//! The bearer token, which nothing ever prints.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A bearer token. It has no `Display`, and its `Debug` tells nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("reading token file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read it, so it is no secret.
    #[error("token file {} can be read by others than its owner (mode {mode:03o})", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It does not hold one line of visible ASCII.
    #[error("token file {} must hold one line of visible ASCII characters", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
}

impl Token {
    /// Reads a token file: one line, readable by its owner alone.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let read = |source| TokenError::Read { path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Exposed { path: path.to_owned(), mode });
        }
        let bytes = fs::read(path).map_err(read)?;
        let text = bytes.trim_ascii();
        if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::Malformed { path: path.to_owned() });
        }
        Ok(Self(String::from_utf8(text.to_vec()).expect("ASCII is UTF-8")))
    }

    /// Value of the `Authorization` header.
    pub fn authorization(&self) -> http::HeaderValue {
        let mut value = http::HeaderValue::try_from(format!("Bearer {}", self.0))
            .expect("visible ASCII makes a header value");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn a_good_file_makes_a_header_and_never_shows() {
        let (_dir, path) = file(b"s3cret\n", 0o600);
        let token = Token::load(&path).unwrap();
        assert_eq!(token.authorization(), "Bearer s3cret");
        assert!(!format!("{token:?} {:?}", token.authorization()).contains("s3cret"));
    }

    #[test]
    fn files_that_are_no_secret_or_no_token_are_refused() {
        let (_dir, path) = file(b"s3cret\n", 0o640);
        assert!(matches!(Token::load(&path), Err(TokenError::Exposed { mode: 0o640, .. })));
        for bad in [&b""[..], b" \n", b"two lines\n", b"a\nb", b"\xff"] {
            let (_dir, path) = file(bad, 0o400);
            assert!(matches!(Token::load(&path), Err(TokenError::Malformed { .. })), "{bad:?}");
        }
        assert!(matches!(Token::load(&path.with_extension("none")), Err(TokenError::Read { .. })));
    }
}
