use std::fmt;

use url::Url;

/// The public sites, and their short names.
const PUBLIC: [(&str, &str); 2] = [("github.com", "github"), ("gitlab.com", "gitlab")];
/// What no self-managed host may be called: the public sites' short names, and what a client's ids begin with.
const RESERVED: [&str; 3] = ["github", "gitlab", "api"];
/// The longest host name, in bytes: that of the DNS, a port, and a path.
const LONGEST_HOST: usize = 253 + 6 + 200;

/// Where an account lives: `github`, `gitlab`, or the network name of a self-managed host, with its port
/// if that is not the scheme's own, and its path if it has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

/// Why a text or a URL does not name a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the repository's address does not name a host")]
pub struct InvalidHost;

impl HostName {
    /// A host's name as identities have it. Takes every name that [`Site::of_repository`] gives.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let (authority, path) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
        let sound = |c: char| c.is_ascii_graphic() && !c.is_ascii_uppercase();
        let right = is_authority(authority)
            && path.is_none_or(|path| !path.is_empty() && path.chars().all(sound))
            && text.len() <= LONGEST_HOST;
        if right { Ok(Self(text.to_owned())) } else { Err(InvalidHost) }
    }

    /// A host's name as a client writes it: a public site by either of its names; any other host has a dot,
    /// a port, or is `localhost` or an IPv6 literal. A single word is more likely a typing error.
    pub(super) fn of_client(text: &str) -> Result<Self, InvalidHost> {
        let text = canonical(text);
        if let Some(public) = folded(&text) {
            return Ok(public);
        }
        let host = Self::parse(&text)?;
        let authority = text.split('/').next().unwrap_or_default();
        let clear = authority.contains(['.', ':', '[']) || authority == "localhost";
        if clear { Ok(host) } else { Err(InvalidHost) }
    }

    /// A host's name as a store kept it, a reader asks for it or an operator lists it.
    pub fn of_text(text: &str) -> Result<Self, InvalidHost> {
        let text = canonical(text);
        folded(&text).map_or_else(|| Self::parse(&text), Ok)
    }

    /// The public site whose name differs from `text` by at most two letters.
    pub(super) fn nearest(text: &str) -> Option<&'static str> {
        let text = text.to_ascii_lowercase();
        let far = |(site, short): &(&str, &str)| distance(&text, site).min(distance(&text, short));
        PUBLIC.into_iter().filter(|public| far(public) <= 2).min_by_key(far).map(|(_, short)| short)
    }

    /// The kind of host of which this is the public site.
    #[must_use]
    pub fn public_site_of(&self) -> Option<&'static str> {
        PUBLIC.into_iter().map(|(_, short)| short).find(|short| *short == self.0)
    }

    /// Whether both name one host: a port that is the default of http or https makes no difference.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.authority() == other.authority() && self.path() == other.path()
    }

    /// The network name, with its port unless that is a default one. A reserved word keeps its port.
    fn authority(&self) -> &str {
        let authority = self.0.split('/').next().unwrap_or_default();
        without_default_port(authority).filter(|name| !RESERVED.contains(name)).unwrap_or(authority)
    }

    fn path(&self) -> Option<&str> {
        self.0.split_once('/').map(|(_, path)| path)
    }

    /// The name as it is in identities.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a repository lives, by its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub host: HostName,
    /// The network name alone, without port and path: the host's noreply addresses end in it.
    pub network: String,
    /// Where the host's pages begin, without a slash at the end; `None` on a public site, where it follows from
    /// the name.
    pub base: Option<String>,
}

