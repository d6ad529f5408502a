//! Secrets that a mesh calls by names of its own, bound to bundles.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use ports::certificates::SecretId;

/// A name of a mesh (`sds.secretName`), and the bundle that it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The name.
    pub name: String,
    /// The secret that holds the bundle.
    pub secret: SecretId,
    /// Which part of the bundle it is.
    pub part: Part,
}

/// A part of a bundle. In SDS a name stands for one or the other, never for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The certificate, where the bundle has one with its key, else what it trusts.
    Whatever,
    /// The certificate with its key.
    Certificate,
    /// What is trusted.
    Trust,
}

impl FromStr for Binding {
    type Err = BindingError;

    fn from_str(text: &str) -> Result<Self, BindingError> {
        let error = || BindingError(text.to_owned());
        let (name, secret) = text.split_once('=').ok_or_else(error)?;
        let (secret, part) = match secret.rsplit_once('#') {
            None => (secret, Part::Whatever),
            Some((secret, "certificate")) => (secret, Part::Certificate),
            Some((secret, "trust")) => (secret, Part::Trust),
            Some(_) => return Err(error()),
        };
        if name.is_empty() {
            return Err(error());
        }
        Ok(Self { name: name.to_owned(), secret: SecretId::parse(secret).map_err(|_| error())?, part })
    }
}

/// What is no binding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no binding: give NAME=SECRET_ARN, and #certificate or #trust after it where a name is to mean one of both"
)]
pub struct BindingError(String);

/// All bindings, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindings(BTreeMap<String, Binding>);

impl Bindings {
    /// Of these; of two for one name, the last stays.
    #[must_use]
    pub fn new(bindings: impl IntoIterator<Item = Binding>) -> Self {
        Self(bindings.into_iter().map(|binding| (binding.name.clone(), binding)).collect())
    }

    /// The names that are bound.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Binding> {
        self.0.get(name)
    }

    /// The secrets that hold certificates, each once.
    pub(super) fn secrets(&self) -> BTreeSet<&SecretId> {
        self.0.values().filter(|binding| binding.part != Part::Trust).map(|binding| &binding.secret).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:web-AbCdEf";

    #[test]
    fn a_binding_is_a_name_a_secret_and_perhaps_a_part() {
        for (text, name, part) in [
            (format!("web={ARN}"), "web", Part::Whatever),
            (format!("spiffe://shop/web={ARN}#certificate"), "spiffe://shop/web", Part::Certificate),
            (format!("web-trust={ARN}#trust"), "web-trust", Part::Trust),
        ] {
            let binding: Binding = text.parse().unwrap();
            assert_eq!((binding.name.as_str(), binding.secret.as_str(), binding.part), (name, ARN, part), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "web", "=arn", "web=", "web=an arn", "web=arn#key", "web=arn#"] {
            assert!(text.parse::<Binding>().is_err(), "{text}");
        }
    }
}
