//! The conditional writes. Each is one transaction: the table writes all of it, or nothing and returns the reason.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use jiff::Timestamp;
use ports::{Begin, Finish, JournalEntry, Note, PortError, PortErrorKind, Spend, StateKey, Stored};
use serde_json::Value;

use super::items::{self, Item, ItemError, number, text, time};
use crate::call::{classify, within_deadline};

/// The parts of a transaction, in the order in which they are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    KillSwitch,
    Document,
    Budget,
    Journal,
}

/// The writes of a transaction, each with its condition.
#[derive(Debug)]
pub(super) struct Transaction(Vec<(Part, Write)>);

#[derive(Debug)]
enum Write {
    /// The item must not exist.
    Absent(Item),
    Update {
        key: Item,
        update: &'static str,
        condition: &'static str,
        values: HashMap<String, AttributeValue>,
    },
    Put(Item),
}

impl Transaction {
    /// Acquires the lease. The epoch is the new revision; see [`Begin::admission`].
    pub(super) fn begin(begin: &Begin) -> Self {
        let until = begin.now.saturating_add(begin.lease).unwrap_or(Timestamp::MAX);
        let mut values = HashMap::from([
            (":granted".to_owned(), number(begin.revision + 1)),
            (":holder".to_owned(), text(&begin.holder)),
            (":until".to_owned(), text(&time(until))),
            (":document".to_owned(), json(&begin.document)),
        ]);
        let condition = if begin.revision == 0 {
            "attribute_not_exists(pk)"
        } else {
            values.insert(":revision".to_owned(), number(begin.revision));
            values.insert(":now".to_owned(), text(&time(begin.now)));
            "revision = :revision AND (attribute_not_exists(holder) OR holder = :holder OR leaseUntil <= :now)"
        };
        let document = Write::Update {
            key: items::document_key(&begin.key),
            update: "SET revision = :granted, epoch = :granted, holder = :holder, leaseUntil = :until, document = :document",
            condition,
            values,
        };
        let mut parts = vec![(Part::KillSwitch, Write::Absent(items::kill_switch_key())), (Part::Document, document)];
        parts.extend(begin.spend.as_ref().map(|spend| (Part::Budget, spending(spend))));
        parts.push(journalled(&begin.key, &begin.journal));
        Self(parts)
    }

    /// Releases the lease.
    pub(super) fn finish(finish: &Finish) -> Self {
        let document = Write::Update {
            key: items::document_key(&finish.key),
            update: "SET revision = :next, document = :document REMOVE holder, leaseUntil",
            condition: "epoch = :epoch AND attribute_exists(holder)",
            values: HashMap::from([
                (":epoch".to_owned(), number(finish.epoch)),
                (":next".to_owned(), number(finish.epoch + 1)),
                (":document".to_owned(), json(&finish.document)),
            ]),
        };
        Self(vec![(Part::Document, document), journalled(&finish.key, &finish.journal)])
    }

    /// Stores a document that is not leased.
    pub(super) fn note(note: &Note) -> Self {
        let mut values = HashMap::from([
            (":next".to_owned(), number(note.revision + 1)),
            (":zero".to_owned(), number(0)),
            (":document".to_owned(), json(&note.document)),
        ]);
        let condition = if note.revision == 0 {
            "attribute_not_exists(pk)"
        } else {
            values.insert(":revision".to_owned(), number(note.revision));
            values.insert(":now".to_owned(), text(&time(note.now)));
            "revision = :revision AND (attribute_not_exists(holder) OR leaseUntil <= :now)"
        };
        let document = Write::Update {
            key: items::document_key(&note.key),
            update: "SET revision = :next, epoch = if_not_exists(epoch, :zero), document = :document REMOVE holder, leaseUntil",
            condition,
            values,
        };
        let mut parts = vec![(Part::Document, document)];
        parts.extend(note.journal.as_ref().map(|entry| journalled(&note.key, entry)));
        Self(parts)
    }

