//! Executes one step. Each step can be repeated: existing results are detected, and an order keeps its idempotency
//! token.

use std::collections::BTreeMap;
use std::time::Duration;

use decisions::rotation::{AuthorityFacts, CertificateTemplate, RotationStep as Step, StepResult, issued_defect};
use mesh::certificates::{AuthorityArn, CertificateArn, CertificateNames as Names, Chain, Fingerprint, KeyKind};
use mesh::change::Change;
use mesh::name::ResourcePath;
use mesh::resource::Resource;
use mesh::spec::Spec;
use ports::certificates::{
    self, Bundle, IdempotencyToken, Import, Issuance, IssuedArn, KeyAlgorithm, Order, PrivateRequest, SecretId,
    SigningAlgorithm, Stage, StoredBundle, SubjectNames, Template, VersionId,
};
use ports::{PortError, PortErrorKind, VirtualGatewayWrite, VirtualNodeWrite, Written};

use crate::Ports;
use crate::observe::Observation;
use crate::stores::{REPLACES, ROTATE, SUPERSEDED_BY};
use crate::{roots, stores};

/// The most polls for a certificate with a key that is only in memory. A private CA takes some seconds, and a function
/// that does not wait has to order another certificate.
const POLLS: u32 = 15;
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Executes a step. An error leaves open whether it was executed.
pub(crate) async fn execute(
    ports: &Ports,
    step: &Step,
    id: &str,
    observation: &Observation,
) -> Result<StepResult, PortError> {
    match step {
        Step::RenewInStore { arn, export_first } => renew(ports, arn, *export_first).await,
        Step::RequestAnew { arn, authority, like, token } => request(ports, arn, authority, like, token).await,
        Step::Reimport { arn, authority, like, not_after, token } => {
            let fresh = ports.keys.make(&algorithm(&like.key)?, &names(&like.names)?)?;
            let order = order(observation, authority, fresh.request, *not_after, token)?;
            let issued = ports.authorities.issue(&order).await?;
            match wait_for(ports, &issued).await? {
                Issuance::Issued(chain) => {
                    let leaf = Chain::read(&chain.whole()).map_err(|error| other("read a certificate", error))?.leaf;
                    let key = stores::key_belongs(ports, &fresh.key, &leaf);
                    let own = &known_authority(observation, authority)?.certificate;
                    if let Some(defect) = issued_defect(like, own, &key, &leaf, ports.clock.now()) {
                        return Ok(StepResult::Refused { why: format!("{issued} can't be used: {defect}") });
                    }
                    let import = Import { onto: Some(acm(arn)?), chain, key: fresh.key, tags: BTreeMap::new() };
                    ports.certificates.import(&import).await?;
                    Ok(StepResult::Issued)
                }
                Issuance::Failed { reason } => Ok(StepResult::Refused { why: reason }),
                Issuance::InProgress => Err(late(&issued)),
            }
        }
        Step::Prepare { secret, version, like } => {
            let (secret, version) = (secret_id(secret)?, version_id(version)?);
            let current = ports.bundles.read(&secret, Stage::Current).await?;
            let fresh = ports.keys.make(&algorithm(&like.key)?, &names(&like.names)?)?;
            let trust = current.and_then(|current| current.bundle.trust);
            let bundle = Bundle { chain: None, key: Some(fresh.key), request: Some(fresh.request), trust };
            put(ports, &secret, &version, &bundle).await
        }
        Step::Order { secret, version, authority, not_after, token } => {
            let pending = pending(ports, &secret_id(secret)?, version).await?;
            let Some(request) = pending.and_then(|pending| pending.bundle.request) else {
                return Ok(StepResult::Superseded);
            };
            let order = order(observation, authority, request, *not_after, token)?;
            Ok(StepResult::Ordered { order: ports.authorities.issue(&order).await?.to_string() })
        }
        Step::Collect { secret, version, issued, becomes, .. } => {
            let secret = secret_id(secret)?;
            let issued = IssuedArn::parse(issued).map_err(|error| other("collect a certificate", error))?;
            let chain = match ports.authorities.issued(&issued).await? {
                Issuance::Issued(chain) => chain,
                Issuance::InProgress => return Ok(StepResult::InProgress),
                Issuance::Failed { reason } => return Ok(StepResult::Refused { why: reason }),
            };
            let Some(pending) = pending(ports, &secret, version).await? else { return Ok(StepResult::Superseded) };
            let bundle = Bundle { chain: Some(chain), request: None, ..pending.bundle };
            put(ports, &secret, &version_id(becomes)?, &bundle).await
        }
        Step::ImportPending { arn, secret, version } => {
            let Some(pending) = pending(ports, &secret_id(secret)?, version).await? else {
                return Ok(StepResult::Superseded);
            };
            let (Some(chain), Some(key)) = (pending.bundle.chain, pending.bundle.key) else {
                return Ok(StepResult::Superseded);
            };
            let import = Import { onto: Some(acm(arn)?), chain, key, tags: BTreeMap::new() };
            ports.certificates.import(&import).await.map(|_| StepResult::Applied)
        }
        Step::Promote { secret, from, to } => {
            promote(ports, &secret_id(secret)?, from.as_deref(), &version_id(to)?).await
        }
        Step::PublishTrust { secret, from, version, roots, authorities } => {
            let (secret, version) = (secret_id(secret)?, version_id(version)?);
            publish(ports, &secret, from.as_deref(), &version, roots, authorities).await
        }
        Step::Apply { change } => apply(ports, change, id, observation).await,
        Step::MarkSuperseded { arn, by } => {
            let tags = BTreeMap::from([(SUPERSEDED_BY.to_owned(), by.to_string())]);
            ports.certificates.tag(&acm(arn)?, &tags).await.map(|()| StepResult::Applied)
        }
    }
}

