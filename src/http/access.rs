//! Who may do what.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::problem::{Problem, ProblemKind};
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
    help: "Whether anyone may read; else reading and /metrics need a token [default: true on loopback, for requests whose Host is loopback; else false]",
};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Everything,
    Posting,
    Reading,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Posting contributions.
    Post,
    /// Reading, what is private too.
    Read,
    /// Everything else: draining, and changing what is recorded.
    Manage,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Everything, Self::Posting, Self::Reading];

    fn setting(self) -> SecretSetting {
        let (variable, example) = match self {
            Self::Everything => ("PLAUDIT_API_TOKENS", "PLAUDIT_API_TOKENS=a-long-random-text"),
            Self::Posting => ("PLAUDIT_POST_TOKENS", "PLAUDIT_POST_TOKENS=a-long-random-text"),
            Self::Reading => ("PLAUDIT_READ_TOKENS", "PLAUDIT_READ_TOKENS=a-long-random-text"),
        };
        SecretSetting { variable, example }
    }

    fn allows(self, right: Right) -> bool {
        match self {
            Self::Everything => true,
            Self::Posting => right == Right::Post,
            Self::Reading => right == Right::Read,
        }
    }
}

/// The variables whose tokens have this right.
fn variables(right: Right) -> String {
    let allowed = Purpose::ALL.into_iter().filter(|purpose| purpose.allows(right));
    allowed.map(|purpose| purpose.setting().variable).collect::<Vec<_>>().join(" or ")
}

/// A token, of which only the hash is kept.
#[derive(Clone, Debug)]
struct Token {
    hash: [u8; 32],
    purpose: Purpose,
}

/// What a request's token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presented {
    Nothing,
    Unknown,
    Insufficient,
    Sufficient,
}

/// Who may read without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Anyone,
    /// Requests with a loopback `Host`: not through a proxy, and not by DNS rebinding.
    LoopbackHost,
    Nobody,
}

/// The address at the other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Decides who may do what.
#[derive(Clone, Debug)]
pub struct Access {
    tokens: Vec<Token>,
    open_api: bool,
    reading: Reading,
    /// Whether this machine itself may post and drain without a token.
    neighbours: bool,
}

impl Access {
    /// On loopback, reading is open to a loopback `Host` unless configured otherwise. `reached_by_hosts`: the
    /// secret of a host is set, so a proxy or tunnel forwards its deliveries, and with them anyone's requests.
    pub fn configured(settings: &mut Settings<'_>, on_loopback: bool, reached_by_hosts: bool) -> Self {
        let tokens: Vec<_> = Purpose::ALL.into_iter().flat_map(|purpose| tokens(settings, purpose)).collect();
        let unset = if on_loopback { Reading::LoopbackHost } else { Reading::Nobody };
        Self {
            neighbours: tokens.is_empty() && !reached_by_hosts,
            tokens,
            open_api: settings.boolean(&OPEN_API, false),
            reading: settings.value(&PUBLIC_READ, unset, |text| match text {
                "true" => Ok(Reading::Anyone),
                "false" => Ok(Reading::Nobody),
                _ => Err("neither true nor false".into()),
            }),
        }
    }

    /// Whether the request carries a bearer token that may read, and so what is private too. A password is none: the
    /// browser adds it by itself to whatever a page loads, and pages show nothing private.
    #[must_use]
    pub fn reader(&self, headers: &HeaderMap) -> bool {
        self.presented(bearer(headers), Right::Read) == Presented::Sufficient
    }

