//! Small servers: each connection is a thread that answers what a closure says, byte for byte if need be. Real HTTP servers
//! are too polite for what is tested here.

use super::fixture;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// Header lines, names in lower case.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

/// What a server does with a request.
pub(crate) enum Reply {
    /// Answers with this status, these header lines and this body.
    Answer(u16, Vec<String>, String),
    /// Sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Closes without a word.
    Close,
    /// Never answers.
    Hang,
}

impl Reply {
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        Self::Answer(status, vec!["content-type: application/json".to_owned()], body.into())
    }

    pub(crate) fn fixture(status: u16, name: &str) -> Self {
        Self::json(status, fixture(name))
    }

    /// What dropshot says to a path that it does not know.
    pub(crate) fn no_route() -> Self {
        Self::fixture(404, "nexus/error-no-route.json")
    }
}

/// A server on a free port of the loopback interface. It ends with its value.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    stopping: Arc<AtomicBool>,
}

impl Server {
    /// A server that answers each request as the closure says; it is told how many came before.
    pub(crate) fn start(reply: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let reply = Arc::new(reply);
        Self::listen(requests, move |stream| {
            let (reply, seen) = (Arc::clone(&reply), Arc::clone(&seen));
            converse(stream, &|request| {
                let before = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(request.clone());
                    seen.len() - 1
                };
                reply(request, before)
            });
        })
    }

    /// A server that talks first and in its own tongue.
    pub(crate) fn greeting(words: &'static [u8]) -> Self {
        Self::listen(Arc::default(), move |mut stream| {
            let _ = stream.write_all(words);
            // Stays until the other side has had enough.
            let _ = stream.read_to_end(&mut Vec::new());
        })
    }

    /// A coordinator that shows this task, and nothing of its own.
    pub(crate) fn nexus(task: &str) -> Self {
        let task = task.to_owned();
        Self::start(move |request, _| match request.path.as_str() {
            "/bgtasks/view/saga_recovery" => Reply::json(200, task.clone()),
            "/bgtasks" => Reply::fixture(200, "nexus/bgtasks.json"),
            path if path.starts_with("/bgtasks/view/") => {
                Reply::fixture(404, "nexus/error-unknown-task.json")
            }
            _ => Reply::no_route(),
        })
    }

    /// A coordinator of ours, as far as `status` asks it, that answers `GET /overview` so.
    pub(crate) fn coordinator(info: Value, overview: impl Fn() -> Reply + Send + Sync + 'static) -> Self {
        Self::start(move |request, _| match request.path.as_str() {
            "/overview" => overview(),
            "/bgtasks/view/saga_recovery" => Reply::fixture(200, "coordinator/task.json"),
            "/info" => Reply::json(200, info.to_string()),
            _ => Reply::no_route(),
        })
    }

    fn listen(requests: Arc<Mutex<Vec<Request>>>, talk: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stopping, connections) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stop, open, talk) = (Arc::clone(&stopping), Arc::clone(&connections), Arc::new(talk));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                open.lock().unwrap().push(stream.try_clone().unwrap());
                let talk = Arc::clone(&talk);
                std::thread::spawn(move || talk(stream));
            }
        });
        Self { address, requests, connections, stopping }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Method and path of each request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        for connection in self.connections.lock().unwrap().iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// A port that nobody listens on.
pub(crate) fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn converse(mut stream: TcpStream, reply: &dyn Fn(&Request) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = read_request(&mut reader) {
        match reply(&request) {
            Reply::Answer(status, headers, body) => {
                let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                for header in headers {
                    head.push_str(&header);
                    head.push_str("\r\n");
                }
                head.push_str("\r\n");
                if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err()
                {
                    return;
                }
            }
            Reply::Bytes(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Reply::Close => {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Reply::Hang => {
                let _ = reader.read_to_end(&mut Vec::new());
                return;
            }
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|&count| count > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&count| count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        let name = name.to_lowercase();
        if name == "content-length" {
            length = value.trim().parse().ok()?;
        }
        headers.push(format!("{name}:{value}"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body: String::from_utf8(body).ok()? })
}
