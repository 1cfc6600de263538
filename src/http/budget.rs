//! The memory that all bodies together may take. It is charged as bytes arrive, not by `Content-Length`.
//!
//! Small bodies have a room of their own, so that large ones leave them space. Nothing is known of a body
//! before it is whole and its signature verified, so when a room is full, the slowest body in it makes space
//! for one that arrives faster. While all are too new to have a meaningful rate, a small body takes the
//! space of the oldest small one: genuine ones are whole within milliseconds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The most bytes of a body in the room for small ones.
pub const SMALL: usize = 256 * 1024;

/// The two rooms. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget {
    small: Arc<Room>,
    large: Arc<Room>,
    window: Duration,
}

impl Budget {
    /// Rooms of so many bytes; rates are measured over `window`.
    #[must_use]
    pub fn new(small: usize, large: usize, window: Duration) -> Self {
        Self { small: Room::new(small), large: Room::new(large), window }
    }

    /// A body whose first byte is still to arrive.
    pub(super) fn arrival(&self, now: Instant) -> Arrival {
        let pace = Mutex::new(Pace::new(self.window, now));
        let body = Arc::new(Body { pace, evicted: CancellationToken::new() });
        Arrival { budget: self.clone(), body, charge: None }
    }
}

#[derive(Debug)]
struct Room {
    inside: Mutex<Inside>,
    /// Notified whenever bytes are released.
    released: Notify,
}

#[derive(Debug)]
struct Inside {
    left: usize,
    arriving: Vec<Arc<Body>>,
}

impl Room {
    fn new(bytes: usize) -> Arc<Self> {
        let inside = Mutex::new(Inside { left: bytes, arriving: Vec::new() });
        Arc::new(Self { inside, released: Notify::new() })
    }

    fn take(&self, bytes: usize) -> bool {
        let mut inside = lock(&self.inside);
        let left = inside.left.checked_sub(bytes);
        inside.left = left.unwrap_or(inside.left);
        left.is_some()
    }

