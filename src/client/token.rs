//! Secrets that come from files and that nothing ever prints: a bearer token, a password.

use std::fmt;
use std::fs;
use std::io::{self, BufRead};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Longest line that a password is read from, in bytes.
const LONGEST_LINE: u64 = 4096;

/// A bearer token. It has no `Display`, and its `Debug` tells nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// A password. It has no `Display`, and its `Debug` tells nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secret {
    /// A bearer token.
    Token,
    /// A password.
    Password,
}

/// Why a file with a secret cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("reading {what} file {}", path.display())]
    Read {
        /// What it should hold.
        what: Secret,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read it, so it is no secret.
    #[error("{what} file {} can be read by others than its owner (mode {mode:03o})", path.display())]
    Exposed {
        /// What it should hold.
        what: Secret,
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It does not hold one line of the characters that its kind may have.
    #[error("{what} file {} must hold one line of {}", path.display(), what.characters())]
    Malformed {
        /// What it should hold.
        what: Secret,
        /// Which file.
        path: PathBuf,
    },
}

impl Secret {
    const fn characters(self) -> &'static str {
        match self {
            Self::Token => "visible ASCII characters",
            Self::Password => "text",
        }
    }

    /// Reads a file that its owner alone may read, without the white space around its line.
    fn load(self, path: &Path) -> Result<String, TokenError> {
        let read = |source| TokenError::Read { what: self, path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenError::Exposed { what: self, path: path.to_owned(), mode });
        }
        let bytes = fs::read(path).map_err(read)?;
        let secret = self.in_text(&bytes).map(str::to_owned);
        secret.ok_or_else(|| TokenError::Malformed { what: self, path: path.to_owned() })
    }

    fn in_text(self, bytes: &[u8]) -> Option<&str> {
        let text = std::str::from_utf8(bytes.trim_ascii()).ok()?;
        let is_good = match self {
            Self::Token => text.bytes().all(|byte| byte.is_ascii_graphic()),
            Self::Password => !text.contains(char::is_control),
        };
        (is_good && !text.is_empty()).then_some(text)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Password => "password",
        })
    }
}

impl Token {
    /// Reads a token file: one line, readable by its owner alone.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        Secret::Token.load(path).map(Self)
    }

    /// The token itself, for a server that is to ask for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Value of the `Authorization` header.
    pub fn authorization(&self) -> http::HeaderValue {
        let mut value = http::HeaderValue::try_from(format!("Bearer {}", self.0))
            .expect("visible ASCII makes a header value");
        value.set_sensitive(true);
        value
    }
}

impl Password {
    /// Reads a password file: one line, readable by its owner alone.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        Secret::Password.load(path).map(Self)
    }

    /// Reads one line, with a limit to its length.
    ///
    /// # Errors
    ///
    /// When there is nothing to read, or it is no password.
    pub fn from_input(input: impl BufRead) -> io::Result<Self> {
        let mut line = Vec::new();
        input.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "not one line of text");
        Secret::Password.in_text(&line).map(|text| Self(text.to_owned())).ok_or_else(bad)
    }

    /// The password itself, for the one request that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
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

    #[test]
    fn a_password_may_have_more_than_a_token_but_is_as_secret() {
        let (_dir, path) = file("pass wörd\n".as_bytes(), 0o600);
        let password = Password::load(&path).expect("a password");
        assert_eq!(password.reveal(), "pass wörd");
        assert_eq!(format!("{password:?}"), "Password(…)");
        let (_dir, path) = file(b"a\nb", 0o600);
        let error = Password::load(&path).expect_err("two lines").to_string();
        assert!(error.starts_with("password file "), "{error}");
    }
}
