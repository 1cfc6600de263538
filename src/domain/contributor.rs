use std::fmt;

use serde::Serialize;

/// The longest login or plain name, in bytes.
const LONGEST_NAME: usize = 200;
/// The longest host name, in bytes: that of the DNS, and a port.
const LONGEST_HOST: usize = 253 + 6;

/// Where an account lives: `github`, `gitlab`, or the network name of a self-managed host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

/// Why a host's address does not name a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the repository's address does not name a host of this kind")]
pub struct InvalidHost;

impl HostName {
    /// The host that `url` stands on. `public` is the kind's public site and its short name, such as
    /// `("github.com", "github")`. A self-managed host goes by its network name, with a port that is
    /// not the scheme's own. No host can take the short name of another kind, nor that of the API.
    pub fn from_url(url: &str, public: (&str, &'static str)) -> Result<Self, InvalidHost> {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).ok_or(InvalidHost)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
        let authority = authority
            .strip_suffix(if url.starts_with("https") { ":443" } else { ":80" })
            .unwrap_or(&authority);
        if authority == public.0 {
            return Ok(Self(public.1.to_owned()));
        }
        let reserved = ["github", "gitlab", "api", "github.com", "gitlab.com"];
        if reserved.contains(&authority) { Err(InvalidHost) } else { Self::parse(authority) }
    }

    /// A host's name as it stands before the colon of a contributor.
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
        let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
        let named = !name.is_empty()
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(sound);
        let ported = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        if named && ported && text.len() <= LONGEST_HOST {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidHost)
        }
    }

    /// The name as it stands in identities.
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

/// Who contributed: `{host}:{login}`, or a plain name that an API client chose. Always in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ContributorId(String);

/// Why a text names no contributor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidContributor {
    /// Neither a plain name nor a login.
    #[error(
        "a name is 1 to 200 bytes without ':', '/' or control characters, and neither begins nor ends with white space"
    )]
    Name,
    /// What stands before the colon is no host.
    #[error("before the ':' stands a host: github, gitlab or a network name such as git.example.org")]
    Host,
}

impl ContributorId {
    /// A contributor as a client names it: `github:octocat` or a plain name.
    pub fn parse(text: &str) -> Result<Self, InvalidContributor> {
        match text.rsplit_once(':') {
            None => Ok(Self(name(text)?)),
            Some((host, login)) => {
                let host =
                    HostName::parse(&host.to_ascii_lowercase()).map_err(|_| InvalidContributor::Host)?;
                Self::on_host(&host, login)
            }
        }
    }

    /// The account `login` on `host`.
    pub fn on_host(host: &HostName, login: &str) -> Result<Self, InvalidContributor> {
        Ok(Self(format!("{host}:{}", name(login)?)))
    }

    /// The identity as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, unless this is a plain name.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.0.rsplit_once(':').map(|(host, _)| host)
    }

    /// The login on the host, or the plain name.
    #[must_use]
    pub fn login(&self) -> &str {
        self.0.rsplit_once(':').map_or(&self.0, |(_, login)| login)
    }

    /// The account's page on its host; a plain name has none.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let host = match self.host()? {
            "github" => "github.com",
            "gitlab" => "gitlab.com",
            own => own,
        };
        let login = percent_encoding::utf8_percent_encode(self.login(), PATH_SEGMENT);
        Some(format!("https://{host}/{login}"))
    }
}

/// What may not stand bare in one segment of a URL's path.
const PATH_SEGMENT: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl fmt::Display for ContributorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How identities are compared: in lower case, but a letter that only looks like an ASCII one (the Kelvin sign) is not made into it: nobody
/// becomes somebody else.
#[must_use]
pub fn fold_case(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() || !c.to_lowercase().all(|lower| lower.is_ascii()) {
            folded.extend(c.to_lowercase());
        } else {
            folded.push(c);
        }
    }
    folded
}

fn name(text: &str) -> Result<String, InvalidContributor> {
    let lower = fold_case(text);
    let sound = !text.is_empty()
        && text.len().max(lower.len()) <= LONGEST_NAME
        && text.trim().len() == text.len()
        && !text.contains(|c: char| c == ':' || c == '/' || c.is_control());
    if sound { Ok(lower) } else { Err(InvalidContributor::Name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contributor_is_compared_in_lower_case() {
        assert_eq!(ContributorId::parse("GitHub:OctoCat"), ContributorId::parse("github:octocat"));
        assert_eq!(ContributorId::parse("ÄNNE").unwrap().as_str(), "änne");
        assert_ne!(
            ContributorId::parse("\u{212a}im"),
            ContributorId::parse("kim"),
            "the Kelvin sign is no k"
        );
    }

    #[test]
    fn a_port_belongs_to_the_host() {
        let id = ContributorId::parse("git.example.org:8443:mona").unwrap();
        assert_eq!((id.host(), id.login()), (Some("git.example.org:8443"), "mona"));
        assert_eq!(id.url().as_deref(), Some("https://git.example.org:8443/mona"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "x".repeat(201);
        for text in ["", " ", "a/b", "a\nb", "github:", ":x", "a b:c", "x:../../y", "mona ", long.as_str()] {
            assert!(ContributorId::parse(text).is_err(), "{text:?}");
        }
        assert!(ContributorId::parse(&"x".repeat(200)).is_ok());
    }

    #[test]
    fn a_host_is_named_by_its_address_and_cannot_take_a_name_that_is_not_its_own() {
        let github = |url| HostName::from_url(url, ("github.com", "github")).map(|host| host.0);
        assert_eq!(github("https://github.com/o/r").as_deref(), Ok("github"));
        assert_eq!(github("https://Git.Example.org/o/r").as_deref(), Ok("git.example.org"));
        assert_eq!(github("https://git.example.org:443/o/r").as_deref(), Ok("git.example.org"));
        assert_eq!(github("http://git.example.org:8080/o/r").as_deref(), Ok("git.example.org:8080"));
        for url in [
            "https://gitlab.com/o/r",
            "https://api/o/r",
            "https://github/o/r",
            "ftp://x/y",
            "",
            "https://a@b/",
        ] {
            assert_eq!(github(url), Err(InvalidHost), "{url}");
        }
    }
}
