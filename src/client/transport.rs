//! Sends one call and brings its answer, trying again as the call's retry class allows.

use super::base_url::BaseUrl;
use super::diagnosis::{Checklist, diagnose, reason};
use super::error::{CallError, ErrorAnswer, Problem};
use super::excerpt::Excerpt;
use super::operations::Call;
use super::retry::{RetryScope, Trouble, delay_before_next};
use super::tls::Trust;
use super::tls::trouble::Trouble as TlsTrouble;
use super::token::Token;
use crate::wire::external::IDEMPOTENCY_KEY_HEADER;
use crate::wire::time::in_millis;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use rustls::ClientConfig;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Largest answer that is accepted. A Nexus remembers every saga since it started, but lists them by pages; the largest
/// thing that comes in one piece is the list of background tasks, some hundred kilobytes.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Longest wait for a connection: a host that has not answered a SYN in that time is not there.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// How long a connection is silent before the other side is asked whether it is still there, and between two such questions.
/// A router that has forgotten a connection tells nobody.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Unanswered questions after which a connection is given up.
const KEEP_ALIVE_QUESTIONS: u32 = 3;

/// Longest time that is kept for finding out what became of a change whose answer does not come.
const MOST_FOR_FINDING_OUT: Duration = Duration::from_secs(5);

/// How much of the time for a change, here or in a database, is kept for finding out what became of it.
pub fn time_for_finding_out(whole: Duration) -> Duration {
    MOST_FOR_FINDING_OUT.min(whole / 4)
}

/// What a client is made from.
#[derive(Clone)]
pub struct Config {
    /// Whom to ask.
    pub base: BaseUrl,
    /// Who may say who an `https` server is.
    pub trust: Trust,
    /// Bearer token for every request.
    pub token: Option<Token>,
    /// Time for everything that is asked, see [`Client::with_fresh_budget`].
    pub budget: Duration,
    /// What may be tried again.
    pub retry: RetryScope,
    /// Told what is being done.
    pub on_event: Arc<dyn Fn(&Event) + Send + Sync>,
}

/// Something that a client does, for those who want to follow.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request is sent.
    Request {
        /// What is asked.
        call: Call,
        /// Where.
        url: String,
    },
    /// Another attempt is going to be made.
    Retry(RetryNotice),
}

/// Another attempt is going to be made.
#[derive(Clone, Debug)]
pub struct RetryNotice {
    /// Of what.
    pub call: Call,
    /// How many attempts were made so far.
    pub attempts: u32,
    /// After this wait.
    pub delay: Duration,
    /// Because of this.
    pub reason: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { call, url } => write!(f, "{call}: {} {url}", call.operation.method()),
            Self::Retry(notice) => notice.fmt(f),
        }
    }
}

impl fmt::Display for RetryNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} again in {} ms, after attempt {}: {}",
            self.call,
            self.delay.as_millis(),
            self.attempts,
            self.reason
        )
    }
}

/// Asks one coordinator. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    config: Arc<Config>,
    http: reqwest::Client,
    deadline: Instant,
    /// When a question was begun that its calls are the parts of.
    began: Option<Instant>,
}

/// What a request carries.
#[derive(Clone)]
pub(super) struct Content {
    /// Its body.
    pub(super) json: Option<Vec<u8>>,
    /// By which a coordinator knows a repeated creation again.
    pub(super) key: Option<String>,
}

/// A complete answer of any status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// One attempt that brought no answer.
enum Setback {
    Trouble(Trouble, String),
    Final(Problem),
}

impl Setback {
    /// Whether the request may have been carried out.
    fn leaves_in_doubt(&self) -> bool {
        match self {
            Self::Trouble(trouble, _) => *trouble == Trouble::Lost,
            Self::Final(problem) => matches!(problem, Problem::TimedOut { .. } | Problem::TooLarge { .. }),
        }
    }
}