async fn renew(ports: &Ports, arn: &CertificateArn, export_first: bool) -> Result<StepResult, PortError> {
    let arn = acm(arn)?;
    if export_first {
        // Only the fact of the export matters; the copy is wiped here.
        drop(ports.certificates.export(&arn).await?);
    }
    match ports.certificates.renew(&arn).await {
        Ok(()) => Ok(StepResult::Issued),
        Err(error) if error.kind == PortErrorKind::Conflict => Ok(StepResult::InProgress),
        Err(error) => Err(error),
    }
}

async fn request(
    ports: &Ports,
    arn: &CertificateArn,
    authority: &AuthorityArn,
    like: &CertificateTemplate,
    token: &str,
) -> Result<StepResult, PortError> {
    let subject = names(&like.names)?;
    let first = subject.dns.first().cloned();
    let Some(common_name) = subject.common_name.filter(|name| subject.dns.contains(name)).or(first) else {
        return Err(other("request a certificate", "the present certificate has no host name"));
    };
    if !subject.uris.is_empty() {
        return Err(other(
            "request a certificate",
            "the present certificate has URIs, and ACM issues certificates for host names only",
        ));
    }
    let request = PrivateRequest {
        authority: ca(authority)?,
        other_names: subject.dns.into_iter().filter(|name| *name != common_name).collect(),
        common_name,
        key_algorithm: algorithm(&like.key)?,
        token: token_of(token)?,
        tags: BTreeMap::from([(REPLACES.to_owned(), arn.to_string()), (ROTATE.to_owned(), "true".to_owned())]),
    };
    ports.certificates.request(&request).await.map(|_| StepResult::Issued)
}

/// Builds an order with a signing algorithm that suits the observed key of the CA.
fn order(
    observation: &Observation,
    authority: &AuthorityArn,
    request: String,
    not_after: jiff::Timestamp,
    token: &str,
) -> Result<Order, PortError> {
    let refused = |why: &str| other("order a certificate", why);
    let known = known_authority(observation, authority)?;
    let signing = algorithm(&known.certificate.key).ok().and_then(|key| SigningAlgorithm::suiting(&key));
    let signing = signing.ok_or_else(|| refused("the key of the CA has an unknown kind"))?;
    let authority = ca(authority)?;
    Ok(Order { authority, request, template: Template::EndEntity, signing, not_after, token: token_of(token)? })
}

