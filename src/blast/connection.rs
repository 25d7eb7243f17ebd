//! One HTTP connection, and one request on it at a time.
//!
//! A general client has a pool, which costs more per request than the rest together and hides what a generator has to
//! know: whether a request was sent when its connection broke. Here the worker itself drives its connection, so that an
//! exchange is one task that is woken when the answer arrives, and dropping the exchange closes the connection. A request
//! costs a write and a read; what the bytes mean is [`http1`](super::http1)'s business.

use super::answer::{Class, Trouble};
use super::http1::{Input, Malformed, Progress, Reading};
use super::stream::Stream;
use super::target::Target;
use crate::client::tls::trouble::Trouble as TlsTrouble;
use bytes::Bytes;
use http::StatusCode;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

/// Longest wait for a connection: a host that has not answered a SYN in that time is not there.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// Bytes that are taken from the system at once; an answer is smaller as a rule.
const PIECE: usize = 8 * 1024;

/// A request as it goes out: every byte of it.
pub(super) type Outgoing = Bytes;

/// A connection that carries one request at a time.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    input: Input,
    piece: Box<[u8]>,
    is_open: bool,
}

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    /// Cookies that it sets.
    pub(super) cookies: Vec<String>,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Exchanged {
    /// A complete answer.
    Answer(Answer),
    /// An answer that broke off, or is larger than anybody asked for.
    Cut(StatusCode, Trouble),
    /// No answer, and it may have been received.
    Lost(Trouble),
    /// The connection was closed before anything was sent.
    Unsent(Trouble),
}

/// Where in an exchange we are.
enum Step {
    /// So many bytes have been written.
    Writing(usize),
    Reading(Reading),
}

impl Connection {
    /// Connects to the first of the server's addresses that accepts.
    pub(super) async fn open(target: &Target, deadline: Instant) -> Result<Self, Trouble> {
        let deadline = deadline.min(Instant::now() + LONGEST_CONNECT);
        let mut trouble = Trouble::new(Class::Connect, "the name of the server has no address");
        for address in &target.addresses {
            match timeout_at(deadline, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => {
                    let stream = timeout_at(deadline, Stream::over(socket, target.tls.as_ref())).await;
                    return match stream {
                        Ok(Ok(stream)) => Ok(Self::over(stream)),
                        Ok(Err(error)) => Err(handshake_trouble(*address, &error)),
                        Err(_) => {
                            let words = format!("shaking hands with {address}: no answer");
                            Err(Trouble::new(Class::Connect, words))
                        }
                    };
                }
                Ok(Err(error)) => trouble = connect_trouble(*address, &error),
                Err(_) => {
                    let words = format!("connecting to {address}: no answer");
                    return Err(Trouble::new(Class::Connect, words));
                }
            }
        }
        Err(trouble)
    }

    fn over(stream: Stream) -> Self {
        Self { stream, input: Input::default(), piece: vec![0; PIECE].into_boxed_slice(), is_open: true }
    }

    /// Sends a request and waits for the whole answer, of which at most `most_bytes` of body are taken. A connection on
    /// which this did not bring an answer is of no use any more.
    pub(super) async fn exchange(
        &mut self,
        request: Outgoing,
        most_bytes: usize,
        deadline: Instant,
        alarm: &mut Alarm,
    ) -> Exchanged {
        let mut step = Step::Writing(0);
        let exchanged = poll_fn(|cx| {
            if let Poll::Ready(exchanged) = self.poll_exchange(&mut step, &request, most_bytes, cx) {
                return Poll::Ready(exchanged);
            }
            alarm.poll(deadline, cx).map(|()| {
                let timeout = || Trouble::new(Class::Timeout, "no complete answer in time");
                match &step {
                    Step::Writing(0) => {
                        Exchanged::Unsent(Trouble::new(Class::Connect, "the server took nothing in time"))
                    }
                    Step::Writing(_) => Exchanged::Lost(timeout()),
                    Step::Reading(reading) => broke_off(reading.status(), timeout()),
                }
            })
        })
        .await;
        if !matches!(exchanged, Exchanged::Answer(_)) {
            self.is_open = false;
        }
        exchanged
    }

