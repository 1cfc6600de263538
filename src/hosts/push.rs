//! Whom a push credits, and for what. Authorship is what commits claim; only the pusher is known.

use std::collections::HashSet;

use super::commit::{Author, Commit, Landing};
use super::origin::{Account, Origin, Person, Who, title};
use super::{Reading, Reason};
use crate::domain::{Contribution, ContributorId, Kind, Moment};

/// More authors than this in one push are an import.
const MOST_AUTHORS: usize = 20;

/// Who sent the commits: the one thing about a push that the host knows for sure.
#[derive(Clone, Copy)]
pub(super) struct Pusher<'a> {
    pub(super) account: Option<Account<'a>>,
    pub(super) is_machine: bool,
    /// The name and the address by which the payload knows the pusher.
    pub(super) name: Option<&'a str>,
    pub(super) email: Option<&'a str>,
}

impl Pusher<'_> {
    /// Whether the payload says that this is the author.
    fn is(&self, author: &Author<'_>) -> bool {
        let same = |one: Option<&str>, other: Option<&str>| match (one, other) {
            (Some(one), Some(other)) => {
                !one.trim().is_empty() && one.trim().eq_ignore_ascii_case(other.trim())
            }
            _ => false,
        };
        let hidden = |text: &&str| *text != "[REDACTED]";
        same(self.email.filter(hidden), author.email.text()) || same(self.name, author.name.text())
    }

    fn who(&self, origin: &Origin<'_>) -> Who {
        self.account.map_or(Who::Unknown, |account| origin.who(account, self.is_machine))
    }
}

/// A push to a branch that counts.
pub(super) struct Push<'a> {
    pub(super) origin: &'a Origin<'a>,
    pub(super) after: &'a str,
    /// Oldest first.
    pub(super) commits: &'a [Commit<'a>],
    pub(super) head: Option<&'a Commit<'a>>,
    pub(super) to_default_branch: bool,
    pub(super) forced: bool,
    /// Whether there are commits that are not listed.
    pub(super) more: bool,
    /// The push's page. Without one, the page of each author's last commit is used.
    pub(super) page: Option<&'a str>,
    pub(super) pusher: Pusher<'a>,
}

/// Commits that count together: those of one pull request, or those of none.
struct Share<'a> {
    landed: Option<(Landing, &'a Commit<'a>)>,
    commits: Vec<&'a Commit<'a>>,
}

impl<'a> Push<'a> {
    pub(super) fn read(&self, now: Moment) -> Reading {
        match self.credits() {
            Ok(credits) => {
                let mut seen = HashSet::new();
                let parts = credits.parts.into_iter().map(|part| self.contribution(part, now));
                Reading::Counts(parts.filter(|part| seen.insert(part.id.clone())).collect())
            }
            Err(reason) => Reading::Ignored(reason),
        }
    }

    /// What the commit lands, where this push can land something.
    fn landing(&self, commit: &Commit<'_>) -> Option<Landing> {
        (self.origin.conventions.landing)(commit, self.origin).filter(|_| self.to_default_branch)
    }

