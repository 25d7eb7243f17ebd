//! The bytes below a connection: as they are, or through TLS.
//!
//! With TLS a write only means that the bytes were taken; they have left once they are flushed. A connection broken before
//! that leaves the server with a part of a request, which no server acts on.

use super::target::Tls;
use crate::client::tls::handshake;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What a connection reads from and writes to.
#[derive(Debug)]
pub(super) enum Stream {
    /// Plain HTTP.
    Plain(TcpStream),
    /// HTTP in TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Over a fresh connection, after a handshake if there has to be one.
    pub(super) async fn over(socket: TcpStream, tls: Option<&Tls>) -> io::Result<Self> {
        // Only a courtesy: without it small requests could wait for each other.
        let _ = socket.set_nodelay(true);
        match tls {
            None => Ok(Self::Plain(socket)),
            Some(tls) => {
                let stream = handshake(socket, tls.name.clone(), &tls.config).await?;
                Ok(Self::Tls(Box::new(stream)))
            }
        }
    }

    /// Whether the end of the connection, or something that nobody asked for, has come while nothing was under way. Costs a
    /// call to the system only if something has.
    pub(super) fn was_closed_idle(&mut self, piece: &mut [u8], cx: &mut Context<'_>) -> bool {
        match self {
            Self::Plain(socket) => {
                socket.poll_read_ready(cx).is_ready()
                    && !matches!(socket.try_read(piece), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // What TLS has to say to itself, such as a ticket for the next handshake, is taken in passing.
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, &mut ReadBuf::new(piece)).is_ready(),
        }
    }

    /// Takes bytes that have come; 0 at the end of the connection.
    pub(super) fn poll_read(&mut self, piece: &mut [u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = ReadBuf::new(piece);
        ready!(match self {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, &mut piece),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, &mut piece),
        })?;
        Poll::Ready(Ok(piece.filled().len()))
    }

    /// Takes bytes that are to go.
    pub(super) fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    /// Lets go what was taken.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
}
