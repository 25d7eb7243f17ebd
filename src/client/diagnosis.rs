//! Why is there no answer? Looks step by step, so that the operator need not: is the address one, does the name resolve,
//! does the port accept, does it speak HTTP.
//!
//! Only run when something has failed. It looks afresh, so it tells how things are now.

use super::base_url::BaseUrl;
use super::excerpt::Excerpt;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest time for each step. The operator has waited long enough.
const STEP: Duration = Duration::from_secs(1);

/// Time for each step once the command's own time is over: enough for what answers at once.
const LAST_STEP: Duration = Duration::from_millis(50);

/// Steps on the way to an answer, in order, and how each went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checklist {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One step on the way to an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name: address, DNS, TCP, TLS, answer.
    pub name: &'static str,
    /// How it went.
    pub mark: Mark,
    /// What was seen.
    pub detail: String,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Well.
    Ticked,
    /// Not well.
    Crossed,
    /// It was not needed, or did not come to it.
    Skipped,
}

/// What whatever listens there said to a plain request.
enum Answer {
    Http(String),
    Other(String),
    Nothing(String),
}

impl Checklist {
    fn add(&mut self, name: &'static str, mark: Mark, detail: impl Into<String>) {
        self.steps.push(Step { name, mark, detail: detail.into() });
    }

    /// What came in place of HTTP, if that is what is wrong.
    pub fn foreign_answer(&self) -> Option<&str> {
        let answer = self.steps.iter().find(|step| step.name == "answer" && step.mark == Mark::Crossed)?;
        answer.detail.strip_prefix(NOT_HTTP)
    }
}

const NOT_HTTP: &str = "not HTTP: ";

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.mark {
            Mark::Ticked => '✓',
            Mark::Crossed => '✗',
            Mark::Skipped => '-',
        };
        write!(f, "{mark} {:<8} {}", self.name, self.detail)
    }
}

/// Looks at every step on the way to an answer from `base`, as far as possible before `deadline`.
pub async fn diagnose(base: &BaseUrl, deadline: Instant) -> Checklist {
    let step = || deadline.saturating_duration_since(Instant::now()).clamp(LAST_STEP, STEP);
    let mut checklist = Checklist::default();
    checklist.add("address", Mark::Ticked, base.to_string());

    let addresses = match resolve(base, &mut checklist, step()).await {
        Ok(addresses) => addresses,
        Err(reason) => {
            checklist.add("DNS", Mark::Crossed, reason);
            skip(&mut checklist, &["TCP", "TLS", "answer"]);
            return checklist;
        }
    };
    let mut refusals = Vec::new();
    for address in addresses {
        match connect(address, step()).await {
            Ok(stream) => {
                checklist.add("TCP", Mark::Ticked, format!("{address} accepts connections"));
                checklist.add("TLS", Mark::Skipped, "not used with http");
                match first_words(stream, base, step()).await {
                    Answer::Http(status) => checklist.add("answer", Mark::Ticked, status),
                    Answer::Other(words) => {
                        checklist.add("answer", Mark::Crossed, format!("{NOT_HTTP}{words}"));
                    }
                    Answer::Nothing(reason) => checklist.add("answer", Mark::Crossed, reason),
                }
                return checklist;
            }
            Err(reason) => refusals.push(format!("{address}: {reason}")),
        }
    }
    checklist.add("TCP", Mark::Crossed, refusals.join("; "));
    skip(&mut checklist, &["TLS", "answer"]);
    checklist
}

fn skip(checklist: &mut Checklist, names: &[&'static str]) {
    for name in names {
        checklist.add(name, Mark::Skipped, "did not come to it");
    }
}

async fn resolve(
    base: &BaseUrl,
    checklist: &mut Checklist,
    within: Duration,
) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = base.host().parse::<IpAddr>() {
        checklist.add("DNS", Mark::Skipped, "not needed for an IP address");
        return Ok(vec![SocketAddr::new(address, base.port())]);
    }
    let found = match timeout(within, tokio::net::lookup_host((base.host(), base.port()))).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(format!("{}: {}", base.host(), reason(&error))),
        Err(_) => return Err(format!("{}: no answer from the resolver", base.host())),
    };
    if found.is_empty() {
        return Err(format!("{}: the name has no address", base.host()));
    }
    let shown: Vec<_> = found.iter().map(|address| address.ip().to_string()).collect();
    checklist.add("DNS", Mark::Ticked, format!("{} is {}", base.host(), shown.join(", ")));
    Ok(found)
}

async fn connect(address: SocketAddr, within: Duration) -> Result<TcpStream, String> {
    match timeout(within, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(reason(&error)),
        Err(_) => Err("no answer to the attempt to connect".to_owned()),
    }
}

/// Sends a plain request and looks at how the answer begins.
async fn first_words(mut stream: TcpStream, base: &BaseUrl, within: Duration) -> Answer {
    let request = format!(
        "GET {}/v1/ping HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        base.path_prefix(),
        base.authority()
    );
    let mut words = vec![0; 512];
    let exchange = async {
        // A server that talks first (SSH, SMTP) may close before it has read this; what it said still counts.
        let _ = stream.write_all(request.as_bytes()).await;
        stream.read(&mut words).await
    };
    match timeout(within, exchange).await {
        Ok(Ok(0)) => Answer::Nothing("the connection was closed without a word".to_owned()),
        Ok(Ok(count)) if words.starts_with(b"HTTP/1.") => {
            let line = words[..count].split(|&byte| byte == b'\n').next().unwrap_or_default();
            Answer::Http(Excerpt::of(line).to_string())
        }
        Ok(Ok(count)) => Answer::Other(format!("it begins with {}", Excerpt::of(&words[..count]))),
        Ok(Err(error)) => Answer::Nothing(reason(&error)),
        Err(_) => Answer::Nothing("connected, but no answer".to_owned()),
    }
}

/// An error of the system in its own words, less the number that the library adds.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words);
    words.to_owned()
}