    /// The commits by what they count as. A merge commit lands what is before it, back to the landing before;
    /// a squash only itself.
    fn shares(&self) -> Vec<Share<'a>> {
        let rules = self.origin.rules;
        let landing = |commit| rules.counts(&Kind::PULL_REQUEST).then(|| self.landing(commit)).flatten();
        let (mut shares, mut rest, mut before) = (Vec::new(), Vec::new(), Vec::new());
        for commit in self.commits {
            let Some(landing) = landing(commit) else {
                before.push(commit);
                continue;
            };
            let commits = if landing.merges {
                std::mem::take(&mut before)
            } else {
                rest.append(&mut before);
                vec![commit]
            };
            shares.push(Share { landed: Some((landing, commit)), commits });
        }
        rest.append(&mut before);
        if rules.counts(&Kind::PUSH) {
            rest.retain(|commit| self.is_new(commit));
            shares.push(Share { landed: None, commits: rest });
        }
        shares
    }

    /// Whether a commit counts with this push. A merged branch's commits were pushed before, so they are not
    /// `distinct`; they count now, on the default branch. They do not where every branch counts, because they
    /// counted when they were pushed, nor in a forced push, which mostly repeats commits. Without force, a commit
    /// that GitHub squashed always counts: it was made for this branch, even if a merge queue had it on a branch of
    /// its own before.
    fn is_new(&self, commit: &Commit<'_>) -> bool {
        let squashed = || !self.forced && self.landing(commit).is_some_and(|landing| !landing.merges);
        !commit.is_known() || !(self.forced || self.origin.rules.all_branches) || squashed()
    }

    fn credits(&self) -> Result<Credits<'a>, Reason> {
        let shares = self.shares();
        let landed = shares.iter().any(|share| share.landed.is_some());
        // Beside other commits, a merge commit credits no one.
        let only_merges = !landed && self.commits.iter().all(Commit::is_merge);
        let mut credits = Credits::default();
        let mut any = false;
        for share in &shares {
            credits.share_from = credits.parts.len();
            for commit in share.commits.iter().filter(|commit| only_merges || !commit.is_merge()) {
                any = true;
                self.credit(&mut credits, share, commit)?;
            }
        }
        self.credit_the_only_author(&mut credits, &shares, only_merges)?;
        if !credits.parts.is_empty() {
            return Ok(credits);
        }
        Err(if !landed && !self.origin.rules.counts(&Kind::PUSH) {
            Reason::KindNotCounted
        } else if !landed && !any && !self.more {
            Reason::NoNewCommits
        } else {
            credits.reason()
        })
    }

    fn credit(
        &self,
        credits: &mut Credits<'a>,
        share: &Share<'a>,
        commit: &'a Commit<'a>,
    ) -> Result<(), Reason> {
        let origin = self.origin;
        if let Some(author) = commit.author.get() {
            let who = match author.who(origin) {
                Who::Unknown if self.pusher.is(author) => self.pusher.who(origin),
                who => who,
            };
            credits.add(origin, who, share, commit, author.mark())?;
        }
        let co_authors = origin.rules.co_authors.then(|| commit.co_authors(origin));
        co_authors.into_iter().flatten().try_for_each(|who| credits.add(origin, who, share, commit, None))
    }

    /// Credits the pusher for commits whose address belongs to no account, if only the pusher can have made them:
    /// all such commits have one author, the push lands no pull request, and each was committed by its author.
    fn credit_the_only_author(
        &self,
        credits: &mut Credits<'a>,
        shares: &[Share<'a>],
        only_merges: bool,
    ) -> Result<(), Reason> {
        let lands = |commit| (self.origin.conventions.landing)(commit, self.origin).is_some();
        let [only] = credits.unknown.as_slice() else { return Ok(()) };
        if !self.origin.conventions.names_committers || self.commits.iter().any(lands) {
            return Ok(());
        }
        let only = *only;
        let commits =
            shares.iter().flat_map(|share| share.commits.iter().map(move |commit| (share, *commit)));
        for (share, commit) in commits.filter(|(_, commit)| only_merges || !commit.is_merge()) {
            let (Some(author), Some(committer)) = (commit.author.get(), commit.committer.get()) else {
                continue;
            };
            let unknown = author.mark() == Some(only) && author.who(self.origin) == Who::Unknown;
            if unknown && committer.is(author) {
                credits.unknown.clear();
                credits.add(self.origin, self.pusher.who(self.origin), share, commit, Some(only))?;
            }
        }
        Ok(())
    }

    fn contribution(&self, part: Part<'a>, now: Moment) -> Contribution {
        let origin = self.origin;
        let mut person = part.person;
        let pusher = self.pusher.account.filter(|it| it.login.eq_ignore_ascii_case(person.id.login()));
        person.user_id = person.user_id.or(pusher.and_then(|pusher| pusher.id));
        if let Some((landing, commit)) = part.landed {
            let at = commit.made_at(now);
            let path = origin.conventions.pull_request_path;
            let url = format!("{}/{path}/{}", origin.page.trim_end_matches('/'), landing.number);
            let rest = Origin::part_of_pull_request(landing.number, &person.id);
            return Contribution {
                title: title(landed_title(commit, landing)),
                url: Contribution::keep_url(&url),
                landed_at: Some(at),
                ..origin.contribution(Kind::PULL_REQUEST, rest, person, at)
            };
        }
        let page = self.page.or_else(|| part.commit.url.text());
        let rest = format!("{}:{}:{}", Kind::PUSH.as_str(), self.after, person.id.login());
        Contribution {
            title: title(part.commit.message()),
            url: page.and_then(Contribution::keep_url),
            ..origin.contribution(Kind::PUSH, rest, person, self.head.unwrap_or(part.commit).made_at(now))
        }
    }
}

