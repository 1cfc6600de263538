//! Every query that this store sends, in one place: a test checks each against the index file, because the
//! emulator answers a query whose index is missing and the real Firestore does not.

use firestore::gcloud_sdk::google::firestore::v1::Value;
use firestore::gcloud_sdk::google::firestore::v1::value::ValueType;
use firestore::{
    FirestoreQueryCollection, FirestoreQueryCursor, FirestoreQueryDirection, FirestoreQueryFilter,
    FirestoreQueryFilterCompare, FirestoreQueryFilterComposite, FirestoreQueryFilterCompositeOperator,
    FirestoreQueryParams, FirestoreValue,
};

use crate::domain::Destination;

/// What was counted.
pub(super) const CONTRIBUTIONS: &str = "contributions";
/// Who, and how many.
pub(super) const CONTRIBUTORS: &str = "contributors";
/// What decides about works beside their parts.
pub(super) const REVIEWS: &str = "reviews";
/// What was recognised, and the outbox.
pub(super) const RECOGNITIONS: &str = "recognitions";
/// Repositories that are private, or were.
pub(super) const PRIVATE: &str = "private";
/// Keyed hashes of the names and numbers of people who are erased.
pub(super) const FORGOTTEN: &str = "forgotten";
/// For whom accounts count, and the names of their numbers.
pub(super) const ACCOUNTS: &str = "accounts";
/// Where long reads of hosts go on.
pub(super) const BOOKMARKS: &str = "bookmarks";
/// The field path of a document's own name.
pub const NAME: &str = "__name__";

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Comparison {
    Equal,
    AnyOf,
    AtLeast,
    Above,
    Below,
    AtMost,
    Contains,
}

/// Which way a list runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Direction {
    Ascending,
    Descending,
}

/// A query without its values: what an index must serve.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    /// The collection.
    pub collection: &'static str,
    /// The fields compared, and how.
    pub filters: &'static [(&'static str, Comparison)],
    /// The fields ordered by, and which way.
    pub order: &'static [(&'static str, Direction)],
}

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident: $collection:ident [$($field:literal $comparison:ident),*] by [$($order:expr, $direction:ident);*];)*) => {
        $($(#[$doc])* pub(super) const $name: Shape = Shape {
            collection: $collection,
            filters: &[$(($field, Comparison::$comparison)),*],
            order: &[$(($order, Direction::$direction)),*],
        };)*
        /// Every shape there is.
        pub const SHAPES: &[Shape] = &[$($name),*];
    };
}

