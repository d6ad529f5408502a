//! The sources of certificates and trust.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::ResourcePath;
use crate::spec::{
    ClientCertificate, ClientTrust, FileCertificate, FileTrust, ListenerCertificate, ListenerTrust, SdsSecret,
};

/// Defines a reference to an object outside the mesh, with any text, as in specs.
macro_rules! reference {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text without validation.
            #[must_use]
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

reference!(
    /// The ARN of a certificate in AWS Certificate Manager.
    CertificateArn
);
reference!(
    /// The ARN of an authority in ACM Private CA.
    AuthorityArn
);
reference!(
    /// The name of a secret of a secret discovery service.
    SecretName
);
reference!(
    /// The path of a file in a proxy's container.
    FilePath
);

/// The source of a presented certificate. Written `acm:ARN`, `sds:NAME` or `file:PATH of RESOURCE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CertificateSource {
    /// AWS Certificate Manager.
    Acm(CertificateArn),
    /// A secret discovery service.
    Sds(SecretName),
    /// A file in the proxy's container; the same path at another proxy is a different file.
    File(ResourcePath, FilePath),
}

/// The source of trust. Written `pca:ARN`, `issuer:ARN`, `sds:NAME` or `file:PATH of RESOURCE`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Anchor {
    /// An authority in ACM Private CA.
    Authority(AuthorityArn),
    /// The issuer of a certificate in AWS Certificate Manager, which a client without a policy trusts.
    IssuerOf(CertificateArn),
    /// A secret discovery service.
    Sds(SecretName),
    /// A file in the proxy's container.
    File(ResourcePath, FilePath),
}

impl CertificateSource {
    /// The certificate that a listener presents; `None` if its type is unknown.
    #[must_use]
    pub fn of_listener(owner: &ResourcePath, certificate: &ListenerCertificate) -> Option<Self> {
        match certificate {
            ListenerCertificate::Acm(acm) => Some(Self::Acm(CertificateArn::new(&acm.certificate_arn))),
            ListenerCertificate::File(file) => Some(Self::of_file(owner, file)),
            ListenerCertificate::Sds(sds) => Some(Self::of_sds(sds)),
            ListenerCertificate::Unrecognised(_) => None,
        }
    }

    /// The certificate that a client presents; `None` if its type is unknown.
    #[must_use]
    pub fn of_client(owner: &ResourcePath, certificate: &ClientCertificate) -> Option<Self> {
        match certificate {
            ClientCertificate::File(file) => Some(Self::of_file(owner, file)),
            ClientCertificate::Sds(sds) => Some(Self::of_sds(sds)),
            ClientCertificate::Unrecognised(_) => None,
        }
    }

    fn of_file(owner: &ResourcePath, file: &FileCertificate) -> Self {
        Self::File(owner.clone(), FilePath::new(file.certificate_chain.as_str()))
    }

    fn of_sds(sds: &SdsSecret) -> Self {
        Self::Sds(SecretName::new(&sds.secret_name))
    }
}

impl Anchor {
    /// The trust of a client's policy; `None` if its type is unknown.
    #[must_use]
    pub fn of_client(owner: &ResourcePath, trust: &ClientTrust) -> Option<Vec<Self>> {
        match trust {
            ClientTrust::Acm(acm) => {
                let arns = acm.certificate_authority_arns.iter();
                Some(arns.map(|arn| Self::Authority(AuthorityArn::new(arn))).collect())
            }
            ClientTrust::File(file) => Some(vec![Self::of_file(owner, file)]),
            ClientTrust::Sds(sds) => Some(vec![Self::of_sds(sds)]),
            ClientTrust::Unrecognised(_) => None,
        }
    }

    /// The trust of a listener in its clients; `None` if its type is unknown.
    #[must_use]
    pub fn of_listener(owner: &ResourcePath, trust: &ListenerTrust) -> Option<Self> {
        match trust {
            ListenerTrust::File(file) => Some(Self::of_file(owner, file)),
            ListenerTrust::Sds(sds) => Some(Self::of_sds(sds)),
            ListenerTrust::Unrecognised(_) => None,
        }
    }

    fn of_file(owner: &ResourcePath, file: &FileTrust) -> Self {
        Self::File(owner.clone(), FilePath::new(file.certificate_chain.as_str()))
    }

    fn of_sds(sds: &SdsSecret) -> Self {
        Self::Sds(SecretName::new(&sds.secret_name))
    }
}

/// A text that is not a valid [`CertificateSource`] or [`Anchor`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid certificate source or trust anchor `{given}`")]
pub struct SourceError {
    /// The text.
    given: String,
}

impl fmt::Display for CertificateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acm(arn) => write!(f, "acm:{arn}"),
            Self::Sds(name) => write!(f, "sds:{name}"),
            Self::File(owner, path) => write!(f, "file:{path} of {owner}"),
        }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(arn) => write!(f, "pca:{arn}"),
            Self::IssuerOf(arn) => write!(f, "issuer:{arn}"),
            Self::Sds(name) => write!(f, "sds:{name}"),
            Self::File(owner, path) => write!(f, "file:{path} of {owner}"),
        }
    }
}

impl TryFrom<String> for CertificateSource {
    type Error = SourceError;

    fn try_from(given: String) -> Result<Self, SourceError> {
        let found = match given.split_once(':') {
            Some(("acm", arn)) => Some(Self::Acm(CertificateArn::new(arn))),
            Some(("sds", name)) => Some(Self::Sds(SecretName::new(name))),
            Some(("file", file)) => owner_and_path(file).map(|(owner, path)| Self::File(owner, path)),
            Some(_) | None => None,
        };
        found.ok_or(SourceError { given })
    }
}

impl TryFrom<String> for Anchor {
    type Error = SourceError;

    fn try_from(given: String) -> Result<Self, SourceError> {
        let found = match given.split_once(':') {
            Some(("pca", arn)) => Some(Self::Authority(AuthorityArn::new(arn))),
            Some(("issuer", arn)) => Some(Self::IssuerOf(CertificateArn::new(arn))),
            Some(("sds", name)) => Some(Self::Sds(SecretName::new(name))),
            Some(("file", file)) => owner_and_path(file).map(|(owner, path)| Self::File(owner, path)),
            Some(_) | None => None,
        };
        found.ok_or(SourceError { given })
    }
}

/// Names of proxies contain no slash, so the last ` of mesh/` is the beginning of the owner, independent of
/// the path.
fn owner_and_path(text: &str) -> Option<(ResourcePath, FilePath)> {
    let at = text.rfind(" of mesh/")?;
    let (path, owner) = text.split_at(at);
    let owner = ResourcePath::parse(owner.strip_prefix(" of ")?).ok()?;
    Some((owner, FilePath::new(path)))
}

impl From<CertificateSource> for String {
    fn from(source: CertificateSource) -> Self {
        source.to_string()
    }
}

impl From<Anchor> for String {
    fn from(anchor: Anchor) -> Self {
        anchor.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_something_comes_from_reads_back() {
        for text in [
            "acm:arn:aws:acm:eu-west-1:123456789012:certificate/a",
            "sds:spiffe://shop/orders",
            "file:/certs/a of mesh/b.pem of mesh/shop/virtualNode/orders of mesh",
        ] {
            assert_eq!(CertificateSource::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["pca:arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/a", "issuer:arn:a", "sds:ca"] {
            assert_eq!(Anchor::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in ["", "acm", "file:/certs/a", "file:/a of mesh/shop/pod/x"] {
            assert!(CertificateSource::try_from(text.to_owned()).is_err(), "{text}");
            assert!(Anchor::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
