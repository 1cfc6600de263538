//! What must hold of any bytes at all, at each place that parses them. Each of these functions panics where it does
//! not. The coverage-guided fuzzer in `fuzz/` runs the same functions.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue};
use plaudit::domain::{Contribution, ContributorId, Draft, Kind, Milestones, Moment};
use plaudit::hosts::{Host, KNOWN, Reading, Rules};
use plaudit::publish::comment::Template;
use plaudit::settings::{Flags, Settings};

use crate::support::Signer;

const GITHUB_SECRET: &str = "a secret of the fuzzer";
const GITLAB_SIGNING: &str = "whsec_cGxhdWRpdCB0ZXN0cyBvbmx5OiAzMiBieXRlcyEhISE=";
/// The longest key of a Firestore index, which an id is part of in SQLite's file too.
const LONGEST_ID: usize = 1_500;
/// The events of each host that are read, and one that is not.
pub const GITHUB_EVENTS: [&str; 6] = ["push", "pull_request", "issues", "ping", "repository", "star"];
pub const GITLAB_EVENTS: [&str; 6] =
    ["Push Hook", "Merge Request Hook", "Issue Hook", "Confidential Issue Hook", "System Hook", "Note Hook"];

/// A function that must hold of any bytes.
pub type Target = fn(&[u8]);

/// Every target, by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("github", github),
    ("gitlab", gitlab),
    ("form", form),
    ("headers", headers),
    ("draft", draft),
    ("names", names),
    ("template", template),
];

fn now() -> Moment {
    Moment::from_timestamp(1_795_000_000, 0).unwrap()
}

fn hosts() -> &'static [Arc<dyn Host>; 2] {
    static HOSTS: OnceLock<[Arc<dyn Host>; 2]> = OnceLock::new();
    HOSTS.get_or_init(|| {
        ["github", "gitlab"].map(|name| {
            let env = |variable: &str| match variable {
                "PLAUDIT_GITHUB_SECRET" => Some(GITHUB_SECRET.to_owned()),
                "PLAUDIT_GITLAB_SIGNING_TOKEN" => Some(GITLAB_SIGNING.to_owned()),
                _ => None,
            };
            let flags = Flags::default();
            let known = KNOWN.iter().find(|known| known.name == name).unwrap();
            (known.open)(&mut Settings::new(&flags, &env)).unwrap()
        })
    })
}

/// What a verified body says, with the headers that the host itself would send, and these changes of them.
fn read(host: usize, event: &str, body: &[u8], change: &[(&'static str, &str)]) -> Option<Reading> {
    let signer = [Signer::Github(GITHUB_SECRET), Signer::Gitlab(GITLAB_SIGNING)][host];
    let mut headers = signer.headers(event, "d3b07384-d113-4ec5-a5a5-000000000001", body, now().timestamp());
    for (name, value) in change {
        headers.insert(*name, HeaderValue::from_str(value).unwrap());
    }
    let host = &hosts()[host];
    let admitted = host.admit(&headers, now()).expect("genuine headers are admitted");
    let delivery = host.verify(admitted, body.to_vec()).ok()?;
    host.read(&delivery, &Rules::default(), now()).ok().map(|payload| payload.reading)
}

fn split<'a>(events: [&'static str; 6], input: &'a [u8]) -> (&'static str, &'a [u8]) {
    let (first, body) = input.split_first().unwrap_or((&0, &[]));
    (events[usize::from(*first) % events.len()], body)
}

/// GitHub's payloads: the first byte chooses the event.
pub fn github(input: &[u8]) {
    let (event, body) = split(GITHUB_EVENTS, input);
    judge("github", read(0, event, body, &[]).as_ref());
}

/// GitLab's payloads.
pub fn gitlab(input: &[u8]) {
    let (event, body) = split(GITLAB_EVENTS, input);
    judge("gitlab", read(1, event, body, &[]).as_ref());
}

/// GitHub's form bodies: what a form says is what its payload says as JSON, and no bytes are read both ways.
pub fn form(input: &[u8]) {
    const URLENCODED: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    let (event, body) = split(GITHUB_EVENTS, input);
    let raw = read(0, event, body, &[URLENCODED]);
    let counts =
        |reading: &Option<Reading>| matches!(reading, Some(Reading::Counts(_) | Reading::Reviews(_)));
    let both = counts(&raw) && counts(&read(0, event, body, &[]));
    assert!(!both, "the same bytes count as a form and as JSON");
    judge("github", raw.as_ref());
    // An object of whole characters goes through a form unchanged.
    let Some(text) = std::str::from_utf8(body).ok().filter(|text| text.starts_with('{')) else { return };
    let encoded = form_urlencoded::Serializer::new(String::new()).append_pair("payload", text).finish();
    let unpacked = read(0, event, encoded.as_bytes(), &[URLENCODED]);
    assert_eq!(unpacked, read(0, event, body, &[]), "the form is read otherwise than its JSON");
}

