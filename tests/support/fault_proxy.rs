//! Stands between a client and an HTTP server and does to each request what a bad network would: cuts it at a chosen byte, on
//! the way there or back, swallows its answer, lets it sink into a black hole, drips, or resets the connection.
//!
//! What is done is asked anew for each request. A request is known by its first line, which has to come in one piece; clients
//! here write small requests at once.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is done to a request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    Pass,
    /// Both sides lose the connection once so many bytes of the request have passed.
    CutRequest(usize),
    /// Both sides lose the connection once so many bytes of the answer have passed.
    CutAnswer(usize),
    /// The request arrives; nothing of its answer comes back, and the connection stays open.
    HoldAnswer,
    /// Nothing arrives, and the connection stays open.
    HoldRequest,
    /// The client's connection is reset and the request never arrives.
    Reset,
    /// One byte at a time, both ways, with this pause between two bytes of the answer.
    Drip(Duration),
}

type Plan = dyn Fn(usize, &str) -> Fault + Send + Sync;

/// A proxy on a port of its own. It ends with its value.
pub(crate) struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: String,
    plan: Box<Plan>,
    requests: AtomicUsize,
    /// Bytes of requests and of answers that have passed.
    passed: [AtomicUsize; 2],
    connections: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

/// What is being done to the request that is under way on a connection, and how much of its answer has passed.
struct UnderWay {
    fault: Fault,
    answered: usize,
}

impl FaultProxy {
    /// A proxy before the server at `http://…`. The plan is given the number of each request, from 0, and its first line.
    pub(crate) fn start(
        server_url: &str,
        plan: impl Fn(usize, &str) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            server: server_url.strip_prefix("http://").expect("a URL").to_owned(),
            plan: Box::new(plan),
            requests: AtomicUsize::new(0),
            passed: Default::default(),
            connections: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&of_thread);
                if let Ok(client) = client {
                    thread::spawn(move || shared.relay(client));
                }
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Bytes of requests and of answers so far.
    pub(crate) fn passed(&self) -> [usize; 2] {
        [0, 1].map(|way| self.shared.passed[way].load(Ordering::SeqCst))
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        for connection in self.shared.connections.lock().expect("nobody panics with it").iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    /// Passes requests on until either side is gone or the plan says so.
    fn relay(self: Arc<Self>, mut client: TcpStream) {
        let Ok(mut server) = TcpStream::connect(&self.server) else { return };
        let under_way = Arc::new(Mutex::new(UnderWay { fault: Fault::Pass, answered: 0 }));
        {
            let mut connections = self.connections.lock().expect("nobody panics with it");
            for socket in [&client, &server] {
                let _ = socket.set_nodelay(true);
                connections.push(socket.try_clone().expect("a socket"));
            }
        }
        let back = {
            let (shared, under_way) = (Arc::clone(&self), Arc::clone(&under_way));
            let sockets = (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
            thread::spawn(move || shared.bring_back(sockets.0, sockets.1, &under_way))
        };
        self.take_there(&mut client, &mut server, &under_way);
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        let _ = back.join();
    }

    fn take_there(&self, client: &mut TcpStream, server: &mut TcpStream, under_way: &Mutex<UnderWay>) {
        let mut buffer = [0; 16 * 1024];
        let mut passed = 0;
        loop {
            // Looked at before it is taken: a connection that is closed with something unread is reset.
            let Ok(there @ 1..) = client.peek(&mut buffer) else { return };
            if let Some(line) = first_line(&buffer[..there]) {
                let fault = (self.plan)(self.requests.fetch_add(1, Ordering::SeqCst), &line);
                *under_way.lock().expect("nobody panics with it") = UnderWay { fault, answered: 0 };
                passed = 0;
            }
            let fault = under_way.lock().expect("nobody panics with it").fault;
            let most = match fault {
                Fault::Reset => return,
                Fault::CutRequest(at) => at - passed,
                Fault::HoldRequest => {
                    // Until the client has had enough.
                    while client.read(&mut buffer).is_ok_and(|read| read > 0) {}
                    return;
                }
                _ => there,
            };
            let taken = there.min(most);
            if taken > 0 && client.read_exact(&mut buffer[..taken]).is_err() {
                return;
            }
            // Before it goes on: who has its effect must find it counted.
            self.passed[0].fetch_add(taken, Ordering::SeqCst);
            let is_written = match fault {
                Fault::Drip(_) => buffer[..taken].chunks(1).all(|byte| server.write_all(byte).is_ok()),
                _ => server.write_all(&buffer[..taken]).is_ok(),
            };
            passed += taken;
            if !is_written || matches!(fault, Fault::CutRequest(at) if passed >= at) {
                return;
            }
        }
    }

    fn bring_back(&self, mut server: TcpStream, mut client: TcpStream, under_way: &Mutex<UnderWay>) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            let (fault, most) = {
                let mut under_way = under_way.lock().expect("nobody panics with it");
                let most = match under_way.fault {
                    Fault::CutAnswer(at) => at.saturating_sub(under_way.answered),
                    Fault::HoldAnswer => 0,
                    _ => read,
                };
                under_way.answered += read.min(most);
                (under_way.fault, read.min(most))
            };
            self.passed[1].fetch_add(most, Ordering::SeqCst);
            let is_written = match fault {
                Fault::Drip(pause) => buffer[..most].chunks(1).all(|byte| {
                    thread::sleep(pause);
                    client.write_all(byte).is_ok()
                }),
                _ => client.write_all(&buffer[..most]).is_ok(),
            };
            if !is_written || (most < read && fault != Fault::HoldAnswer) {
                break;
            }
        }
        // Held back means that nobody learns of an end either.
        if under_way.lock().expect("nobody panics with it").fault != Fault::HoldAnswer {
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
        }
    }
}

/// The first line of a request, if these bytes begin one.
fn first_line(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|&byte| byte == b'\r').next()?;
    let is_request = ["GET ", "POST ", "DELETE "].iter().any(|method| line.starts_with(method.as_bytes()));
    is_request.then(|| String::from_utf8_lossy(line).into_owned())
}
