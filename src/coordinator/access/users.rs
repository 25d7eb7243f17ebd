//! The users file: who may log in to the external API.
//!
//! One line per user, `SILO/USER:HASH` with an argon2id hash as `sagactl coordinator hash-password` prints it. Empty lines
//! and those that begin with `#` count for nothing. Others than the file's owner must not be able to read it.

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Most memory that checking one password may take, in KiB: a hash says how much it needs, and a mistake in the file must
/// not take the coordinator down.
const MOST_MEMORY_KIB: u32 = 256 * 1024;

/// Most parts that a hash may have its password checked in at the same time.
const MOST_LANES: u32 = 64;

/// Why a users file cannot be used. No hash is ever told.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It cannot be read.
    #[error("reading users file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read it.
    #[error("users file {} can be read by others than its owner (mode {mode:03o})", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A line of it is not as it has to be.
    #[error("line {line} of users file {} {problem}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Nobody could log in.
    #[error("users file {} names nobody", .0.display())]
    Nobody(PathBuf),
}

/// Who may log in. Its `Debug` tells how many.
pub struct Users {
    hashes: HashMap<String, String>,
    // Checked for those who are not there, so that the time it takes does not tell who is.
    nobody: String,
}

impl Users {
    /// Reads a users file.
    ///
    /// # Errors
    ///
    /// See [`UsersError`].
    pub fn load(path: &Path) -> Result<Self, UsersError> {
        let read = |source| UsersError::Read { path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(read)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(UsersError::Exposed { path: path.to_owned(), mode });
        }
        let text = fs::read_to_string(path).map_err(read)?;
        let hashes = parse(&text).map_err(|(line, problem)| UsersError::Line {
            path: path.to_owned(),
            line,
            problem,
        })?;
        if hashes.is_empty() {
            return Err(UsersError::Nobody(path.to_owned()));
        }
        Ok(Self::new(hashes))
    }

    fn new(hashes: HashMap<String, String>) -> Self {
        Self { hashes, nobody: hash("nobody's password") }
    }

    /// Whether there is such a user, as `SILO/USER`.
    pub fn contain(&self, user: &str) -> bool {
        self.hashes.contains_key(user)
    }

    /// Whether this is the user's password. It takes a while, and much memory, by design.
    pub fn verify(&self, user: &str, password: &str) -> bool {
        let known = self.hashes.get(user);
        let hash = PasswordHash::new(known.unwrap_or(&self.nobody)).expect("checked when it was read");
        let is_right = Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
        is_right && known.is_some()
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.hashes.len())
    }
}

/// An argon2id hash of a password, with a salt of its own.
pub fn hash(password: &str) -> String {
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).expect("as long as salts are");
    let hash = Argon2::default().hash_password(password.as_bytes(), &salt);
    hash.expect("a password of any length, and a salt as long as it has to be").to_string()
}

/// Whether `name` is that of a user: `SILO/USER`, of characters that need no quoting anywhere.
pub fn is_user_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
    };
    name.len() <= 256 && name.split_once('/').is_some_and(|(silo, user)| is_part(silo) && is_part(user))
}

fn parse(text: &str) -> Result<HashMap<String, String>, (usize, &'static str)> {
    let mut hashes = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let (number, line) = (at + 1, line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, hash) = line.split_once(':').ok_or((number, "is not SILO/USER:HASH"))?;
        if !is_user_name(user) {
            return Err((number, "does not begin with SILO/USER"));
        }
        check_hash(hash).map_err(|problem| (number, problem))?;
        if hashes.insert(user.to_owned(), hash.to_owned()).is_some() {
            return Err((number, "names a user for the second time"));
        }
    }
    Ok(hashes)
}

fn check_hash(text: &str) -> Result<(), &'static str> {
    const NO_HASH: &str = "has no argon2id hash after the colon";
    const TOO_DEAR: &str = "has a hash that would take too long to check";
    let hash = PasswordHash::new(text).map_err(|_| NO_HASH)?;
    let is_argon2id =
        Algorithm::try_from(hash.algorithm).is_ok_and(|algorithm| algorithm == Algorithm::Argon2id);
    // Looked at first, for the library multiplies it before it looks.
    if hash.params.get_decimal("p").is_some_and(|lanes| lanes > MOST_LANES) {
        return Err(TOO_DEAR);
    }
    let params = argon2::Params::try_from(&hash).map_err(|_| NO_HASH)?;
    if !is_argon2id || hash.hash.is_none() || hash.salt.is_none() {
        return Err(NO_HASH);
    }
    if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > 16 {
        return Err(TOO_DEAR);
    }
    Ok(())
}

/// Users for tests elsewhere.
#[cfg(test)]
pub mod tests_support {
    use super::*;

    /// One user, and its name.
    pub fn one_user(name: &str, password: &str) -> (Users, String) {
        (Users::new([(name.to_owned(), hash(password))].into()), name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_right_password_of_the_right_user() {
        let (users, alice) = tests_support::one_user("main/alice", "correct horse");
        assert!(users.verify(&alice, "correct horse"));
        assert!(!users.verify(&alice, "correct horsf"));
        assert!(!users.verify("main/bob", "nobody's password"));
        assert_eq!(format!("{users:?}"), "Users(1)");
    }

    #[test]
    fn lines_that_are_not_as_they_have_to_be() {
        let good = format!("main/alice:{}", hash("a"));
        assert_eq!(parse(&format!("# who\n\n{good}\n")).expect("users").len(), 1);
        let dear = good.replace("m=19456", "m=4194304");
        let kind = good.replace("$argon2id$", "$argon2d$");
        for (text, line, problem) in [
            ("alice", 1, "is not SILO/USER:HASH"),
            ("\nalice:x", 2, "does not begin with SILO/USER"),
            ("main/alice:secret", 1, "has no argon2id hash after the colon"),
            (&kind, 1, "has no argon2id hash after the colon"),
            (&dear, 1, "has a hash that would take too long to check"),
            (&format!("{good}\n{good}"), 2, "names a user for the second time"),
        ] {
            assert_eq!(parse(text), Err((line, problem)), "{text}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_that_names_nobody() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("users");
        fs::write(&path, "# nobody yet\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
        assert!(matches!(Users::load(&path), Err(UsersError::Exposed { mode: 0o644, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        assert!(matches!(Users::load(&path), Err(UsersError::Nobody(_))));
        assert!(matches!(Users::load(&dir.path().join("none")), Err(UsersError::Read { .. })));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "(\\PC|\n|:|/|\\$argon2id){0,60}") {
            let _ = parse(&text);
        }
    }

    #[test]
    fn fuzzed_users_files_are_read_or_refused() {
        let good = format!("# who\nmain/alice:{}\n", hash("a"));
        let seeds =
            [good.clone() + &good.replace("alice", "bob"), good.replace("m=19456,t=2", "m=1,t=99999"), good];
        crate::fuzz::fuzz_text(&seeds, |text, _| {
            if let Ok(users) = parse(text) {
                assert!(users.keys().all(|user| is_user_name(user)));
                assert!(users.values().all(|hash| check_hash(hash).is_ok()));
            }
        });
    }
}
