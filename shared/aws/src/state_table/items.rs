//! The items of the state table.
//!
//! | what        | `pk`               | `sk`                    | further attributes                                               |
//! |-------------|--------------------|-------------------------|------------------------------------------------------------------|
//! | document    | `route/shop/recs/main` | `document`          | `revision`, `epoch`, `document` (JSON), while leased `holder`, `leaseUntil` |
//! |             | `node/shop/images` | as above                | as above                                                         |
//! | journal     | as its document    | `journal#<time>#<id>`   | `body` (JSON), `at`, `id`, `expires`                              |
//! | budget      | `budget/failover`  | `window#<time>`         | `used`, `expires`                                                |
//! | kill switch | `kill-switch`      | `state`                 | `by`, `reason`, `at`                                             |
//!
//! Times are texts in one fixed form, so that they sort and compare as they are. `expires` is the table's time to live,
//! in seconds since 1970. It only cleans up, and no code relies on the deletion of an item.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use ports::{BudgetWindow, JournalEntry, KillSwitch, Lease, StateKey, Stored};
use serde_json::Value;

/// An item of the table.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The prefix of the sort key of every journal entry.
pub(super) const JOURNAL: &str = "journal#";

/// The retention of the journal: long enough for a quarter's review.
const JOURNAL_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The retention of a budget after its window, for an operator who analyses an incident.
const BUDGET_KEPT: SignedDuration = SignedDuration::from_hours(24);

pub(super) fn document_key(key: &StateKey) -> Item {
    keys(key.as_str(), "document")
}

pub(super) fn budget_key(window: &BudgetWindow) -> Item {
    keys(&format!("budget/{}", window.class), &format!("window#{}", time(window.start)))
}

pub(super) fn kill_switch_key() -> Item {
    keys("kill-switch", "state")
}

fn keys(pk: &str, sk: &str) -> Item {
    HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

pub(super) fn journal_item(key: &StateKey, entry: &JournalEntry) -> Item {
    let mut item = keys(key.as_str(), &format!("{JOURNAL}{}#{}", time(entry.at), entry.id));
    item.insert("at".to_owned(), text(&time(entry.at)));
    item.insert("id".to_owned(), text(&entry.id));
    item.insert("body".to_owned(), text(&entry.body.to_string()));
    item.insert("expires".to_owned(), expires(entry.at, JOURNAL_KEPT));
    item
}

pub(super) fn kill_switch_item(switch: &KillSwitch) -> Item {
    let mut item = kill_switch_key();
    item.insert("by".to_owned(), text(&switch.by));
    item.insert("reason".to_owned(), text(&switch.reason));
    item.insert("at".to_owned(), text(&time(switch.at)));
    item
}

/// The time from which a budget's item may be deleted.
pub(super) fn budget_expires(window: &BudgetWindow) -> AttributeValue {
    expires(window.end, BUDGET_KEPT)
}

/// Parses a document's item.
pub(super) fn stored(item: &Item) -> Result<Stored, ItemError> {
    let lease = match (item.get("holder"), item.get("leaseUntil")) {
        (Some(_), Some(_)) => {
            Some(Lease { holder: string(item, "holder")?.to_owned(), until: instant(item, "leaseUntil")? })
        }
        _ => None,
    };
    Ok(Stored {
        revision: integer(item, "revision")?,
        epoch: integer(item, "epoch")?,
        lease,
        document: json(item, "document")?,
    })
}

/// Parses a journal entry's item.
pub(super) fn journal_entry(item: &Item) -> Result<JournalEntry, ItemError> {
    Ok(JournalEntry { at: instant(item, "at")?, id: string(item, "id")?.to_owned(), body: json(item, "body")? })
}

/// Parses the kill switch's item. The switch is on for any content: an operator who created the item by hand may have
/// left out attributes.
pub(super) fn kill_switch(item: &Item) -> KillSwitch {
    let text_or_not_given = |attribute: &'static str| string(item, attribute).unwrap_or("not given").to_owned();
    KillSwitch {
        by: text_or_not_given("by"),
        reason: text_or_not_given("reason"),
        at: instant(item, "at").unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

/// Parses how much of a budget is spent.
pub(super) fn used(item: &Item) -> Result<u32, ItemError> {
    Ok(u32::try_from(integer(item, "used")?).unwrap_or(u32::MAX))
}

/// An attribute that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the attribute `{attribute}` of item `{key}` is {problem}")]
pub(super) struct ItemError {
    key: String,
    attribute: &'static str,
    problem: String,
}

fn broken(item: &Item, attribute: &'static str, problem: impl Into<String>) -> ItemError {
    let part = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map_or("?", String::as_str);
    ItemError { key: format!("{} {}", part("pk"), part("sk")), attribute, problem: problem.into() }
}

fn string<'a>(item: &'a Item, attribute: &'static str) -> Result<&'a str, ItemError> {
    match item.get(attribute) {
        Some(AttributeValue::S(text)) => Ok(text),
        Some(_) => Err(broken(item, attribute, "not a text")),
        None => Err(broken(item, attribute, "missing")),
    }
}

fn integer(item: &Item, attribute: &'static str) -> Result<u64, ItemError> {
    match item.get(attribute) {
        Some(AttributeValue::N(digits)) => {
            digits.parse().map_err(|_| broken(item, attribute, format!("`{digits}`, not a whole number")))
        }
        Some(_) => Err(broken(item, attribute, "not a number")),
        None => Err(broken(item, attribute, "missing")),
    }
}

fn instant(item: &Item, attribute: &'static str) -> Result<Timestamp, ItemError> {
    let text = string(item, attribute)?;
    text.parse().map_err(|error| broken(item, attribute, format!("not a time: {error}")))
}

fn json(item: &Item, attribute: &'static str) -> Result<Value, ItemError> {
    let text = string(item, attribute)?;
    serde_json::from_str(text).map_err(|error| broken(item, attribute, format!("not valid JSON: {error}")))
}

/// Formats a time for the table, as in `2026-11-20T10:00:00.000000000Z`.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.9}")
}

fn expires(at: Timestamp, after: SignedDuration) -> AttributeValue {
    number(at.saturating_add(after).unwrap_or(Timestamp::MAX).as_second())
}

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(super) fn number(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort_as_texts() {
        let times =
            ["2026-11-20T10:00:00Z", "2026-11-20T10:00:00.5Z", "2026-11-20T10:00:00.50000001Z", "2026-11-20T10:00:01Z"];
        let texts = times.map(|at| time(at.parse().unwrap()));
        assert_eq!(texts[0], "2026-11-20T10:00:00.000000000Z");
        assert!(texts.is_sorted(), "{texts:?}");
    }

    #[test]
    fn unreadable_attribute_is_named() {
        let mut item = keys("route/shop/recs/main", "document");
        for (name, value) in [("revision", number(3)), ("epoch", number(2)), ("document", text("{\"broken\""))] {
            item.insert(name.to_owned(), value);
        }
        let error = stored(&item).unwrap_err().to_string();
        assert!(
            error
                .starts_with("the attribute `document` of item `route/shop/recs/main document` is not valid JSON: EOF"),
            "{error}"
        );
        item.remove("revision");
        let error = stored(&item).unwrap_err().to_string();
        assert_eq!(error, "the attribute `revision` of item `route/shop/recs/main document` is missing");
    }

    #[test]
    fn kill_switch_without_attributes_is_on() {
        let switch = kill_switch(&kill_switch_key());
        assert_eq!((switch.by.as_str(), switch.at), ("not given", Timestamp::UNIX_EPOCH));
    }
}
