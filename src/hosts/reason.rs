//! Why a delivery is ignored.

/// Why a delivery is ignored. [`meaning`](Self::meaning) explains each, for users too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Ping,
    Bot,
    Ghost,
    Draft,
    NotMerged,
    NotDefaultBranch,
    BranchDeleted,
    Tag,
    Fork,
    NoNewCommits,
    TooManyAuthors,
    AuthorUnknown,
    ActionNotCounted,
    EventNotCounted,
    KindNotCounted,
    Transferred,
    IgnoredContributor,
    OtherHost,
    MadePrivate,
    Forgotten,
}

impl Reason {
    pub const ALL: [Self; 20] = [
        Self::Ping,
        Self::Bot,
        Self::Ghost,
        Self::Draft,
        Self::NotMerged,
        Self::NotDefaultBranch,
        Self::BranchDeleted,
        Self::Tag,
        Self::Fork,
        Self::NoNewCommits,
        Self::TooManyAuthors,
        Self::AuthorUnknown,
        Self::ActionNotCounted,
        Self::EventNotCounted,
        Self::KindNotCounted,
        Self::Transferred,
        Self::IgnoredContributor,
        Self::OtherHost,
        Self::MadePrivate,
        Self::Forgotten,
    ];

    /// The code in answers, logs, metrics and the documents.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.words().0
    }

    /// The code's meaning, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Ping => ("ping", "the host only tests the webhook"),
            Self::Bot => ("bot", "everyone it names is a machine"),
            Self::Ghost => ("ghost", "the author's account was deleted"),
            Self::Draft => {
                ("draft", "the pull request is a draft: it counts when it is made ready, or merged")
            }
            Self::NotMerged => (
                "not_merged",
                "with PLAUDIT_PULL_REQUESTS=merged a pull request counts only when it is merged",
            ),
            Self::NotDefaultBranch => {
                ("not_default_branch", "the push went to a branch that is not the default one")
            }
            Self::BranchDeleted => ("branch_deleted", "the push deleted a branch"),
            Self::Tag => ("tag", "the push set or deleted a tag"),
            Self::Fork => ("fork", "the push went to a fork, whose commits count where they came from"),
            Self::NoNewCommits => ("no_new_commits", "the push brought no commit that counts"),
            Self::TooManyAuthors => ("too_many_authors", "more than 20 authors in one push: an import"),
            Self::AuthorUnknown => ("author_unknown", "the payload does not say which account contributed"),
            Self::ActionNotCounted => {
                ("action_not_counted", "this action never counts, such as an edit or a review")
            }
            Self::EventNotCounted => ("event_not_counted", "events of this name never count"),
            Self::KindNotCounted => ("kind_not_counted", "PLAUDIT_COUNT does not list this kind"),
            Self::Transferred => {
                ("transferred", "the issue was opened by its transfer from another repository")
            }
            Self::IgnoredContributor => {
                ("ignored_contributor", "everyone it names is left out by PLAUDIT_IGNORE")
            }
            Self::OtherHost => (
                "other_host",
                "it is about a host that the secret may not speak for: PLAUDIT_GITHUB_HOSTS, PLAUDIT_GITLAB_HOSTS",
            ),
            Self::MadePrivate => (
                "made_private",
                "what it is about became private, and is shown only with a token from now on",
            ),
            Self::Forgotten => ("forgotten", "everyone whom it would credit was forgotten"),
        }
    }
}
