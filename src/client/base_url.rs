//! Where an API is: scheme, host, port and perhaps a path that everything is below.

use reqwest::Url;
use std::fmt;
use std::str::FromStr;

/// Base URL of an API, `http` or `https`. Boxed, because it is part of errors, which should be small.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Box<Url>);

/// Why a text is not a base URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// Not a URL at all.
    #[error("not a URL: {0}")]
    Malformed(String),
    /// Nothing like `http://` in front.
    #[error("the scheme is missing; try http://{0}")]
    NoScheme(String),
    /// Something else than `http` and `https`.
    #[error("scheme {0:?} is not supported, only http and https are")]
    Scheme(String),
    /// A password in a command line is read by everybody on the machine.
    #[error("a URL must not hold a user or password; use a token file")]
    Credentials,
    /// Everything after the path is ours.
    #[error("a base URL has no query and no fragment")]
    Rest,
}

impl BaseUrl {
    /// The URL of a path below this base, given part by part; each is percent-encoded as needed.
    pub fn join<'p>(&self, segments: impl IntoIterator<Item = &'p str>) -> Url {
        let mut url = Url::clone(&self.0);
        url.path_segments_mut().expect("http URLs have paths").pop_if_empty().extend(segments);
        url
    }

    /// Host as it was given: a name or an address, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        let host = self.0.host_str().expect("http URLs have a host, which parsing has checked");
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Port, given or implied.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().expect("http and https have default ports")
    }

    /// Whether what goes there is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Host and port as an address to connect to, `[::1]:80` for IPv6.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.0.host_str().expect("http URLs have a host"), self.port())
    }

    /// The path that everything is below, without `/` at its end: empty for most.
    pub fn path_prefix(&self) -> &str {
        self.0.path().trim_end_matches('/')
    }
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let no_scheme = || match text.contains('@') {
            // Its words would be repeated, and what stands there may be a password.
            true => BaseUrlError::Credentials,
            false => BaseUrlError::NoScheme(text.to_owned()),
        };
        let url = match Url::parse(text) {
            // `localhost:12221` parses as a URL of the scheme `localhost`.
            Ok(url) if !text.contains("://") || url.cannot_be_a_base() => {
                return Err(no_scheme());
            }
            Ok(url) => url,
            Err(_) if !text.contains("://") && Url::parse(&format!("http://{text}")).is_ok() => {
                return Err(no_scheme());
            }
            Err(error) => return Err(BaseUrlError::Malformed(error.to_string())),
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BaseUrlError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseUrlError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BaseUrlError::Rest);
        }
        Ok(Self(Box::new(url)))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_below_the_base() {
        let url =
            |base: &str| base.parse::<BaseUrl>().unwrap().join(["bgtasks", "view", "a/b ?"]).to_string();
        assert_eq!(url("http://127.0.0.1:12221"), "http://127.0.0.1:12221/bgtasks/view/a%2Fb%20%3F");
        assert_eq!(url("http://[::1]:80/a/b/"), "http://[::1]/a/b/bgtasks/view/a%2Fb%20%3F");
        let base: BaseUrl = "http://[::1]:81".parse().unwrap();
        assert_eq!((base.host(), base.port(), base.authority().as_str()), ("::1", 81, "[::1]:81"));
        assert_eq!(base.to_string(), "http://[::1]:81");
        let base: BaseUrl = "https://saga.example/api".parse().unwrap();
        assert_eq!((base.authority().as_str(), base.is_https()), ("saga.example:443", true));
    }

    #[test]
    fn what_is_not_a_base_url_is_refused_with_the_reason() {
        for (text, error) in [
            ("", "not a URL: relative URL without a base"),
            ("127.0.0.1:12221", "the scheme is missing; try http://127.0.0.1:12221"),
            ("localhost:12221", "the scheme is missing; try http://localhost:12221"),
            ("ftp://h", "scheme \"ftp\" is not supported, only http and https are"),
            ("http://", "not a URL: empty host"),
            ("http://h:99999", "not a URL: invalid port number"),
            ("u:secret@h:80", "a URL must not hold a user or password; use a token file"),
            ("http://u:secret@h", "a URL must not hold a user or password; use a token file"),
            ("http://h/?a=b", "a base URL has no query and no fragment"),
        ] {
            assert_eq!(text.parse::<BaseUrl>().unwrap_err().to_string(), error, "{text:?}");
        }
    }

    #[test]
    fn fuzzed_urls_are_usable_or_refused() {
        let seeds = [
            "http://127.0.0.1:12221",
            "http://[fd00:1122:3344:101::2]:12232/",
            "http://saga.example:80/api/v1/",
            "http://user:PLANTED@h:1/a",
            "saga.example:12221",
            "https://h/?a=b#c",
            "https://[::1]:8443/api",
        ];
        crate::fuzz::fuzz_text(&seeds, |text, _| match text.parse::<BaseUrl>() {
            Ok(base) => {
                let url = base.join(["bgtasks", "view", text]);
                assert_eq!(url.host_str(), base.0.host_str(), "what is below a base is on the same host");
                assert_eq!(url.port_or_known_default(), Some(base.port()));
                assert!(base.authority().ends_with(&base.port().to_string()));
                assert!(!base.host().is_empty() && !base.path_prefix().ends_with('/'));
                let again: BaseUrl = base.to_string().parse().expect("what is shown can be given again");
                assert_eq!(again.to_string(), base.to_string());
            }
            Err(error) => {
                let told = error.to_string();
                assert!(!told.contains("PLANTED@"), "{told}");
            }
        });
    }
}