    /// Executes the transaction; the inner error is a failed condition. The SDK gives each transaction an idempotency
    /// token, so that its retries after a lost response write only once.
    pub(super) async fn run(
        self,
        client: &Client,
        table: &str,
        what: impl Fn() -> String,
    ) -> Result<Result<(), Cancelled>, PortError> {
        let (parts, writes): (Vec<_>, Vec<_>) = self.0.into_iter().unzip();
        let items: Result<Vec<_>, _> = writes.into_iter().map(|write| write.item(table)).collect();
        let items = items.map_err(|error| PortError::new(what(), PortErrorKind::Other, error.to_string()))?;
        let request = client.transact_write_items().set_transact_items(Some(items));
        match within_deadline(&what, request.send()).await? {
            Ok(_) => Ok(Ok(())),
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    let reasons = cancelled.cancellation_reasons().iter().cloned();
                    Ok(Err(Cancelled(parts.into_iter().zip(reasons).collect())))
                }
                _ => Err(classify(what(), error)),
            },
        }
    }
}

/// Spends one change of a budget. The first change of a window creates its item, unless the budget is zero.
fn spending(spend: &Spend) -> Write {
    Write::Update {
        key: items::budget_key(&spend.window),
        update: "SET expires = :expires ADD used :one",
        condition: if spend.cap == 0 { "used < :cap" } else { "attribute_not_exists(used) OR used < :cap" },
        values: HashMap::from([
            (":one".to_owned(), number(1)),
            (":cap".to_owned(), number(spend.cap)),
            (":expires".to_owned(), items::budget_expires(&spend.window)),
        ]),
    }
}

fn journalled(key: &StateKey, entry: &JournalEntry) -> (Part, Write) {
    (Part::Journal, Write::Put(items::journal_item(key, entry)))
}

fn json(document: &Value) -> AttributeValue {
    text(&document.to_string())
}

impl Write {
    fn item(self, table: &str) -> Result<TransactWriteItem, BuildError> {
        let item = TransactWriteItem::builder();
        Ok(match self {
            Self::Absent(key) => item.condition_check(
                ConditionCheck::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .condition_expression("attribute_not_exists(pk)")
                    .build()?,
            ),
            Self::Update { key, update, condition, values } => item.update(
                Update::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .update_expression(update)
                    .condition_expression(condition)
                    .set_expression_attribute_values(Some(values))
                    .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                    .build()?,
            ),
            Self::Put(new) => item.put(Put::builder().table_name(table).set_item(Some(new)).build()?),
        }
        .build())
    }
}

/// A transaction that was cancelled, with a reason for each of its parts.
#[derive(Debug)]
pub(super) struct Cancelled(Vec<(Part, CancellationReason)>);

impl Cancelled {
    /// Whether this part's condition did not hold.
    pub(super) fn failed(&self, part: Part) -> bool {
        let failed = |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
        self.0.iter().any(|(of, reason)| *of == part && failed(reason))
    }

    /// The document at the time when its condition was checked; `None` if there was none.
    pub(super) fn document(&self) -> Result<Option<Stored>, ItemError> {
        let reason = self.0.iter().find(|(of, _)| *of == Part::Document);
        let item = reason.and_then(|(_, reason)| reason.item.as_ref()).filter(|item| !item.is_empty());
        item.map(items::stored).transpose()
    }

    /// The error for a cancellation that no condition explains: other transactions changed the items, or the load was
    /// too high.
    pub(super) fn unexplained(&self, call: String) -> PortError {
        let codes = || self.0.iter().filter_map(|(_, reason)| reason.code()).filter(|code| *code != "None");
        let kind = if codes().any(|code| matches!(code, "ThrottlingError" | "ProvisionedThroughputExceeded")) {
            PortErrorKind::Throttled
        } else if codes().any(|code| code == "TransactionConflict") {
            PortErrorKind::Conflict
        } else {
            PortErrorKind::Other
        };
        let texts = self.0.iter().filter_map(|(_, reason)| reason.message());
        let message: Vec<_> = codes().chain(texts).collect();
        PortError::new(call, kind, format!("the transaction was cancelled: {}", message.join(", ")))
    }
}