impl Client {
    /// A client whose time starts now. It connects when it is first used.
    ///
    /// # Errors
    ///
    /// When nobody can be trusted to say who an `https` server is.
    pub fn new(config: Config) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let tls = match config.base.is_https() {
            true => ClientConfig::clone(&*config.trust.client_config()?),
            false => Trust::of_nobody(),
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            // A proxy from the environment is not how one reaches a management network, and redirects could lead a token
            // anywhere.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            // Retries are decided here, where the operation's class is known.
            .retry(reqwest::retry::never())
            .connect_timeout(LONGEST_CONNECT.min(config.budget.mul_f64(0.9)))
            .tcp_keepalive(KEEP_ALIVE)
            .tcp_keepalive_interval(KEEP_ALIVE)
            .tcp_keepalive_retries(KEEP_ALIVE_QUESTIONS);
        if config.retry == RetryScope::Nothing {
            // A connection that died in the pool is replaced below us; without a pool nothing is ever sent twice.
            builder = builder.pool_max_idle_per_host(0);
        }
        let deadline = Instant::now() + config.budget;
        Ok(Self { http: builder.build()?, deadline, began: None, config: Arc::new(config) })
    }

    /// The same client with its whole time again: for a command that looks again and again.
    pub fn with_fresh_budget(&self) -> Self {
        Self { deadline: Instant::now() + self.config.budget, ..self.clone() }
    }

    /// The same client with less time, if `budget` is less than what it has left.
    pub fn with_at_most(&self, budget: Duration) -> Self {
        Self { deadline: self.deadline.min(Instant::now() + budget), ..self.clone() }
    }

    /// The same client for parts of a question that was begun earlier. If time runs out, that of the whole question is told.
    pub fn since(&self, began: Instant) -> Self {
        Self { began: Some(began), ..self.clone() }
    }

    /// Whom it asks.
    pub fn base(&self) -> &BaseUrl {
        &self.config.base
    }

    /// When its time is over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How much of its time is left, in whole milliseconds: people may be told of it.
    pub fn time_left(&self) -> Duration {
        in_millis(self.deadline.saturating_duration_since(Instant::now()))
    }

    /// What may be tried again.
    pub fn retry(&self) -> RetryScope {
        self.config.retry
    }

    /// When a call is given up. Of a change's time some is kept for finding out what became of it.
    fn deadline_of(&self, call: &Call) -> Instant {
        if call.operation.is_read() {
            return self.deadline;
        }
        self.deadline - time_for_finding_out(self.time_left())
    }

    /// Makes a call and brings its answer, whatever the status.
    pub(super) async fn call(
        &self,
        call: &Call,
        query: &[(&str, &str)],
        content: Content,
    ) -> Result<Answer, CallError> {
        let began = self.began.unwrap_or_else(Instant::now);
        let mut attempts = 0;
        let mut is_in_doubt = false;
        let deadline = self.deadline_of(call);
        let problem = loop {
            attempts += 1;
            let setback =
                match tokio::time::timeout_at(deadline.into(), self.attempt(call, query, content.clone()))
                    .await
                {
                    Err(_) => Setback::Final(Problem::TimedOut { after: rounded(began.elapsed()) }),
                    Ok(Ok(answer)) if !is_unavailable(answer.status) => return Ok(answer),
                    Ok(Ok(answer)) => {
                        let setback = Setback::Trouble(
                            Trouble::Unavailable,
                            format!("the server answered {}", answer.status),
                        );
                        if self.wait_before_next(call, attempts, &setback, deadline).await {
                            continue;
                        }
                        // The caller tells what the server said.
                        return Ok(answer);
                    }
                    Ok(Err(setback)) => setback,
                };
            is_in_doubt |= setback.leaves_in_doubt();
            if self.wait_before_next(call, attempts, &setback, deadline).await {
                continue;
            }
            break match setback {
                Setback::Final(problem) => problem,
                Setback::Trouble(trouble, reason) => self.explain(trouble, reason).await,
            };
        };
        Err(CallError { call: call.clone(), base: self.config.base.clone(), problem, is_in_doubt })
    }

