use std::fmt;

/// A text that is not a valid identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {expected}")]
pub struct IdentifierError {
    /// The text as given.
    pub given: String,
    /// The expected form.
    pub expected: &'static str,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $fits:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Parses the text.
            pub fn parse(text: &str) -> Result<Self, IdentifierError> {
                let fits: fn(&str) -> bool = $fits;
                if fits(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdentifierError { given: text.to_owned(), expected: $expected })
                }
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

identifier!(
    /// The ARN of a certificate in ACM. It stays the same when the certificate is renewed or imported again.
    CertificateArn,
    "the ARN of a certificate in ACM",
    |text| parts(text, "acm").is_some_and(|resource| named(resource, "certificate"))
);

identifier!(
    /// The ARN of a private CA.
    AuthorityArn,
    "the ARN of a private CA",
    |text| parts(text, "acm-pca").is_some_and(|resource| named(resource, "certificate-authority"))
);

identifier!(
    /// The ARN of a certificate that a private CA issued on request; it does not exist in ACM.
    IssuedArn,
    "the ARN of a certificate that a private CA issued",
    |text| parts(text, "acm-pca")
        .and_then(|resource| resource.strip_prefix("certificate-authority/"))
        .and_then(|resource| resource.split_once('/'))
        .is_some_and(|(authority, issued)| !authority.is_empty() && named(issued, "certificate"))
);

identifier!(
    /// The name or ARN of a secret.
    SecretId,
    "the name or ARN of a secret",
    |text| (1..=2048).contains(&text.len()) && !text.contains(char::is_whitespace)
);

identifier!(
    /// A version of a secret. The writer chooses it, so that writing it twice creates one version.
    VersionId,
    "32 to 64 letters, digits, hyphens or underscores",
    |text| (32..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
);

identifier!(
    /// An idempotency token: valid for five minutes at a private CA, for an hour at ACM. The bounds are ACM's, which
    /// are narrower.
    IdempotencyToken,
    "1 to 32 letters, digits or underscores",
    |text| (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
);

impl IssuedArn {
    /// The issuing private CA.
    #[must_use]
    pub fn authority(&self) -> AuthorityArn {
        let authority = self.0.rsplit_once("/certificate/").map_or(self.0.as_str(), |(authority, _)| authority);
        AuthorityArn(authority.to_owned())
    }
}

impl AuthorityArn {
    /// The partition: `aws`, `aws-cn` or `aws-us-gov`.
    #[must_use]
    pub fn partition(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or("aws")
    }
}

/// The resource part of an ARN of this service.
fn parts<'t>(text: &'t str, service: &str) -> Option<&'t str> {
    let mut parts = text.splitn(6, ':');
    let (arn, partition, of) = (parts.next()?, parts.next()?, parts.next()?);
    let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (arn == "arn" && partition.starts_with("aws") && of == service && !region.is_empty() && digits).then_some(resource)
}

fn named(resource: &str, kind: &str) -> bool {
    let name = resource.strip_prefix(kind).and_then(|rest| rest.strip_prefix('/'));
    name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/11111111-2222";

    #[test]
    fn arns_of_different_services_are_distinguished() {
        let acm = "arn:aws-cn:acm:cn-north-1:123456789012:certificate/c1";
        let issued = format!("{CA}/certificate/0a0b");
        for (text, certificate, authority, from_authority) in [
            (acm, true, false, false),
            (CA, false, true, false),
            (issued.as_str(), false, false, true),
            ("arn:aws:acm:eu-west-1:12345678901:certificate/c1", false, false, false),
            ("arn:aws:acm:eu-west-1:123456789012:certificate/", false, false, false),
            ("arn:aws:iam:eu-west-1:123456789012:certificate/c1", false, false, false),
            ("certificate/c1", false, false, false),
            ("", false, false, false),
        ] {
            assert_eq!(CertificateArn::parse(text).is_ok(), certificate, "{text}");
            assert_eq!(AuthorityArn::parse(text).is_ok(), authority, "{text}");
            assert_eq!(IssuedArn::parse(text).is_ok(), from_authority, "{text}");
        }
        assert_eq!(IssuedArn::parse(&issued).unwrap().authority(), AuthorityArn::parse(CA).unwrap());
    }

    #[test]
    fn tokens_have_the_narrowest_bounds() {
        assert!(IdempotencyToken::parse(&"a_9".repeat(10)).is_ok());
        for refused in ["", "with-hyphen", &"a".repeat(33)] {
            assert!(IdempotencyToken::parse(refused).is_err(), "{refused}");
        }
        assert!(VersionId::parse(&"a".repeat(31)).is_err());
        assert!(VersionId::parse("8f0d5f7a-2f0e-4a0a-9a43-8f4c3a8f7c11").is_ok());
    }
}
