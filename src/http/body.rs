//! Reading a body under limits: its size, its speed, and the memory that all bodies take together.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::budget::{Arrival, Budget, Charge};
use super::problem::{Problem, ProblemKind};

/// What a client may cost: its connection, a request's head, a body, an answer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections there may be; fewer where the limit of open files is low.
    pub connections: usize,
    /// How many of them may be event streams; at most half of all connections.
    pub streams: usize,
    /// How many reads of the ledger may wait while as many as the store serves are running.
    pub reads_waiting: usize,
    /// The longest that a read waits for its turn.
    pub read_wait: Duration,
    /// The most bytes of one body.
    pub most: usize,
    /// The timeout of a head: from its first byte, or from the beginning of the connection.
    pub head: Duration,
    /// How long a connection may be idle between two requests.
    pub idle: Duration,
    /// The longest time in which a client reads nothing of an answer.
    pub unread: Duration,
    /// The timeout of a whole body.
    pub whole: Duration,
    /// The longest time without a byte of the body.
    pub silence: Duration,
    /// The lowest rate in bytes a second over the last `silence`, once that has passed since the start.
    pub rate: f64,
    /// The memory of all bodies up to 256 KiB together, in bytes.
    pub small_budget: usize,
    /// The memory of all larger bodies together, in bytes.
    pub large_budget: usize,
}

/// The longest that a read waits for its turn, unless a test says otherwise.
pub const READ_WAIT: Duration = Duration::from_secs(2);
/// GitHub's cap: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap>.
pub const MOST_WEBHOOK: usize = 25 * 1024 * 1024;
/// Far more than a contribution with every field at its longest.
pub const MOST_API: usize = 64 * 1024;
/// More than a hundred contributions with every field at its longest.
pub const MOST_BATCH: usize = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            streams: 1_024,
            reads_waiting: 256,
            read_wait: READ_WAIT,
            most: MOST_WEBHOOK,
            head: Duration::from_secs(10),
            // More than the 60 s for which nginx, AWS and Google's load balancers keep a connection or ask for it.
            idle: Duration::from_secs(90),
            unread: Duration::from_secs(30),
            whole: Duration::from_secs(30),
            silence: Duration::from_secs(5),
            rate: 4_096.0,
            small_budget: 32 * 1024 * 1024,
            large_budget: 96 * 1024 * 1024,
        }
    }
}

/// Files that are not connections: the ledger and its readers, and connections to stores and destinations.
const OTHER_FILES: usize = 128;

impl Limits {
    /// The same, with no more connections than `files` may be open at once.
    #[must_use]
    pub fn within(self, files: Option<u64>) -> Self {
        let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
        let connections = self.connections.min(files.saturating_sub(OTHER_FILES).max(files / 2));
        Self { connections, streams: self.streams.min(connections / 2), ..self }
    }
}

