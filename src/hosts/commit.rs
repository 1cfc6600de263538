//! A commit in a payload: its claimed author and co-authors, and whether it merges or lands others.

use serde::Deserialize;

use super::json::{Lax, Text, of_objects};
use super::origin::{Account, Origin, Who, is_app, moment};
use crate::domain::Moment;

/// How the messages of merge commits begin, by git and by the hosts. Shorter beginnings would also match
/// messages that people write.
const MERGES: [&str; 6] = [
    "Merge pull request #",
    "Merge branch '",
    "Merge remote-tracking branch '",
    "Merge tag '",
    "Merge commit '",
    "Auto merge of #",
];

/// A pull request that a commit on the default branch lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Landing {
    pub(super) number: u64,
    /// Whether it is a merge commit that lands the commits before it; if not, it is one squashed commit.
    pub(super) merges: bool,
}

/// A commit, in the form that GitHub and GitLab share.
#[derive(Deserialize)]
pub(super) struct Commit<'a> {
    #[serde(borrow)]
    id: Lax<Text<'a>>,
    #[serde(borrow)]
    message: Lax<Text<'a>>,
    #[serde(borrow)]
    timestamp: Lax<Text<'a>>,
    #[serde(borrow)]
    pub(super) url: Lax<Text<'a>>,
    /// Whether it is on no other branch already. GitLab does not say.
    distinct: Lax<bool>,
    #[serde(borrow)]
    pub(super) author: Lax<Author<'a>>,
    /// GitLab does not say.
    #[serde(borrow)]
    pub(super) committer: Lax<Author<'a>>,
}

of_objects!(Commit, Author);

/// Who wrote or made a commit. GitLab never says which account that is; GitHub does if it knows the address.
#[derive(Deserialize)]
pub(super) struct Author<'a> {
    #[serde(borrow)]
    pub(super) name: Lax<Text<'a>>,
    #[serde(borrow)]
    pub(super) email: Lax<Text<'a>>,
    #[serde(borrow)]
    pub(super) username: Lax<Text<'a>>,
}

impl Author<'_> {
    pub(super) fn who(&self, origin: &Origin<'_>) -> Who {
        let by_address = self.email.text().and_then(|email| origin.account_in(email));
        if let Some(login) = self.username.text() {
            let same = by_address.filter(|account| account.login.eq_ignore_ascii_case(login));
            return origin.who(Account { login, id: same.and_then(|account| account.id) }, false);
        }
        let proper = self.email.text().and_then(|email| origin.proper(email, self.name.text()));
        let by_mailmap = proper.map_or(Who::Unknown, |proper| origin.who_has(&proper));
        if by_mailmap != Who::Unknown {
            return by_mailmap;
        }
        match self.email.text().map_or(Who::Unknown, |email| origin.who_has(email)) {
            // The address belongs to no account, but only an app can have this name.
            Who::Unknown if self.name.text().is_some_and(is_app) => Who::Machine,
            who => who,
        }
    }

    /// What distinguishes two authors of whom the payload names no account.
    pub(super) fn mark(&self) -> Option<&str> {
        self.email.text().or(self.name.text())
    }

    /// Whether it is the same as another, by address or, without addresses, by name.
    pub(super) fn is(&self, other: &Author<'_>) -> bool {
        match (self.email.text(), other.email.text()) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            _ => self.name.text().is_some() && self.name.text() == other.name.text(),
        }
    }
}

impl Commit<'_> {
    /// Whether it is the commit of that name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.id.text() == Some(name)
    }

    pub(super) fn message(&self) -> &str {
        self.message.text().unwrap_or_default()
    }

    /// The message's first line.
    pub(super) fn title(&self) -> &str {
        self.message().lines().next().unwrap_or_default().trim_end()
    }

    pub(super) fn is_merge(&self) -> bool {
        MERGES.iter().any(|merge| self.message().starts_with(merge))
    }

    /// Whether it is on another branch already.
    pub(super) fn is_known(&self) -> bool {
        self.distinct.value() == Some(false)
    }

    /// When it was made, by its author's clock. A time in the future is replaced by `now`: else it would lead
    /// every list.
    pub(super) fn made_at(&self, now: Moment) -> Moment {
        self.timestamp.text().and_then(moment).map_or(now, |at| at.min(now))
    }

    /// The message's paragraphs, separated by blank lines.
    pub(super) fn paragraphs(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.message();
        let paragraph = move || {
            let (mut from, mut end) = (0, 0);
            for line in rest.split_inclusive('\n') {
                let start = end;
                end += line.len();
                if !line.trim().is_empty() {
                    continue;
                }
                if from < start {
                    let (paragraph, after) = (rest.get(from..start), rest.get(end..));
                    rest = after.unwrap_or_default();
                    return paragraph;
                }
                from = end;
            }
            let last = rest.get(from..).filter(|last| !last.is_empty());
            rest = "";
            last
        };
        std::iter::from_fn(paragraph).map(str::trim_end)
    }

    /// The accounts that the message's trailers name by a noreply address of this host. Trailers are the last
    /// paragraph, and not the first, as git reads them.
    /// <https://git-scm.com/docs/git-interpret-trailers>
    pub(super) fn co_authors<'o>(&self, origin: &'o Origin<'_>) -> impl Iterator<Item = Who> + use<'_, 'o> {
        let trailer = "co-authored-by:";
        let last = self.paragraphs().skip(1).last().unwrap_or_default();
        last.lines()
            .filter_map(move |line| {
                let (key, rest) = line.split_at_checked(trailer.len())?;
                key.eq_ignore_ascii_case(trailer).then_some(rest)
            })
            .filter_map(|rest| {
                let (name, rest) = rest.rsplit_once('<')?;
                rest.split_once('>').map(|(address, _)| (name.trim(), address))
            })
            .filter_map(|(name, address)| {
                let proper = origin.proper(address, Some(name));
                let account = |address| Some(origin.who(origin.account_in(address)?, false));
                proper.as_deref().and_then(account).or_else(|| account(address))
            })
    }
}
