use std::fmt;

/// Why a recognition is given up at a destination: trying again would change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is explained, for users too, by `GiveUp::meaning`")]
pub enum GiveUp {
    NothingToCommentOn,
    Private,
    OtherHost,
    RepositoryUnknown,
    RepositoryChanged,
    Transferred,
    Locked,
    Archived,
    NotFound,
    NotInstalled,
    Gone,
    Unprocessable,
    MissingPermission,
    SsoRequired,
    Forbidden,
    Insider,
    Refused,
    MessageRefused,
}

impl GiveUp {
    /// Every reason.
    pub const ALL: [Self; 18] = [
        Self::NothingToCommentOn,
        Self::Private,
        Self::OtherHost,
        Self::RepositoryUnknown,
        Self::RepositoryChanged,
        Self::Transferred,
        Self::Locked,
        Self::Archived,
        Self::NotFound,
        Self::NotInstalled,
        Self::Gone,
        Self::Unprocessable,
        Self::MissingPermission,
        Self::SsoRequired,
        Self::Forbidden,
        Self::Insider,
        Self::Refused,
        Self::MessageRefused,
    ];

    /// The code in the store, answers, logs, metrics and `docs/comments.md`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NothingToCommentOn => "nothing_to_comment_on",
            Self::Private => "private",
            Self::OtherHost => "other_host",
            Self::RepositoryUnknown => "repository_unknown",
            Self::RepositoryChanged => "repository_changed",
            Self::Transferred => "transferred",
            Self::Locked => "locked",
            Self::Archived => "archived",
            Self::NotFound => "not_found",
            Self::NotInstalled => "not_installed",
            Self::Gone => "gone",
            Self::Unprocessable => "unprocessable",
            Self::MissingPermission => "missing_permission",
            Self::SsoRequired => "sso_required",
            Self::Forbidden => "forbidden",
            Self::Insider => "insider",
            Self::Refused => "refused",
            Self::MessageRefused => "message_refused",
        }
    }

    /// The reason with this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The code's meaning, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::NothingToCommentOn => {
                "a push or the API reached the milestone, or after a crash the contribution is not known"
            }
            Self::Private => {
                "the contribution is private or confidential, or the repository has become private"
            }
            Self::OtherHost => {
                "the contribution is on another host than the one that comments are written to"
            }
            Self::RepositoryUnknown => "the contribution's repository is not named as `owner/name`",
            Self::RepositoryChanged => "another repository has that name now",
            Self::Transferred => "the issue was moved to another repository",
            Self::Locked => "the conversation is locked",
            Self::Archived => "the repository is archived",
            Self::NotFound => "404: deleted, or not visible to the credential",
            Self::NotInstalled => "the App is not installed in that repository",
            Self::Gone => "410: deleted, or the repository has no issues",
            Self::Unprocessable => "422: the host rejects this comment",
            Self::MissingPermission => {
                "the credential may not comment; the log names the permission or scope"
            }
            Self::SsoRequired => "the organisation uses single sign-on",
            Self::Forbidden => {
                "another 403; the log has the host's message: a blocked account, an allow list of addresses"
            }
            Self::Insider => {
                "the contributor is an owner, a member or a collaborator, and `PLAUDIT_COMMENT_FOR` is `outsiders`"
            }
            Self::Refused => "any other answer that waiting does not change",
            Self::MessageRefused => {
                "the topic refuses this message: it is too large, or not as the topic's schema asks"
            }
        }
    }
}

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