/// Everything that both stores and all pages rely on.
fn judge(host: &str, reading: Option<&Reading>) {
    let Some(reading) = reading else { return };
    let contributions = match reading {
        Reading::Counts(contributions) => contributions,
        Reading::Reviews(review) => {
            let work = review.work.as_str();
            let part = review.part.as_ref().map_or("", |part| part.as_str());
            assert!(part.is_empty() || part.starts_with(work), "{part} is no part of {work}");
            assert!(work.len().max(part.len()) <= LONGEST_ID, "{} bytes of an id", work.len());
            return;
        }
        Reading::Ignored(_) => return,
    };
    assert!(!contributions.is_empty(), "nothing counts, and it is not ignored");
    let ids: BTreeSet<_> = contributions.iter().map(|one| &one.id).collect();
    assert_eq!(ids.len(), contributions.len(), "an id is there twice in one delivery");
    let other = if host == "github" { "gitlab" } else { "github" };
    for one in contributions {
        let (id, who) = (one.id.as_str(), one.contributor.as_str());
        let site = one.contributor.host().expect("an account is of a host");
        // A host that is called as a public site is another one: `github:443/code`.
        assert!(site != other && site != "api", "{host} speaks for another: {who}");
        assert!(Kind::OF_HOSTS.contains(&one.kind));
        let number = one.repository_id().and_then(|repository| repository.strip_prefix(&format!("{site}:")));
        let is_number = number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        assert!(is_number, "{who} is credited for {id}");
        judge_fields(one);
    }
}

fn judge_fields(one: &Contribution) {
    let (id, who) = (one.id.as_str(), one.contributor.as_str());
    assert!(id.len() <= LONGEST_ID && !id.contains(char::is_control), "{} bytes of an id: {id:?}", id.len());
    assert!(!who.contains(char::is_control), "{who:?}");
    assert_eq!(
        ContributorId::parse(who).as_ref(),
        Ok(&one.contributor),
        "{who:?} is not read as it is written"
    );
    let title = one.title.as_deref().unwrap_or_default();
    assert!(title.chars().count() <= 500, "a title of {} characters", title.chars().count());
    assert!(one.repository.as_ref().is_none_or(|name| name.len() <= 2_000), "{:?}", one.repository);
    for url in [&one.url, &one.account_url].into_iter().flatten() {
        let web = url.starts_with("http://") || url.starts_with("https://");
        assert!(web || url.to_ascii_lowercase().starts_with("http"), "{url:?}");
        assert!(url.len() <= 2_500 && !url.contains(['<', '>', '"', ' ', '\n']), "{url:?}");
    }
    for moment in
        [Some(one.occurred_at), one.landed_at, one.labels.map(|labels| labels.at)].into_iter().flatten()
    {
        assert_eq!(plaudit::domain::keepable(moment), Some(moment), "{moment} cannot be kept");
    }
}

/// Lines `name: value`, of a request that nobody signed. No header lets a stranger in.
pub fn headers(input: &[u8]) {
    let (head, body) = input.split_at(input.len() - input.len() / 4);
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = halves.next().and_then(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
        let value = halves.next().and_then(|value| HeaderValue::from_bytes(value.trim_ascii()).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    for host in hosts() {
        let Ok(admitted) = host.admit(&headers, now()) else { continue };
        let delivery = &admitted.delivery;
        assert!(delivery.len() <= 100 && !delivery.contains(char::is_control), "{delivery:?}");
        if let Ok(event) = &admitted.event {
            assert!(event.len() <= 100 && !event.contains(char::is_control), "{event:?}");
        }
        let verified = host.verify(admitted, body.to_vec());
        assert!(verified.is_err(), "a request is verified that nobody signed");
    }
}

/// What a client posts: lines, one for each field.
pub fn draft(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut fields = text.split('\n').map(str::to_owned);
    let mut optional = |given: &str| fields.next().filter(|field| field != given);
    let draft = Draft {
        contributor: optional("\u{1}").unwrap_or_default(),
        kind: optional("\u{1}").unwrap_or_default(),
        id: optional(""),
        key: optional(""),
        source: optional(""),
        occurred_at: optional(""),
        title: optional(""),
        url: optional(""),
        repository: optional(""),
    };
    let again = draft.clone();
    match draft.check(now(), || "fresh".to_owned()) {
        Ok(one) => {
            assert!(one.id.as_str().starts_with("api:"), "{}", one.id);
            judge_fields(&one);
            assert_eq!(again.check(now(), || "fresh".to_owned()), Ok(one), "the same again is another");
        }
        Err(invalid) => {
            assert!(!invalid.0.is_empty(), "refused without a fault");
            for (field, detail) in &invalid.0 {
                assert!(!field.is_empty() && detail.len() < 2_000, "{field}: {detail}");
            }
        }
    }
}

/// Names of contributors, kinds and milestones.
pub fn names(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for read in [ContributorId::of_client(&text), ContributorId::parse(&text)] {
        match read {
            Ok(who) => {
                assert_eq!(ContributorId::parse(who.as_str()).as_ref(), Ok(&who), "{text:?}");
                assert_eq!(who.host().is_some(), who.url().is_some() || who.as_str().contains(':'), "{who}");
                assert!(who.as_str().len() <= LONGEST_ID && who.as_str().ends_with(who.login()), "{who}");
            }
            Err(invalid) => judge_advice(&invalid.to_string()),
        }
    }
    if let Some(kind) = Kind::parse(&text) {
        assert!(kind.as_str().len() <= 40 && kind.as_str().is_ascii());
    }
    if let Ok(milestones) = Milestones::parse(&text) {
        let first = milestones.next(0).expect("there is one at least");
        assert!(first > 0 && milestones.between(0, first).eq([first]));
        assert_eq!(milestones.between(first, first).count(), 0);
    }
}

/// The name that an error advises is right.
fn judge_advice(error: &str) {
    if let Some((_, advised)) = error.rsplit_once("; the nearest right one is ") {
        assert!(ContributorId::of_client(advised).is_ok(), "advised, and refused: {advised:?}");
    }
}

/// Texts of comments.
pub fn template(input: &[u8]) {
    if let Err(fault) = Template::parse(&String::from_utf8_lossy(input)) {
        assert!(!fault.is_empty());
    }
}
