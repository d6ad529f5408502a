//! etcd as a store of items, under `/meshwarden/`. Every request is linearizable, which is etcd's default.

mod connect;
mod messages;

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use aws::{TableItem, TableValue};
use axum::http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request as GrpcRequest, Status};
use tonic_prost::ProstCodec;

use super::format::text;
use super::items::{ItemPut, Items, ItemsPage, retried};
use super::log::LogError;
use super::open_error::SharedOpenError;
pub use connect::EtcdTls;
use messages::{
    Attribute, AttributeValue, Compare, CompareValue, DeleteRangeRequest, Ignored, KeyValue, PutRequest, RangeRequest,
    RangeResponse, Request, RequestOp, Response, StatusRequest, StatusResponse, StoredItem, TxnRequest, TxnResponse,
};

/// The most items of a page: a megabyte or two of usual entries.
const PAGE: i64 = 64;

/// The largest answer: a page of the largest entries.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// The first release that does not lose committed data when a member is killed under load (etcd issue 13766 was fixed in
/// 3.5.3, and the last of its successors in 3.5.6).
const OLDEST: [u64; 3] = [3, 5, 6];

/// The members of an etcd cluster.
#[derive(Debug)]
pub(super) struct EtcdItems {
    endpoints: Vec<String>,
    channels: Vec<Channel>,
    /// The member that answered last.
    current: AtomicUsize,
    accepts_old: bool,
}

impl EtcdItems {
    /// Connects lazily. `endpoints` are `HOST:PORT`; `accepts_old` accepts releases that may lose data.
    pub(super) fn new(endpoints: &[String], tls: Option<&EtcdTls>, accepts_old: bool) -> Result<Self, SharedOpenError> {
        if let Some(tls) = tls {
            tls.check().map_err(|error| {
                SharedOpenError::new(format!("etcd:{}", endpoints.join(",")), LogError::refused("set up TLS", error))
            })?;
        }
        let channel = |endpoint: &String| {
            connect::channel(endpoint, tls).map_err(|error| {
                SharedOpenError::new(format!("etcd:{endpoint}"), LogError::refused("parse the endpoint", error))
            })
        };
        let channels = endpoints.iter().map(channel).collect::<Result<_, SharedOpenError>>()?;
        Ok(Self { endpoints: endpoints.to_vec(), channels, current: AtomicUsize::new(0), accepts_old })
    }

    /// Calls the member that answered last; after a failure, the next call goes to the next member.
    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, LogError>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let turn = self.current.load(Ordering::Relaxed);
        let channel = turn.checked_rem(self.channels.len()).and_then(|turn| self.channels.get(turn));
        let Some(channel) = channel.cloned() else {
            return Err(LogError::refused("use etcd", "no endpoint is given"));
        };
        let answer = async {
            let mut client = Grpc::new(channel).max_decoding_message_size(MAX_ANSWER);
            client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
            let path = PathAndQuery::from_static(path);
            client.unary(GrpcRequest::new(request), path, ProstCodec::<Q, A>::default()).await
        };
        answer.await.map(tonic::Response::into_inner).map_err(|status| {
            self.current.store(turn.wrapping_add(1), Ordering::Relaxed);
            match status.code() {
                Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented => {
                    LogError::refused("use etcd", status)
                }
                _ => LogError::unknown("use etcd", status),
            }
        })
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, LogError> {
        self.call("/etcdserverpb.KV/Range", request).await
    }

    /// The item under a key, with the revision of its last change.
    async fn read(&self, key: Vec<u8>) -> Result<Option<(TableItem, i64)>, LogError> {
        let answer = self.range(RangeRequest { key, range_end: Vec::new(), limit: 1 }).await?;
        answer.kvs.first().map(|found| Ok((item(found)?, found.mod_revision))).transpose()
    }

    /// Stores an item if the last change of its key has this revision; 0 if there must be none. Returns the item that is
    /// there otherwise.
    async fn put_at(&self, item: &TableItem, revision: i64) -> Result<ItemPut, LogError> {
        let key = key_of(item);
        let put = PutRequest { key: key.clone(), value: encoded(item) };
        let read = RangeRequest { key: key.clone(), range_end: Vec::new(), limit: 1 };
        let condition = Compare { result: 0, target: 2, key, value: Some(CompareValue::ModRevision(revision)) };
        let operation = |request| vec![RequestOp { request: Some(request) }];
        let request = TxnRequest {
            compare: vec![condition],
            success: operation(Request::Put(put)),
            failure: operation(Request::Range(read)),
        };
        let answer: TxnResponse = self.call("/etcdserverpb.KV/Txn", request).await?;
        if answer.succeeded {
            return Ok(ItemPut::Stored);
        }
        let read = answer.responses.into_iter().next().and_then(|answer| answer.response);
        match read {
            Some(Response::Range(range)) => match range.kvs.first() {
                Some(found) => Ok(ItemPut::Refused(self::item(found)?)),
                None => Err(LogError::unknown("use etcd", "the key was deleted meanwhile")),
            },
            None => Err(LogError::unknown("use etcd", "the answer has no item")),
        }
    }
}

#[async_trait]
impl Items for EtcdItems {
    fn name(&self) -> String {
        format!("etcd:{}", self.endpoints.join(","))
    }

