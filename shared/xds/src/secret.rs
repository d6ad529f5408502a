//! The secrets that resources name, and their contents.

use std::fmt;

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};
use zeroize::Zeroizing;

use crate::proto::{file, inline, watched};
use crate::resource::Resource;

/// The source of a secret that a listener or cluster receives over SDS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretRef {
    /// The certificate, chain and key of an ACM certificate, by its ARN.
    AcmCertificate(String),
    /// The roots of up to three private CAs, by their ARNs.
    AcmTrust(Vec<String>),
    /// The root of the chain of an ACM certificate, by the certificate's ARN. A client without a policy trusts it.
    AcmIssuer(String),
    /// A certificate and its key in files next to the proxy, which Envoy watches.
    Files {
        /// The chain's path.
        certificate_chain: String,
        /// The key's path.
        private_key: String,
    },
    /// A trust bundle in a file next to the proxy, which Envoy watches.
    TrustFile(String),
    /// A secret that the mesh names (`sds.secretName`), sent over ADS because the name is in `SdsSource::Ads`.
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
    /// The secret as an SDS resource; `None` if the secret needs material and there is none.
    ///
    /// Files are sent as a secret that names them, not as part of the listener. Envoy refuses a whole listener with an
    /// unreadable file, and does not read a listener's file again after a change. Envoy watches the folder of the files
    /// if they share one, and each file otherwise.
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

/// The content of a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretMaterial {
    /// The certificate that a listener or client presents.
    Certificate {
        /// The leaf and its chain, PEM.
        chain: String,
        /// The private key, unencrypted PEM.
        key: Zeroizing<String>,
    },
    /// The trust anchors that verify a certificate.
    Trust {
        /// The root certificates, PEM.
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
