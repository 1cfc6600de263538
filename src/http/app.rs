//! What the handlers share: [`App`], and the parts of it that a test may replace.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::access::Access;
use super::body::Limits;
use super::budget::Budget;
use super::cors::Origins;
use super::oidc;
use super::proxies::Proxies;
use super::reads::Reads;
use super::ready::{Backlog, Ready};
use super::request_timeout::RequestTimeout;
use super::sections::Sections;
use super::totals::Totals;
use crate::domain::Milestones;
use crate::feed::Feed;
use crate::hosts;
use crate::mailmap::Mailmap;
use crate::outbox::Outbox;
use crate::publish::Publisher;
use crate::reconcile::{self, Reconciler};
use crate::record::Recorder;
use crate::runtime::{Clock, Tasks, raise_file_limit};
use crate::store::Store;
use crate::telemetry::Metrics;

/// Everything a request may need.
pub struct App {
    pub(super) access: Access,
    pub(super) origins: Origins,
    pub(super) proxies: Proxies,
    pub(super) hosts: Vec<hosts::Opened>,
    pub(super) rules: hosts::Rules,
    pub(super) milestones: Milestones,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) streams: Arc<Semaphore>,
    pub(super) reads: Arc<Reads>,
    pub(super) backlog: Backlog,
    pub(super) recorder: Recorder,
    pub(super) mailmap: Arc<Mailmap>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) reconciler: Arc<Reconciler>,
    pub(super) store: Arc<dyn Store>,
    pub(super) feed: Feed,
    pub(super) ready: Ready,
    pub(super) totals: Totals,
    pub(super) oidc: Option<oidc::Verifier>,
    pub(super) request_timeout: RequestTimeout,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("store", &self.store.name()).finish_non_exhaustive()
    }
}

/// What a test may replace.
#[derive(Clone, Debug)]
pub struct Overrides {
    /// What a client may cost.
    pub limits: Limits,
    /// Where Google's public keys are found.
    pub google_keys: String,
    /// How long a drain waits for newer ones before those that expired are used.
    pub key_wait: Duration,
    /// The time.
    pub clock: Clock,
    /// How long after the start the first round over failed deliveries begins.
    pub reconcile_first: Duration,
}

impl Default for Overrides {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            google_keys: oidc::GOOGLE_KEYS.into(),
            key_wait: oidc::EXPIRED_WAIT,
            clock: Clock::system(),
            reconcile_first: reconcile::FIRST,
        }
    }
}

impl App {
    /// Starts the background tasks: commit lanes, outbox, feed. Nothing listens yet.
    pub fn start(
        sections: Sections,
        store: Arc<dyn Store>,
        publishers: Vec<Arc<dyn Publisher>>,
        overrides: Overrides,
    ) -> anyhow::Result<Arc<Self>> {
        let Overrides { limits, google_keys, key_wait, clock, reconcile_first } = overrides;
        let limits = limits.within(raise_file_limit());
        let Sections {
            hosts,
            access,
            origins,
            proxies,
            milestones,
            rules,
            drain,
            request_timeout,
            reconciling,
        } = sections;
        let host_names: Vec<_> = hosts.iter().map(|host| host.known.name).collect();
        let (tasks, metrics) = (Tasks::default(), Metrics::new(&host_names)?);
        let outbox = Arc::new(Outbox::new(
            Arc::clone(&store),
            publishers,
            milestones.clone(),
            clock.clone(),
            metrics.clone(),
        ));
        tasks.spawn(Arc::clone(&outbox).run(tasks.stopping()));
        let recorder = Recorder::start(&store, &outbox, &milestones, &clock, &metrics, &tasks);
        let mailmap = Arc::new(Mailmap::new(Arc::clone(&store), rules.addresses.clone()));
        tasks.spawn(Arc::clone(&mailmap).run(tasks.stopping()));
        let by_itself = reconciling.by_itself;
        let reconciler =
            Reconciler::new(reconciling, Arc::clone(&store), clock.clone(), Some(metrics.clone()));
        let reconciler = Arc::new(reconciler);
        if by_itself && !reconciler.is_off() {
            tasks.spawn(Arc::clone(&reconciler).run(reconcile_first, tasks.stopping()));
        }
        let oidc = drain.map(|identity| {
            oidc::Verifier::new(identity, google_keys, key_wait, clock.clone(), tasks.clone())
        });
        Ok(Arc::new(Self {
            access,
            origins,
            proxies,
            hosts,
            rules,
            milestones,
            budget: Budget::new(limits.small_budget, limits.large_budget, limits.silence),
            streams: Arc::new(Semaphore::new(limits.streams)),
            reads: Arc::new(Reads::new(store.readers(), limits.reads_waiting, limits.read_wait)),
            backlog: Backlog::default(),
            limits,
            recorder,
            mailmap,
            feed: Feed::new(Arc::clone(&store), outbox.made(), tasks.clone()),
            ready: Ready::new(Arc::clone(&store), Arc::clone(&outbox), tasks.clone()),
            totals: Totals::new(Arc::clone(&store), tasks.clone()),
            oidc: oidc.transpose()?,
            outbox,
            reconciler,
            store,
            request_timeout,
            metrics,
            clock,
            tasks,
        }))
    }
}
