//! The certificates and bundles that a mesh may use. Without rules, a client with write access to a mesh could have
//! the key of any certificate sent to a proxy of that mesh.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use mesh::name::MeshName;
use tokio::sync::watch;
use xds::SecretRef;

use crate::pattern::matches;
use crate::secrets::{SecretLookup, SecretProblem, Secrets, problem};

/// A pattern of names that one mesh may use: `shop=arn:aws:acm:eu-west-1:123456789012:certificate/*`, with `*` for
/// any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRule {
    mesh: MeshName,
    pattern: String,
}

/// The text is not a certificate rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid rule `{0}`: expected MESH=PATTERN, such as shop=arn:aws:acm:eu-west-1:123456789012:certificate/*")]
pub struct CertificateRuleError(String);

impl FromStr for CertificateRule {
    type Err = CertificateRuleError;

    fn from_str(text: &str) -> Result<Self, CertificateRuleError> {
        let parts = text.split_once('=').filter(|(_, pattern)| !pattern.is_empty());
        let parsed = parts.and_then(|(mesh, pattern)| Some((MeshName::parse(mesh).ok()?, pattern)));
        let (mesh, pattern) = parsed.ok_or_else(|| CertificateRuleError(text.to_owned()))?;
        Ok(Self { mesh, pattern: pattern.to_owned() })
    }
}

/// Whether a mesh may use a secret. Without any rule, every mesh may use every secret.
fn allows(rules: &[CertificateRule], mesh: &MeshName, secret: &SecretRef) -> bool {
    let may = |name: &str| rules.iter().any(|rule| rule.mesh == *mesh && matches(&rule.pattern, name));
    rules.is_empty()
        || match secret {
            SecretRef::AcmCertificate(name) | SecretRef::AcmIssuer(name) | SecretRef::Bundle(name) => may(name),
            SecretRef::AcmTrust(names) => names.iter().all(|name| may(name)),
            // The proxy reads the files itself.
            SecretRef::Files { .. } | SecretRef::TrustFile(_) => true,
        }
}

/// The secrets that one mesh may use.
pub(super) struct AllowedSecrets {
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) rules: Arc<[CertificateRule]>,
    pub(super) mesh: MeshName,
}

impl fmt::Debug for AllowedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllowedSecrets").field("mesh", &self.mesh).finish_non_exhaustive()
    }
}

impl Secrets for AllowedSecrets {
    fn find(&self, secret: &SecretRef) -> SecretLookup {
        if allows(&self.rules, &self.mesh, secret) {
            return self.secrets.find(secret);
        }
        let message =
            format!("mesh {} is not allowed to use it; add --certificates-for {}=PATTERN", self.mesh, self.mesh);
        SecretLookup::Missing(SecretProblem { id: problem::NOT_ALLOWED, message })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.secrets.changes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::NoSecrets;

    const ARN: &str = "arn:aws:acm:eu-west-1:123456789012:certificate/a";

    #[test]
    fn a_mesh_may_use_names_that_match_its_rules() {
        let certificate = |name: &str| SecretRef::AcmCertificate(name.to_owned());
        for (rules, mesh, secret, expected) in [
            (&[][..], "shop", certificate(ARN), true),
            (&["shop=arn:aws:acm:*:certificate/*"], "shop", certificate(ARN), true),
            (&["shop=arn:aws:acm:*:certificate/*"], "bank", certificate(ARN), false),
            (&["shop=*/b"], "shop", certificate(ARN), false),
            (&["shop=*/b", "shop=*/a"], "shop", certificate(ARN), true),
            (&["shop=web"], "shop", SecretRef::Bundle("web".to_owned()), true),
            (&["shop=web"], "shop", SecretRef::Bundle("web2".to_owned()), false),
            (&["shop=ca1"], "shop", SecretRef::AcmTrust(vec!["ca1".to_owned(), "ca2".to_owned()]), false),
            (&["shop=ca*"], "shop", SecretRef::AcmTrust(vec!["ca1".to_owned(), "ca2".to_owned()]), true),
            (&["shop=a*a"], "shop", certificate("a"), false),
        ] {
            let rules: Arc<[CertificateRule]> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
            let mesh = MeshName::parse(mesh).unwrap();
            let allowed = AllowedSecrets { secrets: Arc::new(NoSecrets::default()), rules: Arc::clone(&rules), mesh };
            let SecretLookup::Missing(found) = allowed.find(&secret) else { panic!("the source has no secrets") };
            assert_eq!(found.id != problem::NOT_ALLOWED, expected, "{rules:?} {secret:?}");
        }
        for text in ["", "shop", "shop=", "a/b=x"] {
            assert!(text.parse::<CertificateRule>().is_err(), "{text}");
        }
    }
}
