//! From a socket to a stream that speaks PostgreSQL: the question for TLS, TLS itself, and the
//! time that all of it may take.
//!
//! The driver has its own negotiation, which takes any answer but `S` for "no TLS here" and knows
//! no time-out once the socket is open. It is told to begin TLS at once, and so hands the bare
//! socket over to us; what comes back may as well be plain.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Context, Poll};

use postgres::Socket;
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::answer::Waiting;
use super::greeting::Greeting;
use crate::config::AnswerLimit;

/// The message that asks for TLS: its length, then PostgreSQL's code for the question.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// How the stream is to be protected.
#[derive(Clone)]
pub(super) enum Protection {
    /// Not at all.
    Plain,
    /// By TLS, where the server has it.
    Preferred(MakeRustlsConnect),
    /// By TLS or not at all.
    Required(MakeRustlsConnect),
    /// By TLS from the first byte on.
    Direct(MakeRustlsConnect),
}

/// The stream never came to speak PostgreSQL.
#[derive(Debug, Error)]
pub(super) enum HandshakeError {
    #[error("the server does not offer TLS")]
    NoTls,
    #[error("the server answered the question for TLS with an error")]
    Refused,
    #[error("what answers there is not PostgreSQL")]
    NotPostgres,
    #[error("the server did not answer in time")]
    TimedOut,
    #[error(transparent)]
    Stream(#[from] io::Error),
}

/// What the opener learns while the driver holds the stream.
#[derive(Debug)]
pub(super) struct Progress {
    done: AtomicBool,
    encrypted: AtomicBool,
    /// The process that greeted us; wider than an id, so that one number is none.
    backend: AtomicI64,
}

/// No process has greeted us.
const NOBODY: i64 = i64::MIN;

impl Default for Progress {
    fn default() -> Self {
        Self {
            done: AtomicBool::default(),
            encrypted: AtomicBool::default(),
            backend: AtomicI64::new(NOBODY),
        }
    }
}

impl Progress {
    /// The session is open: from here on nothing is timed.
    pub fn finish(&self) {
        self.done.store(true, Ordering::Release);
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Whether TLS was agreed on.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted.load(Ordering::Acquire)
    }

    /// The process that the other side named when it admitted us.
    pub fn backend(&self) -> Option<i32> {
        i32::try_from(self.backend.load(Ordering::Acquire)).ok()
    }
}

/// One attempt at one address.
#[derive(Clone)]
pub(super) struct Handshake {
    pub protection: Protection,
    /// The name that the certificate must bear.
    pub server_name: String,
    pub deadline: Option<std::time::Instant>,
    /// How long an answer is waited for once the session is open.
    pub answer_limit: AnswerLimit,
    pub progress: Arc<Progress>,
}

impl MakeTlsConnect<Socket> for Handshake {
    type Stream = Wire;
    type TlsConnect = Self;
    type Error = std::convert::Infallible;

    fn make_tls_connect(&mut self, _: &str) -> Result<Self, Self::Error> {
        Ok(self.clone())
    }
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Wire;
    type Error = HandshakeError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, HandshakeError>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(self.shake(socket))
    }
}

impl Handshake {
    async fn shake(self, socket: Socket) -> Result<Wire, HandshakeError> {
        let mut stream = Timed::new(socket, self.deadline, Arc::clone(&self.progress));
        let waiting = Waiting::new(self.answer_limit);
        let mut tls = match self.protection {
            Protection::Plain => return Ok(Wire::plain(stream, waiting, self.progress)),
            Protection::Direct(tls) => tls,
            Protection::Preferred(tls) => match ask(&mut stream).await? {
                Answer::Yes => tls,
                Answer::No => return Ok(Wire::plain(stream, waiting, self.progress)),
            },
            Protection::Required(tls) => match ask(&mut stream).await? {
                Answer::Yes => tls,
                Answer::No => return Err(HandshakeError::NoTls),
            },
        };
        self.progress.encrypted.store(true, Ordering::Release);
        let Ok(connect) = <MakeRustlsConnect as MakeTlsConnect<TimedSocket>>::make_tls_connect(
            &mut tls,
            &self.server_name,
        );
        let stream = connect.connect(stream).await.map_err(timed_out_or_stream)?;
        Ok(Wire::encrypted(stream, waiting, self.progress))
    }
}

enum Answer {
    Yes,
    No,
}

