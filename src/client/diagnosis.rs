//! Why is there no answer? Looks step by step, so that the operator need not: is the address one, does the name resolve,
//! does the port accept, is its certificate good, does it speak HTTP.
//!
//! Only run when something has failed. It looks afresh, so it tells how things are now.

use super::base_url::BaseUrl;
use super::excerpt::Excerpt;
use super::tls::trouble::Trouble as TlsTrouble;
use super::tls::{self, Trust};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
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

/// What whatever listens there said to a request.
enum Answer {
    Http(String),
    Tls,
    Silence,
    Other(String),
    Nothing(String),
}

impl Checklist {
    fn add(&mut self, name: &'static str, mark: Mark, detail: impl Into<String>) {
        self.steps.push(Step { name, mark, detail: detail.into() });
    }

    /// What came in place of HTTP, if that is what is wrong.
    pub fn foreign_answer(&self) -> Option<&str> {
        self.bad_answer()?.strip_prefix(NOT_HTTP)
    }

    /// Whether plain HTTP was answered in TLS.
    pub fn wants_tls(&self) -> bool {
        self.bad_answer() == Some(SPEAKS_TLS)
    }

    fn bad_answer(&self) -> Option<&str> {
        let answer = self.steps.iter().find(|step| step.name == "answer" && step.mark == Mark::Crossed)?;
        Some(&answer.detail)
    }
}

const NOT_HTTP: &str = "not HTTP: ";
const SPEAKS_TLS: &str = "it speaks TLS";

/// How an alert in TLS begins: what a server says to a client that speaks plain HTTP.
const TLS_ALERT: &[u8] = &[0x15, 0x03];

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
pub async fn diagnose(base: &BaseUrl, trust: &Trust, deadline: Instant) -> Checklist {
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
                let answer = if base.is_https() {
                    match shake_hands(stream, base, trust, step()).await {
                        Ok(stream) => {
                            checklist.add("TLS", Mark::Ticked, "the certificate is good");
                            first_words(stream, base, step()).await
                        }
                        Err(reason) => {
                            checklist.add("TLS", Mark::Crossed, reason);
                            skip(&mut checklist, &["answer"]);
                            return checklist;
                        }
                    }
                } else {
                    checklist.add("TLS", Mark::Skipped, "not used with http");
                    match first_words(stream, base, step()).await {
                        // Many servers have no word for those who do not begin with a handshake.
                        Answer::Silence if speaks_tls(address, base, step()).await => Answer::Tls,
                        answer => answer,
                    }
                };
                match answer {
                    Answer::Http(status) => checklist.add("answer", Mark::Ticked, status),
                    Answer::Silence => {
                        checklist.add("answer", Mark::Crossed, "the connection was closed without a word");
                    }
                    Answer::Tls => checklist.add("answer", Mark::Crossed, SPEAKS_TLS),
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

async fn shake_hands(
    stream: TcpStream,
    base: &BaseUrl,
    trust: &Trust,
    within: Duration,
) -> Result<impl AsyncRead + AsyncWrite + Unpin, String> {
    let config = trust.client_config().map_err(|error| error.to_string())?;
    let name = tls::server_name(base).map_err(|error| error.to_string())?;
    match timeout(within, tls::handshake(stream, name, &config)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => {
            Err(TlsTrouble::of(&error).map_or_else(|| reason(&error), |trouble| trouble.to_string()))
        }
        Err(_) => Err("no answer to the handshake".to_owned()),
    }
}

/// Whether a handshake is answered, however it ends.
async fn speaks_tls(address: SocketAddr, base: &BaseUrl, within: Duration) -> bool {
    let (Ok(stream), Ok(name)) = (connect(address, within).await, tls::server_name(base)) else {
        return false;
    };
    match timeout(within, tls::handshake(stream, name, &Arc::new(Trust::of_nobody()))).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => TlsTrouble::of(&error).is_some_and(|trouble| trouble != TlsTrouble::NotTls),
        Err(_) => false,
    }
}

/// Sends a request and looks at how the answer begins.
async fn first_words(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    base: &BaseUrl,
    within: Duration,
) -> Answer {
    let request = format!(
        "GET {}/v1/ping HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        base.path_prefix(),
        base.authority()
    );
    let mut words = vec![0; 512];
    let exchange = async {
        // A server that talks first (SSH, SMTP) may close before it has read this; what it said still counts.
        let _ = stream.write_all(request.as_bytes()).await;
        let _ = stream.flush().await;
        stream.read(&mut words).await
    };
    match timeout(within, exchange).await {
        Ok(Ok(0)) => Answer::Silence,
        Ok(Ok(count)) if words.starts_with(b"HTTP/1.") => {
            let line = words[..count].split(|&byte| byte == b'\n').next().unwrap_or_default();
            Answer::Http(Excerpt::of(line).to_string())
        }
        Ok(Ok(_)) if words.starts_with(TLS_ALERT) && !base.is_https() => Answer::Tls,
        Ok(Ok(count)) => Answer::Other(format!("it begins with {}", Excerpt::of(&words[..count]))),
        Ok(Err(error)) => Answer::Nothing(reason(&error)),
        Err(_) => Answer::Nothing("connected, but no answer".to_owned()),
    }
}

/// An error of the system in its own words, less the number that the library adds.
pub(super) fn reason(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        // TLS has words of its own for it, with an address where one can read more.
        return "the other side closed the connection".to_owned();
    }
    let text = error.to_string();
    let words = text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words);
    words.to_owned()
}
