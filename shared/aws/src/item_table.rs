//! A DynamoDB table of small items, for the log of the control plane's replicas. It only knows items; their meaning is
//! the caller's business.
//!
//! Every read is strongly consistent. A put with a condition is one request, and returns the item that fails the
//! condition.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValuesOnConditionCheckFailure,
    ScalarAttributeType, TimeToLiveStatus,
};
use ports::{PortError, PortErrorKind};

use crate::call::{call, classify, within_deadline};

/// An item by the names of its attributes. Every item has the keys `pk` and `sk`.
pub type TableItem = BTreeMap<String, TableValue>;

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableValue {
    /// A text.
    Text(String),
    /// A whole number.
    Number(u64),
    /// A binary attribute.
    Bytes(Vec<u8>),
}

/// The result of a put with a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// The item is stored.
    Stored,
    /// The condition failed. The item that is there, if the table returned it.
    Refused(Option<TableItem>),
    /// The table will never accept this item, for this reason.
    Invalid(String),
}

/// A part of the items with one partition key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemPage {
    /// The items, in the order of their sort keys.
    pub items: Vec<TableItem>,
    /// Whether more items follow.
    pub more: bool,
}

/// The properties of a table that matter to its users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDescription {
    /// The ARN.
    pub arn: String,
    /// Whether other regions replicate it: two regions accept the same conditional write.
    pub is_global: bool,
    /// Whether it deletes items after a time.
    pub has_time_to_live: bool,
}

/// The adapter of one table.
#[derive(Debug, Clone)]
pub struct ItemTable {
    client: Client,
    table: String,
}

