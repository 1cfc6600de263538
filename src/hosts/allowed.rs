//! The hosts for which the secret of each kind may speak.

use super::{KNOWN, Known, Opened, github, gitlab};
use crate::domain::HostName;
use crate::settings::{Setting, Settings};

/// The settings of this section.
pub const SETTINGS: &[Setting] = &[github::HOSTS, gitlab::HOSTS];

/// The hosts that were listed, by kind. Where a kind has no list, its secret may speak for any host but the public
/// site of another kind.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts(Vec<Listed>);

#[derive(Clone, Debug)]
struct Listed {
    kind: &'static str,
    hosts: Vec<HostName>,
}

impl AllowedHosts {
    pub(super) fn read(settings: &mut Settings<'_>) -> Self {
        let listed = KNOWN.iter().filter_map(|known| {
            let hosts = settings.value(&known.hosts, None, |text| hosts(known.name, text))?;
            Some(Listed { kind: known.name, hosts })
        });
        Self(listed.collect())
    }

    /// Whether the secret of that kind may speak for `host`.
    pub(super) fn allow(&self, kind: &str, host: &HostName) -> bool {
        match self.listed(kind) {
            Some(hosts) => hosts.iter().any(|listed| listed.is_same_as(host)),
            None => host.public_site_of().is_none_or(|public| public == kind),
        }
    }

    /// The host for which alone the secret of that kind may speak, where it is one.
    pub(super) fn only(&self, kind: &str) -> Option<&HostName> {
        match self.listed(kind)? {
            [host] => Some(host),
            _ => None,
        }
    }

    /// Advice to set the lists that are missing, where secrets of several kinds are configured: without its list, a
    /// secret can claim the identities of another's self-managed hosts.
    #[must_use]
    pub fn advice(&self, opened: &[Opened]) -> Option<String> {
        let open: Vec<_> =
            opened.iter().filter(|opened| opened.host.is_some()).map(|opened| opened.known).collect();
        let claims = |known: &&&Known| {
            self.listed(known.name).is_none()
                && open.iter().any(|other| other.name != known.name && self.may_be_self_managed(other.name))
        };
        let variables: Vec<_> = open.iter().filter(claims).map(|known| known.hosts.variable).collect();
        (!variables.is_empty()).then(|| {
            format!(
                "a secret without a list of its hosts may speak for any self-managed host; set {} to the hosts that you have",
                variables.join(" and ")
            )
        })
    }

    fn listed(&self, kind: &str) -> Option<&[HostName]> {
        self.0.iter().find(|listed| listed.kind == kind).map(|listed| listed.hosts.as_slice())
    }

    fn may_be_self_managed(&self, kind: &str) -> bool {
        let self_managed = |host: &HostName| host.public_site_of().is_none();
        self.listed(kind).is_none_or(|hosts| hosts.iter().any(self_managed))
    }
}

fn hosts(kind: &str, text: &str) -> Result<Option<Vec<HostName>>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let hosts = parts.map(|part| host(kind, part)).collect::<Result<Vec<_>, _>>()?;
    if hosts.is_empty() { Err("names no host".into()) } else { Ok(Some(hosts)) }
}

fn host(kind: &str, text: &str) -> Result<HostName, String> {
    let host = HostName::of_text(text.trim_end_matches('/')).map_err(|_| {
        format!("{text:?} is not the name of a host, with its port and path but without a scheme")
    })?;
    let network = text.split('/').next().unwrap_or_default();
    let on_public_site = HostName::of_text(network).is_ok_and(|host| host.public_site_of().is_some());
    match host.public_site_of() {
        Some(public) if public != kind => Err(format!("{text:?} is the public site of another kind of host")),
        // No payload could match it, so that every delivery would be ignored.
        None if on_public_site => {
            Err(format!("{text:?} is a path on a public site, which is listed as a whole"))
        }
        _ => Ok(host),
    }
}
