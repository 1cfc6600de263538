//! Who may do what.

use std::net::SocketAddr;

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use crate::settings::{Secret, SecretSetting, Setting, Settings};

/// The settings of this section.
pub const SETTINGS: &[Setting] = &[OPEN_API, PUBLIC_READ];

const OPEN_API: Setting = Setting {
    variable: "PLAUDIT_OPEN_API",
    flag: "open-api",
    value: "BOOL",
    example: "true",
    help: "Whether anyone may post contributions without a token [default: false]",
};
const PUBLIC_READ: Setting = Setting {
    variable: "PLAUDIT_PUBLIC_READ",
    flag: "public-read",
    value: "BOOL",
    example: "false",
    help: "Whether anyone may read; else reading and /metrics need a token [default: true on loopback, else false]",
};
const TOKENS: SecretSetting =
    SecretSetting { variable: "PLAUDIT_API_TOKENS", example: "PLAUDIT_API_TOKENS=a-long-random-text" };

/// The address at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Decides who may do what.
#[derive(Clone, Debug)]
pub struct Access {
    tokens: Vec<[u8; 32]>,
    open_api: bool,
    public_read: bool,
}

impl Access {
    /// On loopback, reading is open unless configured otherwise.
    pub fn configured(settings: &mut Settings<'_>, on_loopback: bool) -> Self {
        // A token that cannot stand in a header could never be presented.
        let wrong = "a token is of visible ASCII characters, with no white space at its ends";
        Self {
            tokens: settings.secrets(&TOKENS, wrong, |token| {
                is_presentable(&token).then(|| Sha256::digest(token.expose()).into())
            }),
            open_api: settings.boolean(&OPEN_API, false),
            public_read: settings.boolean(&PUBLIC_READ, on_loopback),
        }
    }

    /// Whether the request carries one of the tokens.
    #[must_use]
    pub fn token(&self, headers: &HeaderMap) -> bool {
        let Some(given) = bearer(headers) else { return false };
        let given: [u8; 32] = Sha256::digest(given).into();
        // All are compared, so that time does not tell which one was near.
        self.tokens.iter().fold(0, |found, token| found | token.ct_eq(&given).unwrap_u8()) == 1
    }

    /// May contributions be posted?
    pub fn post(&self, headers: &HeaderMap, peer: Peer) -> Result<(), Problem> {
        if self.open_api || self.token(headers) || self.neighbour(headers, peer) {
            return Ok(());
        }
        Err(Problem::token_needed(
            "posting",
            "; or the operator sets PLAUDIT_OPEN_API=true to take posts from anyone",
        ))
    }

    /// May contributions be taken back? Where anyone may post them, only with a token.
    pub fn retract(&self, headers: &HeaderMap, peer: Peer) -> Result<(), Problem> {
        if self.token(headers) || self.neighbour(headers, peer) {
            return Ok(());
        }
        Err(Problem::token_needed("taking contributions back", ""))
    }

    /// May the ledger be read?
    pub fn read(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.public_read || self.token(headers) {
            return Ok(());
        }
        Err(Problem::token_needed(
            "reading",
            "; or the operator sets PLAUDIT_PUBLIC_READ=true to let anyone read",
        ))
    }

    /// May the outbox be drained, without an OIDC token?
    #[must_use]
    pub fn drain(&self, headers: &HeaderMap, peer: Peer) -> bool {
        self.token(headers) || self.neighbour(headers, peer)
    }

    /// Without tokens, this machine itself may: not through a tunnel or proxy, nor a page of another
    /// origin in its browser.
    fn neighbour(&self, headers: &HeaderMap, peer: Peer) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let own_host = hosts.next().is_some_and(is_loopback_host) && hosts.next().is_none();
        let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
        let own_origin = origin.is_none_or(|origin| {
            origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"))
                .is_some_and(is_loopback_host)
        });
        let forwarded = headers.keys().any(|name| {
            let name = name.as_str();
            name.contains("forwarded")
                || FORWARDING.contains(&name)
                || FORWARDERS.iter().any(|forwarder| name.starts_with(forwarder))
        });
        self.tokens.is_empty()
            && peer.0.ip().to_canonical().is_loopback()
            && own_host
            && own_origin
            && !forwarded
    }
}

/// Headers that a proxy or tunnel adds, besides all that speak of forwarding.
const FORWARDING: [&str; 11] = [
    "via",
    "x-real-ip",
    "x-original-host",
    "x-client-ip",
    "x-remote-addr",
    "client-ip",
    "true-client-ip",
    "x-cluster-client-ip",
    "x-proxyuser-ip",
    "cdn-loop",
    "x-amzn-trace-id",
];

/// How the headers of well-known proxies and tunnels begin.
const FORWARDERS: [&str; 10] = [
    "cf-",
    "cloudfront-",
    "x-amz-cf-",
    "fastly-",
    "fly-",
    "x-envoy-",
    "x-azure-",
    "tailscale-",
    "ngrok-",
    "x-vercel-",
];

/// Whether a header can carry a bearer token.
#[must_use]
pub fn is_presentable(token: &Secret) -> bool {
    let text = token.expose();
    text.trim() == text && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

/// The token in `Authorization: Bearer …`.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_loopback_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or_default(),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(digits) {
        return false;
    }
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(peer: &str, headers: &[(&str, &str)]) -> bool {
        let access = Access { tokens: Vec::new(), open_api: false, public_read: false };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        access.post(&map, Peer(peer.parse().unwrap())).is_ok()
    }

    #[test]
    fn without_tokens_only_this_very_machine_may_post() {
        assert!(asked("127.0.0.1:9", &[("host", "localhost:8080")]));
        assert!(asked("[::1]:9", &[("host", "[::1]:8080")]));
        assert!(asked("[::ffff:127.0.0.1]:9", &[("host", "127.0.0.1")]));
        assert!(!asked("10.0.0.2:9", &[("host", "localhost")]));
        assert!(!asked("127.0.0.1:9", &[("host", "evil.example")]));
        assert!(!asked("127.0.0.1:9", &[]));
        assert!(!asked("127.0.0.1:9", &[("host", "localhost"), ("host", "evil.example")]));
        for host in
            ["127.0.0.1:80:evil", "[::1]evil.example", "[::1", "localhost:evil", "localhost@evil.example"]
        {
            assert!(!asked("127.0.0.1:9", &[("host", host)]), "{host}");
        }
        assert!(!asked("127.0.0.1:9", &[("host", "localhost"), ("cloudfront-viewer-address", "10.0.0.1:7")]));
        assert!(!asked("127.0.0.1:9", &[("host", "localhost"), ("x-forwarded-for", "10.0.0.1")]));
        assert!(!asked("127.0.0.1:9", &[("host", "localhost"), ("via", "1.1 tunnel")]));
        assert!(!asked("127.0.0.1:9", &[("host", "localhost"), ("origin", "https://evil.example")]));
        assert!(!asked("127.0.0.1:9", &[("host", "localhost"), ("origin", "null")]));
        assert!(asked("127.0.0.1:9", &[("host", "localhost"), ("origin", "http://localhost:8080")]));
    }
}
