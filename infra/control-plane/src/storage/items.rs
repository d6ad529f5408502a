//! The store of items that a shared log is kept in: DynamoDB or etcd.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws::TableItem;
use tokio::time::sleep;

use super::log::LogError;
use super::open_error::SharedOpenError;

/// How often a request at the start is sent: to each member of a usual cluster, and once more.
const START_ATTEMPTS: usize = 6;

/// The pause between these attempts.
const START_PAUSE: Duration = Duration::from_millis(200);

/// The result of a put with a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ItemPut {
    /// The item is stored.
    Stored,
    /// The condition failed, because of this item.
    Refused(TableItem),
}

/// A part of the items with one partition key, in the order of their sort keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ItemsPage {
    pub(super) items: Vec<TableItem>,
    pub(super) more: bool,
}

/// A store of small items with the text keys `pk` and `sk`. Every read is linearizable: it contains each item that was
/// stored before the read began.
#[async_trait]
pub(super) trait Items: fmt::Debug + Send + Sync {
    /// The store as `--store` names it.
    fn name(&self) -> String;

    /// Checks that acknowledged items stay, and returns what identifies the store in the world: a copy has
    /// another identity.
    async fn identify(&self) -> Result<String, SharedOpenError>;

    /// Stores an item, unless another one has its keys.
    async fn put_new(&self, item: &TableItem) -> Result<ItemPut, LogError>;

    /// Stores an item, replacing the one with the same keys if its number `attribute` is lower.
    async fn put_greater(&self, item: &TableItem, attribute: &str) -> Result<ItemPut, LogError>;

    /// Stores an item, replacing the one with the same keys.
    async fn put(&self, item: &TableItem) -> Result<(), LogError>;

    /// Reads one item.
    async fn get(&self, pk: &str, sk: &str) -> Result<Option<TableItem>, LogError>;

    /// Reads the items of a partition with a sort key after `after`.
    async fn query(&self, pk: &str, after: &str) -> Result<ItemsPage, LogError>;

    /// Removes an attribute of an item that exists.
    async fn remove_attribute(&self, pk: &str, sk: &str, attribute: &str) -> Result<(), LogError>;

    /// Deletes an item, if it exists.
    async fn delete(&self, pk: &str, sk: &str) -> Result<(), LogError>;
}

/// Repeats a request at the start, of which the outcome is unknown: a member of a cluster may be down, and the next request
/// goes to another one.
pub(super) async fn retried<T, F>(request: impl Fn() -> F) -> Result<T, LogError>
where
    F: Future<Output = Result<T, LogError>>,
{
    for _ in 1..START_ATTEMPTS {
        match request().await {
            Err(LogError::Unknown { .. }) => sleep(START_PAUSE).await,
            outcome => return outcome,
        }
    }
    request().await
}
