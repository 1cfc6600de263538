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

/// The sender of the polling task, while one runs.
type Running = Arc<Mutex<Option<broadcast::WeakSender<Arc<Recognition>>>>>;

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

    /// First what was made after `last`, then what is made from now on; a recognition may come twice. An
    /// unknown `last` is ignored. Each reading of what was made before waits for its `turn`, which is held as long
    /// as the reading. The stream ends when the service stops, when the store fails, when there is no turn for it,
    /// or when the listener is too far behind.
    pub async fn follow<
        Held: Send + 'static,
        Turn: Fn() -> BoxFuture<'static, Option<Held>> + Send + 'static,
    >(
        &self,
        last: Option<RecognitionId>,
        turn: Turn,
    ) -> Result<impl Stream<Item = Arc<Recognition>> + Send + use<Held, Turn>, StoreError> {
        // Subscribed before the store is read: what is made in between comes twice rather than never.
        let mut live = self.subscribe().await?;
        let mut position = match &last {
            Some(last) => self.store.position_of(last).await?,
            None => None,
        };
        let stopping = self.tasks.streams_stopping();
        let store = Arc::clone(&self.store);
        Ok(async_stream::stream! {
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
        })
    }

    /// Joins the polling task, or starts it.
    async fn subscribe(&self) -> Result<broadcast::Receiver<Arc<Recognition>>, StoreError> {
        let mut running = self.running.lock().await;
        if let Some(sender) = running.as_ref().and_then(broadcast::WeakSender::upgrade) {
            return Ok(sender.subscribe());
        }
        let position = self.store.recognitions_after(None, 0).await?.position;
        let (sender, receiver) = broadcast::channel(BEHIND);
        *running = Some(sender.downgrade());
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
        Ok(receiver)
    }
}

/// The polling task.
struct Poll {
    store: Arc<dyn Store>,
    made: watch::Receiver<u64>,
    position: String,
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
        let Ok(news) = self.store.recognitions_after(Some(&self.position), BATCH).await else {
            // The store's failures are logged where they fail requests.
            tokio::time::sleep(POLL).await;
            return false;
        };
        self.position = news.position;
        for recognition in news.items {
            // An error means that no listener is left, which `has_listeners` finds.
            let _ = self.sender.send(Arc::new(recognition));
        }
        news.more
    }
}
