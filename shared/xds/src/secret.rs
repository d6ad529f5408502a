//! Secrets that resources name, and what they are made of.

use std::fmt;

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};
use zeroize::Zeroizing;

use crate::resource::Resource;
use crate::translate::proto::{file, inline, watched};

/// A secret that a listener or cluster takes over SDS, by where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretRef {
    /// The certificate, chain and key of an ACM certificate, by its ARN.
    AcmCertificate(String),
    /// The roots of up to three private CAs, by their ARNs.
    AcmTrust(Vec<String>),
    /// The root that an ACM certificate leads to, by the certificate's ARN: what a client without a policy trusts.
    AcmIssuer(String),
    /// Certificate and key in files beside the proxy, which Envoy watches.
    Files {
        /// The chain's path.
        certificate_chain: String,
        /// The key's path.
        private_key: String,
    },
    /// A trust bundle in a file beside the proxy, which Envoy watches.
    TrustFile(String),
    /// A secret that the mesh calls by a name of its own (`sds.secretName`), sent over ADS because it is bound.
    Bundle(String),
}

impl SecretRef {
    /// The secret's name in SDS.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::AcmCertificate(arn) => arn.clone(),
            Self::AcmTrust(arns) => format!("trust:{}", arns.join(",")),
            Self::AcmIssuer(arn) => format!("issuer:{arn}"),
            Self::Files { certificate_chain, private_key } => format!("file:{certificate_chain},{private_key}"),
            Self::TrustFile(path) => format!("file:{path}"),
            Self::Bundle(name) => name.clone(),
        }
    }
}

impl SecretRef {
    /// The secret as it is sent; `None` where that takes material and there is none.
    ///
    /// Files go as a secret that names them, and not in the listener: a listener with a file that can't be read is
    /// refused whole, and one that was written is not read again. Envoy watches their folder; files of several folders
    /// one by one.
    #[must_use]
    pub fn resource(&self, material: Option<&SecretMaterial>) -> Option<Resource> {
        let kind = match self {
            Self::Files { certificate_chain, private_key } => Type::TlsCertificate(TlsCertificate {
                certificate_chain: Some(file(certificate_chain)),
                private_key: Some(file(private_key)),
                watched_directory: watched(&[certificate_chain, private_key]),
                ..TlsCertificate::default()
            }),
            Self::TrustFile(path) => Type::ValidationContext(CertificateValidationContext {
                trusted_ca: Some(file(path)),
                watched_directory: watched(&[path]),
                ..CertificateValidationContext::default()
            }),
            Self::AcmCertificate(_) | Self::AcmTrust(_) | Self::AcmIssuer(_) | Self::Bundle(_) => {
                material?.as_secret_type()
            }
        };
        Some(Resource::encode(&Secret { name: self.name(), r#type: Some(kind) }))
    }
}

impl SecretMaterial {
    fn as_secret_type(&self) -> Type {
        match self {
            Self::Certificate { chain, key } => Type::TlsCertificate(TlsCertificate {
                certificate_chain: Some(inline(chain)),
                private_key: Some(inline(key)),
                ..TlsCertificate::default()
            }),
            Self::Trust { roots } => Type::ValidationContext(CertificateValidationContext {
                trusted_ca: Some(inline(roots)),
                ..CertificateValidationContext::default()
            }),
        }
    }
}

/// What a secret holds.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretMaterial {
    /// What a listener or client presents.
    Certificate {
        /// The leaf and its chain, PEM.
        chain: String,
        /// The private key, unencrypted PEM.
        key: Zeroizing<String>,
    },
    /// What is trusted.
    Trust {
        /// Root certificates, PEM.
        roots: String,
    },
}

impl fmt::Debug for SecretMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate { chain, .. } => {
                f.debug_struct("Certificate").field("chain", chain).finish_non_exhaustive()
            }
            Self::Trust { roots } => f.debug_struct("Trust").field("roots", roots).finish(),
        }
    }
}
