//! Bindings of the secret names that a mesh uses to bundles in Secrets Manager.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use ports::certificates::SecretId;

/// A secret name of a mesh (`sds.secretName`), and the bundle that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The secret name.
    pub name: String,
    /// The secret that contains the bundle.
    pub secret: SecretId,
    /// The part of the bundle that the name refers to.
    pub part: BundlePart,
}

/// A part of a bundle. In SDS a name refers to one or the other, never to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundlePart {
    /// The certificate if the bundle has one with its key, otherwise the trust anchors.
    Auto,
    /// The certificate with its key.
    Certificate,
    /// The trust anchors.
    Trust,
}

impl FromStr for Binding {
    type Err = BindingError;

    fn from_str(text: &str) -> Result<Self, BindingError> {
        let error = || BindingError(text.to_owned());
        let (name, secret) = text.split_once('=').ok_or_else(error)?;
        let (secret, part) = match secret.rsplit_once('#') {
            None => (secret, BundlePart::Auto),
            Some((secret, "certificate")) => (secret, BundlePart::Certificate),
            Some((secret, "trust")) => (secret, BundlePart::Trust),
            Some(_) => return Err(error()),
        };
        if name.is_empty() {
            return Err(error());
        }
        Ok(Self { name: name.to_owned(), secret: SecretId::parse(secret).map_err(|_| error())?, part })
    }
}

/// The text is not a binding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid binding {0:?}: expected NAME=SECRET_ARN, followed by #certificate or #trust for a part of a bundle that has both"
)]
pub struct BindingError(String);

/// All bindings, by secret name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindings(BTreeMap<String, Binding>);

impl Bindings {
    /// Collects bindings. Of two bindings of one name, the last one applies.
    #[must_use]
    pub fn new(bindings: impl IntoIterator<Item = Binding>) -> Self {
        Self(bindings.into_iter().map(|binding| (binding.name.clone(), binding)).collect())
    }

    /// The bound secret names.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Binding> {
        self.0.get(name)
    }

    /// The secrets that contain certificates, each once.
    pub(super) fn secrets(&self) -> BTreeSet<&SecretId> {
        self.0.values().filter(|binding| binding.part != BundlePart::Trust).map(|binding| &binding.secret).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:web-AbCdEf";

    #[test]
    fn a_binding_is_a_name_a_secret_and_perhaps_a_part() {
        for (text, name, part) in [
            (format!("web={ARN}"), "web", BundlePart::Auto),
            (format!("spiffe://shop/web={ARN}#certificate"), "spiffe://shop/web", BundlePart::Certificate),
            (format!("web-trust={ARN}#trust"), "web-trust", BundlePart::Trust),
        ] {
            let binding: Binding = text.parse().unwrap();
            assert_eq!((binding.name.as_str(), binding.secret.as_str(), binding.part), (name, ARN, part), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "web", "=arn", "web=", "web=an arn", "web=arn#key", "web=arn#"] {
            assert!(text.parse::<Binding>().is_err(), "{text}");
        }
    }
}
