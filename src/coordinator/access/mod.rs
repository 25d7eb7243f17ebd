//! Who may call a coordinator: which requests are let in at all, and who a user of the external API is.
//!
//! [`guard`] looks at the head of every request to either API, before it is routed and before a byte of its body is read.
//! A request has to name this server ([`hosts`]), must not come from a web page of somebody else's, and has to show a
//! token or a session where one is asked for. [`users`] reads who may log in, [`attempts`] slows those down who guess,
//! and [`session`] makes what a user shows from then on.

pub mod attempts;
pub mod guard;
pub mod hosts;
pub mod session;
pub mod users;

use self::users::Users;
use std::fmt;

/// Who may call the two APIs.
#[derive(Debug, Default)]
pub struct Access {
    /// What callers have to show as a bearer token. With [`Access::users`] a session will do for the external API.
    pub token: Option<BearerToken>,
    /// Who may log in to the external API.
    pub users: Option<Users>,
    /// Names under which this server is called besides its addresses, as clients put them in `Host`.
    pub host_names: Vec<String>,
}

impl Access {
    /// Whether callers of the internal API have to show something.
    pub fn guards_internal(&self) -> bool {
        self.token.is_some()
    }

    /// Whether callers of the external API have to.
    pub fn guards_external(&self) -> bool {
        self.token.is_some() || self.users.is_some()
    }
}

/// A secret that callers show. Its `Debug` tells nothing.
#[derive(Clone)]
pub struct BearerToken(Vec<u8>);

impl BearerToken {
    /// The token with these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Whether `shown` is this token. How long that takes tells its length at most.
    pub fn is(&self, shown: &[u8]) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], shown).into()
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}
