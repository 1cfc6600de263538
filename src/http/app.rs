//! What the handlers share: [`App`], and the parts of it that a test may replace.

use std::sync::Arc;

use super::access::Access;
use super::body::{Budget, Limits};
use super::oidc;
use super::ready::Ready;
use crate::config::Config;
use crate::feed::Feed;
use crate::hosts::{self, Host};
use crate::outbox::Outbox;
use crate::publish::Publisher;
use crate::record::Recorder;
use crate::runtime::{Clock, Tasks};
use crate::store::Store;
use crate::telemetry::Metrics;

/// A host that plaudit knows.
pub(super) struct Opened {
    /// Its name in routes.
    pub(super) name: &'static str,
    /// The host; `None` until its secret is set.
    pub(super) host: Option<Arc<dyn Host>>,
    /// The variable to set.
    pub(super) set: &'static str,
}

/// Everything a request may need.
pub struct App {
    pub(super) access: Access,
    pub(super) hosts: Vec<Opened>,
    pub(super) rules: hosts::Rules,
    pub(super) limits: Limits,
    pub(super) budget: Budget,
    pub(super) recorder: Recorder,
    pub(super) outbox: Arc<Outbox>,
    pub(super) store: Arc<dyn Store>,
    pub(super) feed: Feed,
    pub(super) ready: Ready,
    pub(super) oidc: Option<oidc::Verifier>,
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
    /// What bodies may cost.
    pub limits: Limits,
    /// Where Google's public keys are found.
    pub google_keys: String,
    /// The time.
    pub clock: Clock,
}

impl Default for Overrides {
    fn default() -> Self {
        Self { limits: Limits::default(), google_keys: oidc::GOOGLE_KEYS.into(), clock: Clock::system() }
    }
}

impl App {
    /// Starts the background tasks: commit lanes, outbox, feed. Nothing listens yet.
    pub fn start(
        config: &Config,
        store: Arc<dyn Store>,
        publishers: Vec<Arc<dyn Publisher>>,
        overrides: Overrides,
    ) -> anyhow::Result<Arc<Self>> {
        let Overrides { limits, google_keys, clock } = overrides;
        let (tasks, metrics) = (Tasks::default(), Metrics::new()?);
        let milestones = config.milestones.clone();
        let outbox = Arc::new(Outbox::new(
            Arc::clone(&store),
            publishers,
            milestones.clone(),
            clock.clone(),
            metrics.clone(),
        ));
        tasks.spawn(Arc::clone(&outbox).run(tasks.stopping()));
        let recorder = Recorder::start(&store, &outbox, &milestones, &clock, &metrics, &tasks);
        let opened = |&(name, open, set): &(&'static str, hosts::Open, &'static str)| Opened {
            name,
            host: open(&config.hosts),
            set,
        };
        let oidc =
            config.drain.clone().map(|identity| oidc::Verifier::new(identity, google_keys, clock.clone()));
        Ok(Arc::new(Self {
            access: Access::new(config),
            hosts: hosts::KNOWN.iter().map(opened).collect(),
            rules: config.rules.clone(),
            budget: Budget::new(limits.budget),
            limits,
            recorder,
            feed: Feed::new(Arc::clone(&store), outbox.made(), tasks.clone()),
            ready: Ready::new(Arc::clone(&store), Arc::clone(&outbox)),
            oidc: oidc.transpose()?,
            outbox,
            store,
            metrics,
            clock,
            tasks,
        }))
    }
}
