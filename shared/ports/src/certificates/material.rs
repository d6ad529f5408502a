use std::fmt;

use zeroize::Zeroizing;

/// A certificate with its issuers up to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The certificate itself, in PEM form.
    pub leaf: String,
    /// Its issuers in PEM form: intermediates in order, then the root if the source returns it. Empty for
    /// a self-signed certificate.
    pub issuers: String,
}

impl Chain {
    /// The whole chain in PEM form, the leaf first, as a server presents it.
    #[must_use]
    pub fn whole(&self) -> String {
        match (self.leaf.trim_end(), self.issuers.trim_end()) {
            (leaf, "") => format!("{leaf}\n"),
            (leaf, issuers) => format!("{leaf}\n{issuers}\n"),
        }
    }
}

/// A private key, as unencrypted PKCS#8 in PEM form. Wiped when dropped; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Zeroizing<String>);

impl PrivateKey {
    /// Takes ownership of the text; the caller must keep no copy.
    #[must_use]
    pub fn new(pem: Zeroizing<String>) -> Self {
        Self(pem)
    }

    /// The PEM text. A caller that copies it must wipe the copy.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(not shown)")
    }
}

/// The algorithm and size of a key. An imported certificate can be replaced only by one with the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// RSA of 1024 bits; existing keys only.
    Rsa1024,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
    /// The NIST curve P-256.
    EcPrime256v1,
    /// The NIST curve P-384.
    EcSecp384r1,
    /// The NIST curve P-521; existing keys only.
    EcSecp521r1,
    /// Another algorithm, by the service's name.
    Unrecognised(String),
}

impl KeyAlgorithm {
    /// Parses the name in ACM and the private CAs, including `RSA-2048`, which ACM also returns.
    #[must_use]
    pub fn named(text: &str) -> Self {
        match text.replace('-', "_").as_str() {
            "RSA_1024" => Self::Rsa1024,
            "RSA_2048" => Self::Rsa2048,
            "RSA_3072" => Self::Rsa3072,
            "RSA_4096" => Self::Rsa4096,
            "EC_prime256v1" => Self::EcPrime256v1,
            "EC_secp384r1" => Self::EcSecp384r1,
            "EC_secp521r1" => Self::EcSecp521r1,
            _ => Self::Unrecognised(text.to_owned()),
        }
    }

    /// The name in requests to ACM and the private CAs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Rsa1024 => "RSA_1024",
            Self::Rsa2048 => "RSA_2048",
            Self::Rsa3072 => "RSA_3072",
            Self::Rsa4096 => "RSA_4096",
            Self::EcPrime256v1 => "EC_prime256v1",
            Self::EcSecp384r1 => "EC_secp384r1",
            Self::EcSecp521r1 => "EC_secp521r1",
            Self::Unrecognised(text) => text,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_printed() {
        let key = PrivateKey::new(Zeroizing::new("-----BEGIN PRIVATE KEY-----".to_owned()));
        assert_eq!(format!("{key:?} {key:#?}"), "PrivateKey(not shown) PrivateKey(not shown)");
    }

    #[test]
    fn key_algorithms_in_both_spellings() {
        for text in ["RSA_2048", "RSA-2048"] {
            assert_eq!(KeyAlgorithm::named(text), KeyAlgorithm::Rsa2048);
        }
        assert_eq!(KeyAlgorithm::named("EC_prime256v1"), KeyAlgorithm::EcPrime256v1);
        assert_eq!(KeyAlgorithm::named("ML-DSA-44").as_str(), "ML-DSA-44");
    }
}
