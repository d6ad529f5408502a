//! The state of the secrets that a proxy needs.

use std::collections::BTreeSet;

use xds::{Resource, ResourceType, SecretMaterial, SecretRef, SecretRole};

use super::build_inputs::{BuildInputs, NotReady};
use super::proxy_snapshot::SecretState;
use crate::secrets::{SecretLookup, SecretProblem, problem};

/// The state of a secret, with the resource to send: the previous one if no newer one exists.
pub(super) fn look_up(
    secret: &SecretRef,
    roles: &BTreeSet<SecretRole>,
    inputs: BuildInputs<'_>,
) -> Result<(SecretState, Option<Resource>), NotReady> {
    let missing = |problem: SecretProblem| {
        let name = secret.name();
        let previous =
            inputs.previous.and_then(|proxy_snapshot| proxy_snapshot.snapshot.find(ResourceType::Secret, &name));
        let state = inputs.previous.and_then(|proxy_snapshot| proxy_snapshot.secrets.get(secret));
        match (previous, state) {
            (Some(previous), Some(SecretState::Known(certificates, _))) => {
                (SecretState::Known(certificates.clone(), Some(problem)), Some(previous.clone()))
            }
            _ => (SecretState::Missing(problem), None),
        }
    };
    match secret {
        SecretRef::Files { .. } | SecretRef::TrustFile(_) => {
            return Ok((SecretState::OnProxyMachine, secret.resource(None)));
        }
        SecretRef::AcmCertificate(_) | SecretRef::AcmTrust(_) | SecretRef::AcmIssuer(_) | SecretRef::Bundle(_) => {}
    }
    Ok(match inputs.secrets.find(secret) {
        SecretLookup::Known(known, problem) => {
            let role = match &known.material {
                SecretMaterial::Certificate { .. } => SecretRole::Certificate,
                SecretMaterial::Trust { .. } => SecretRole::Trust,
            };
            if roles.iter().all(|needed| *needed == role) {
                let resource = secret.resource(Some(&known.material));
                (SecretState::Known(known.certificates, problem), resource)
            } else {
                missing(SecretProblem { id: problem::WRONG_ROLE, message: wrong_role(role) })
            }
        }
        SecretLookup::Pending if inputs.patient && inputs.previous.is_none() => return Err(NotReady),
        SecretLookup::Pending => missing(SecretProblem {
            id: problem::PENDING,
            message: "the first request for it is in progress".to_owned(),
        }),
        SecretLookup::Missing(problem) => missing(problem),
    })
}

fn wrong_role(role: SecretRole) -> String {
    let (has, needs, part) = match role {
        SecretRole::Certificate => ("a certificate", "trust anchors", "trust"),
        SecretRole::Trust => ("trust anchors", "a certificate with its key", "certificate"),
    };
    format!(
        "it contains {has}, but {needs} are needed; bind the name to the other part of a bundle (SECRET_ARN#{part})"
    )
}
