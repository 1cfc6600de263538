//! Recognitions as they happen, whichever instance made them.
//!
//! All listeners share one task that polls the store; it runs only while there are listeners.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use futures::future::BoxFuture;
use tokio::sync::{Mutex, broadcast, watch};

use crate::domain::{Recognition, RecognitionId};
use crate::runtime::Tasks;
use crate::store::{Store, StoreError};

/// How long to wait for recognitions of this instance before the store is polled for those of others.
const POLL: Duration = Duration::from_secs(1);
/// How many recognitions one read of the store returns at most.
const BATCH: usize = 100;
/// How many recognitions a listener may be behind before its stream ends; it resumes with its last id.
const BEHIND: usize = 1_000;

/// The recognitions of all instances, as a stream for each listener.
pub struct Feed {
    store: Arc<dyn Store>,
    made: watch::Receiver<u64>,
    tasks: Tasks,
    running: Running,
}

/// The polling task, while one runs.
type Running = Arc<Mutex<Option<Polling>>>;

/// What listeners need of the polling task.
struct Polling {
    sender: broadcast::WeakSender<Arc<Recognition>>,
    /// Everything up to there was sent.
    position: watch::Receiver<String>,
}

/// The last that a listener has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    Recognition(RecognitionId),
    /// A position that it was given at the beginning of an earlier stream.
    Position(String),
}

/// What a listener gets.
#[derive(Debug)]
pub struct Followed<S> {
    /// The position at which the stream begins, where the listener had none that is known.
    pub position: Option<String>,
    pub recognitions: S,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("store", &self.store.name()).finish_non_exhaustive()
    }
}

impl Feed {
    /// A feed of `store`; `made` changes whenever this instance has made a recognition.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, made: watch::Receiver<u64>, tasks: Tasks) -> Self {
        Self { store, made, tasks, running: Running::default() }
    }

    /// First what was made after `last`, then what is made from now on; a recognition may come twice. Without a
    /// `last` that is known it begins now, at the position that is given. Each reading of what was made before waits
    /// for its `turn`, which is held as long as the reading. The stream ends when the service stops, when the store fails, when there is no turn for it,
    /// or when the listener is too far behind.
    pub async fn follow<
        Held: Send + 'static,
        Turn: Fn() -> BoxFuture<'static, Option<Held>> + Send + 'static,
    >(
        &self,
        last: Option<Last>,
        turn: Turn,
    ) -> Result<Followed<impl Stream<Item = Arc<Recognition>> + Send + use<Held, Turn>>, StoreError> {
        // Subscribed before the store is read: what is made in between comes twice rather than never.
        let (mut live, now) = self.subscribe().await?;
        let mut position = match last {
            Some(Last::Recognition(last)) => self.store.position_of(&last).await?,
            Some(Last::Position(position)) => self.is_known(&position).await?.then_some(position),
            None => None,
        };
        let begins = position.is_none().then_some(now);
        let stopping = self.tasks.streams_stopping();
        let store = Arc::clone(&self.store);
        let recognitions = async_stream::stream! {
            while let Some(at) = position.take() {
                let Some(held) = turn().await else { return };
                let Ok(news) = store.recognitions_after(Some(&at), BATCH).await else { return };
                drop(held);
                position = news.more.then_some(news.position);
                for recognition in news.items {
                    yield Arc::new(recognition);
                }
            }
            loop {
                let received = tokio::select! {
                    () = stopping.cancelled() => return,
                    received = live.recv() => received,
                };
                // An error means that the listener is too far behind.
                let Ok(recognition) = received else { return };
                yield recognition;
            }
        };
        Ok(Followed { position: begins, recognitions })
    }

    /// Whether the store can read on from there: not where another store gave the position, or this one before it was
    /// restored from an older copy.
    async fn is_known(&self, position: &str) -> Result<bool, StoreError> {
        match self.store.recognitions_after(Some(position), 1).await {
            Ok(_) => Ok(true),
            Err(StoreError::BadCursor) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Joins the polling task, or starts it. What is made after the position comes through the receiver.
    async fn subscribe(&self) -> Result<(broadcast::Receiver<Arc<Recognition>>, String), StoreError> {
        let mut running = self.running.lock().await;
        if let Some(Polling { sender, position }) = running.as_ref()
            && let Some(sender) = sender.upgrade()
        {
            let receiver = sender.subscribe();
            return Ok((receiver, position.borrow().clone()));
        }
        let position = self.store.recognitions_after(None, 0).await?.position;
        let (sender, receiver) = broadcast::channel(BEHIND);
        let now = position.clone();
        let (position, positions) = watch::channel(position);
        *running = Some(Polling { sender: sender.downgrade(), position: positions });
        let poll = Poll {
            store: Arc::clone(&self.store),
            made: self.made.clone(),
            position,
            sender,
            running: Arc::clone(&self.running),
        };
        let stopping = self.tasks.streams_stopping();
        self.tasks.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = poll.run() => {}
            }
        });
        Ok((receiver, now))
    }
}

/// The polling task.
struct Poll {
    store: Arc<dyn Store>,
    made: watch::Receiver<u64>,
    position: watch::Sender<String>,
    sender: broadcast::Sender<Arc<Recognition>>,
    running: Running,
}

impl Poll {
    /// Whether there are listeners. If not, unregisters this task under the lock, so that none joins it.
    async fn has_listeners(&self) -> bool {
        let mut running = self.running.lock().await;
        let listened = self.sender.receiver_count() > 0;
        if !listened {
            *running = None;
        }
        listened
    }

    async fn run(mut self) {
        let pause = self.store.poll_pause();
        while self.has_listeners().await {
            tokio::time::sleep(pause).await;
            // A timeout is no failure: it is time to poll for what other instances made.
            let _ = tokio::time::timeout(POLL.saturating_sub(pause), self.made.changed()).await;
            while self.read_batch().await {}
        }
    }

    /// Sends one batch; whether there is more.
    async fn read_batch(&mut self) -> bool {
        let position = self.position.borrow().clone();
        let Ok(news) = self.store.recognitions_after(Some(&position), BATCH).await else {
            // The store's failures are logged where they fail requests.
            tokio::time::sleep(POLL).await;
            return false;
        };
        for recognition in news.items {
            // An error means that no listener is left, which `has_listeners` finds.
            let _ = self.sender.send(Arc::new(recognition));
        }
        // After they were sent: a listener that begins in between gets some twice rather than never.
        self.position.send_replace(news.position);
        news.more
    }
}
