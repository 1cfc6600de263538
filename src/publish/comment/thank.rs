//! Writes one comment, after the host was asked whether it may be written.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::PublishError;
use super::commenter::Commenter;
use super::failure::Failure;
use super::host::Conversation;
use super::place::Place;
use super::settings::Audience;
use super::template::{Addressed, Values};
use super::{PRECHECK_TIMEOUT, REQUEST_TIMEOUT};
use crate::domain::{Contribution, GiveUp, Moment, Recognition, RecognitionId};
use crate::runtime::stop_point;

impl Commenter {
    /// Writes the comment, unless a check forbids it, it was written before, or the hold could end before the
    /// request does: then another instance may write it.
    pub(super) async fn thank(
        &self,
        recognition: &Recognition,
        place: &Place,
        contribution: &Contribution,
        held_until: Moment,
    ) -> Result<(), Failure> {
        let marker = marker(&recognition.id);
        let slow = |_| Failure::Unanswered(format!("{} takes too long over one comment", self.host.title()));
        let precheck =
            tokio::time::timeout(PRECHECK_TIMEOUT, self.precheck(place, contribution, &marker)).await;
        let Some(conversation) = precheck.map_err(slow)?? else {
            tracing::info!(recognition = %recognition.id, "the comment for {} was already written", recognition.id);
            return Ok(());
        };
        let text = self.template.render(&Values {
            contributor: self.addressed(contribution, &conversation),
            milestone: recognition.milestone,
            tally: recognition.tally,
            title: contribution.title.as_deref().unwrap_or_default(),
            kind: self.host.noun(&place.kind),
            repository: &conversation.repository,
        });
        let body = format!("{text}\n\n{marker}");
        self.wait_to_write().await;
        stop_point("before-comment").await;
        if self.clock.now() + REQUEST_TIMEOUT >= held_until {
            return Err(Failure::Classified(PublishError::Lapsed));
        }
        let writing = self.host.write(place, &conversation, &body);
        tokio::time::timeout(REQUEST_TIMEOUT, writing).await.map_err(slow)??;
        stop_point("after-comment").await;
        Ok(())
    }

    /// Asks for the repository, the pull request or issue, and every comment on it; `None` if a comment of ours
    /// has the recognition's marker.
    async fn precheck(
        &self,
        place: &Place,
        contribution: &Contribution,
        marker: &str,
    ) -> Result<Option<Conversation>, Failure> {
        let conversation = self.host.look(place).await?;
        if self.audience == Audience::Outsiders
            && self.host.is_insider(place, &conversation, contribution).await?
        {
            let why = "the contributor is an owner, a member or a collaborator";
            return Err(Failure::never(GiveUp::Insider, why));
        }
        let written = self.host.has_comment(place, &conversation, marker).await?;
        Ok((!written).then_some(conversation))
    }

    /// Mentions the contributor only if the account that was counted is still the author.
    fn addressed<'a>(&self, contribution: &'a Contribution, conversation: &'a Conversation) -> Addressed<'a> {
        match conversation.author.as_ref().filter(|author| author.is_of(contribution)) {
            Some(author) if self.host.is_login(&author.login) => Addressed::Mention(&author.login),
            _ => Addressed::Name(contribution.contributor.login()),
        }
    }
}

/// An HTML comment, which the hosts do not show, that names the recognition. No id can end it early.
fn marker(id: &RecognitionId) -> String {
    /// Not percent-encoded: the characters of account ids.
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b':').remove(b'-').remove(b'.').remove(b'_');
    // An HTML comment must not contain two hyphens in a row.
    let id = utf8_percent_encode(id.as_str(), KEPT).to_string().replace("--", "-%2D");
    format!("<!-- plaudit:{id} -->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_id_ends_the_marker() {
        let marker = |id| marker(&RecognitionId::from_text(id));
        assert_eq!(marker("github:octo-cat:3"), "<!-- plaudit:github:octo-cat:3 -->");
        for id in ["x-->y:3", "a--b---c----:3", "><!--", "ä b\u{202e}:3"] {
            let marker = marker(id);
            let inside = marker.strip_prefix("<!-- ").unwrap().strip_suffix(" -->").unwrap();
            assert!(!inside.contains("--") && !inside.contains('>') && inside.is_ascii(), "{marker}");
        }
    }
}
