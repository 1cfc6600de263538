//! Whose address a request comes from. A proxy appends the address that it sees to `X-Forwarded-For`; all that stands
//! before the entries of trusted proxies was sent by the client, who can write anything there.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use crate::settings::{Setting, Settings};

/// The settings of this section.
pub const SETTINGS: &[Setting] = &[TRUSTED_PROXIES];

const TRUSTED_PROXIES: Setting = Setting {
    variable: "PLAUDIT_TRUSTED_PROXIES",
    flag: "trusted-proxies",
    value: "NUMBER",
    example: "1",
    help: "How many entries of X-Forwarded-For the trusted proxies before plaudit append [default: 1 on Cloud Run, else 0]",
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How many entries the proxies before plaudit append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proxies(usize);

impl Proxies {
    pub fn read(settings: &mut Settings<'_>) -> Self {
        let default = u8::from(settings.foreign("K_SERVICE").is_some());
        let number = |text: &str| text.parse().map_err(|_| "not a number from 0 to 255".into());
        Self(settings.value(&TRUSTED_PROXIES, default, number).into())
    }

    /// The address that the outermost trusted proxy saw, or that of the peer where there is none.
    #[must_use]
    pub fn client(self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let peer = peer.to_canonical();
        let Some(from_the_right) = self.0.checked_sub(1) else { return peer };
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        // As bytes: what a client sent before a proxy's entry need not be text.
        let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let entry = entries.nth(from_the_right).and_then(|entry| std::str::from_utf8(entry).ok());
        entry.and_then(address).unwrap_or(peer)
    }
}

/// An address with or without a port; of IPv6, with or without brackets.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let with_port = || entry.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse::<IpAddr>().ok().or_else(with_port).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request is logged with that has these headers and comes through so many proxies.
    fn client(proxies: usize, headers: &[&[u8]]) -> String {
        let peer = IpAddr::from([169, 254, 1, 1]);
        let lines = headers.iter().map(|text| (FORWARDED_FOR, (*text).try_into().unwrap()));
        Proxies(proxies).client(&lines.collect(), peer).to_string()
    }

    const PEER: &str = "169.254.1.1";

    #[test]
    fn the_address_is_the_entry_of_the_outermost_trusted_proxy() {
        assert_eq!(client(1, &[b"203.0.113.7"]), "203.0.113.7");
        assert_eq!(client(1, &[b"10.0.0.1, 203.0.113.7"]), "203.0.113.7", "the first is the client's word");
        assert_eq!(client(2, &[b"10.0.0.1, 203.0.113.7,198.51.100.2"]), "203.0.113.7");
        assert_eq!(
            client(2, &[b"10.0.0.1, 203.0.113.7", b"198.51.100.2"]),
            "203.0.113.7",
            "of several lines"
        );
        for entry in ["2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:443"] {
            assert_eq!(client(1, &[entry.as_bytes()]), "2001:db8::7");
        }
        assert_eq!(client(1, &[b"203.0.113.7:50000"]), "203.0.113.7");
        assert_eq!(client(1, &[b"::ffff:203.0.113.7"]), "203.0.113.7");
        assert_eq!(client(1, &[b"\xff, 203.0.113.7"]), "203.0.113.7", "after what is no text");
    }

    #[test]
    fn without_such_an_entry_it_is_the_peers() {
        assert_eq!(client(0, &[b"203.0.113.7"]), PEER);
        for wrong in
            ["", "unknown", "203.0.113.7, ", "203.0.113.7, 256.1.1.1", "203.0.113.7, _hidden", "{\"a\":1}"]
        {
            assert_eq!(client(1, &[wrong.as_bytes()]), PEER, "{wrong}");
        }
        assert_eq!(client(1, &[b"203.0.113.7", b"\xff"]), PEER);
        assert_eq!(client(2, &[b"203.0.113.7"]), PEER, "one entry cannot come through two proxies");
        assert_eq!(client(1, &[]), PEER);
        let mapped = "::ffff:169.254.1.1".parse().unwrap();
        assert_eq!(Proxies(0).client(&HeaderMap::new(), mapped).to_string(), PEER);
    }
}