    /// Whether anyone may read, from anywhere: an image proxy too.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.reading == Reading::Anyone
    }

    /// May contributions be posted?
    pub fn post(&self, headers: &HeaderMap, peer: Peer) -> Result<(), Problem> {
        if self.open_api || self.is_neighbour(headers, peer) {
            return Ok(());
        }
        let set = "; or the operator sets PLAUDIT_OPEN_API=true to take posts from anyone";
        self.require(Right::Post, bearer(headers), "posting", set)
    }

    /// May the ledger be read? A browser may send the token as a password. It may do so for reading alone: pages of
    /// other sites can make a browser send it, which changes nothing where it only reads.
    pub fn read(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let open = match self.reading {
            Reading::Anyone => true,
            Reading::LoopbackHost => has_loopback_host(headers),
            Reading::Nobody => false,
        };
        if open {
            return Ok(());
        }
        let set = "; or the operator sets PLAUDIT_PUBLIC_READ=true to let anyone read";
        let password = password(headers);
        self.require(Right::Read, bearer(headers).or(password.as_deref()), "reading", set)
    }

    /// May what is never public be read?
    pub fn read_all(&self, headers: &HeaderMap, what: &str) -> Result<(), Problem> {
        self.require(Right::Read, bearer(headers), what, "")
    }

    /// May the outbox be drained, or what is recorded be changed? `set` says what would allow it besides a token.
    pub fn manage(&self, headers: &HeaderMap, peer: Peer, what: &str, set: &str) -> Result<(), Problem> {
        if self.is_neighbour(headers, peer) {
            return Ok(());
        }
        self.require(Right::Manage, bearer(headers), what, set)
    }

    /// Who may post, for the operator.
    #[must_use]
    pub fn who_may_post(&self) -> String {
        if self.open_api {
            return "anyone".into();
        }
        let open = self.neighbours.then_some("requests of this machine to itself");
        self.who(Right::Post, open)
    }

    /// Who may read, for the operator.
    #[must_use]
    pub fn who_may_read(&self) -> String {
        match self.reading {
            Reading::Anyone => "anyone; what is private with a token".into(),
            Reading::LoopbackHost => self.who(Right::Read, Some("requests with a loopback Host")),
            Reading::Nobody => self.who(Right::Read, None),
        }
    }

    fn who(&self, right: Right, open: Option<&str>) -> String {
        let given = |purpose: &Purpose| {
            purpose.allows(right) && self.tokens.iter().any(|token| token.purpose == *purpose)
        };
        let given = Purpose::ALL.into_iter().filter(given).map(|purpose| purpose.setting().variable);
        let given = given.collect::<Vec<_>>().join(" or ");
        let with_token = (!given.is_empty()).then(|| format!("requests with a token of {given}"));
        let all: Vec<_> = open.map(str::to_owned).into_iter().chain(with_token).collect();
        if all.is_empty() { format!("nobody; set {}", variables(right)) } else { all.join(", ") }
    }

    /// Nothing, if the token given has this right; else what is wrong with it.
    fn require(&self, right: Right, given: Option<&str>, what: &str, set: &str) -> Result<(), Problem> {
        let tokens = variables(right);
        let (kind, detail) = match self.presented(given, right) {
            Presented::Sufficient => return Ok(()),
            Presented::Nothing => (
                ProblemKind::TokenNeeded,
                format!(
                    "{what} needs a header `Authorization: Bearer TOKEN` with one of the tokens in {tokens}{set}"
                ),
            ),
            Presented::Unknown => (
                ProblemKind::WrongToken,
                format!(
                    "{what} needs one of the tokens in {tokens}, and the token given is none of them{set}"
                ),
            ),
            Presented::Insufficient => (
                ProblemKind::Forbidden,
                format!("the token given is not for {what}, which needs one of the tokens in {tokens}{set}"),
            ),
        };
        Err(Problem::new(kind, detail))
    }

    fn presented(&self, given: Option<&str>, right: Right) -> Presented {
        let Some(given) = given else { return Presented::Nothing };
        let given: [u8; 32] = Sha256::digest(given).into();
        let (mut known, mut sufficient) = (0, 0);
        // All are compared, so that the time shows nothing about how much of a token was right.
        for Token { hash, purpose } in &self.tokens {
            let same = hash.ct_eq(&given).unwrap_u8();
            known |= same;
            sufficient |= same & u8::from(purpose.allows(right));
        }
        match (known, sufficient) {
            (_, 1) => Presented::Sufficient,
            (1, _) => Presented::Insufficient,
            _ => Presented::Unknown,
        }
    }

    /// Whether the request comes from this machine itself: not through a tunnel or proxy, nor from a page of
    /// another origin in its browser.
    fn is_neighbour(&self, headers: &HeaderMap, peer: Peer) -> bool {
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
        self.neighbours
            && peer.0.ip().to_canonical().is_loopback()
            && has_loopback_host(headers)
            && own_origin
            && !forwarded
    }
}

fn tokens(settings: &mut Settings<'_>, purpose: Purpose) -> Vec<Token> {
    // No request could send a token that a header cannot carry.
    let wrong = "a token is of visible ASCII characters, with no white space at its ends";
    settings.secrets(&purpose.setting(), wrong, |token| {
        let hash = is_presentable(&token).then(|| Sha256::digest(token.expose()).into())?;
        Some(Token { hash, purpose })
    })
}

/// Whether the request has one `Host`, which is loopback.
fn has_loopback_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    hosts.next().is_some_and(is_loopback_host) && hosts.next().is_none()
}

/// Headers that a proxy or tunnel adds, besides those whose names contain `forwarded`.
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
    authorization(headers, "bearer")
}

/// Whether a browser sent what a person gave it.
pub(super) fn has_password(headers: &HeaderMap) -> bool {
    authorization(headers, "basic").is_some()
}

/// The password in `Authorization: Basic …`, whatever the user's name (RFC 7617).
fn password(headers: &HeaderMap) -> Option<String> {
    let pair = STANDARD.decode(authorization(headers, "basic")?).ok()?;
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(password.to_owned())
}

fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (given, credentials) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
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
        let access =
            Access { tokens: Vec::new(), open_api: false, reading: Reading::Nobody, neighbours: true };
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