impl Site {
    /// The site on which the repository `full_name` has the page `url`.
    pub fn of_repository(url: &str, full_name: &str) -> Result<Self, InvalidHost> {
        let url = Url::parse(url).map_err(|_| InvalidHost)?;
        let network = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        let bare = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || network.is_empty() || !bare {
            return Err(InvalidHost);
        }
        if let Some((site, name)) = public(&network).filter(|_| matches!(url.port(), None | Some(80 | 443))) {
            return Ok(Self { host: HostName(name.to_owned()), network: site.into(), base: None });
        }
        let mut authority = network.clone();
        let reserved = RESERVED.contains(&network.as_str());
        let port = if reserved { url.port_or_known_default() } else { url.port() };
        if let Some(port) = port {
            authority = format!("{network}:{port}");
        }
        let path = before(url.path().trim_end_matches('/'), full_name).unwrap_or_default();
        let host = HostName::parse(&format!("{authority}{path}").to_ascii_lowercase())?;
        let pages = format!("{}{path}", url.origin().ascii_serialization());
        Ok(Self { host, network, base: Some(pages) })
    }
}

/// The public site that has this network name, and its short name.
fn public(network: &str) -> Option<(&'static str, &'static str)> {
    let network = network.strip_prefix("www.").unwrap_or(network);
    PUBLIC.into_iter().find(|(site, _)| *site == network)
}

/// A host's name in lower case, in the one form of several that mean the same: without a dot at the end of the network
/// name, and the port without zeros before it.
fn canonical(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{}:{}{path}", name.trim_end_matches('.'), port.trim_start_matches('0'))
        }
        // No port, or a literal: a dot at its end is no part of a network name.
        Some(_) => text,
        None => format!("{}{path}", authority.trim_end_matches('.')),
    }
}

fn without_default_port(authority: &str) -> Option<&str> {
    [":443", ":80"].iter().find_map(|port| authority.strip_suffix(port))
}

/// The public site that a canonical text names, if it names one.
fn folded(text: &str) -> Option<HostName> {
    let of_network = public(without_default_port(text).unwrap_or(text)).map(|(_, short)| short);
    let short = of_network.or_else(|| PUBLIC.into_iter().map(|(_, s)| s).find(|short| *short == text));
    short.map(|short| HostName(short.to_owned()))
}

/// What of a path is before a repository's full name: nothing, or a path with its leading slash.
fn before<'a>(path: &'a str, full_name: &str) -> Option<&'a str> {
    let at = path.len().checked_sub(full_name.len()).filter(|_| !full_name.is_empty())?;
    let (base, name) = path.split_at_checked(at)?;
    name.eq_ignore_ascii_case(full_name).then(|| base.strip_suffix('/'))?
}

/// Whether a text is a network name in lower case, or an IPv6 literal in brackets, with or without a port.
fn is_authority(text: &str) -> bool {
    let literal = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (named, rest) = if let Some((literal, rest)) = literal {
        let sound = |c: char| c.is_ascii_hexdigit() || ":.".contains(c);
        (literal.contains(':') && literal.chars().all(sound), rest)
    } else {
        let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
        let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        (!name.is_empty() && !name.starts_with('.') && name.chars().all(sound), rest)
    };
    // Rust would take `+443` and `0443` for numbers too, and each form would be a host of its own.
    let port = |port: &str| !port.starts_with(['+', '0']) && port.parse::<u16>().is_ok();
    named && (rest.is_empty() || rest.strip_prefix(':').is_some_and(port))
}