    fn poll_exchange(
        &mut self,
        step: &mut Step,
        request: &Outgoing,
        most_bytes: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Exchanged> {
        loop {
            match step {
                Step::Writing(0) if self.stream.was_closed_idle(&mut self.piece, cx) => {
                    let words = "the server closed the connection before the request";
                    return Poll::Ready(Exchanged::Unsent(Trouble::new(Class::Connect, words)));
                }
                Step::Writing(written) if *written == request.len() => {
                    if let Err(error) = ready!(self.stream.poll_flush(cx)) {
                        return Poll::Ready(Exchanged::Lost(exchange_trouble(&error)));
                    }
                    *step = Step::Reading(Reading::default());
                }
                Step::Writing(written) => match ready!(self.stream.poll_write(&request[*written..], cx)) {
                    Ok(count) => *written += count,
                    Err(error) if *written == 0 => {
                        let trouble = exchange_trouble(&error);
                        return Poll::Ready(Exchanged::Unsent(Trouble { class: Class::Connect, ..trouble }));
                    }
                    Err(error) => return Poll::Ready(Exchanged::Lost(exchange_trouble(&error))),
                },
                Step::Reading(reading) => {
                    let more = match ready!(self.poll_read(cx)) {
                        Ok(0) => return Poll::Ready(closed_while(reading)),
                        Ok(_) => reading.take(&mut self.input),
                        Err(error) => {
                            return Poll::Ready(broke_off(reading.status(), exchange_trouble(&error)));
                        }
                    };
                    match more {
                        Ok(_) if reading.body_len() > most_bytes => {
                            let words = format!("the answer is larger than {most_bytes} bytes");
                            let trouble = Trouble::new(Class::Body, words);
                            return Poll::Ready(broke_off(reading.status(), trouble));
                        }
                        Ok(Progress::Unfinished) => {}
                        Ok(Progress::Complete) => {
                            let whole = std::mem::take(reading);
                            // What comes behind an answer before the next request belongs to nobody.
                            self.is_open = self.input.unread().is_empty();
                            return Poll::Ready(self.answered(whole));
                        }
                        Err(malformed) => {
                            return Poll::Ready(broke_off(reading.status(), not_http(&malformed)));
                        }
                    }
                }
            }
        }
    }

    fn answered(&mut self, reading: Reading) -> Exchanged {
        let (head, body, reusable) = reading.finish().expect("a complete answer has a head");
        self.is_open &= reusable;
        Exchanged::Answer(Answer { status: head.status, body, cookies: head.cookies })
    }

    /// Takes what has come into the input; 0 at the end of the connection.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = ready!(self.stream.poll_read(&mut self.piece, cx))?;
        self.input.add(&self.piece[..count]);
        Poll::Ready(Ok(count))
    }

    /// Whether another request may be sent on it, as far as we know.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }
}

/// What became of a request whose connection has ended.
fn closed_while(reading: &mut Reading) -> Exchanged {
    if !reading.ends_with_connection() {
        return broke_off(reading.status(), closed());
    }
    let (head, body, _) = std::mem::take(reading).finish().expect("it has a head, or would not end so");
    Exchanged::Answer(Answer { status: head.status, body, cookies: head.cookies })
}

fn broke_off(status: Option<StatusCode>, trouble: Trouble) -> Exchanged {
    match status {
        Some(status) => Exchanged::Cut(status, trouble),
        None => Exchanged::Lost(trouble),
    }
}

/// A timer that many deadlines share, one after the other, each later than the one before. Setting a timer for every
/// request and taking it back again would be a good part of what a request costs; this one goes off too early now and
/// then, and is set anew.
pub(super) struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    pub(super) fn new() -> Self {
        Self(Box::pin(sleep_until(Instant::now())))
    }

    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.0.deadline() > deadline {
                self.0.as_mut().reset(deadline);
            }
            ready!(self.0.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.0.as_mut().reset(deadline);
        }
    }
}

fn connect_trouble(address: SocketAddr, error: &io::Error) -> Trouble {
    let class = match error.kind() {
        io::ErrorKind::ConnectionRefused => Class::Refused,
        _ => Class::Connect,
    };
    let words = match super::limits::explain(error) {
        Some(explanation) => explanation,
        None => format!("connecting to {address}: {}", system_words(error)),
    };
    Trouble::new(class, words)
}

fn handshake_trouble(address: SocketAddr, error: &io::Error) -> Trouble {
    let words = TlsTrouble::of(error).map_or_else(|| system_words(error), |trouble| trouble.to_string());
    Trouble::new(Class::Connect, format!("shaking hands with {address}: {words}"))
}

fn exchange_trouble(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::ConnectionReset => Trouble::new(Class::Reset, "the server reset the connection"),
        // The latter is TLS for an end that nobody announced.
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => closed(),
        _ => Trouble::new(Class::Cut, system_words(error)),
    }
}

fn closed() -> Trouble {
    Trouble::new(Class::Cut, "the server closed the connection")
}

fn not_http(malformed: &Malformed) -> Trouble {
    Trouble::new(Class::NotHttp, format!("the answer is not HTTP: {malformed}"))
}

/// An error of the system in its own words, less the number that the library adds.
fn system_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}
