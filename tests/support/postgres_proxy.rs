//! Stands between a store or a whole coordinator and its server, and can make a COMMIT or its answer disappear.
//!
//! It understands just enough of the protocol to see a COMMIT pass by: a message is a letter, a length and a body.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What is done to a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It never arrives.
    SwallowCommit,
    /// It arrives and is carried out; its answer never comes back.
    SwallowAnswer,
}

/// A proxy on a port of its own.
pub(crate) struct Proxy {
    port: u16,
    /// Commits that will be let through before the next fault.
    until_fault: Arc<AtomicUsize>,
}

/// No fault.
const NEVER: usize = usize::MAX;

impl Proxy {
    pub(crate) fn start(server_port: u16, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let until_fault = Arc::new(AtomicUsize::new(NEVER));
        let shared = Arc::clone(&until_fault);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let server = TcpStream::connect(("127.0.0.1", server_port)).expect("the server");
                for socket in [&client, &server] {
                    socket.set_nodelay(true).expect("a socket option");
                }
                relay(client, server, fault, &shared);
            }
        });
        Self { port, until_fault }
    }

    /// The same URL by way of the proxy.
    pub(crate) fn lead(&self, url: &str, server_port: u16) -> String {
        url.replace(&format!(":{server_port}/"), &format!(":{}/", self.port))
    }

    /// Brings the fault about after so many more commits.
    pub(crate) fn fail_after(&self, commits: usize) {
        self.until_fault.store(commits, Ordering::SeqCst);
    }

    /// Whether the fault has happened.
    pub(crate) fn has_failed(&self) -> bool {
        self.until_fault.load(Ordering::SeqCst) == NEVER
    }
}

fn relay(client: TcpStream, server: TcpStream, fault: Fault, until_fault: &Arc<AtomicUsize>) {
    let both = || (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    let (mut from_server, mut to_client) = (both().1, both().0);
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(read) = from_server.read(&mut buffer)
            && read > 0
            && to_client.write_all(&buffer[..read]).is_ok()
        {}
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let until_fault = Arc::clone(until_fault);
    let (mut from_client, mut to_server) = both();
    thread::spawn(move || {
        let result = forward(&mut from_client, &mut to_server, fault, &until_fault);
        // Whatever ends it, both sides learn of it at once.
        let _ = (from_client.shutdown(Shutdown::Both), to_server.shutdown(Shutdown::Both), result);
    });
}

/// Passes messages on until one side is gone or the fault has been brought about.
fn forward(
    client: &mut TcpStream,
    server: &mut TcpStream,
    fault: Fault,
    until_fault: &AtomicUsize,
) -> std::io::Result<()> {
    // The first message has no letter.
    let mut header = [0; 5];
    client.read_exact(&mut header[1..])?;
    loop {
        let length = u32::from_be_bytes(header[1..].try_into().expect("four bytes"));
        let mut body = vec![0; (length - 4) as usize];
        client.read_exact(&mut body)?;
        let is_commit = header[0] == b'Q' && body.starts_with(b"COMMIT");
        let has_come = is_commit
            && until_fault
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
                    NEVER => None,
                    0 => Some(NEVER),
                    left => Some(left - 1),
                })
                .is_ok_and(|left| left == 0);
        if has_come && fault == Fault::SwallowCommit {
            return Ok(());
        }
        if has_come {
            // Nothing of what the server says from here on reaches the client.
            client.shutdown(Shutdown::Both)?;
        }
        server.write_all(if header[0] == 0 { &header[1..] } else { &header })?;
        server.write_all(&body)?;
        if has_come {
            // The server closes its side when it has done what it was told and read the end of what is sent.
            server.shutdown(Shutdown::Write)?;
            let _ = server.read_to_end(&mut Vec::new());
            return Ok(());
        }
        client.read_exact(&mut header)?;
    }
}