/// The edit distance: how many letters must be inserted, deleted or replaced to turn one text into the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, c) in one.chars().take(100).enumerate() {
        // The distance between the letters so far and the first j letters of the other text.
        let mut left = i + 1;
        let mut above_left = std::mem::replace(row.first_mut().unwrap_or(&mut 0), left);
        for (above, d) in row.iter_mut().skip(1).zip(&other) {
            left = (above_left + usize::from(c != *d)).min(left.min(*above) + 1);
            above_left = std::mem::replace(above, left);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(url: &str, full_name: &str) -> (String, Option<String>) {
        let site = Site::of_repository(url, full_name).unwrap_or_else(|_| panic!("{url}"));
        assert_eq!(HostName::parse(site.host.as_str()), Ok(site.host.clone()), "{url}");
        (site.host.0, site.base)
    }

    #[test]
    fn a_host_is_named_by_its_address() {
        for (url, name, base) in [
            ("https://git.example.org/o/r", "git.example.org", "https://git.example.org"),
            ("https://Git.Example.org:443/o/r", "git.example.org", "https://git.example.org"),
            ("http://git.example.org:8080/o/r/", "git.example.org:8080", "http://git.example.org:8080"),
            ("https://h.example/Git/Lab/O/R", "h.example/git/lab", "https://h.example/Git/Lab"),
            ("https://h.example/elsewhere", "h.example", "https://h.example"),
            ("http://[fd00::9]/o/r", "[fd00::9]", "http://[fd00::9]"),
            ("http://[FD00::9]:8929/x/o/r", "[fd00::9]:8929/x", "http://[fd00::9]:8929/x"),
            ("http://forge/o/r", "forge", "http://forge"),
            ("http://git_lab.example/o/r", "git_lab.example", "http://git_lab.example"),
            ("http://gitlab/o/r", "gitlab:80", "http://gitlab"),
            ("https://api/o/r", "api:443", "https://api"),
            ("http://github:8080/o/r", "github:8080", "http://github:8080"),
            ("https://gitlab.com:8443/o/r", "gitlab.com:8443", "https://gitlab.com:8443"),
        ] {
            assert_eq!(site(url, "o/r"), (name.into(), Some(base.into())), "{url}");
        }
    }

    #[test]
    fn a_public_site_is_one_however_it_is_written() {
        for url in [
            "https://github.com/o/r",
            "https://www.GitHub.com/o/r",
            "https://github.com:443/o",
            "https://github.com:0443/o",
            "http://github.com./",
        ] {
            assert_eq!(site(url, "o/r"), ("github".into(), None), "{url}");
        }
        for text in ["github.com:0443", "www.github.com.:443", "github.com.", "GitHub.com:80", "github"] {
            assert_eq!(HostName::of_text(text).unwrap().as_str(), "github", "{text}");
            assert_eq!(HostName::of_client(text).unwrap().as_str(), "github", "{text}");
        }
        assert_eq!(
            HostName::of_text("git.example.org.:08443/Git").unwrap().as_str(),
            "git.example.org:8443/git"
        );
    }

    #[test]
    fn a_default_port_is_no_difference_but_for_a_reserved_word() {
        let same = |one: &str, other: &str| {
            HostName::of_text(one).unwrap().is_same_as(&HostName::of_text(other).unwrap())
        };
        assert!(same("git.example.org", "git.example.org:443"));
        assert!(same("git.example.org:80/git", "git.example.org/git"));
        assert!(!same("git.example.org/git", "git.example.org"));
        assert!(!same("git.example.org:8443", "git.example.org"));
        assert!(!same("gitlab:80", "gitlab"));
        assert!(same("[fd00::9]:443", "[fd00::9]"));
    }

    #[test]
    fn what_is_no_address_of_a_host_is_refused() {
        for url in [
            "ftp://x/y",
            "",
            "nowhere",
            "https://a@b.example/",
            "javascript:alert(1)",
            "https://",
            "http://.",
            "https://github.com:+443/o/r",
        ] {
            assert_eq!(Site::of_repository(url, "o/r"), Err(InvalidHost), "{url}");
        }
        for text in [
            "",
            "a b",
            "A.example",
            "[fd00",
            "[]",
            "x:0",
            "x:y",
            "x/",
            ":80",
            "[fd00::9]x",
            "x:1:2",
            "x:+443",
            "x:0443",
        ] {
            assert_eq!(HostName::parse(text), Err(InvalidHost), "{text}");
        }
        // A dot after the port is no end of a network name: without it, the same text would name another host.
        for text in ["forge.example.:2.", "forge.example:2.", "[fd00::9]."] {
            assert_eq!(HostName::of_text(text), Err(InvalidHost), "{text}");
            assert_eq!(HostName::of_client(text), Err(InvalidHost), "{text}");
        }
    }

    #[test]
    fn a_slip_is_told_from_another_host() {
        for (text, near) in [("gihtub", "github"), ("gitlb", "gitlab"), ("gitlab.con", "gitlab")] {
            assert_eq!(HostName::nearest(text), Some(near), "{text}");
        }
        assert_eq!(HostName::nearest("api"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
