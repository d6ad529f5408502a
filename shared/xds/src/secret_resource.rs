//! Secrets as they are sent.

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};

use crate::resource::Resource;
use crate::secret::{SecretMaterial, SecretRef};

impl SecretRef {
    /// The secret as it is sent. What is in files beside the proxy needs no material; anything else is nothing without.
    #[must_use]
    pub fn resource(&self, material: Option<&SecretMaterial>) -> Option<Resource> {
        let body = match self {
            Self::Files { certificate_chain, private_key } => certificate(file(certificate_chain), file(private_key)),
            Self::TrustFile(path) => trust(file(path)),
            Self::AcmCertificate(_) | Self::AcmTrust(_) | Self::AcmIssuer(_) | Self::Bundle(_) => match material? {
                SecretMaterial::Certificate { chain, key } => certificate(inline(chain), inline(key)),
                SecretMaterial::Trust { roots } => trust(inline(roots)),
            },
        };
        Some(Resource::encode(&Secret { name: self.name(), r#type: Some(body) }))
    }
}

fn certificate(chain: DataSource, key: DataSource) -> Type {
    Type::TlsCertificate(TlsCertificate {
        certificate_chain: Some(chain),
        private_key: Some(key),
        ..TlsCertificate::default()
    })
}

fn trust(roots: DataSource) -> Type {
    Type::ValidationContext(CertificateValidationContext {
        trusted_ca: Some(roots),
        ..CertificateValidationContext::default()
    })
}

/// Envoy watches a file that a secret names, and reads it again when another is moved into its place.
fn file(path: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::Filename(path.to_owned())), ..DataSource::default() }
}

fn inline(pem: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineString(pem.to_owned())), ..DataSource::default() }
}
