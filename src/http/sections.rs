use super::access::Access;
use super::cors::Origins;
use super::oidc::Identity;
use super::proxies::Proxies;
use super::request_timeout::RequestTimeout;
use crate::domain::Milestones;
use crate::hosts::deliveries::Reconciling;
use crate::hosts::{Opened, Rules};

/// The sections of the configuration that the service keeps.
#[derive(Clone, Debug)]
pub struct Sections {
    pub hosts: Vec<Opened>,
    pub access: Access,
    pub origins: Origins,
    pub proxies: Proxies,
    pub milestones: Milestones,
    pub rules: Rules,
    /// The identity that may drain the outbox with an OIDC token.
    pub drain: Option<Identity>,
    pub request_timeout: RequestTimeout,
    pub reconciling: Reconciling,
}
