//! One HTTP connection, and one request on it at a time.
//!
//! A general client has a pool, which costs more per request than the rest together and hides what a generator has to
//! know: whether a request was sent when its connection broke. Here the worker itself drives its connection, so that an
//! exchange is one task that is woken when the answer arrives, and dropping the exchange closes the connection.

use super::answer::{Class, Trouble};
use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

/// Longest wait for a connection: a host that has not answered a SYN in that time is not there.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// A request as it goes out.
pub(super) type Outgoing = Request<Full<Bytes>>;

/// A connection that carries one request at a time.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Gone once it has come to its end: only then does a request that it never took come back.
    driver: Option<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>,
}

/// What became of a request.
pub(super) enum Exchanged {
    /// A complete answer.
    Answer(Parts, Bytes),
    /// An answer that broke off, or is larger than anybody asked for.
    Cut(StatusCode, Trouble),
    /// No answer, and it may have been received.
    Lost(Trouble),
    /// The connection was closed before anything was sent.
    Unsent(Trouble),
}

impl Connection {
    /// Connects to the first of the addresses that accepts.
    pub(super) async fn open(addresses: &[SocketAddr], deadline: Instant) -> Result<Self, Trouble> {
        let deadline = deadline.min(Instant::now() + LONGEST_CONNECT);
        let mut trouble = Trouble::new(Class::Connect, "the name of the server has no address");
        for address in addresses {
            match timeout_at(deadline, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Self::over(stream).await,
                Ok(Err(error)) => trouble = connect_trouble(*address, &error),
                Err(_) => {
                    let words = format!("connecting to {address}: no answer");
                    return Err(Trouble::new(Class::Connect, words));
                }
            }
        }
        Err(trouble)
    }

    async fn over(stream: TcpStream) -> Result<Self, Trouble> {
        // Only a courtesy: without it small requests could wait for each other.
        let _ = stream.set_nodelay(true);
        match http1::handshake(TokioIo::new(stream)).await {
            Ok((sender, driver)) => Ok(Self { sender, driver: Some(driver) }),
            Err(error) => Err(Trouble::new(Class::Connect, words_of(&error))),
        }
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
        let Self { sender, driver } = self;
        let mut answer = pin!(answer(sender, request, most_bytes));
        poll_fn(|cx| {
            // First the connection, which may have been closed while it was idle. Then the request, which the connection
            // sends when it is polled again, and whose answer may be complete at once.
            for _ in 0..2 {
                // What ends a connection is also told to whoever waits for an answer on it.
                if driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(cx).is_ready()) {
                    *driver = None;
                }
                if let Poll::Ready(exchanged) = answer.as_mut().poll(cx) {
                    return Poll::Ready(exchanged);
                }
            }
            alarm
                .poll(deadline, cx)
                .map(|()| Exchanged::Lost(Trouble::new(Class::Timeout, "no complete answer in time")))
        })
        .await
    }

    /// Whether the server has not closed it, as far as we know.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

async fn answer(sender: &mut SendRequest<Full<Bytes>>, request: Outgoing, most_bytes: usize) -> Exchanged {
    if let Err(error) = sender.ready().await {
        return Exchanged::Unsent(Trouble::new(Class::Connect, words_of(&error)));
    }
    let response = match sender.try_send_request(request).await {
        Ok(response) => response,
        Err(mut failed) => {
            // The request comes back if not a byte of it was written.
            let unsent = failed.take_message().is_some();
            let trouble = exchange_trouble(failed.error());
            return if unsent {
                Exchanged::Unsent(Trouble { class: Class::Connect, ..trouble })
            } else {
                Exchanged::Lost(trouble)
            };
        }
    };
    let (head, mut body) = response.into_parts();
    let mut whole = Whole::default();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => whole.extend(frame.into_data().unwrap_or_default()),
            Err(error) => return Exchanged::Cut(head.status, exchange_trouble(&error)),
        }
        if whole.len() > most_bytes {
            let words = format!("the answer is larger than {most_bytes} bytes");
            return Exchanged::Cut(head.status, Trouble::new(Class::Body, words));
        }
    }
    Exchanged::Answer(head, whole.into_bytes())
}

/// A body that is put together, without copying if it came in one piece.
#[derive(Default)]
struct Whole {
    first: Bytes,
    all: BytesMut,
}

impl Whole {
    fn extend(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&piece);
    }

    fn len(&self) -> usize {
        if self.all.is_empty() { self.first.len() } else { self.all.len() }
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
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
            std::task::ready!(self.0.as_mut().poll(cx));
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

fn exchange_trouble(error: &hyper::Error) -> Trouble {
    if error.is_parse() {
        return Trouble::new(Class::NotHttp, format!("the answer is not HTTP: {}", words_of(error)));
    }
    if error.is_timeout() {
        return Trouble::new(Class::Timeout, words_of(error));
    }
    match io_cause(error) {
        Some(cause) if cause.kind() == io::ErrorKind::ConnectionReset => {
            Trouble::new(Class::Reset, "the server reset the connection")
        }
        Some(cause) if cause.kind() == io::ErrorKind::BrokenPipe => closed(),
        Some(cause) => Trouble::new(Class::Cut, system_words(cause)),
        None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => closed(),
        None => Trouble::new(Class::Cut, words_of(error)),
    }
}

fn closed() -> Trouble {
    Trouble::new(Class::Cut, "the server closed the connection")
}

fn io_cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

/// The innermost cause, which is what happened; the layers above only add their names.
fn words_of(error: &hyper::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost.to_string()
}

/// An error of the system in its own words, less the number that the library adds.
fn system_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}
