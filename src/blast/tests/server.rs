//! A server that keeps projects in memory and misbehaves exactly as it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does with one creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Makes the project and says so.
    Create,
    /// Makes it, says so, and closes the connection.
    CreateAndClose,
    /// Makes it and closes the connection without a word.
    CreateSilently,
    /// Says so without having made it.
    Lie,
    /// Makes it twice and says so.
    CreateTwice,
    /// Answers with a status and an error body.
    Refuse(u16),
    /// Answers 201 with something else than a project.
    Rubbish,
    /// Answers 201 with somebody else's project.
    OtherName,
    /// Answers with something that is not HTTP.
    Garbage,
    /// Resets the connection.
    Reset,
    /// Closes the connection without a word.
    Close,
    /// Sends a part of a 201 and closes.
    Cut,
    /// Sends its answer a byte at a time, too slowly for anybody.
    Drip,
    /// Sends more than anybody wants to read.
    Flood,
    /// Never answers.
    Hang,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

type Behaviour = dyn Fn(u64) -> Reply + Send + Sync;

type Deletions = dyn Fn(&str) -> Reply + Send + Sync;

struct State {
    behaviour: Box<Behaviour>,
    deletions: Box<Deletions>,
    requests: AtomicU64,
    connections: AtomicU64,
    heads: Mutex<Vec<String>>,
    projects: Mutex<Vec<String>>,
    page_items: usize,
}

impl Server {
    /// Starts one; `behaviour` is told the how-many-th creation it is, from 0.
    pub(super) async fn start(behaviour: impl Fn(u64) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_deleting(behaviour, |_| Reply::Create).await
    }

    /// The same, and `deletions` tells what becomes of the deletion of a project: [`Reply::Create`] for a good one,
    /// [`Reply::Lie`] for one that only says so.
    pub(super) async fn start_deleting(
        behaviour: impl Fn(u64) -> Reply + Send + Sync + 'static,
        deletions: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("it works in a test");
        let state = Arc::new(State {
            behaviour: Box::new(behaviour),
            deletions: Box::new(deletions),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            heads: Mutex::default(),
            projects: Mutex::default(),
            page_items: 7,
        });
        let address = listener.local_addr().expect("it works in a test");
        Self { address, task: tokio::spawn(serve(listener, Arc::clone(&state))), state }
    }

