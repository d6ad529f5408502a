//! Limits on the memory that one request of a proxy can use.

use tonic::Status;

use super::protocol::Protocol;

/// The longest text of a NACK that is kept, in bytes. Envoy's text has a sentence for each resource.
const MAX_NACK_TEXT: usize = 4096;

/// The most resource names of one stream, subscribed or reported, in bytes: more than 10,000 clusters.
const MAX_NAME_BYTES: usize = 1024 * 1024;

/// Shortens the text of a NACK, and refuses names beyond the limit of a stream, which has `kept` bytes of
/// them already.
pub(super) fn apply<P: Protocol>(request: &mut P::Request, kept: usize) -> Result<(), Status> {
    if let Some(refusal) = P::refusal_mut(request) {
        let length = shortened(&refusal.message).len();
        refusal.message.truncate(length);
        refusal.message.shrink_to_fit();
        refusal.details = Vec::new();
    }
    let requested = P::name_bytes_of(request);
    if requested > 0 && kept.saturating_add(requested) > MAX_NAME_BYTES {
        return Err(Status::resource_exhausted(format!(
            "a stream may name resources of {MAX_NAME_BYTES} bytes in total; it has {kept}, and this request has {requested} more"
        )));
    }
    Ok(())
}

/// The part of a text that is kept.
pub(super) fn shortened(text: &str) -> &str {
    let end = (0..=MAX_NACK_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
    use envoy_types::pb::google::protobuf::Any;
    use envoy_types::pb::google::rpc::Status as Refusal;
    use xds::ads::{DeltaStream, SotwStream};

    use super::*;

    #[test]
    fn texts_of_nacks_are_shortened() {
        let refusal = Refusal { message: "ä".repeat(3000), details: vec![Any::default(); 9], ..Refusal::default() };
        let mut request = DiscoveryRequest { error_detail: Some(refusal), ..DiscoveryRequest::default() };
        apply::<SotwStream>(&mut request, 0).unwrap();
        let refusal = request.error_detail.unwrap();
        assert_eq!((refusal.message.len(), refusal.details.len()), (4096, 0));
    }

    #[test]
    fn names_are_limited_by_their_bytes() {
        let names = |count: usize| (0..count).map(|n| format!("{n:0100}")).collect::<Vec<_>>();
        let mut sotw = DiscoveryRequest { resource_names: names(10_000), ..DiscoveryRequest::default() };
        assert!(apply::<SotwStream>(&mut sotw, 0).is_ok());
        assert!(apply::<SotwStream>(&mut sotw, 100_000).is_err());
        let mut delta = DeltaDiscoveryRequest { resource_names_subscribe: names(6000), ..Default::default() };
        assert!(apply::<DeltaStream>(&mut delta, 0).is_ok());
        delta.initial_resource_versions = names(6000).into_iter().map(|name| (name, "1".to_owned())).collect();
        assert!(apply::<DeltaStream>(&mut delta, 0).is_err());
        let mut acknowledgement = DeltaDiscoveryRequest::default();
        assert!(apply::<DeltaStream>(&mut acknowledgement, usize::MAX).is_ok());
    }
}
