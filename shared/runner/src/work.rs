//! The work of an invocation, with the deliveries that requested each piece: only what failed, or was not finished in
//! time, is delivered again.
//!
//! | work | queue message | other event |
//! |-|-|-|
//! | done | accepted | accepted |
//! | failed, and a retry may succeed | delivered again | the invocation fails |
//! | expected, and not done before the time ran out | delivered again | the invocation fails |
//! | not known before the time ran out | all are delivered again | the invocation fails |

use std::collections::{BTreeMap, BTreeSet};

use crate::runtime::FailedMessages;

/// The reason of a retry after the time ran out.
const OUT_OF_TIME: &str = "the invocation ran out of time; the retry resumes its work";

/// The deliveries that requested a piece of work: the ids of their queue messages, or `None` for an event without a
/// queue. Empty for work that no delivery requested and that the schedule repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestedBy(BTreeSet<Option<String>>);

/// A piece of work: its subject, and the deliveries that requested it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkItem {
    /// The subject, as in `mesh/shop`.
    pub subject: String,
    /// The deliveries.
    pub requested_by: RequestedBy,
}

impl RequestedBy {
    /// The delivery with this queue message, or the only event of the invocation.
    #[must_use]
    pub fn delivery(message: Option<String>) -> Self {
        Self(BTreeSet::from([message]))
    }

    /// Adds a delivery.
    pub fn insert(&mut self, message: Option<String>) {
        self.0.insert(message);
    }

    /// Adds the deliveries of other work.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// Whether no delivery requested the work.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn messages(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().flatten().cloned()
    }
}

impl FromIterator<Option<String>> for RequestedBy {
    fn from_iter<I: IntoIterator<Item = Option<String>>>(messages: I) -> Self {
        Self(messages.into_iter().collect())
    }
}

/// The progress of an invocation.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// The first reason of a retry.
    why: Option<String>,
    /// The messages to deliver again.
    failed: BTreeSet<String>,
    /// The expected work by subject; `None` until it is known.
    open: Option<BTreeMap<String, RequestedBy>>,
}

impl Work {
    /// Records a failure that a retry may resolve.
    pub(crate) fn retry(&mut self, requested_by: &RequestedBy, why: &str) {
        if !requested_by.is_empty() {
            self.why.get_or_insert_with(|| why.to_owned());
            self.failed.extend(requested_by.messages());
        }
    }

    /// Records a failure that concerns all expected work that is not done. If all of it is done, it concerns everything.
    pub(crate) fn retry_open(&mut self, why: &str) {
        self.why.get_or_insert_with(|| why.to_owned());
        self.failed.extend(self.open.iter().flat_map(|open| open.values()).flat_map(RequestedBy::messages));
    }

    /// Whether a retry is recorded.
    pub(crate) const fn is_retried(&self) -> bool {
        self.why.is_some()
    }

    /// Adds work that has to be done within the time of the invocation.
    pub(crate) fn expect(&mut self, items: impl IntoIterator<Item = WorkItem>) {
        let open = self.open.get_or_insert_default();
        open.extend(items.into_iter().map(|item| (item.subject, item.requested_by)));
    }

    /// Records that work ended, also if it failed.
    pub(crate) fn done(&mut self, subject: &str) {
        if let Some(open) = &mut self.open {
            open.remove(subject);
        }
    }

    /// The reason of a retry and the messages to deliver again; `None` if everything is accepted.
    pub(crate) fn failure(self, in_time: bool) -> Option<(String, FailedMessages)> {
        let Self { why, mut failed, open } = self;
        if in_time {
            return why.map(|why| (why, FailedMessages::named_or_all(failed.into_iter().collect())));
        }
        match open {
            Some(open) => failed.extend(open.values().flat_map(RequestedBy::messages)),
            // The meshes of each message are not known yet, and an empty list means all messages.
            None => failed.clear(),
        }
        Some((OUT_OF_TIME.to_owned(), FailedMessages::named_or_all(failed.into_iter().collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(messages: &[&str]) -> RequestedBy {
        messages.iter().map(|message| (*message != "event").then(|| (*message).to_owned())).collect()
    }

    fn only(messages: &[&str]) -> FailedMessages {
        FailedMessages::Only(messages.iter().map(|message| (*message).to_owned()).collect())
    }

    /// Expected work, done work, failed work, whether the time was enough, and the messages to deliver again.
    type Row<'a> =
        (Option<&'a [(&'a str, &'a [&'a str])]>, &'a [&'a str], &'a [&'a [&'a str]], bool, Option<FailedMessages>);

    #[test]
    fn only_failed_and_unfinished_work_is_delivered_again() {
        let all = Some(FailedMessages::All);
        let shop_and_bank: &[(&str, &[&str])] = &[("shop", &["a", "b"]), ("bank", &["b", "c"])];
        let rows: [Row<'_>; 11] = [
            (Some(shop_and_bank), &["shop", "bank"], &[], true, None),
            (Some(shop_and_bank), &[], &[], true, None),
            (Some(shop_and_bank), &["shop", "bank"], &[&["a"]], true, Some(only(&["a"]))),
            (Some(shop_and_bank), &["shop", "bank"], &[&["a"], &["c"]], true, Some(only(&["a", "c"]))),
            (Some(shop_and_bank), &["shop", "bank"], &[&["event"]], true, all.clone()),
            // The schedule repeats work that no delivery requested.
            (Some(shop_and_bank), &["shop", "bank"], &[&[]], true, None),
            (Some(shop_and_bank), &["shop"], &[], false, Some(only(&["b", "c"]))),
            (Some(shop_and_bank), &["bank"], &[&["c"]], false, Some(only(&["a", "b", "c"]))),
            (Some(&[("shop", &["event"])]), &[], &[], false, all.clone()),
            (None, &[], &[&["a"]], false, all.clone()),
            (None, &[], &[], false, all),
        ];
        for (row, (expected, done, failed, in_time, again)) in rows.into_iter().enumerate() {
            let mut work = Work::default();
            for (subject, messages) in expected.into_iter().flatten() {
                work.expect([WorkItem { subject: (*subject).to_owned(), requested_by: by(messages) }]);
            }
            for subject in done {
                work.done(subject);
            }
            for messages in failed {
                work.retry(&by(messages), "no");
            }
            assert_eq!(work.failure(in_time).map(|(_, messages)| messages), again, "row {row}");
        }
    }

    #[test]
    fn failure_of_open_work_repeats_what_is_not_done() {
        for (done, again) in [(&["shop"][..], Some(only(&["b"]))), (&["shop", "bank"], Some(FailedMessages::All))] {
            let mut work = Work::default();
            for (subject, message) in [("shop", "a"), ("bank", "b")] {
                work.expect([WorkItem { subject: subject.to_owned(), requested_by: by(&[message]) }]);
            }
            for subject in done {
                work.done(subject);
            }
            work.retry_open("no");
            assert_eq!(work.failure(true).map(|(_, messages)| messages), again, "{done:?}");
        }
    }

    #[test]
    fn first_reason_is_reported() {
        let mut work = Work::default();
        work.retry(&by(&["a"]), "one");
        work.retry(&by(&["b"]), "other");
        assert_eq!(work.failure(true).unwrap().0, "one");
    }
}