    async fn identify(&self) -> Result<String, SharedOpenError> {
        let failed = |error| SharedOpenError::new(self.name(), error);
        let status = || self.call("/etcdserverpb.Maintenance/Status", StatusRequest {});
        let status: StatusResponse = retried(status).await.map_err(failed)?;
        if !self.accepts_old && is_old(&status.version) {
            return Err(SharedOpenError::OldRelease { store: self.name(), found: status.version });
        }
        // A cluster is known by its endpoints, which change when members are replaced; a copy is detected by the id of
        // its log, which a restore draws again.
        Ok("etcd".to_owned())
    }

    async fn put_new(&self, item: &TableItem) -> Result<ItemPut, LogError> {
        self.put_at(item, 0).await
    }

    async fn put_greater(&self, item: &TableItem, attribute: &str) -> Result<ItemPut, LogError> {
        let number = |item: &TableItem| super::format::number(item, attribute).ok();
        loop {
            let revision = match self.read(key_of(item)).await? {
                None => 0,
                Some((held, _)) if number(&held) >= number(item) => return Ok(ItemPut::Refused(held)),
                Some((_, revision)) => revision,
            };
            if self.put_at(item, revision).await? == ItemPut::Stored {
                return Ok(ItemPut::Stored);
            }
        }
    }

    async fn put(&self, item: &TableItem) -> Result<(), LogError> {
        let request = PutRequest { key: key_of(item), value: encoded(item) };
        self.call::<_, Ignored>("/etcdserverpb.KV/Put", request).await.map(|_| ())
    }

    async fn get(&self, pk: &str, sk: &str) -> Result<Option<TableItem>, LogError> {
        Ok(self.read(key(pk, sk)).await?.map(|(item, _)| item))
    }

    async fn query(&self, pk: &str, after: &str) -> Result<ItemsPage, LogError> {
        let mut first = key(pk, after);
        first.push(0);
        // The next character after the slash ends the partition.
        let range_end = format!("/meshwarden/{pk}0").into_bytes();
        let answer = self.range(RangeRequest { key: first, range_end, limit: PAGE }).await?;
        let items = answer.kvs.iter().map(item).collect::<Result<_, _>>()?;
        Ok(ItemsPage { items, more: answer.more })
    }

    async fn remove_attribute(&self, pk: &str, sk: &str, attribute: &str) -> Result<(), LogError> {
        loop {
            let Some((mut item, revision)) = self.read(key(pk, sk)).await? else {
                return Err(LogError::refused("use etcd", format!("{pk}/{sk} does not exist")));
            };
            if item.remove(attribute).is_none() || self.put_at(&item, revision).await? == ItemPut::Stored {
                return Ok(());
            }
        }
    }

    async fn delete(&self, pk: &str, sk: &str) -> Result<(), LogError> {
        let request = DeleteRangeRequest { key: key(pk, sk) };
        self.call::<_, Ignored>("/etcdserverpb.KV/DeleteRange", request).await.map(|_| ())
    }
}

fn key(pk: &str, sk: &str) -> Vec<u8> {
    format!("/meshwarden/{pk}/{sk}").into_bytes()
}

fn key_of(item: &TableItem) -> Vec<u8> {
    key(text(item, "pk").unwrap_or_default(), text(item, "sk").unwrap_or_default())
}

fn encoded(item: &TableItem) -> Vec<u8> {
    let attribute = |(name, value): (&String, &TableValue)| Attribute {
        name: name.clone(),
        value: Some(match value {
            TableValue::Text(text) => AttributeValue::Text(text.clone()),
            TableValue::Number(number) => AttributeValue::Number(*number),
            TableValue::Bytes(bytes) => AttributeValue::Bytes(bytes.clone()),
        }),
    };
    StoredItem { attributes: item.iter().map(attribute).collect() }.encode_to_vec()
}

fn item(found: &KeyValue) -> Result<TableItem, LogError> {
    let name = String::from_utf8_lossy(&found.key);
    let stored = StoredItem::decode(found.value.as_slice());
    let stored = stored.map_err(|error| LogError::invalid(format!("the value of {name}: {error}")))?;
    let attribute = |attribute: Attribute| {
        let value = match attribute.value? {
            AttributeValue::Text(text) => TableValue::Text(text),
            AttributeValue::Number(number) => TableValue::Number(number),
            AttributeValue::Bytes(bytes) => TableValue::Bytes(bytes),
        };
        Some((attribute.name, value))
    };
    Ok(stored.attributes.into_iter().filter_map(attribute).collect())
}

/// Whether a release may lose committed data. An unreadable version counts as old.
fn is_old(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(str::parse::<u64>);
    OLDEST
        .into_iter()
        .find_map(|oldest| match numbers.next() {
            Some(Ok(number)) if number == oldest => None,
            Some(Ok(number)) => Some(number < oldest),
            Some(Err(_)) | None => Some(true),
        })
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_before_3_5_6_are_old() {
        for (version, expected) in
            [("3.5.1", true), ("3.5.5", true), ("3.5.6", false), ("3.6.0", false), ("3.4.30", true), ("4.0.0", false)]
        {
            assert_eq!(is_old(version), expected, "{version}");
        }
        assert!(is_old("") && is_old("new"));
    }
}