impl ItemTable {
    pub(crate) fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// The name of the table.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.table
    }

    /// Stores an item, unless another one has its keys.
    pub async fn put_new(&self, item: &TableItem) -> Result<PutOutcome, PortError> {
        self.put_with_condition(self.putting(item).condition_expression("attribute_not_exists(sk)")).await
    }

    /// Stores an item, replacing the one with the same keys if its number `attribute` is lower.
    pub async fn put_greater(&self, item: &TableItem, attribute: &str) -> Result<PutOutcome, PortError> {
        let value = item.get(attribute).map_or(AttributeValue::Null(true), to_attribute);
        let put = self
            .putting(item)
            .condition_expression("attribute_not_exists(sk) OR #a < :v")
            .expression_attribute_names("#a", attribute)
            .expression_attribute_values(":v", value);
        self.put_with_condition(put).await
    }

    /// Stores an item, replacing the one with the same keys.
    pub async fn put(&self, item: &TableItem) -> Result<(), PortError> {
        call(|| self.what("write to"), self.putting(item).send()).await.map(|_| ())
    }

    fn putting(&self, item: &TableItem) -> PutItemFluentBuilder {
        let item = item.iter().map(|(name, value)| (name.clone(), to_attribute(value))).collect();
        self.client.put_item().table_name(&self.table).set_item(Some(item))
    }

    async fn put_with_condition(&self, put: PutItemFluentBuilder) -> Result<PutOutcome, PortError> {
        let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let what = || self.what("write to");
        let Err(failed) = within_deadline(what, put.send()).await? else { return Ok(PutOutcome::Stored) };
        match failed.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                Ok(PutOutcome::Refused(refused.item().map(from_attributes)))
            }
            Some(error) if error.code() == Some("ValidationException") => {
                Ok(PutOutcome::Invalid(error.message().unwrap_or("no message").to_owned()))
            }
            _ => Err(classify(what(), failed)),
        }
    }

    /// Reads one item.
    pub async fn get(&self, pk: &str, sk: &str) -> Result<Option<TableItem>, PortError> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true).set_key(Some(keys(pk, sk)));
        let answer = call(|| self.what("read"), request.send()).await?;
        Ok(answer.item().map(from_attributes))
    }

    /// Reads the items with this partition key and a sort key after `after`; all of them after an empty text.
    pub async fn query(&self, pk: &str, after: &str) -> Result<ItemPage, PortError> {
        let mut request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression(if after.is_empty() { "pk = :p" } else { "pk = :p AND sk > :s" })
            .expression_attribute_values(":p", AttributeValue::S(pk.to_owned()));
        if !after.is_empty() {
            // The table refuses an empty key.
            request = request.expression_attribute_values(":s", AttributeValue::S(after.to_owned()));
        }
        let answer = call(|| self.what("query"), request.send()).await?;
        let items = answer.items().iter().map(from_attributes).collect();
        Ok(ItemPage { items, more: answer.last_evaluated_key().is_some_and(|key| !key.is_empty()) })
    }

    /// Removes an attribute of an item that exists.
    pub async fn remove_attribute(&self, pk: &str, sk: &str, attribute: &str) -> Result<(), PortError> {
        let request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys(pk, sk)))
            .update_expression("REMOVE #a")
            .condition_expression("attribute_exists(sk)")
            .expression_attribute_names("#a", attribute);
        call(|| self.what("write to"), request.send()).await.map(|_| ())
    }

    /// Deletes an item, if it exists.
    pub async fn delete(&self, pk: &str, sk: &str) -> Result<(), PortError> {
        let request = self.client.delete_item().table_name(&self.table).set_key(Some(keys(pk, sk)));
        call(|| self.what("write to"), request.send()).await.map(|_| ())
    }

    /// Reads the table's properties.
    pub async fn describe(&self) -> Result<TableDescription, PortError> {
        let what = || self.what("describe");
        let answer = call(what, self.client.describe_table().table_name(&self.table).send()).await?;
        let Some(table) = answer.table() else {
            return Err(PortError::new(what(), PortErrorKind::Other, "the response has no table"));
        };
        let ttl = call(what, self.client.describe_time_to_live().table_name(&self.table).send()).await?;
        let status = ttl.time_to_live_description().and_then(|description| description.time_to_live_status());
        Ok(TableDescription {
            arn: table.table_arn().unwrap_or_default().to_owned(),
            is_global: table.global_table_version().is_some() || !table.replicas().is_empty(),
            has_time_to_live: !matches!(status, None | Some(TimeToLiveStatus::Disabled)),
        })
    }

    /// Creates the table: billed by request, with the text keys `pk` and `sk`. It takes some seconds until it is usable.
    pub async fn create(&self) -> Result<(), PortError> {
        let what = || self.what("create");
        let unfit = |error: aws_sdk_dynamodb::error::BuildError| {
            PortError::new(what(), PortErrorKind::Other, error.to_string())
        };
        let mut request = self.client.create_table().table_name(&self.table).billing_mode(BillingMode::PayPerRequest);
        for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let key = KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(unfit)?;
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
            request = request.key_schema(key).attribute_definitions(attribute.build().map_err(unfit)?);
        }
        call(what, request.send()).await.map(|_| ())
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} the table `{}`", self.table)
    }
}

fn keys(pk: &str, sk: &str) -> HashMap<String, AttributeValue> {
    [("pk", pk), ("sk", sk)].map(|(name, key)| (name.to_owned(), AttributeValue::S(key.to_owned()))).into()
}

fn to_attribute(value: &TableValue) -> AttributeValue {
    match value {
        TableValue::Text(text) => AttributeValue::S(text.clone()),
        TableValue::Number(number) => AttributeValue::N(number.to_string()),
        TableValue::Bytes(bytes) => AttributeValue::B(Blob::new(bytes.clone())),
    }
}

/// The attributes of the three types that this table stores; others belong to another program and are left out.
fn from_attributes(item: &HashMap<String, AttributeValue>) -> TableItem {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => Some(TableValue::Text(text.clone())),
        AttributeValue::N(number) => number.parse().ok().map(TableValue::Number),
        AttributeValue::B(bytes) => Some(TableValue::Bytes(bytes.as_ref().to_vec())),
        _ => None,
    };
    item.iter().filter_map(|(name, attribute)| Some((name.clone(), value(attribute)?))).collect()
}