/// Reads a whole body. The charge must live as long as the bytes.
pub async fn read(
    mut body: Body,
    headers: &HeaderMap,
    limits: &Limits,
    budget: &Budget,
) -> Result<(Vec<u8>, Option<Charge>), Problem> {
    let started = Instant::now();
    let mut arrival = budget.arrival(started);
    let mut bytes = Vec::new();
    let announced = announced(headers);
    let mut too_large = announced.is_some_and(|announced| announced > limits.most);
    let too_much = announced.is_some_and(|announced| announced > limits.most + PASSED_BY);
    let waits = headers.contains_key(header::EXPECT);
    let refused = || Problem::new(ProblemKind::BodyTooLarge, format!("the limit is {} bytes", limits.most));
    if too_much || (too_large && waits) {
        return Err(refused().closing());
    }
    let mut discarded = 0;
    while let Some(frame) = next(&mut body, started, &arrival, limits).await? {
        if too_large || bytes.len() + frame.len() > limits.most {
            // More is read and discarded, up to `PASSED_BY`, so that the client reads the answer.
            too_large = true;
            discarded += frame.len();
            bytes = Vec::new();
            arrival.discard();
            if discarded > PASSED_BY {
                return Err(refused().closing());
            }
            continue;
        }
        let arrived = bytes.len() + frame.len();
        if arrived > bytes.capacity() {
            let capacity = capacity(arrived, announced, limits.most);
            // What is charged is what is allocated.
            if !arrival.grow(capacity - bytes.capacity(), Instant::now()).await {
                return Err(crowded_out());
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&frame);
    }
    if too_large {
        return Err(refused());
    }
    Ok((bytes, arrival.whole()))
}

/// How much memory to take for a body of which `arrived` bytes are there: all that it announces, if that is at most
/// twice as much, so that most bodies are allocated once. No announcement makes it more than twice.
fn capacity(arrived: usize, announced: Option<usize>, most: usize) -> usize {
    let expected = announced.filter(|announced| *announced >= arrived).unwrap_or(most);
    expected.min(arrived.saturating_mul(2)).min(most).max(arrived)
}

fn crowded_out() -> Problem {
    let detail = "too many bodies at once, and this one was among the slowest; try again";
    Problem::new(ProblemKind::Unavailable, detail).closing()
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// How much of a body that is too large is discarded before the connection is closed: many clients read the
/// answer only once they have sent everything.
const PASSED_BY: usize = 32 * 1024 * 1024;

/// The next bytes, if they arrive in time.
async fn next(
    body: &mut Body,
    started: Instant,
    arrival: &Arrival,
    limits: &Limits,
) -> Result<Option<Bytes>, Problem> {
    let slow = || {
        Problem::new(
            ProblemKind::BodyTooSlow,
            "the body must keep arriving; send the request again without pauses",
        )
        .closing()
    };
    loop {
        let until = (started + limits.whole).min(Instant::now() + limits.silence);
        let frame = tokio::select! {
            frame = tokio::time::timeout_at(until, body.frame()) => frame.map_err(|_| slow())?,
            () = arrival.evicted() => return Err(crowded_out()),
        };
        let frame = match frame {
            None => return Ok(None),
            Some(Err(_)) => {
                return Err(Problem::new(ProblemKind::Malformed, "the body ended early"));
            }
            Some(Ok(frame)) => frame,
        };
        let now = Instant::now();
        let data = frame.into_data();
        let rate = arrival.arrived(data.as_ref().map_or(0, Bytes::len), now);
        if now - started > limits.silence && rate < limits.rate {
            return Err(slow());
        }
        if let Ok(bytes) = data {
            return Ok(Some(bytes));
        }
    }
}

/// The largest body that is read and discarded when a request is refused.
const DISCARDED: usize = 256 * 1024;
/// The timeout of discarding it.
const DISCARDING: Duration = Duration::from_millis(250);

/// Refuses a request whose body is unread: see [`refuse`].
pub async fn turned_away(problem: Problem, request: Request) -> Problem {
    let (head, body) = request.into_parts();
    refuse(problem, body, &head.headers).await
}

/// Refuses a request before its body is read. A small body that arrives at once is discarded, so that the
/// connection can be used again; after any other the connection is closed.
pub async fn refuse(problem: Problem, mut body: Body, headers: &HeaderMap) -> Problem {
    let announced = announced(headers);
    // With `Expect: 100-continue` the body has not been sent; polling it would make hyper send the 100.
    if headers.contains_key(header::EXPECT) || announced.is_some_and(|bytes| bytes > DISCARDED) {
        return problem.closing();
    }
    let discard = async {
        let mut left = DISCARDED;
        while let Some(frame) = body.frame().await {
            let size = frame.ok()?.data_ref().map_or(0, Bytes::len);
            left = left.checked_sub(size)?;
        }
        Some(())
    };
    match tokio::time::timeout(DISCARDING, discard).await {
        Ok(Some(())) => problem,
        _ => problem.closing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_announces_is_allocated_at_once_if_half_of_it_is_there() {
        for (arrived, announced, taken) in [
            (8_000, Some(14_000), 14_000),
            (14_000, Some(14_000), 14_000),
            (1, Some(MOST_WEBHOOK), 2),
            (1_000, None, 2_000),
            (MOST_WEBHOOK - 1, None, MOST_WEBHOOK),
        ] {
            assert_eq!(capacity(arrived, announced, MOST_WEBHOOK), taken, "{arrived} of {announced:?}");
        }
    }
}