    /// Dies with all its connections; what it has made survives.
    pub(super) async fn kill(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Comes back where it was.
    pub(super) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("it works in a test");
        self.task = tokio::spawn(serve(listener, Arc::clone(&self.state)));
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn projects(&self) -> Vec<String> {
        self.state.projects.lock().expect("it works in a test").clone()
    }

    pub(super) fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    pub(super) fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// First lines and headers of all creations.
    pub(super) fn heads(&self) -> Vec<String> {
        self.state.heads.lock().expect("it works in a test").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    // Connections die with the set, and the set with the server.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("it works in a test");
        state.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(converse(stream, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers requests until one of them ends the connection.
async fn converse(mut stream: TcpStream, state: Arc<State>) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let (head, body) = request(&mut stream, &mut read).await?;
        let mut words = head.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        if method == "GET" {
            let page = state.page(path);
            answer(&mut stream, 200, &page).await?;
            continue;
        }
        if let ("DELETE", Some(name)) = (method, path.strip_prefix("/v1/projects/")) {
            let reply = (state.deletions)(name);
            if reply != Reply::Lie {
                state.projects.lock().expect("it works in a test").retain(|project| project != name);
            }
            match reply {
                Reply::Refuse(status) => answer(&mut stream, status, "{}").await?,
                Reply::Close => return None,
                _ => answer(&mut stream, 204, "").await?,
            }
            continue;
        }
        if path == "/demo-saga" {
            let id = uuid::Uuid::now_v7();
            let body = format!(r#"{{"saga_id":"{id}","demo_saga_id":"{id}"}}"#);
            answer(&mut stream, 200, &body).await?;
            continue;
        }
        if path.starts_with("/demo-saga/") {
            answer(&mut stream, 204, "").await?;
            continue;
        }
        assert!(head.starts_with("POST /v1/projects HTTP/1.1\r\n"), "{head}");
        state.heads.lock().expect("it works in a test").push(head);
        let body: serde_json::Value = serde_json::from_slice(&body).expect("it works in a test");
        let name = body["name"].as_str().expect("it works in a test").to_owned();
        let number = state.requests.fetch_add(1, Ordering::Relaxed);
        carry_out(&mut stream, &state, (state.behaviour)(number), &name).await?;
    }
}

/// `None` ends the connection.
async fn carry_out(stream: &mut TcpStream, state: &State, reply: Reply, name: &str) -> Option<()> {
    let record = || state.projects.lock().expect("it works in a test").push(name.to_owned());
    match reply {
        Reply::Create => {
            record();
            answer(stream, 201, &project(name)).await
        }
        Reply::CreateAndClose => {
            record();
            answer(stream, 201, &project(name)).await?;
            None
        }
        Reply::CreateSilently => {
            record();
            None
        }
        Reply::Lie => answer(stream, 201, &project(name)).await,
        Reply::CreateTwice => {
            record();
            record();
            answer(stream, 201, &project(name)).await
        }
        Reply::Refuse(status) => {
            let body = r#"{"request_id":"r","error_code":"Internal","message":"not today"}"#;
            answer(stream, status, body).await
        }
        Reply::Rubbish => answer(stream, 201, "<h1>It works!</h1>").await,
        Reply::OtherName => answer(stream, 201, &project("somebody-else")).await,
        Reply::Garbage => {
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await.ok()?;
            None
        }
        Reply::Reset => {
            stream.set_zero_linger().expect("it works in a test");
            None
        }
        Reply::Close => None,
        Reply::Cut => {
            stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{\"id\":").await.ok()?;
            None
        }
        Reply::Drip => {
            stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n").await.ok()?;
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                stream.write_all(b" ").await.ok()?;
            }
        }
        Reply::Flood => {
            stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 100000000\r\n\r\n").await.ok()?;
            loop {
                stream.write_all(&[b' '; 65536]).await.ok()?;
            }
        }
        Reply::Hang => std::future::pending().await,
    }
}

fn project(name: &str) -> String {
    let id = uuid::Uuid::now_v7();
    format!(
        r#"{{"id":"{id}","name":"{name}","description":"d","time_created":"2026-11-02T09:20:00Z",
            "time_modified":"2026-11-02T09:20:00Z"}}"#
    )
}

async fn answer(stream: &mut TcpStream, status: u16, body: &str) -> Option<()> {
    let length = body.len();
    let text = match status {
        204 => "HTTP/1.1 204 Whatever\r\n\r\n".to_owned(),
        _ => format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {length}\r\n\r\n{body}"),
    };
    stream.write_all(text.as_bytes()).await.ok()
}

/// Head and body of the next request.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end].to_vec()).expect("it works in a test");
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().expect("it works in a test"));
            if read.len() >= end + 4 + length {
                let rest = read.split_off(end + 4 + length);
                let body = read[end + 4..].to_vec();
                *read = rest;
                return Some((head, body));
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend_from_slice(&chunk[..count]),
        }
    }
}

impl State {
    /// A page of all projects; the token is the index to go on from.
    fn page(&self, path: &str) -> String {
        let from: usize = path
            .split_once("page_token=t%2F")
            .map_or(0, |(_, token)| token.parse().expect("it works in a test"));
        let projects = self.projects.lock().expect("it works in a test");
        let items: Vec<_> = projects
            .iter()
            .skip(from)
            .take(self.page_items)
            .map(|name| serde_json::json!({"id": uuid::Uuid::nil(), "name": name, "more": [1]}))
            .collect();
        let next = from + items.len();
        let next_page = (!items.is_empty()).then(|| format!("t/{next}"));
        serde_json::json!({"items": items, "next_page": next_page}).to_string()
    }
}
