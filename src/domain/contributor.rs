use std::fmt;

use serde::Serialize;

use super::HostName;

/// The longest login or plain name, in bytes.
const LONGEST_NAME: usize = 200;

/// Who contributed: `{host}:{login}`, or a plain name that an API client chose. Always in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ContributorId(String);

/// Why a text names no contributor, and the nearest text that does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidContributor {
    /// Neither a plain name nor a login.
    #[error(
        "a plain name is 1 to 200 bytes without ':', '/', control characters or a leading '@', and neither begins nor ends with white space{}",
        nearest(.0.as_ref())
    )]
    Name(Option<String>),
    /// What is before the colon is no host.
    #[error(
        "before the ':' is github, gitlab, or a host with a dot or a port such as git.example.org{}",
        nearest(.0.as_ref())
    )]
    Host(Option<String>),
    /// What is after the colon is no login.
    #[error("after the ':' is a login of letters, digits, '-', '_' and, but for GitHub, '.'{}", nearest(.0.as_ref()))]
    Login(Option<String>),
}

fn nearest(text: Option<&String>) -> String {
    text.map(|text| format!("; the nearest right one is {text}")).unwrap_or_default()
}

impl ContributorId {
    /// A contributor as a client names it: `github:octocat` or a plain name.
    pub fn of_client(text: &str) -> Result<Self, InvalidContributor> {
        let Some((host, login)) = text.rsplit_once(':') else {
            let wrong =
                |_| InvalidContributor::Name(corrected(text, |c| !"@/:".contains(c) && !c.is_control()));
            let plain = if text.starts_with('@') { Err(InvalidContributor::Name(None)) } else { name(text) };
            return plain.map(Self).map_err(wrong);
        };
        let Ok(host) = HostName::of_client(host) else {
            let on_nearest = HostName::nearest(host).map(|host| format!("{host}:{login}"));
            let mut candidates = [on_nearest, name(login).ok()].into_iter().flatten();
            let right = candidates.find(|right| Self::of_client(right).is_ok());
            return Err(InvalidContributor::Host(right));
        };
        let allowed = allowed_in(&host);
        if !is_login(login, allowed) {
            let right = corrected(login, allowed).map(|login| format!("{host}:{login}"));
            return Err(InvalidContributor::Login(right));
        }
        Self::on_host(&host, login)
    }