    /// One request and its whole answer.
    async fn attempt(
        &self,
        call: &Call,
        query: &[(&str, &str)],
        content: Content,
    ) -> Result<Answer, Setback> {
        let url = self.config.base.join(call.path_segments());
        (self.config.on_event)(&Event::Request { call: call.clone(), url: url.to_string() });
        let mut request = self.http.request(call.operation.method(), url);
        if !query.is_empty() {
            request = request.query(query);
        }
        if let Some(key) = content.key {
            request = request.header(IDEMPOTENCY_KEY_HEADER, key);
        }
        if let Some(json) = content.json {
            request = request.header(CONTENT_TYPE, "application/json").body(json);
        }
        if let Some(token) = &self.config.token {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        let mut response = request.send().await.map_err(setback)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(setback)? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(Setback::Final(Problem::TooLarge { limit: LARGEST_ANSWER }));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status(), headers: response.headers().clone(), body })
    }

    /// Waits until the next attempt is due; false if there is to be none.
    async fn wait_before_next(
        &self,
        call: &Call,
        attempts: u32,
        setback: &Setback,
        deadline: Instant,
    ) -> bool {
        let Setback::Trouble(trouble, reason) = setback else { return false };
        let delay = delay_before_next(self.config.retry, call.operation, *trouble, attempts, rand::random());
        let Some(delay) = delay else { return false };
        if Instant::now() + delay >= deadline {
            return false;
        }
        let notice = RetryNotice { call: call.clone(), attempts, delay, reason: reason.clone() };
        (self.config.on_event)(&Event::Retry(notice));
        tokio::time::sleep(delay).await;
        true
    }

    /// Finds out more about why there is no answer.
    async fn explain(&self, trouble: Trouble, reason: String) -> Problem {
        let checklist: Checklist = diagnose(&self.config.base, &self.config.trust, self.deadline).await;
        if checklist.wants_tls() {
            return Problem::WantsTls { checklist };
        }
        if let Some(foreign) = checklist.foreign_answer() {
            return Problem::NotHttp { reason: foreign.to_owned(), checklist };
        }
        match trouble {
            Trouble::Refused | Trouble::NotConnected => {
                Problem::Unreachable { reason, is_refused: trouble == Trouble::Refused, checklist }
            }
            Trouble::Lost | Trouble::Unavailable => Problem::Lost { reason, checklist },
        }
    }
}

impl Answer {
    /// What came with a status that is not success, as an error.
    pub(super) fn problem(&self) -> Problem {
        let body = match serde_json::from_slice(&self.body) {
            Ok(error) => ErrorAnswer::Parsed(error),
            Err(_) => ErrorAnswer::Foreign(Excerpt::of(&self.body)),
        };
        Problem::Status { status: self.status, body }
    }
}

/// Whether a status says that trying again may help. 500 does not: it is a bug or a broken request.
fn is_unavailable(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What to make of an attempt that failed below HTTP.
fn setback(error: reqwest::Error) -> Setback {
    let causes = causes(&error);
    let io = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>());
    // The innermost cause is what the system said; the layers above only add their names.
    let innermost = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
    let words = io.map_or(innermost, reason);
    if !error.is_connect() {
        return Setback::Trouble(Trouble::Lost, words);
    }
    if error.is_timeout() {
        return Setback::Trouble(Trouble::NotConnected, "no answer to the attempt to connect".to_owned());
    }
    if let Some(trouble) = io.and_then(TlsTrouble::of) {
        return Setback::Final(Problem::Tls(trouble));
    }
    match io.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => Setback::Trouble(Trouble::Refused, words),
        _ => Setback::Trouble(Trouble::NotConnected, words),
    }
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> Vec<&'e (dyn Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    causes
}

/// A measured time as a person would say it.
fn rounded(duration: Duration) -> Duration {
    if duration < Duration::from_secs(1) {
        in_millis(duration)
    } else {
        Duration::from_millis((duration.as_millis() / 100 * 100).try_into().unwrap_or(u64::MAX))
    }
}