fn known_authority<'o>(
    observation: &'o Observation,
    authority: &AuthorityArn,
) -> Result<&'o AuthorityFacts, PortError> {
    let known = observation.facts.authorities.iter().find(|known| known.arn == *authority);
    known.ok_or_else(|| other("order a certificate", "the CA was not read"))
}

async fn wait_for(ports: &Ports, issued: &IssuedArn) -> Result<Issuance, PortError> {
    for _ in 0..POLLS {
        match ports.authorities.issued(issued).await? {
            Issuance::InProgress => tokio::time::sleep(POLL_INTERVAL).await,
            other @ (Issuance::Failed { .. } | Issuance::Issued(_)) => return Ok(other),
        }
    }
    Ok(Issuance::InProgress)
}

/// The pending bundle, if it still has the version that was observed.
async fn pending(ports: &Ports, secret: &SecretId, version: &str) -> Result<Option<StoredBundle>, PortError> {
    let pending = ports.bundles.read(secret, Stage::Pending).await?;
    Ok(pending.filter(|pending| pending.version.as_str() == version))
}

async fn put(ports: &Ports, secret: &SecretId, version: &VersionId, bundle: &Bundle) -> Result<StepResult, PortError> {
    match ports.bundles.put_pending(secret, version, bundle).await {
        Ok(()) => Ok(StepResult::Applied),
        // Another key was stored under the same version before. That key is used while it is pending. A version without
        // the label can't be stored again, so the attempt needs another version.
        Err(error) if error.kind == PortErrorKind::Conflict => {
            let versions = ports.bundles.describe(secret).await?;
            let is_pending = versions.at.get(&Stage::Pending) == Some(version);
            Ok(if is_pending { StepResult::AlreadyInPlace } else { StepResult::VersionTaken })
        }
        Err(error) => Err(error),
    }
}

async fn promote(
    ports: &Ports,
    secret: &SecretId,
    from: Option<&str>,
    to: &VersionId,
) -> Result<StepResult, PortError> {
    let from = from.map(version_id).transpose()?;
    match ports.bundles.promote(secret, from.as_ref(), to).await {
        Ok(()) => Ok(StepResult::Applied),
        // The answer of this call may have been lost, and its repetition refused. Otherwise another writer was faster.
        Err(error) if error.kind == PortErrorKind::Conflict => {
            let versions = ports.bundles.describe(secret).await?;
            let is_current = versions.at.get(&Stage::Current) == Some(to);
            Ok(if is_current { StepResult::AlreadyInPlace } else { StepResult::Superseded })
        }
        Err(error) => Err(error),
    }
}

async fn publish(
    ports: &Ports,
    secret: &SecretId,
    from: Option<&str>,
    version: &VersionId,
    roots: &std::collections::BTreeSet<Fingerprint>,
    authorities: &[AuthorityArn],
) -> Result<StepResult, PortError> {
    let Some(current) = ports.bundles.read(secret, Stage::Current).await? else { return Ok(StepResult::Superseded) };
    if Some(current.version.as_str()) != from {
        let done = current.version == *version;
        return Ok(if done { StepResult::AlreadyInPlace } else { StepResult::Superseded });
    }
    let mut texts: Vec<String> = current.bundle.trust.clone().into_iter().collect();
    for authority in authorities {
        texts.push(ports.authorities.certificate(&ca(authority)?).await?.whole());
    }
    let trust = roots::select(&texts, roots)
        .ok_or_else(|| other("put roots together", "a root is neither in the secret nor at a private CA"))?;
    let bundle = Bundle { trust: Some(trust), ..current.bundle };
    put(ports, secret, version, &bundle).await?;
    promote(ports, secret, from, version).await
}