shapes! {
    /// Most contributions first.
    CONTRIBUTORS_BY_TALLY: CONTRIBUTORS [] by ["tally", Descending; NAME, Descending];
    /// By id: a complete read.
    CONTRIBUTORS_BY_ID: CONTRIBUTORS [] by [NAME, Ascending];
    /// Those on a host, most contributions first.
    CONTRIBUTORS_ON_HOST_BY_TALLY: CONTRIBUTORS ["host" Equal] by ["tally", Descending; NAME, Descending];
    /// Those whose login is within a range.
    CONTRIBUTORS_BY_LOGIN: CONTRIBUTORS ["login" AtLeast, "login" Below] by ["login", Ascending; NAME, Ascending];
    /// Those on a host whose login is within a range.
    CONTRIBUTORS_ON_HOST_BY_LOGIN: CONTRIBUTORS ["host" Equal, "login" AtLeast, "login" Below] by ["login", Ascending; NAME, Ascending];
    /// The lowest milestone recognised above a number.
    HIGHER_RECOGNIZED: CONTRIBUTORS ["recognized" Above] by ["recognized", Ascending; "tally", Ascending; NAME, Ascending];
    /// To whom the milestone after `recognized` is owed.
    OWED: CONTRIBUTORS ["recognized" Equal, "tally" AtLeast] by ["tally", Ascending; NAME, Ascending];
    /// A contributor's contributions within a time, newest first. Which of the private ones and of those that are
    /// taken back are shown is a choice of values, so that one index serves every reader.
    CONTRIBUTIONS_OF: CONTRIBUTIONS ["contributor" Equal, "private" AnyOf, "retracted" AnyOf, "recorded_at" AtLeast, "recorded_at" Below] by ["recorded_at", Descending; NAME, Descending];
    /// Those of one kind.
    CONTRIBUTIONS_OF_BY_KIND: CONTRIBUTIONS ["contributor" Equal, "private" AnyOf, "retracted" AnyOf, "recorded_at" AtLeast, "recorded_at" Below, "kind" Equal] by ["recorded_at", Descending; NAME, Descending];
    /// A repository's contributions.
    CONTRIBUTIONS_IN: CONTRIBUTIONS ["repository" Equal, "private" AnyOf, "retracted" AnyOf, "recorded_at" AtLeast, "recorded_at" Below] by ["recorded_at", Descending; NAME, Descending];
    /// Those of one kind.
    CONTRIBUTIONS_IN_BY_KIND: CONTRIBUTIONS ["repository" Equal, "private" AnyOf, "retracted" AnyOf, "recorded_at" AtLeast, "recorded_at" Below, "kind" Equal] by ["recorded_at", Descending; NAME, Descending];
    /// The parts of a work, and the marks for parts that are not recorded yet.
    PARTS_OF: CONTRIBUTIONS ["work" Equal] by [];
    /// What arrived under an account that is not its contributor.
    ARRIVED_UNDER: CONTRIBUTIONS ["account" Equal] by [NAME, Ascending];
    /// What names an account by a number, stated by its host or not.
    WITH_NUMBER: CONTRIBUTIONS ["user_id" Equal] by [NAME, Ascending];
    /// The other accounts that count for a contributor.
    ACCOUNTS_OF: ACCOUNTS ["target" Equal] by [];
    /// All that count for another contributor.
    ACCOUNTS_WITH_TARGET: ACCOUNTS ["target" Above] by ["target", Ascending; NAME, Ascending];
    /// Those of which something may be left to be moved.
    ACCOUNTS_MOVING: ACCOUNTS ["moving" Equal] by [];
    /// The names that an account had after others.
    ACCOUNTS_HELD: ACCOUNTS ["holder" Equal] by [];
    /// The names whose ids only the account with a number may have.
    ACCOUNTS_RESERVED: ACCOUNTS ["reserved" Equal] by [];
    /// The contributors at whom the claim of a number is noted.
    ACCOUNTS_CLAIMING: ACCOUNTS ["claims" Contains] by [];
    /// The recognitions that were made for an account, by the beginning of their ids.
    RECOGNITIONS_NAMED: RECOGNITIONS ["id" AtLeast, "id" Below] by ["id", Ascending];
    /// Where every long read goes on.
    BOOKMARKS_ALL: BOOKMARKS [] by [];
    /// The marks that reviews left of an author's parts which are not recorded.
    MARKS_OF: CONTRIBUTIONS ["author" Equal] by [];
    /// A repository's contributions that are public.
    PUBLIC_OF: CONTRIBUTIONS ["private" Equal, "id" AtLeast, "id" Below] by ["id", Ascending];
    /// The recognitions that name a public contribution of a repository.
    NAMING_PUBLIC_OF: RECOGNITIONS ["contribution.private" Equal, "contribution.id" AtLeast, "contribution.id" Below] by ["contribution.id", Ascending];
    /// The repositories that became private since a time.
    PRIVATE_SINCE: PRIVATE ["since" AtLeast] by ["since", Ascending];
    /// The repositories to be looked through again.
    PRIVATE_DUE: PRIVATE ["look_again" AtMost] by ["look_again", Ascending];
    /// Since a time, newest first.
    RECOGNITIONS_FROM: RECOGNITIONS ["recognized_at" AtLeast] by ["recognized_at", Descending; NAME, Descending];
    /// Those of a contributor.
    RECOGNITIONS_OF: RECOGNITIONS ["contributor" Equal, "recognized_at" AtLeast] by ["recognized_at", Descending; NAME, Descending];
    /// Newest first.
    RECOGNITIONS_NEWEST: RECOGNITIONS [] by ["recognized_at", Descending; NAME, Descending];
    /// From a time of the server on, oldest first.
    RECOGNITIONS_SINCE: RECOGNITIONS ["made_at" AtLeast] by ["made_at", Ascending; NAME, Ascending];
    /// How many wait at a destination.
    WAITING: RECOGNITIONS ["due" Contains] by [];
    /// The oldest that waits at a destination.
    OLDEST_WAITING: RECOGNITIONS ["due" Contains] by ["recognized_at", Ascending];
    /// To be offered now at the log.
    DUE_LOCAL: RECOGNITIONS ["next_local" AtMost] by ["next_local", Ascending; NAME, Ascending];
    /// To be offered now at the topic.
    DUE_TOPIC: RECOGNITIONS ["next_topic" AtMost] by ["next_topic", Ascending; NAME, Ascending];
    /// To be offered now as a comment.
    DUE_COMMENT: RECOGNITIONS ["next_comment" AtMost] by ["next_comment", Ascending; NAME, Ascending];
    /// Put off at the log for longer than anything is.
    STRAY_LOCAL: RECOGNITIONS ["next_local" Above] by ["next_local", Ascending; NAME, Ascending];
    /// The same at the topic.
    STRAY_TOPIC: RECOGNITIONS ["next_topic" Above] by ["next_topic", Ascending; NAME, Ascending];
    /// The same as a comment.
    STRAY_COMMENT: RECOGNITIONS ["next_comment" Above] by ["next_comment", Ascending; NAME, Ascending];
}

