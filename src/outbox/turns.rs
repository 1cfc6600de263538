//! Work that many ask for and one loop does.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

use crate::store::StoreError;

/// The turns of one loop. Those who ask while a turn is under way share the next one, so that what they asked
/// for is done after they asked, and only once for all of them.
pub(super) struct Turns {
    requested: AtomicU64,
    wake: Notify,
    ended: watch::Sender<Ended>,
}

/// The last turn that has ended, counted by requests.
struct Ended {
    turn: u64,
    outcome: Result<(), StoreError>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self {
            requested: AtomicU64::default(),
            wake: Notify::new(),
            ended: watch::channel(Ended { turn: 0, outcome: Ok(()) }).0,
        }
    }

    /// Asks for a turn that begins from now on; [`Turns::until`] waits for its end.
    pub(super) fn request(&self) -> u64 {
        let turn = self.requested.fetch_add(1, Ordering::SeqCst) + 1;
        self.wake.notify_one();
        turn
    }

    /// Resolves when that turn has ended.
    pub(super) async fn until(&self, turn: u64) -> Result<(), StoreError> {
        match self.ended.subscribe().wait_for(|ended| ended.turn >= turn).await {
            Ok(ended) => ended.outcome.clone(),
            Err(_) => Err(StoreError::Unavailable("the outbox has ended".into())),
        }
    }

    /// For the loop: waits until a turn is asked for that has not ended.
    pub(super) async fn requested(&self) {
        while self.ended.borrow().turn >= self.current() {
            self.wake.notified().await;
        }
    }

    /// The turn that a loop does which begins now: it serves every request so far.
    pub(super) fn current(&self) -> u64 {
        self.requested.load(Ordering::SeqCst)
    }

    /// Ends this turn and all before it. One that ended as part of a later turn stays ended.
    pub(super) fn end(&self, turn: u64, outcome: Result<(), StoreError>) {
        self.ended.send_if_modified(|ended| {
            let is_news = turn >= ended.turn;
            if is_news {
                *ended = Ended { turn, outcome };
            }
            is_news
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn the_end_of_an_earlier_turn_does_not_take_back_that_of_a_later_one() {
        let turns = Turns::new();
        let (first, second) = (turns.request(), turns.request());
        turns.end(second, Ok(()));
        turns.end(first, Ok(()));
        assert!(turns.until(second).now_or_never().is_some());
    }
}
