//! Reading a body from a stranger: no more bytes than allowed, no slower than allowed, and over all
//! requests together no more memory than there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::problem::{Problem, ProblemKind};

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of one body.
    pub most: usize,
    /// How long a head may take to arrive.
    pub head: Duration,
    /// How long a body may take to arrive.
    pub whole: Duration,
    /// How long no byte may arrive.
    pub silence: Duration,
    /// The least bytes a second, once `silence` has passed.
    pub rate: f64,
    /// The bytes of all bodies together.
    pub budget: usize,
}

/// GitHub's cap: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap>.
pub const MOST_WEBHOOK: usize = 25 * 1024 * 1024;
/// Far more than any sensible contribution.
pub const MOST_API: usize = 64 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            most: MOST_WEBHOOK,
            head: Duration::from_secs(10),
            whole: Duration::from_secs(30),
            silence: Duration::from_secs(5),
            rate: 4_096.0,
            budget: 128 * 1024 * 1024,
        }
    }
}

/// The memory that all bodies together may take. It is charged as bytes arrive, not as they are announced.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicUsize>);

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    fn charge(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// What a body took from the budget, given back when this is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    bytes: usize,
}

impl Charge {
    fn more(&mut self, bytes: usize) -> bool {
        let charged = self.budget.charge(bytes);
        self.bytes += if charged { bytes } else { 0 };
        charged
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// Reads a whole body. The charge must live as long as the bytes.
pub async fn read(
    mut body: Body,
    headers: &HeaderMap,
    limits: &Limits,
    budget: &Budget,
) -> Result<(Bytes, Charge), Problem> {
    let started = Instant::now();
    let mut charge = Charge { budget: budget.clone(), bytes: 0 };
    let mut bytes = BytesMut::new();
    let announced = announced(headers);
    let mut too_large = announced.is_some_and(|announced| announced > limits.most);
    let too_much = announced.is_some_and(|announced| announced > limits.most + PASSED_BY);
    let waits = headers.contains_key(header::EXPECT);
    let refused =
        || Problem::new(ProblemKind::BodyTooLarge, format!("at most {} bytes are taken", limits.most));
    if too_much || (too_large && waits) {
        return Err(refused().closing());
    }
    let mut discarded = 0;
    while let Some(frame) = next(&mut body, started, bytes.len() + discarded, limits).await? {
        if too_large || bytes.len() + frame.len() > limits.most {
            // The rest is let pass, a while, so that the client comes to read the answer.
            too_large = true;
            discarded += frame.len();
            (bytes, charge) = (BytesMut::new(), Charge { budget: budget.clone(), bytes: 0 });
            if discarded > PASSED_BY {
                return Err(refused().closing());
            }
            continue;
        }
        let grown = (bytes.len() + frame.len()).saturating_sub(bytes.capacity());
        if grown > 0 {
            // Doubling, but never past the cap: what is charged is what is allocated.
            let room = grown.max(bytes.capacity()).min(limits.most - bytes.len());
            if !charge.more(room) {
                let full =
                    Problem::new(ProblemKind::Unavailable, "too many large bodies at once; send it again");
                return Err(full.closing());
            }
            bytes.reserve(room);
        }
        bytes.extend_from_slice(&frame);
    }
    if too_large {
        return Err(refused());
    }
    Ok((bytes.freeze(), charge))
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// How much more than allowed is let pass, so that a client that sends before it listens reads why not.
const PASSED_BY: usize = 32 * 1024 * 1024;

/// The next bytes, if they come soon enough.
async fn next(
    body: &mut Body,
    started: Instant,
    so_far: usize,
    limits: &Limits,
) -> Result<Option<Bytes>, Problem> {
    let slow = || {
        Problem::new(ProblemKind::BodyTooSlow, "the body must keep arriving; send it again at once").closing()
    };
    loop {
        let until = (started + limits.whole).min(Instant::now() + limits.silence);
        let frame = tokio::time::timeout_at(until, body.frame()).await.map_err(|_| slow())?;
        let frame = match frame {
            None => return Ok(None),
            Some(Err(_)) => {
                return Err(Problem::new(ProblemKind::Malformed, "the body ended before it was whole"));
            }
            Some(Ok(frame)) => frame,
        };
        let taken = started.elapsed();
        #[allow(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let too_slow = taken > limits.silence && (so_far as f64) < limits.rate * taken.as_secs_f64();
        if too_slow {
            return Err(slow());
        }
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
}

/// The most that is read of a body that nobody wants, and how long for.
const UNWANTED: (usize, Duration) = (256 * 1024, Duration::from_millis(250));

/// Turns a whole request away.
pub async fn turned_away(problem: Problem, request: Request) -> Problem {
    let (head, body) = request.into_parts();
    refuse(problem, body, &head.headers).await
}

/// Turns a request away before its body is read. What comes at once of a small body is dropped, so that the
/// connection can serve the next request; else the answer says that it cannot.
pub async fn refuse(problem: Problem, mut body: Body, headers: &HeaderMap) -> Problem {
    let announced = announced(headers);
    // Who expects to be told to go on has sent nothing yet, and reading would tell so.
    if headers.contains_key(header::EXPECT) || announced.is_some_and(|bytes| bytes > UNWANTED.0) {
        return problem.closing();
    }
    let drop_all = async {
        let mut left = UNWANTED.0;
        while let Some(frame) = body.frame().await {
            let size = frame.ok()?.data_ref().map_or(0, Bytes::len);
            left = left.checked_sub(size)?;
        }
        Some(())
    };
    match tokio::time::timeout(UNWANTED.1, drop_all).await {
        Ok(Some(())) => problem,
        _ => problem.closing(),
    }
}