async fn apply(ports: &Ports, change: &Change, id: &str, observation: &Observation) -> Result<StepResult, PortError> {
    let path = change.resource();
    let refused = |why: String| other("change a mesh", why);
    let resource = observation.resources.get(&path).ok_or_else(|| refused(format!("{path} was not read")))?;
    let metadata = resource.metadata();
    let shared = metadata.mesh_owner != metadata.resource_owner;
    let mesh_owner = shared.then(|| metadata.mesh_owner.clone());
    let if_version = metadata.version.get().unsigned_abs();
    let mut spec = resource.clone().into_spec();
    let before = spec.clone();
    change.apply_to(&mut spec).map_err(|error| refused(error.to_string()))?;
    if spec == before {
        return Ok(StepResult::AlreadyInPlace);
    }
    let client_token = format!("{id}-{if_version}");
    let written = match (path, resource, spec) {
        (ResourcePath::VirtualNode(mesh, virtual_node), Resource::VirtualNode(_), Spec::VirtualNode(spec)) => {
            let write = VirtualNodeWrite { mesh, virtual_node, mesh_owner, spec, if_version, client_token };
            ports.writer.update_virtual_node(&write).await?
        }
        (
            ResourcePath::VirtualGateway(mesh, virtual_gateway),
            Resource::VirtualGateway(_),
            Spec::VirtualGateway(spec),
        ) => {
            let write = VirtualGatewayWrite { mesh, virtual_gateway, mesh_owner, spec, if_version, client_token };
            ports.writer.update_virtual_gateway(&write).await?
        }
        (path, _, _) => return Err(refused(format!("{path} has no certificates"))),
    };
    Ok(match written {
        Written::Applied { .. } => StepResult::Applied,
        Written::Superseded => StepResult::Superseded,
        Written::Overwrote { version } => StepResult::Overwrote { version },
    })
}

fn names(names: &Names) -> Result<SubjectNames, PortError> {
    if !names.addresses.is_empty() {
        return Err(other(
            "request a certificate",
            "the present certificate has IP addresses, and certificates with IP addresses are not requested",
        ));
    }
    // A common name is at most 64 characters long.
    let common_name = names.common.clone().filter(|name| name.chars().count() <= 64);
    Ok(SubjectNames { common_name, dns: names.dns.clone(), uris: names.uris.clone() })
}

fn algorithm(key: &KeyKind) -> Result<KeyAlgorithm, PortError> {
    match key {
        KeyKind::Rsa(1024) => Ok(KeyAlgorithm::Rsa1024),
        KeyKind::Rsa(2048) => Ok(KeyAlgorithm::Rsa2048),
        KeyKind::Rsa(3072) => Ok(KeyAlgorithm::Rsa3072),
        KeyKind::Rsa(4096) => Ok(KeyAlgorithm::Rsa4096),
        KeyKind::Ec(256) => Ok(KeyAlgorithm::EcPrime256v1),
        KeyKind::Ec(384) => Ok(KeyAlgorithm::EcSecp384r1),
        KeyKind::Ec(521) => Ok(KeyAlgorithm::EcSecp521r1),
        KeyKind::Rsa(_) | KeyKind::Ec(_) | KeyKind::Other(_) => {
            Err(other("make a key", format!("keys of the kind {key} are not created")))
        }
    }
}

fn acm(arn: &CertificateArn) -> Result<certificates::CertificateArn, PortError> {
    certificates::CertificateArn::parse(arn.as_str()).map_err(|error| other("name a certificate", error))
}

fn ca(arn: &AuthorityArn) -> Result<certificates::AuthorityArn, PortError> {
    certificates::AuthorityArn::parse(arn.as_str()).map_err(|error| other("name a private CA", error))
}

fn secret_id(text: &str) -> Result<SecretId, PortError> {
    SecretId::parse(text).map_err(|error| other("name a secret", error))
}

fn version_id(text: &str) -> Result<VersionId, PortError> {
    VersionId::parse(text).map_err(|error| other("name a version", error))
}

fn token_of(text: &str) -> Result<IdempotencyToken, PortError> {
    IdempotencyToken::parse(text).map_err(|error| other("name an order", error))
}

fn late(issued: &IssuedArn) -> PortError {
    PortError::new(format!("wait for {issued}"), PortErrorKind::TimedOut, "the private CA has not issued it yet")
}

fn other(call: &str, why: impl std::fmt::Display) -> PortError {
    PortError::new(call, PortErrorKind::Other, why.to_string())
}
