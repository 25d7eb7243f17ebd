//! Sessions of users who have logged in.
//!
//! Nothing is kept on the server: a session is the user's name, the end of the session, and a code that only who knows
//! the key can have made. So sessions survive a restart, and any number of them costs nothing. The price is that one
//! cannot be taken back before its end, except by taking the user out of the users file.

use super::super::identity::IdentityError;
use crate::wire::time::now;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// How long somebody who has logged in is let in.
pub const SESSION_LENGTH: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes and reads sessions.
pub struct Sessions {
    key: [u8; 32],
}

impl Sessions {
    /// Sessions that are made with `key`.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Sessions of the coordinator that uses a data directory; their key is made at the first start.
    ///
    /// # Errors
    ///
    /// When the key cannot be read or written.
    pub fn load(data_dir: &Path) -> Result<Self, IdentityError> {
        super::super::identity::load_or_create_key(data_dir).map(Self::new)
    }

    /// A session for `user`, from now on.
    pub fn open(&self, user: &str) -> String {
        self.open_until(user, seconds_now() + SESSION_LENGTH.as_secs() as i64)
    }

    /// Whose session `session` is, if it is one and has not ended.
    pub fn user_of<'a>(&self, session: &'a str) -> Option<&'a str> {
        self.user_at(session, seconds_now())
    }

    fn open_until(&self, user: &str, end: i64) -> String {
        let named = format!("{user}|{end}");
        let code = self.mac(&named).finalize().into_bytes();
        format!("{named}|{}", hex(&code))
    }

    fn user_at<'a>(&self, session: &'a str, now: i64) -> Option<&'a str> {
        let (named, code) = session.rsplit_once('|')?;
        self.mac(named).verify_slice(&unhex(code)?).ok()?;
        let (user, end) = named.rsplit_once('|')?;
        (end.parse::<i64>().ok()? > now).then_some(user)
    }

    fn mac(&self, named: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length will do");
        mac.update(named.as_bytes());
        mac
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions(…)")
    }
}

fn seconds_now() -> i64 {
    now().timestamp()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_session_ends() {
        let sessions = Sessions::new([1; 32]);
        let session = sessions.open_until("main/alice", 1_000);
        assert_eq!(sessions.user_at(&session, 999), Some("main/alice"));
        assert_eq!(sessions.user_at(&session, 1_000), None);
        assert_eq!(sessions.user_of(&sessions.open("main/alice")), Some("main/alice"));
        assert_eq!(Sessions::new([2; 32]).user_at(&session, 999), None, "of another coordinator");
        assert!(!format!("{sessions:?}").contains('1'));
    }

    proptest! {
        #[test]
        fn nobody_makes_one_without_the_key(user in "[a-z/]{1,12}", at in 0usize..100, byte in 32u8..127) {
            let sessions = Sessions::new([3; 32]);
            let session = sessions.open_until(&user, 1_000);
            let mut forged = session.clone().into_bytes();
            let at = at % forged.len();
            // A hexadecimal digit in capitals is the same digit.
            prop_assume!(!forged[at].eq_ignore_ascii_case(&byte));
            forged[at] = byte;
            let forged = String::from_utf8(forged).expect("ASCII");
            prop_assert_eq!(sessions.user_at(&forged, 0), None);
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in "\\PC{0,80}") {
            prop_assert_eq!(Sessions::new([3; 32]).user_at(&text, 0), None);
        }
    }

    #[test]
    fn fuzzed_sessions_let_nobody_else_in() {
        let sessions = Sessions::new([4; 32]);
        let seeds = [sessions.open_until("main/alice", 1_000), sessions.open_until("main/alice", 2_000)];
        crate::fuzz::fuzz_text(&seeds, move |text, _| {
            // Two good ones may be mixed; what comes of it is still of the only user there is, and one of these two.
            if let Some(user) = sessions.user_at(text, 0) {
                assert_eq!(user, "main/alice");
                assert!(
                    text.starts_with("main/alice|1000|") || text.starts_with("main/alice|2000|"),
                    "{text}"
                );
            }
        });
    }
}
