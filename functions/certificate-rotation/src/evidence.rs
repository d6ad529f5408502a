//! What proxies have really taken, over all their streams.

use std::collections::{BTreeMap, BTreeSet};

use mesh::certificates::{Anchor, Fingerprint, Source};
use mesh::name::ResourcePath;
use mesh::rotation::Held;
use ports::PortError;
use ports::certificates::{AcknowledgedSecrets, ProxyStream, SeenSecret};

/// The streams, or why nobody could tell.
#[derive(Debug)]
pub(crate) struct Evidence {
    streams: Result<Vec<ProxyStream>, String>,
}

impl Evidence {
    pub(crate) fn of(read: Result<Vec<ProxyStream>, PortError>) -> Self {
        Self { streams: read.map_err(|error| error.to_string()) }
    }

    /// What a proxy has of these secrets together.
    pub(crate) fn held(&self, proxy: &ResourcePath, secrets: &[String]) -> Held {
        let streams = match &self.streams {
            Ok(streams) => streams.iter().filter(|stream| stream.proxy == *proxy).collect::<Vec<_>>(),
            Err(why) => return Held::Unknown(why.clone()),
        };
        if streams.is_empty() {
            return Held::Unknown("no proxy of it is connected".to_owned());
        }
        let mut all = BTreeSet::new();
        for stream in streams {
            let AcknowledgedSecrets::Known(known) = &stream.secrets else {
                return Held::Unknown(format!("{} was not told what to have", stream.peer));
            };
            for secret in secrets {
                match of_secret(known, secret) {
                    Held::Acknowledged(fingerprints) => all.extend(fingerprints),
                    other => return other,
                }
            }
        }
        Held::Acknowledged(all)
    }
}

fn of_secret(known: &BTreeMap<String, SeenSecret>, secret: &str) -> Held {
    match known.get(secret) {
        Some(SeenSecret::Acknowledged { certificates }) => {
            let fingerprints = certificates.iter().map(|one| Fingerprint::try_from(one.fingerprint.clone()));
            fingerprints
                .collect::<Result<_, _>>()
                .map_or_else(|error| Held::Unknown(error.to_string()), Held::Acknowledged)
        }
        Some(SeenSecret::Outstanding { .. }) => Held::Outstanding,
        Some(SeenSecret::BesideProxy) => Held::Unknown("it comes from files or a socket beside the proxy".to_owned()),
        Some(SeenSecret::Missing) => Held::Unknown("the control plane does not have it yet".to_owned()),
        Some(SeenSecret::Unrecognised(what)) => Held::Unknown(format!("the control plane says `{what}`")),
        None => Held::Unknown("the control plane does not send it".to_owned()),
    }
}

/// What the control plane calls what is presented.
pub(crate) fn leaf_secrets(source: &Source) -> Vec<String> {
    match source {
        Source::Acm(arn) => vec![arn.to_string()],
        Source::Sds(name) => vec![name.to_string()],
        Source::File(..) => Vec::new(),
    }
}

/// What the control plane calls what is trusted: all CAs of a policy are one secret.
pub(crate) fn trust_secrets(anchors: &[Anchor]) -> Vec<String> {
    let arns: Vec<&str> = anchors
        .iter()
        .filter_map(|anchor| match anchor {
            Anchor::Authority(arn) => Some(arn.as_str()),
            Anchor::IssuerOf(_) | Anchor::Sds(_) | Anchor::File(..) => None,
        })
        .collect();
    let together = (!arns.is_empty()).then(|| format!("trust:{}", arns.join(",")));
    let others = anchors.iter().filter_map(|anchor| match anchor {
        Anchor::IssuerOf(arn) => Some(format!("issuer:{arn}")),
        Anchor::Sds(name) => Some(name.to_string()),
        Anchor::Authority(_) | Anchor::File(..) => None,
    });
    together.into_iter().chain(others).collect()
}
