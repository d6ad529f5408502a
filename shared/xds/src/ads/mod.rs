//! The ADS stream as a state machine.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::Any;

use crate::{ResourceType, Snapshot, Version};

/// What a stream has sent and what was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// By type.
    pub types: BTreeMap<ResourceType, TypeStatus>,
}

/// Of one type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TypeStatus {
    /// The version sent last.
    pub sent: Option<Version>,
    /// The version acknowledged last.
    pub acknowledged: Option<Version>,
    /// The acknowledged resources.
    pub resources: BTreeMap<String, Version>,
    /// The refusal of what was sent last.
    pub nack: Option<Nack>,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// Of this version.
    pub version: Version,
    /// Why.
    pub message: String,
}

/// State of the world.
#[derive(Debug, Default)]
pub struct SotwStream {
    status: Status,
    nonce: u64,
    asked: BTreeMap<ResourceType, BTreeSet<String>>,
    pending: BTreeMap<ResourceType, (String, BTreeMap<String, Version>)>,
}

impl SotwStream {
    /// Nothing said yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A request.
    pub fn on_request(&mut self, request: &DiscoveryRequest, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        let Some(kind) = ResourceType::of_url(&request.type_url) else { return Vec::new() };
        let status = self.status.types.entry(kind).or_default();
        if let Some((nonce, resources)) = self.pending.get(&kind)
            && *nonce == request.response_nonce
        {
            match &request.error_detail {
                Some(error) => {
                    status.nack = status.sent.clone().map(|version| Nack { version, message: error.message.clone() });
                }
                None => {
                    status.nack = None;
                    status.acknowledged.clone_from(&status.sent);
                    status.resources.clone_from(resources);
                }
            }
        }
        self.asked.insert(kind, request.resource_names.iter().cloned().collect());
        self.send(kind, snapshot).into_iter().collect()
    }

    fn send(&mut self, kind: ResourceType, snapshot: &Snapshot) -> Option<DiscoveryResponse> {
        let names = self.asked.get(&kind)?;
        let all = names.is_empty() && kind.is_wildcard();
        let chosen: Vec<_> = snapshot.of(kind).filter(|(name, _)| all || names.contains(*name)).collect();
        let version =
            Version::of(chosen.iter().flat_map(|(name, one)| [name.as_bytes(), one.version().as_str().as_bytes()]));
        let status = self.status.types.entry(kind).or_default();
        if status.sent.as_ref() == Some(&version) || (chosen.is_empty() && !all) {
            return None;
        }
        status.sent = Some(version.clone());
        self.nonce += 1;
        let nonce = self.nonce.to_string();
        let sent = chosen.iter().map(|(name, one)| ((*name).clone(), one.version().clone())).collect();
        self.pending.insert(kind, (nonce.clone(), sent));
        let any = |body: &[u8]| Any { type_url: kind.url().to_owned(), value: body.to_vec() };
        Some(DiscoveryResponse {
            version_info: version.to_string(),
            type_url: kind.url().to_owned(),
            nonce,
            resources: chosen.iter().map(|(_, one)| any(one.body())).collect(),
            ..DiscoveryResponse::default()
        })
    }

    /// A new snapshot.
    pub fn on_snapshot(&mut self, snapshot: &Snapshot) -> Vec<DiscoveryResponse> {
        ResourceType::ALL.into_iter().filter_map(|kind| self.send(kind, snapshot)).collect()
    }

    /// What was sent and acknowledged.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }
}

/// Delta.
#[derive(Debug, Default)]
pub struct DeltaStream {
    status: Status,
}

impl DeltaStream {
    /// Nothing said yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A request.
    pub fn on_request(&mut self, _: &DeltaDiscoveryRequest, _: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        Vec::new()
    }

    /// A new snapshot.
    pub fn on_snapshot(&mut self, _: &Snapshot) -> Vec<DeltaDiscoveryResponse> {
        Vec::new()
    }

    /// What was sent and acknowledged.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }
}