/// The title of a pull request, by the commit that lands it: a merge commit has it in its second paragraph.
fn landed_title<'c>(commit: &'c Commit<'_>, landing: Landing) -> &'c str {
    if !landing.merges {
        let title = commit.title();
        return title.strip_suffix(&format!(" (#{})", landing.number)).unwrap_or(title);
    }
    let second = commit.paragraphs().nth(1);
    second.filter(|text| !text.starts_with("See merge request ")).unwrap_or_else(|| commit.title())
}

/// One person's part in a share: the commit is the last of that person's.
struct Part<'a> {
    person: Person,
    landed: Option<(Landing, &'a Commit<'a>)>,
    commit: &'a Commit<'a>,
}

/// Whom a push credits, and why it credits no others.
#[derive(Default)]
struct Credits<'a> {
    parts: Vec<Part<'a>>,
    /// The index in `parts` at which the current share begins.
    share_from: usize,
    people: Vec<ContributorId>,
    /// The marks of authors whom the payload does not name.
    unknown: Vec<&'a str>,
    machines: bool,
    ghosts: bool,
    ignored: bool,
}

impl<'a> Credits<'a> {
    /// Fails at the first author too many, so that thousands of them cost no more than 21.
    fn add(
        &mut self,
        origin: &Origin<'_>,
        who: Who,
        share: &Share<'a>,
        commit: &'a Commit<'a>,
        mark: Option<&'a str>,
    ) -> Result<(), Reason> {
        match who {
            Who::Person(person) => {
                if !self.people.contains(&person.id) {
                    self.people.push(person.id.clone());
                }
                if origin.rules.ignores(&person.id) {
                    self.ignored = true;
                } else {
                    self.part(person, share, commit);
                }
            }
            Who::Machine => self.machines = true,
            Who::Ghost => self.ghosts = true,
            Who::Unknown => {
                let new = mark.filter(|mark| !self.unknown.contains(mark));
                self.unknown.extend(new);
            }
        }
        let few = self.people.len() + self.unknown.len() <= MOST_AUTHORS;
        few.then_some(()).ok_or(Reason::TooManyAuthors)
    }

    fn part(&mut self, person: Person, share: &Share<'a>, commit: &'a Commit<'a>) {
        let known = self.parts.iter_mut().skip(self.share_from).find(|part| part.person.id == person.id);
        match known {
            Some(part) => {
                part.commit = commit;
                // Anybody can write another number into an address with this login.
                if part.person.user_id != person.user_id {
                    part.person.user_id = None;
                }
            }
            None => self.parts.push(Part { person, landed: share.landed, commit }),
        }
    }

    /// Why no one is credited.
    fn reason(&self) -> Reason {
        if self.ignored {
            Reason::IgnoredContributor
        } else if !self.unknown.is_empty() {
            Reason::AuthorUnknown
        } else if self.machines {
            Reason::Bot
        } else if self.ghosts {
            Reason::Ghost
        } else {
            Reason::AuthorUnknown
        }
    }
}
