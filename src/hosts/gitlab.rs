//! To come.
use super::Host;
use crate::config::HostSecrets;
use std::sync::Arc;
pub const NAME: &str = "gitlab";
pub fn open(_: &HostSecrets) -> Option<Arc<dyn Host>> {
    None
}