/// What is due at `destination` up to a time, and what is put off there beyond one.
pub(super) fn due(destination: Destination) -> [&'static Shape; 2] {
    match destination {
        Destination::Local => [&DUE_LOCAL, &STRAY_LOCAL],
        Destination::Topic => [&DUE_TOPIC, &STRAY_TOPIC],
        Destination::Comment => [&DUE_COMMENT, &STRAY_COMMENT],
    }
}

impl Shape {
    /// The query of this shape: `values` for its filters, and the cursor `after` for its order, each in order.
    pub(super) fn query(
        &self,
        values: impl IntoIterator<Item = FirestoreValue>,
        after: Option<Vec<FirestoreValue>>,
        limit: Option<usize>,
    ) -> FirestoreQueryParams {
        let mut params =
            FirestoreQueryParams::new(FirestoreQueryCollection::Single(self.collection.to_owned()));
        let compare = |((field, comparison), value): (&(&str, Comparison), FirestoreValue)| {
            let field = (*field).to_owned();
            FirestoreQueryFilter::Compare(Some(match comparison {
                Comparison::Equal => FirestoreQueryFilterCompare::Equal(field, value),
                Comparison::AnyOf => FirestoreQueryFilterCompare::In(field, value),
                Comparison::AtLeast => FirestoreQueryFilterCompare::GreaterThanOrEqual(field, value),
                Comparison::Above => FirestoreQueryFilterCompare::GreaterThan(field, value),
                Comparison::Below => FirestoreQueryFilterCompare::LessThan(field, value),
                Comparison::AtMost => FirestoreQueryFilterCompare::LessThanOrEqual(field, value),
                Comparison::Contains => FirestoreQueryFilterCompare::ArrayContains(field, value),
            }))
        };
        let mut filters: Vec<_> = self.filters.iter().zip(values).map(compare).collect();
        params.filter = match filters.len() {
            0 | 1 => filters.pop(),
            _ => Some(FirestoreQueryFilter::Composite(FirestoreQueryFilterComposite::new(
                filters,
                FirestoreQueryFilterCompositeOperator::And,
            ))),
        };
        let order = |(field, direction): &(&str, Direction)| {
            let direction = match direction {
                Direction::Ascending => FirestoreQueryDirection::Ascending,
                Direction::Descending => FirestoreQueryDirection::Descending,
            };
            (*field, direction).into()
        };
        params.order_by = (!self.order.is_empty()).then(|| self.order.iter().map(order).collect());
        params.start_at = after.map(FirestoreQueryCursor::AfterValue);
        params.limit = limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
        params
    }
}

/// A document's name as a cursor holds it.
pub(super) fn name_value(documents: &str, collection: &str, id: &str) -> FirestoreValue {
    FirestoreValue::from(Value {
        value_type: Some(ValueType::ReferenceValue(format!("{documents}/{collection}/{id}"))),
    })
}
