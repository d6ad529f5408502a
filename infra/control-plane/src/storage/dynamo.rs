//! A DynamoDB table as a store of items.

use async_trait::async_trait;
use aws::{ItemPage, ItemTable, PutOutcome, TableItem};
use ports::{PortError, PortErrorKind};

use super::items::{ItemPut, Items, ItemsPage};
use super::log::LogError;
use super::open_error::SharedOpenError;

/// A table of one region, without a time to live.
#[derive(Debug)]
pub(super) struct DynamoItems(pub(super) ItemTable);

/// The error of the table, as a log reports it: unknown, unless the call certainly had no effect.
fn failed(error: PortError) -> LogError {
    match error.kind {
        PortErrorKind::Denied | PortErrorKind::NotFound => LogError::refused("use the table", error),
        PortErrorKind::Throttled
        | PortErrorKind::Conflict
        | PortErrorKind::Expired
        | PortErrorKind::Unavailable
        | PortErrorKind::TimedOut
        | PortErrorKind::Other => LogError::unknown("use the table", error),
    }
}

impl DynamoItems {
    async fn outcome(&self, item: &TableItem, outcome: PutOutcome) -> Result<ItemPut, LogError> {
        match outcome {
            PutOutcome::Stored => Ok(ItemPut::Stored),
            PutOutcome::Refused(Some(held)) => Ok(ItemPut::Refused(held)),
            // An older service does not return the item that failed the condition.
            PutOutcome::Refused(None) => {
                let key = |name| super::format::text(item, name).unwrap_or_default();
                let held = self.get(key("pk"), key("sk")).await?;
                held.map(ItemPut::Refused)
                    .ok_or_else(|| LogError::unknown("use the table", "it returned no item that failed the condition"))
            }
            PutOutcome::Invalid(what) => Err(LogError::refused("use the table", what)),
        }
    }
}

#[async_trait]
impl Items for DynamoItems {
    fn name(&self) -> String {
        format!("dynamodb:{}", self.0.name())
    }

    async fn identify(&self) -> Result<String, SharedOpenError> {
        let description = match self.0.describe().await {
            Err(error) if error.kind == PortErrorKind::NotFound => {
                return Err(SharedOpenError::Missing { store: self.name() });
            }
            description => description.map_err(|error| SharedOpenError::new(self.name(), failed(error)))?,
        };
        if description.is_global {
            return Err(SharedOpenError::Global { store: self.name() });
        }
        if description.has_time_to_live {
            return Err(SharedOpenError::TimeToLive { store: self.name() });
        }
        Ok(description.arn)
    }

    async fn put_new(&self, item: &TableItem) -> Result<ItemPut, LogError> {
        let outcome = self.0.put_new(item).await.map_err(failed)?;
        self.outcome(item, outcome).await
    }

    async fn put_greater(&self, item: &TableItem, attribute: &str) -> Result<ItemPut, LogError> {
        let outcome = self.0.put_greater(item, attribute).await.map_err(failed)?;
        self.outcome(item, outcome).await
    }

    async fn put(&self, item: &TableItem) -> Result<(), LogError> {
        self.0.put(item).await.map_err(failed)
    }

    async fn get(&self, pk: &str, sk: &str) -> Result<Option<TableItem>, LogError> {
        self.0.get(pk, sk).await.map_err(failed)
    }

    async fn query(&self, pk: &str, after: &str) -> Result<ItemsPage, LogError> {
        let ItemPage { items, more } = self.0.query(pk, after).await.map_err(failed)?;
        Ok(ItemsPage { items, more })
    }

    async fn remove_attribute(&self, pk: &str, sk: &str, attribute: &str) -> Result<(), LogError> {
        self.0.remove_attribute(pk, sk, attribute).await.map_err(failed)
    }

    async fn delete(&self, pk: &str, sk: &str) -> Result<(), LogError> {
        self.0.delete(pk, sk).await.map_err(failed)
    }
}
