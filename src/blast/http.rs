//! One HTTP/1 connection per worker, straight on `hyper`: a third cheaper per request than a pooled client, and what
//! happened to a request is known exactly.

use super::stats::ErrorClass;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// Largest answer that is read; a project is some hundreds of bytes.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Where requests go.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What stands before every path; empty as a rule.
    pub path_prefix: String,
    /// Sent as `Authorization` if there is one.
    pub bearer_token: Option<String>,
}

impl Target {
    /// `host:port`, with brackets where an address needs them.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// A request that is yet to be given a method, a path and a body.
    pub fn request(&self) -> http::request::Builder {
        let mut builder = Request::builder().header(http::header::HOST, self.authority());
        if let Some(token) = &self.bearer_token {
            builder = builder.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
        }
        builder
    }
}

/// What became of a request that brought no answer.
#[derive(Clone, Debug)]
pub struct NoAnswer {
    /// Its class.
    pub class: ErrorClass,
    /// In words.
    pub text: String,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// A connection that is made when it is first needed, and again when it has ended.
#[derive(Debug, Default)]
pub struct Connection {
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// [`ErrorClass::Refused`] only if the request never left; after anything else the server may have acted on it.
    pub async fn send(
        &mut self,
        target: &Target,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<Answer, NoAnswer> {
        match tokio::time::timeout(within, self.exchange(target, request)).await {
            Ok(result) => result,
            Err(_) => {
                // An answer may still come on this connection; nobody would know whose it is.
                self.sender = None;
                let text = format!("no answer within {}", humantime::format_duration(within));
                Err(NoAnswer { class: ErrorClass::Timeout, text })
            }
        }
    }

    async fn exchange(&mut self, target: &Target, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
        let mut request = request;
        loop {
            let mut sender = match self.sender.take() {
                Some(sender) => sender,
                None => connect(target).await?,
            };
            // Fails if the server has closed the idle connection; then nothing was sent, and a new one is made.
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let status = response.status();
                    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await.map_err(
                        |error| NoAnswer {
                            class: ErrorClass::Cut,
                            text: format!("the answer broke off: {error}"),
                        },
                    )?;
                    self.sender = Some(sender);
                    return Ok(Answer { status, body: body.to_bytes() });
                }
                Err(mut error) => match error.take_message() {
                    // Handed back unsent.
                    Some(unsent) => request = unsent,
                    None => {
                        let text = in_words(&error.into_error());
                        return Err(NoAnswer { class: ErrorClass::Cut, text });
                    }
                },
            }
        }
    }
}

async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>, NoAnswer> {
    let refused = |text: String| NoAnswer { class: ErrorClass::Refused, text };
    let authority = target.authority();
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(|error| {
        let hint = if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
            "; the limit of open files is reached, raise it with `ulimit -n`"
        } else {
            ""
        };
        refused(format!("connecting to {authority}: {error}{hint}"))
    })?;
    // Small requests should leave at once; an old kernel that cannot is no reason to stop.
    let _ = stream.set_nodelay(true);
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| refused(format!("connecting to {authority}: {}", in_words(&error))))?;
    tokio::spawn(async move {
        // Its errors reach whoever waits for an answer.
        let _ = connection.await;
    });
    Ok(sender)
}

/// An error with its causes in one line.
fn in_words(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
