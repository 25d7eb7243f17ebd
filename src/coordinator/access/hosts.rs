//! Which values of `Host` mean this server.
//!
//! A page in a browser can have its own name resolved to a loopback address and then call whatever listens there as if it
//! were its own server (DNS rebinding). The browser still says whose name it used. So names have to be known; addresses
//! are safe, because nobody can make somebody else's address mean this machine.

use std::net::IpAddr;

/// The hosts that one API is called by.
#[derive(Clone, Debug)]
pub struct Hosts {
    bound: IpAddr,
    names: Vec<String>,
}

impl Hosts {
    /// For a server that listens at `bound` and is called by `names`, too.
    pub fn new(bound: IpAddr, names: impl IntoIterator<Item = String>) -> Self {
        Self { bound, names: names.into_iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether `authority`, a host with or without a port, means this server.
    ///
    /// Any port will do: requests may come through a tunnel.
    pub fn include(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if self.names.contains(&name) {
            return true;
        }
        let here = self.bound.is_loopback() || self.bound.is_unspecified();
        match host.parse::<IpAddr>() {
            Ok(address) if self.bound.is_unspecified() => !address.is_unspecified(),
            Ok(address) => address == self.bound || (here && address.is_loopback()),
            Err(_) => here && name == "localhost",
        }
    }
}

/// The host of an authority, without port and without the brackets of an IPv6 address.
pub fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("0"))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "0")),
    };
    let is_port =
        !port.is_empty() && port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_port && !host.is_empty() && !host.contains(['@', '/', '?', '#', ' '])).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn hosts(bound: impl Into<IpAddr>) -> Hosts {
        Hosts::new(bound.into(), ["Saga.example".to_owned()])
    }

    #[test]
    fn on_loopback_only_loopback_and_known_names_are_ours() {
        let hosts = hosts(Ipv4Addr::LOCALHOST);
        for ours in [
            "127.0.0.1",
            "127.0.0.1:12221",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8080",
            "saga.EXAMPLE",
            "saga.example.:80",
        ] {
            assert!(hosts.include(ours), "{ours}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "192.0.2.7",
            "127.0.0.1.evil.example",
            "evil@127.0.0.1",
            "127.0.0.1:80:90",
            "127.0.0.1:",
            "127.0.0.1:+80",
            "[::1",
            "[::1]x",
            "",
            ":80",
        ] {
            assert!(!hosts.include(foreign), "{foreign}");
        }
    }

    #[test]
    fn an_address_of_our_own_or_any_if_we_listen_at_all() {
        let one = hosts(Ipv4Addr::new(192, 0, 2, 7));
        assert!(one.include("192.0.2.7:12221") && !one.include("192.0.2.8") && !one.include("localhost"));
        let all = hosts(Ipv6Addr::UNSPECIFIED);
        assert!(all.include("[2001:db8::1]:80") && all.include("192.0.2.8") && all.include("localhost"));
        assert!(!all.include("evil.example") && !all.include("0.0.0.0"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_no_address_and_no_known_name_is_foreign(host in "[a-z0-9.:@\\[\\]-]{0,30}") {
            let included = hosts(Ipv4Addr::LOCALHOST).include(&host);
            let bare = host_of(&host).unwrap_or_default().trim_end_matches('.').to_owned();
            let known = bare == "localhost" || bare == "saga.example"
                || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            proptest::prop_assert_eq!(included, known);
        }
    }

    #[test]
    fn fuzzed_hosts_are_ours_or_foreign() {
        let seeds = ["127.0.0.1:12221", "[::1]:8080", "localhost", "saga.example.:80", "[fe80::1%25eth0]:1"];
        let hosts = hosts(Ipv4Addr::LOCALHOST);
        crate::fuzz::fuzz_text(&seeds, move |text, _| {
            if hosts.include(text) {
                let host = host_of(text).expect("what is ours has a host");
                let name = host.trim_end_matches('.').to_ascii_lowercase();
                let is_ours = name == "localhost" || name == "saga.example";
                assert!(
                    is_ours || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
                    "{text}"
                );
            }
        });
    }
}
