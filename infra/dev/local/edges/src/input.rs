//! The input: the descriptions and certificates that the caller has read.

use std::collections::{BTreeMap, BTreeSet};

use mesh::certificates::{
    Anchor, AuthorityArn, Certificate, CertificateArn, CertificateSource, Chain, Readings, SecretName, SourceReading,
};
use mesh::graph::Mesh;
use mesh::name::{MeshName, ResourceKind};
use mesh::resource::Resource;
use serde::Deserialize;
use serde_json::Value;

use crate::Failure;

/// The inputs of the edges.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Input {
    mesh: String,
    /// The proxies of interest: an edge is reported if both its ends are among them.
    pub(crate) proxies: BTreeSet<String>,
    resources: Vec<Described>,
    /// Certificates with their issuers (PEM), by the ARN in ACM.
    acm: BTreeMap<String, String>,
    /// Certificates with their issuers (PEM), by the secret's name in the mesh.
    leaves: BTreeMap<String, String>,
    /// Trusted roots (PEM), by the secret's name in the mesh.
    roots: BTreeMap<String, String>,
    /// The certificates (PEM) of private CAs, by ARN.
    authorities: BTreeMap<String, String>,
    /// The fingerprints that each proxy acknowledged last, by proxy and secret.
    pub(crate) acknowledged: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// A resource as the API describes it.
#[derive(Debug, Deserialize)]
struct Described {
    /// Such as `virtualNode`.
    kind: String,
    body: Value,
}

impl Input {
    /// The mesh of the descriptions.
    pub(crate) fn model(&self) -> Result<Mesh, Failure> {
        let name: MeshName = self.mesh.parse().map_err(|error| refused(&self.mesh, &error))?;
        let mut mesh = Mesh::new(name);
        for Described { kind, body } in &self.resources {
            let known: ResourceKind = kind.parse().map_err(|error| refused(kind, &error))?;
            let resource =
                Resource::read(known, body).map_err(|violations| refused(kind, &format!("{violations:?}")))?;
            mesh.insert_resource(resource).map_err(|error| refused(kind, &error))?;
        }
        Ok(mesh)
    }

    /// The certificates, each known or unread with the reason.
    pub(crate) fn readings(&self) -> Readings {
        let mut readings = Readings::default();
        let chain = |text: &str| {
            Chain::read(text).map_or_else(|error| SourceReading::Unread(error.to_string()), SourceReading::Known)
        };
        let roots = |text: &str| {
            Certificate::read_all(text)
                .map_or_else(|error| SourceReading::Unread(error.to_string()), SourceReading::Known)
        };
        for (arn, text) in &self.acm {
            readings.chains.insert(CertificateSource::Acm(CertificateArn::new(arn)), chain(text));
        }
        for (name, text) in &self.leaves {
            readings.chains.insert(CertificateSource::Sds(SecretName::new(name)), chain(text));
        }
        for (name, text) in &self.roots {
            readings.anchors.insert(Anchor::Sds(SecretName::new(name)), roots(text));
        }
        for (arn, text) in &self.authorities {
            readings.anchors.insert(Anchor::Authority(AuthorityArn::new(arn)), roots(text));
        }
        readings
    }
}

fn refused(path: &str, reason: &impl ToString) -> Failure {
    Failure::Description { path: path.to_owned(), reason: reason.to_string() }
}
