//! The bytes of one connection: how long a client may take to send a head, to come back, and to read; and
//! complete problems in place of the bare answers of hyper's parser.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::Limits;

/// What the service says about the requests of a connection.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    requests: AtomicU64,
    answering: AtomicBool,
}

impl Exchange {
    /// A request's head is complete; its deadline no longer counts.
    pub(super) fn began(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
    }

    /// The head of the answer is complete.
    pub(super) fn answered(&self) {
        self.answering.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_unused(&self) -> bool {
        self.requests.load(Ordering::Relaxed) == 0
    }
}

/// Completes an answer of hyper's parser: from its status and head to the whole answer.
pub(super) type Complete = Box<dyn Fn(StatusCode, &str) -> Bytes + Send>;

/// A connection under deadlines.
pub(super) struct Wire<S> {
    io: S,
    head: Duration,
    idle: Duration,
    unread: Duration,
    exchange: Arc<Exchange>,
    complete: Complete,
    opened: Instant,
    /// How many requests there were when bytes were last read.
    requests: u64,
    head_began: Option<Instant>,
    progress: Instant,
    write_blocked: Option<Instant>,
    read_alarm: Alarm,
    write_alarm: Alarm,
    /// What is left of the answer that is sent instead of a bare one.
    completed: Option<Bytes>,
}

impl<S> Wire<S> {
    pub(super) fn new(io: S, limits: &Limits, exchange: Arc<Exchange>, complete: Complete) -> Self {
        let now = Instant::now();
        Self {
            io,
            head: limits.head,
            idle: limits.idle,
            unread: limits.unread,
            exchange,
            complete,
            opened: now,
            requests: 0,
            head_began: None,
            progress: now,
            write_blocked: None,
            read_alarm: Alarm::default(),
            write_alarm: Alarm::default(),
            completed: None,
        }
    }

    /// Forgets the head that has meanwhile become a request.
    fn notice_requests(&mut self) {
        let requests = self.exchange.requests.load(Ordering::Relaxed);
        if requests != self.requests {
            (self.requests, self.head_began) = (requests, None);
        }
    }

    fn answering(&self) -> bool {
        self.exchange.answering.load(Ordering::Relaxed)
    }

    /// Until when the client must send something. While a request is answered, its body has limits of its own.
    fn read_until(&self) -> Option<Instant> {
        if self.answering() {
            return None;
        }
        Some(match self.head_began {
            Some(began) => began + self.head,
            None if self.requests == 0 => self.opened + self.head,
            None => self.progress + self.idle,
        })
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes under the deadline for a client that does not read.
    fn write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match write(Pin::new(&mut self.io), cx) {
            Poll::Pending => {
                let since = *self.write_blocked.get_or_insert_with(Instant::now);
                self.write_alarm
                    .set(since + self.unread, cx)
                    .map_or(Poll::Pending, |late| Poll::Ready(Err(late)))
            }
            written @ Poll::Ready(_) => {
                (self.write_blocked, self.progress) = (None, Instant::now());
                written
            }
        }
    }

    /// Sends the completed answer. Then all of the bare one counts as written.
    fn write_completed(
        &mut self,
        cx: &mut Context<'_>,
        mut left: Bytes,
        bare: usize,
    ) -> Poll<io::Result<usize>> {
        while !left.is_empty() {
            let written = self.write(cx, |io, cx| io.poll_write(cx, &left));
            if written.is_pending() {
                self.completed = Some(left);
                return Poll::Pending;
            }
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => left.advance(written),
            }
        }
        Poll::Ready(Ok(bare))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buffer);
        this.notice_requests();
        if read.is_pending() {
            let late = this.read_until().and_then(|until| this.read_alarm.set(until, cx));
            return late.map_or(Poll::Pending, |late| Poll::Ready(Err(late)));
        }
        if buffer.filled().len() > before {
            this.progress = Instant::now();
            if !this.answering() {
                this.head_began.get_or_insert(this.progress);
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let bare = || bare_refusal(bytes).map(|(status, head)| (this.complete)(status, head));
        match this.completed.take().or_else(bare) {
            Some(completed) => this.write_completed(cx, completed, bytes.len()),
            None => this.write(cx, |io, cx| io.poll_write(cx, bytes)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            [bytes] => self.poll_write(cx, bytes),
            _ => self.get_mut().write(cx, |io, cx| io.poll_write_vectored(cx, parts)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

/// The status and the head of an answer that hyper's parser gives by itself: alone among the answers it has no
/// `X-Request-Id`.
fn bare_refusal(bytes: &[u8]) -> Option<(StatusCode, &str)> {
    const LONGEST: usize = 256;
    let rest = bytes.strip_prefix(b"HTTP/1.1 4").filter(|_| bytes.len() <= LONGEST)?;
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    let whole = !head.contains("\r\n\r\n") && !head.to_ascii_lowercase().contains("\r\nx-request-id:");
    let units = rest.first_chunk::<2>().filter(|_| whole)?;
    let [tens, ones] = units.map(|digit| u16::from(digit.wrapping_sub(b'0')));
    Some((StatusCode::from_u16(400 + 10 * tens + ones).ok()?, head))
}

/// Wakes the task of a connection at its deadline.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// An error if `at` has passed; else the task is woken then.
    fn set(&mut self, at: Instant, cx: &mut Context<'_>) -> Option<io::Error> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx).is_ready().then(|| io::ErrorKind::TimedOut.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_the_parser_is_bare() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        let (status, head) = bare_refusal(bare.as_bytes()).unwrap();
        assert_eq!((status.as_u16(), head), (431, bare.strip_suffix("\r\n\r\n").unwrap()));
        for other in [
            "HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nbody",
            "HTTP/1.1 400 Bad Request\r\n\r\nbody\r\n\r\n",
            "HTTP/1.1 400",
            "HTTP/1.1 4",
            "",
        ] {
            assert_eq!(bare_refusal(other.as_bytes()), None, "{other}");
        }
    }
}
