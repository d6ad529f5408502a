use std::fmt;

use zeroize::Zeroizing;

/// A certificate with what leads from it to its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The certificate itself, PEM.
    pub leaf: String,
    /// Who issued it, and who issued that, PEM: intermediates in order, then the root where the source gives it. Empty
    /// for one that signed itself.
    pub issuers: String,
}

impl Chain {
    /// All of it, the leaf first: what a server presents.
    #[must_use]
    pub fn whole(&self) -> String {
        match (self.leaf.trim_end(), self.issuers.trim_end()) {
            (leaf, "") => format!("{leaf}\n"),
            (leaf, issuers) => format!("{leaf}\n{issuers}\n"),
        }
    }
}

/// A private key, unencrypted PKCS#8 in PEM. Wiped when dropped; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(Zeroizing<String>);

impl PrivateKey {
    /// Takes the key over; the caller keeps no copy.
    #[must_use]
    pub fn new(pem: Zeroizing<String>) -> Self {
        Self(pem)
    }

    /// The PEM text. Whoever copies it wipes the copy.
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

/// Type and size of a key. A certificate can be imported anew only with the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// RSA of 1024 bits: may be found, is never made.
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
    /// The NIST curve P-521: may be found, is not made.
    EcSecp521r1,
    /// Another one, as the service calls it.
    Unrecognised(String),
}

impl KeyAlgorithm {
    /// As ACM and the private CAs spell it. ACM answers `RSA-2048` too.
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

    /// As ACM and the private CAs want it spelled.
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
