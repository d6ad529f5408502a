use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, PublicKeyData as _, SanType,
};
use rsa::pkcs8::EncodePrivateKey;
use zeroize::{Zeroize, Zeroizing};

use super::{FreshKey, KeyAlgorithm, KeyMaker, PrivateKey, SubjectNames};
use crate::{PortError, PortErrorKind};

/// Creates keys from the machine's random number generator: RSA of 2048 to 4096 bits, and the curves P-256 and P-384.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemKeys;

impl KeyMaker for SystemKeys {
    fn make(&self, algorithm: &KeyAlgorithm, names: &SubjectNames) -> Result<FreshKey, PortError> {
        let mut pair = key_pair(algorithm)?;
        let request = certificate_request(&pair, names);
        let key = private_key(&pair);
        pair.zeroize();
        Ok(FreshKey { key, request: request.map_err(|error| refused(algorithm, &error))? })
    }

    fn public_key(&self, key: &PrivateKey) -> Result<Vec<u8>, PortError> {
        // The parser's own error could quote the key.
        let unread = |_| {
            let why = "it is not an unencrypted PKCS#8 key of a known kind";
            PortError::new("read the public half of a private key", PortErrorKind::Other, why)
        };
        let mut pair = KeyPair::from_pem(key.pem()).map_err(unread)?;
        let public = pair.subject_public_key_info();
        pair.zeroize();
        Ok(public)
    }
}

/// Creates a key pair of this algorithm. RSA keys take a moment each.
///
/// # Errors
///
/// This program makes no keys of this algorithm, or the random number generator fails.
pub fn key_pair(algorithm: &KeyAlgorithm) -> Result<KeyPair, PortError> {
    let pair = match algorithm {
        KeyAlgorithm::EcPrime256v1 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyAlgorithm::EcSecp384r1 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyAlgorithm::Rsa2048 => return rsa_pair(algorithm, 2048),
        KeyAlgorithm::Rsa3072 => return rsa_pair(algorithm, 3072),
        KeyAlgorithm::Rsa4096 => return rsa_pair(algorithm, 4096),
        KeyAlgorithm::Rsa1024 | KeyAlgorithm::EcSecp521r1 | KeyAlgorithm::Unrecognised(_) => {
            return Err(refused(algorithm, &"such keys are not made here"));
        }
    };
    pair.map_err(|error| refused(algorithm, &error))
}

/// The private key of a key pair, as text that is wiped after its use.
#[must_use]
pub fn private_key(pair: &KeyPair) -> PrivateKey {
    PrivateKey::new(Zeroizing::new(pair.serialize_pem()))
}

/// A certificate request for these names, signed with its own key.
///
/// # Errors
///
/// A name is not valid in a certificate.
pub fn certificate_request(pair: &KeyPair, names: &SubjectNames) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(common_name) = &names.common_name {
        params.distinguished_name.push(DnType::CommonName, common_name.as_str());
    }
    let dns = names.dns.iter().map(|name| Ia5String::try_from(name.as_str()).map(SanType::DnsName));
    let uris = names.uris.iter().map(|name| Ia5String::try_from(name.as_str()).map(SanType::URI));
    params.subject_alt_names = dns.chain(uris).collect::<Result<_, _>>()?;
    params.serialize_request(pair)?.pem()
}

/// Signs with RSA keys by `ring`, which cannot create them.
fn rsa_pair(algorithm: &KeyAlgorithm, bits: usize) -> Result<KeyPair, PortError> {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).map_err(|error| refused(algorithm, &error))?;
    let der = key.to_pkcs8_der().map_err(|error| refused(algorithm, &error))?;
    KeyPair::from_pkcs8_der_and_sign_algo(&der.as_bytes().into(), &PKCS_RSA_SHA256)
        .map_err(|error| refused(algorithm, &error))
}

fn refused(algorithm: &KeyAlgorithm, why: &dyn std::fmt::Display) -> PortError {
    PortError::new(format!("make a key of type {algorithm}"), PortErrorKind::Other, why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_new_and_of_the_requested_type() {
        let names = SubjectNames {
            common_name: Some("orders.shop.local".into()),
            dns: vec!["orders.shop.local".into(), "*.shop.local".into()],
            uris: vec!["spiffe://shop/orders".into()],
        };
        for algorithm in [KeyAlgorithm::EcPrime256v1, KeyAlgorithm::EcSecp384r1, KeyAlgorithm::Rsa2048] {
            let [one, other] = [(), ()].map(|()| SystemKeys.make(&algorithm, &names).unwrap());
            assert_ne!(one.key, other.key);
            assert!(one.key.pem().starts_with("-----BEGIN PRIVATE KEY-----"), "{algorithm}");
            assert!(one.request.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{algorithm}");
        }
    }

    #[test]
    fn public_half_of_a_key_is_that_of_its_request() {
        for algorithm in [KeyAlgorithm::EcPrime256v1, KeyAlgorithm::EcSecp384r1, KeyAlgorithm::Rsa2048] {
            let fresh = SystemKeys.make(&algorithm, &SubjectNames::default()).unwrap();
            let public = SystemKeys.public_key(&fresh.key).unwrap();
            let other = SystemKeys.make(&algorithm, &SubjectNames::default()).unwrap();
            assert_ne!(public, SystemKeys.public_key(&other.key).unwrap(), "{algorithm}");
            let request: String = fresh.request.lines().filter(|line| !line.starts_with("-----")).collect();
            assert!(request.len() > public.len(), "{algorithm}");
        }
        let broken =
            PrivateKey::new("-----BEGIN PRIVATE KEY-----\naHVzaA==\n-----END PRIVATE KEY-----\n".to_owned().into());
        let error = SystemKeys.public_key(&broken).unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
    }

    #[test]
    fn unsupported_key_type_is_refused() {
        for algorithm in [KeyAlgorithm::Rsa1024, KeyAlgorithm::EcSecp521r1, KeyAlgorithm::named("ML_DSA_44")] {
            let error = SystemKeys.make(&algorithm, &SubjectNames::default()).unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Other, "{error}");
        }
    }
}