    /// Evicts the slowest body that arrives at less than half the rate of `newcomer`, or else the oldest if
    /// `or_oldest`. Returns whether bytes will be released: by that one, or by one that was evicted before.
    fn evict_for(&self, newcomer: &Arc<Body>, or_oldest: bool, now: Instant) -> bool {
        let rate = lock(&newcomer.pace).rate(now);
        let inside = lock(&self.inside);
        let others = inside.arriving.iter().filter(|other| !Arc::ptr_eq(other, newcomer));
        let mut evicted_before = false;
        let mut slowest: Option<(&Arc<Body>, f64)> = None;
        for other in others.clone() {
            let mut pace = lock(&other.pace);
            let other_rate = pace.rate(now);
            if other.evicted.is_cancelled() {
                evicted_before = true;
            } else if !pace.is_young(now)
                && other_rate < rate / 2.0
                && slowest.is_none_or(|(_, least)| other_rate < least)
            {
                slowest = Some((other, other_rate));
            }
        }
        let oldest = others.clone().find(|body| or_oldest && !body.evicted.is_cancelled());
        let evicted = slowest.map(|(body, _)| body).or(oldest);
        if let Some(body) = evicted {
            body.evicted.cancel();
        }
        evicted.is_some() || evicted_before
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Body {
    pace: Mutex<Pace>,
    evicted: CancellationToken,
}

/// A body that is arriving. Dropping it releases what it was charged.
#[derive(Debug)]
pub(super) struct Arrival {
    budget: Budget,
    body: Arc<Body>,
    charge: Option<Charge>,
}

impl Arrival {
    /// Counts bytes that arrived, and returns the rate in bytes a second.
    pub(super) fn arrived(&self, bytes: usize, now: Instant) -> f64 {
        let mut pace = lock(&self.body.pace);
        pace.arrived(bytes, now);
        pace.rate(now)
    }

    /// Resolves once a faster body needs the space of this one.
    pub(super) async fn evicted(&self) {
        self.body.evicted.cancelled().await;
    }

    /// Charges `more` bytes; waits for a slower body to release its own if there is one. False if there is
    /// none, or a faster body needs the space of this one.
    pub(super) async fn grow(&mut self, more: usize, now: Instant) -> bool {
        let held = self.charge.as_ref().map_or(0, |charge| charge.bytes);
        let room = if held + more > SMALL { &self.budget.large } else { &self.budget.small };
        let stays = self.charge.as_ref().is_some_and(|charge| Arc::ptr_eq(&charge.room, room));
        let needed = if stays { more } else { held + more };
        loop {
            let mut released = std::pin::pin!(room.released.notified());
            released.as_mut().enable();
            if room.take(needed) {
                break;
            }
            if !room.evict_for(&self.body, held + more <= SMALL, now) {
                return false;
            }
            tokio::select! {
                () = released => {}
                () = self.body.evicted.cancelled() => return false,
            }
        }
        match &mut self.charge {
            Some(charge) if stays => charge.bytes += needed,
            _ => {
                lock(&room.inside).arriving.push(Arc::clone(&self.body));
                let charge = Charge { room: Arc::clone(room), bytes: needed };
                self.forget();
                self.charge = Some(charge);
            }
        }
        true
    }

    /// Releases what it was charged; the body goes on arriving, to be discarded.
    pub(super) fn discard(&mut self) {
        self.forget();
        self.charge = None;
    }

    /// The body is whole. The charge must live as long as its bytes.
    pub(super) fn whole(mut self) -> Option<Charge> {
        self.forget();
        self.charge.take()
    }

    /// Removes the body from those that may be evicted.
    fn forget(&self) {
        if let Some(charge) = &self.charge {
            lock(&charge.room.inside).arriving.retain(|body| !Arc::ptr_eq(body, &self.body));
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.forget();
    }
}

/// What a body took of a room; dropping it releases it.
#[derive(Debug)]
pub struct Charge {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        lock(&self.room.inside).left += self.bytes;
        self.room.released.notify_waiters();
    }
}

/// How fast a body arrives: in the half window before this one, and in this one.
#[derive(Debug)]
struct Pace {
    window: Duration,
    started: Instant,
    half_began: Instant,
    half_before: usize,
    this_half: usize,
}

/// A body that began just now may have waited for nothing but the network.
const SHORTEST: Duration = Duration::from_millis(10);

impl Pace {
    fn new(window: Duration, now: Instant) -> Self {
        Self { window, started: now, half_began: now, half_before: 0, this_half: 0 }
    }

    fn turn(&mut self, now: Instant) {
        let (passed, half) = (now.saturating_duration_since(self.half_began), self.window / 2);
        if passed >= self.window {
            (self.half_before, self.this_half, self.half_began) = (0, 0, now);
        } else if passed >= half {
            (self.half_before, self.this_half) = (self.this_half, 0);
            self.half_began += half;
        }
    }

    fn arrived(&mut self, bytes: usize, now: Instant) {
        self.turn(now);
        self.this_half += bytes;
    }

    /// Bytes a second over the last window, or since the start if that is later.
    #[allow(clippy::cast_precision_loss, reason = "the rate need not be exact")]
    fn rate(&mut self, now: Instant) -> f64 {
        self.turn(now);
        let span = (self.window / 2 + now.saturating_duration_since(self.half_began))
            .min(now.saturating_duration_since(self.started))
            .max(SHORTEST);
        (self.half_before + self.this_half) as f64 / span.as_secs_f64()
    }

    /// Whether it began too recently to have a meaningful rate.
    fn is_young(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.started) < self.window / 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const WINDOW: Duration = Duration::from_secs(5);

    #[test]
    fn the_rate_is_that_of_the_last_window_and_not_since_the_start() {
        let start = Instant::now();
        let arrival = Budget::new(0, 0, WINDOW).arrival(start);
        assert!((arrival.arrived(1_000_000, start + SECOND) - 1_000_000.0).abs() < 1.0);
        for second in 2..10 {
            arrival.arrived(1, start + second * SECOND);
        }
        let rate = arrival.arrived(0, start + 10 * SECOND);
        assert!(rate < 2.0, "{rate}");
    }

    #[tokio::test]
    async fn a_full_room_makes_space_for_a_faster_body_and_for_no_other() {
        let start = Instant::now();
        let budget = Budget::new(0, 100 * SMALL, WINDOW);
        let body = |bytes, now| {
            let arrival = budget.arrival(now);
            arrival.arrived(bytes * SMALL, now);
            arrival
        };
        let mut slow = body(80, start);
        assert!(slow.grow(80 * SMALL, start).await);
        assert!(!body(5_000, start).grow(50 * SMALL, start).await, "the other one is young");
        let later = start + 2 * SECOND;
        assert!(!body(0, later).grow(50 * SMALL, later).await, "it is no faster");
        let mut fast = body(50, later);
        let (grown, ()) = tokio::join!(fast.grow(50 * SMALL, later), async {
            slow.evicted().await;
            drop(slow);
        });
        assert!(grown);
        // A whole body is not evicted, and its bytes count until its charge is dropped.
        let charge = fast.whole();
        let last = later + WINDOW;
        assert!(!body(60, last).grow(60 * SMALL, last).await);
        drop(charge);
        assert!(body(60, last).grow(60 * SMALL, last).await);
    }

    #[tokio::test]
    async fn where_all_small_bodies_are_new_the_oldest_makes_space() {
        let now = Instant::now();
        let budget = Budget::new(100, 0, WINDOW);
        let [mut first, mut second, mut third] = [(); 3].map(|()| budget.arrival(now));
        assert!(first.grow(50, now).await && second.grow(50, now).await);
        let (grown, ()) = tokio::join!(third.grow(50, now), async {
            first.evicted().await;
            drop(first);
        });
        assert!(grown && !second.body.evicted.is_cancelled());
    }

    #[tokio::test]
    async fn a_body_that_grows_large_leaves_the_room_for_small_ones() {
        let start = Instant::now();
        let budget = Budget::new(SMALL, 3 * SMALL, WINDOW);
        let mut large = budget.arrival(start);
        assert!(large.grow(SMALL, start).await);
        assert!(!budget.small.take(1));
        assert!(large.grow(SMALL, start).await);
        let mut small = budget.arrival(start);
        assert!(small.grow(SMALL, start).await);
        drop(large);
        assert!(budget.large.take(3 * SMALL));
    }
}
