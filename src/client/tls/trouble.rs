//! What is wrong when a handshake fails, by what an operator does about it. Pure.
//!
//! None of it passes by itself: a certificate does not get better by being looked at again. A connection that merely broke
//! in the middle of a handshake is not among it.

use crate::client::excerpt::Excerpt;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use std::io;

/// Most names of a certificate that are told.
const MOST_NAMES: usize = 5;

/// Why a server cannot be talked to with TLS, or must not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It does not speak TLS.
    #[error("the server does not speak TLS")]
    NotTls,
    /// Nobody whom we trust has signed its certificate.
    #[error("its certificate is not signed by anybody who is trusted")]
    UnknownIssuer,
    /// Its certificate was good once.
    #[error("its certificate expired{}", at(.0))]
    Expired(Option<u64>),
    /// Its certificate will be good.
    #[error("its certificate is not valid yet{}", at(.0))]
    NotValidYet(Option<u64>),
    /// Its certificate is for somebody else.
    #[error("its certificate is for {}", names(.0))]
    OtherName(Vec<String>),
    /// Its certificate is one that signs others.
    #[error("its certificate is that of a CA, which may sign others but not be a server's own")]
    CaAsServer,
    /// Something else is wrong with its certificate.
    #[error("its certificate is not good: {0}")]
    Certificate(String),
    /// It does not want us.
    #[error("the server refused the handshake: {0}")]
    Refused(String),
    /// There is no handshake that both sides can do, or the other does something else than shaking hands.
    #[error("no handshake is possible: {0}")]
    Impossible(String),
}

impl Trouble {
    /// What of an error is the matter of TLS; `None` if the connection broke.
    pub fn of(error: &io::Error) -> Option<Self> {
        let mut inner = error.get_ref()?;
        loop {
            if let Some(error) = inner.downcast_ref::<Error>() {
                return Some(Self::from(error));
            }
            // Layers that know only errors of input and output wrap it in one.
            inner = inner.downcast_ref::<io::Error>()?.get_ref()?;
        }
    }

    /// A likely remedy.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotTls => Some("is it http:// in place of https://?"),
            Self::UnknownIssuer => Some(
                "--ca-file names a PEM file with the certificate of whoever signed it, which is then trusted",
            ),
            Self::Expired(_) => {
                Some("the server needs a new certificate, unless this machine's clock is wrong")
            }
            Self::NotValidYet(_) => Some("look at the clocks of both machines"),
            Self::OtherName(_) => Some("use a name in the URL that the certificate is for"),
            Self::CaAsServer => Some(
                "let that CA sign one for the server; `openssl req -x509` makes one that is no CA's with -addext \
                 basicConstraints=critical,CA:FALSE",
            ),
            Self::Certificate(_) | Self::Refused(_) | Self::Impossible(_) => None,
        }
    }
}

impl From<&Error> for Trouble {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::UnknownProtocolVersion
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::InvalidEmptyPayload,
            ) => Self::NotTls,
            Error::InvalidCertificate(error) => of_certificate(error),
            Error::AlertReceived(AlertDescription::CertificateRequired) => {
                Self::Refused("it wants a certificate of the client, and sagactl has none".to_owned())
            }
            Error::AlertReceived(alert) => Self::Refused(format!("{alert:?}")),
            Error::PeerIncompatible(reason) => Self::Impossible(format!("{reason:?}")),
            other => Self::Impossible(other.to_string()),
        }
    }
}

fn of_certificate(error: &CertificateError) -> Trouble {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Trouble::UnknownIssuer,
        CertificateError::Expired => Trouble::Expired(None),
        CertificateError::ExpiredContext { not_after, .. } => Trouble::Expired(Some(not_after.as_secs())),
        CertificateError::NotValidYet => Trouble::NotValidYet(None),
        CertificateError::NotValidYetContext { not_before, .. } => {
            Trouble::NotValidYet(Some(not_before.as_secs()))
        }
        CertificateError::NotValidForName => Trouble::OtherName(Vec::new()),
        CertificateError::NotValidForNameContext { presented, .. } => {
            Trouble::OtherName(presented.iter().map(|name| plain_name(name)).collect())
        }
        // The verifier's own error has no type that we could see.
        CertificateError::Other(error) if error.to_string() == "CaUsedAsEndEntity" => Trouble::CaAsServer,
        other => Trouble::Certificate(Excerpt::of_words(&other.to_string()).to_string()),
    }
}

/// `a.example` of `DnsName("a.example")`, the way the verifier presents names, with nothing in it that a terminal obeys.
fn plain_name(presented: &str) -> String {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let name = inner.unwrap_or(presented).trim_matches('"');
    name.chars().flat_map(char::escape_debug).collect()
}

fn names(names: &[String]) -> String {
    match names {
        [] => "no name at all that counts (only alternative names do)".to_owned(),
        [..] if names.len() > MOST_NAMES => {
            format!("{} and {} more", names[..MOST_NAMES].join(", "), names.len() - MOST_NAMES)
        }
        [..] => names.join(", "),
    }
}

fn at(seconds: &Option<u64>) -> String {
    let time = seconds.and_then(|seconds| chrono::DateTime::from_timestamp(seconds.try_into().ok()?, 0));
    time.map_or_else(String::new, |time| format!(": {}", time.format("%Y-%m-%dT%H:%M:%SZ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_tls_is_found_however_deep_it_is_wrapped() {
        let error = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let once = io::Error::new(io::ErrorKind::InvalidData, error());
        assert_eq!(Trouble::of(&once), Some(Trouble::UnknownIssuer));
        assert_eq!(Trouble::of(&io::Error::other(io::Error::other(once))), Some(Trouble::UnknownIssuer));
        for broken in [
            io::Error::from(io::ErrorKind::ConnectionReset),
            io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"),
        ] {
            assert_eq!(Trouble::of(&broken), None);
        }
    }

    #[test]
    fn troubles_are_told_in_words() {
        let names = |count: usize| (0..count).map(|index| format!("DnsName(\"{index}.example\")")).collect();
        let other = |presented: Vec<String>| {
            let expected = "a.example".try_into().expect("a name");
            of_certificate(&CertificateError::NotValidForNameContext { expected, presented })
        };
        for (trouble, told) in [
            (other(names(1)), "its certificate is for 0.example"),
            (
                other(names(7)),
                "its certificate is for 0.example, 1.example, 2.example, 3.example, 4.example and 2 more",
            ),
            (
                other(Vec::new()),
                "its certificate is for no name at all that counts (only alternative names do)",
            ),
            (other(vec!["IpAddress(10.0.0.7)".to_owned()]), "its certificate is for 10.0.0.7"),
            (other(vec!["\u{1b}[2J".to_owned()]), "its certificate is for \\u{1b}[2J"),
            (Trouble::Expired(Some(1_700_000_000)), "its certificate expired: 2023-11-14T22:13:20Z"),
            (Trouble::Expired(Some(u64::MAX)), "its certificate expired"),
        ] {
            assert_eq!(trouble.to_string(), told);
        }
    }
}