/// Asks for TLS. Exactly one byte is read: whatever follows it belongs to TLS, and a byte that
/// somebody pushed in between makes the TLS handshake fail.
async fn ask(stream: &mut TimedSocket) -> Result<Answer, HandshakeError> {
    stream
        .write_all(&TLS_REQUEST)
        .await
        .map_err(timed_out_or_stream)?;
    stream.flush().await.map_err(timed_out_or_stream)?;
    let mut answer = [0];
    stream
        .read_exact(&mut answer)
        .await
        .map_err(timed_out_or_stream)?;
    match &answer {
        b"S" => Ok(Answer::Yes),
        b"N" => Ok(Answer::No),
        // Its text comes from a peer that has proved nothing yet: it is not repeated.
        b"E" => Err(HandshakeError::Refused),
        _ => Err(HandshakeError::NotPostgres),
    }
}

fn timed_out_or_stream(error: io::Error) -> HandshakeError {
    if error.kind() == io::ErrorKind::TimedOut {
        HandshakeError::TimedOut
    } else {
        HandshakeError::Stream(error)
    }
}

type TimedSocket = Timed<Socket>;
type Encrypted = <MakeRustlsConnect as MakeTlsConnect<TimedSocket>>::Stream;

/// A stream whose reads fail after the deadline, until the session is open.
pub(super) struct Timed<S> {
    inner: S,
    alarm: Option<Pin<Box<Sleep>>>,
    progress: Arc<Progress>,
}

impl<S> Timed<S> {
    fn new(inner: S, deadline: Option<std::time::Instant>, progress: Arc<Progress>) -> Self {
        let alarm = deadline.map(|at| Box::pin(sleep_until(Instant::from_std(at))));
        Self {
            inner,
            alarm,
            progress,
        }
    }

    /// Ready once the time is up.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.progress.is_done() {
            self.alarm = None;
        }
        match &mut self.alarm {
            Some(alarm) => alarm
                .as_mut()
                .poll(cx)
                .map(|()| io::Error::from(io::ErrorKind::TimedOut)),
            None => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.poll_alarm(cx) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => Pin::new(&mut self.inner).poll_read(cx, buffer),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The stream that the driver speaks on.
pub(super) struct Wire {
    channel: Channel,
    /// Whether the peer's first byte has been seen to be one of PostgreSQL's.
    recognised: bool,
    greeting: Greeting,
    waiting: Waiting,
    progress: Arc<Progress>,
}

enum Channel {
    Plain(TimedSocket),
    Encrypted(Box<Encrypted>),
}

impl Wire {
    fn plain(stream: TimedSocket, waiting: Waiting, progress: Arc<Progress>) -> Self {
        Self::over(Channel::Plain(stream), waiting, progress)
    }

    fn encrypted(stream: Encrypted, waiting: Waiting, progress: Arc<Progress>) -> Self {
        Self::over(Channel::Encrypted(Box::new(stream)), waiting, progress)
    }

    fn over(channel: Channel, waiting: Waiting, progress: Arc<Progress>) -> Self {
        Self {
            channel,
            recognised: false,
            greeting: Greeting::default(),
            waiting,
            progress,
        }
    }

    /// A server begins with an authentication request, an error, a notice or a protocol version.
    /// Anything else would be read as a length, and waited for.
    fn recognise(&mut self, first: Option<&u8>) -> io::Result<()> {
        match first {
            Some(b'R' | b'E' | b'N' | b'v') => {
                self.recognised = true;
                Ok(())
            }
            Some(_) => Err(io::Error::other(HandshakeError::NotPostgres)),
            None => Ok(()),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Channel::Encrypted(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        };
        let arrived = buffer.filled().get(before..).unwrap_or_default();
        if let Some(backend) = self.greeting.read(arrived) {
            self.progress
                .backend
                .store(backend.into(), Ordering::Release);
        }
        self.waiting.heard(arrived);
        match read {
            Poll::Ready(Ok(())) if !self.recognised => Poll::Ready(self.recognise(arrived.first())),
            // Until the session is open the deadline counts.
            Poll::Pending if self.progress.is_done() => self.waiting.poll_end(cx).map(Err),
            read => read,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_write(cx, buffer),
            Channel::Encrypted(stream) => Pin::new(stream.as_mut()).poll_write(cx, buffer),
        };
        if matches!(written, Poll::Ready(Ok(_))) && self.progress.is_done() {
            self.waiting.asked(cx);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Channel::Encrypted(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Channel::Encrypted(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

impl TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.channel {
            Channel::Plain(_) => ChannelBinding::none(),
            Channel::Encrypted(stream) => stream.channel_binding(),
        }
    }
}