    /// A contributor as a store keeps it or a reader asks for it: accepts every login that a host sent.
    pub fn parse(text: &str) -> Result<Self, InvalidContributor> {
        match text.rsplit_once(':') {
            None => Ok(Self(name(text)?)),
            Some((host, login)) => {
                let host = HostName::of_text(host).map_err(|_| InvalidContributor::Host(None))?;
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
        let Some((_, account)) = self.0.rsplit_once(':') else { return &self.0 };
        match account.split_once('+') {
            Some((number, login)) if is_number(number) && !login.is_empty() => login,
            _ => account,
        }
    }

    /// The account with this number whose login another account had before: `{host}:{number}+{login}`, as in the hosts'
    /// noreply addresses. No login has a `+`. A plain name has no number.
    #[must_use]
    pub fn numbered(&self, number: u64) -> Self {
        match self.host() {
            Some(host) => Self(format!("{host}:{number}+{}", self.login())),
            None => self.clone(),
        }
    }

    /// Whether this is the id of an account whose login another one had before.
    #[must_use]
    pub fn is_numbered(&self) -> bool {
        let account = self.0.rsplit_once(':').map(|(_, account)| account);
        account.is_some_and(|account| account.len() > self.login().len())
    }

    /// The account's page on a public site, made from the name. For a self-managed host only payloads have it
    /// ([`Contribution::account_url`](super::Contribution::account_url)).
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let site = match self.host()? {
            "github" => "https://github.com",
            "gitlab" => "https://gitlab.com",
            _ => return None,
        };
        Some(account_url(site, self.login()))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// The page of an account on the host whose pages begin at `base`.
#[must_use]
pub fn account_url(base: &str, login: &str) -> String {
    format!("{base}/{}", percent_encoding::utf8_percent_encode(login, PATH_SEGMENT))
}

/// What must be encoded in one segment of a URL's path.
const PATH_SEGMENT: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl fmt::Display for ContributorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How identities are compared: in lower case. A letter that only looks like an ASCII one, such as the Kelvin
/// sign, stays as it is: in lower case it would be the name of another account.
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
    if sound { Ok(lower) } else { Err(InvalidContributor::Name(None)) }
}

/// What a login on `host` is made of.
fn allowed_in(host: &HostName) -> fn(char) -> bool {
    let dots = host.as_str() != "github";
    if dots {
        |c| c.is_ascii_alphanumeric() || "-_.".contains(c)
    } else {
        |c| c.is_ascii_alphanumeric() || "-_".contains(c)
    }
}

/// Whether hosts have such logins; an app's ends in `[bot]`.
fn is_login(text: &str, allowed: fn(char) -> bool) -> bool {
    let bare = text.strip_suffix("[bot]").unwrap_or(text);
    !bare.is_empty() && text.len() <= LONGEST_NAME && bare.chars().all(allowed)
}

/// The nearest right text: runs of what is not allowed are replaced by one '-', or left out at its ends.
fn corrected(text: &str, allowed: impl Fn(char) -> bool) -> Option<String> {
    let parts: Vec<_> = text.split(|c| !allowed(c)).map(str::trim).filter(|part| !part.is_empty()).collect();
    let right = super::fold_case(&parts.join("-"));
    name(&right).ok()
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
    fn a_port_and_a_path_belong_to_the_host() {
        for (text, host) in [
            ("git.example.org:8443:mona", "git.example.org:8443"),
            ("h.example/gitlab:mona", "h.example/gitlab"),
            ("[fd00::9]:8929:mona", "[fd00::9]:8929"),
            ("localhost:mona", "localhost"),
        ] {
            let id = ContributorId::of_client(text).unwrap();
            assert_eq!((id.host(), id.login(), id.url()), (Some(host), "mona", None));
            assert_eq!(ContributorId::parse(text), Ok(id));
        }
        let public = ContributorId::parse("github:a b").unwrap();
        assert_eq!(public.url().as_deref(), Some("https://github.com/a%20b"));
    }

    #[test]
    fn an_account_whose_login_was_taken_has_its_number_in_its_id() {
        let mona = ContributorId::parse("github:mona").unwrap();
        let other = mona.numbered(9);
        assert_eq!((other.as_str(), other.login()), ("github:9+mona", "mona"));
        assert_eq!(other.url().as_deref(), Some("https://github.com/mona"));
        assert_eq!(other.numbered(12).as_str(), "github:12+mona");
        assert_eq!(ContributorId::parse(other.as_str()), Ok(other));
        let plain = ContributorId::parse("1+1").unwrap();
        assert_eq!((plain.login(), plain.numbered(9).as_str()), ("1+1", "1+1"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "x".repeat(201);
        for text in ["", " ", "a/b", "a\nb", "github:", ":x", "a b:c", "x:../../y", "mona ", long.as_str()] {
            assert!(ContributorId::parse(text).is_err(), "{text:?}");
            assert!(ContributorId::of_client(text).is_err(), "{text:?}");
        }
        assert!(ContributorId::of_client(&"x".repeat(200)).is_ok());
    }

    #[test]
    fn no_name_is_advised_that_is_refused_itself() {
        let advice = |text| ContributorId::of_client(text).unwrap_err();
        assert_eq!(advice(":@mona"), InvalidContributor::Host(None));
        assert_eq!(advice(":mona"), InvalidContributor::Host(Some("mona".into())));
        assert_eq!(advice("githup:mona"), InvalidContributor::Host(Some("github:mona".into())));
    }

    #[test]
    fn a_public_site_has_one_name() {
        for text in ["github.com:Mona", "GitHub.com:mona", "www.github.com:mona", "github.com.:mona"] {
            assert_eq!(ContributorId::of_client(text).unwrap().as_str(), "github:mona", "{text}");
            assert_eq!(ContributorId::parse(text).unwrap().as_str(), "github:mona", "{text}");
        }
    }

    #[test]
    fn a_slip_is_refused_with_the_nearest_right_name() {
        for (text, right) in [
            ("gihtub:octocat", Some("github:octocat")),
            ("api:bob", Some("bob")),
            ("forge:bob", Some("bob")),
            ("@octocat", Some("octocat")),
            ("a/b", Some("a-b")),
            ("github:not a login!", Some("github:not-a-login")),
            ("github:a.b", Some("github:a-b")),
            ("gitlab:@a.b", Some("gitlab:a.b")),
            ("github:!", None),
            ("@", None),
        ] {
            let refused = ContributorId::of_client(text).unwrap_err();
            let (InvalidContributor::Name(nearest)
            | InvalidContributor::Host(nearest)
            | InvalidContributor::Login(nearest)) = refused;
            assert_eq!(nearest.as_deref(), right, "{text}");
            assert!(right.is_none_or(|right| ContributorId::of_client(right).is_ok()), "{text}");
        }
        for text in ["github:mona_corp", "github:dependabot[bot]", "gitlab:a.b", "h.example:a_b.c-d"] {
            assert!(ContributorId::of_client(text).is_ok(), "{text}");
        }
    }
}
