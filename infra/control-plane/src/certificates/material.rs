//! Validation of fetched secrets.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use xds::SecretMaterial;

use crate::secrets::{KnownSecret, SecretProblem, ServedCertificate, problem};

/// Reads material as Envoy will: material that Envoy would refuse is a problem here, before it is sent.
pub(super) fn judge(material: SecretMaterial) -> Result<KnownSecret, SecretProblem> {
    let certificates = match &material {
        SecretMaterial::Certificate { chain, key } => {
            let chain = parsed(chain)?;
            let leaf = chain.first().map(|(_, served)| served.clone()).into_iter().collect();
            let der = chain.into_iter().map(|(der, _)| der).collect();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                // The error could contain parts of the key, so it is dropped.
                .map_err(|_| broken("the private key cannot be read: expected unencrypted PEM"))?;
            CertifiedKey::from_der(der, key, &ring::default_provider()).map_err(|error| {
                broken(&format!("the private key does not match the certificate, or cannot be used: {error}"))
            })?;
            leaf
        }
        SecretMaterial::Trust { roots } => parsed(roots)?.into_iter().map(|(_, served)| served).collect(),
    };
    Ok(KnownSecret { material, certificates })
}

/// The problem of a served secret with expired certificates.
pub(super) fn expired(known: &KnownSecret, now: Timestamp) -> Option<SecretProblem> {
    // One of several roots may have expired and still wait for its removal.
    let last = known.certificates.iter().map(|certificate| certificate.not_after).max()?;
    (last < now).then(|| SecretProblem {
        id: problem::EXPIRED,
        message: format!("it expired at {last} and is still served; renew it"),
    })
}

/// Reads the certificates of a PEM text. Fails if there are none.
pub(super) fn read(pem: &str) -> Result<Vec<ServedCertificate>, SecretProblem> {
    Ok(parsed(pem)?.into_iter().map(|(_, served)| served).collect())
}

/// The part of a chain that a client has to trust: its self-signed certificates, or the last one without any.
pub(super) fn roots(leaf: &str, issuers: &str) -> Result<String, SecretProblem> {
    let pieces: Vec<&str> = pieces(leaf).chain(pieces(issuers)).collect();
    let mut signed_themselves = Vec::new();
    for piece in &pieces {
        for der in ders(piece)? {
            let certificate = x509(&der)?;
            if certificate.subject() == certificate.issuer() {
                signed_themselves.push(*piece);
            }
        }
    }
    if signed_themselves.is_empty() {
        signed_themselves.extend(pieces.last());
    }
    if signed_themselves.is_empty() {
        return Err(broken("it contains no certificate"));
    }
    Ok(signed_themselves.concat())
}

/// The blocks of a PEM text, each with its line end.
fn pieces(pem: &str) -> impl Iterator<Item = &str> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut rest = pem;
    std::iter::from_fn(move || {
        let begin = rest.find("-----BEGIN CERTIFICATE-----")?;
        let end = rest.get(begin..)?.find(END)? + begin + END.len();
        let end = rest.get(end..)?.find('\n').map_or(rest.len(), |line| end + line + 1);
        let piece = rest.get(begin..end)?;
        rest = rest.get(end..)?;
        Some(piece)
    })
}

fn ders(pem: &str) -> Result<Vec<CertificateDer<'static>>, SecretProblem> {
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let ders = read.map_err(|error| broken(&format!("the certificates cannot be read: {error}")))?;
    if ders.is_empty() { Err(broken("it contains no certificate")) } else { Ok(ders) }
}

fn parsed(pem: &str) -> Result<Vec<(CertificateDer<'static>, ServedCertificate)>, SecretProblem> {
    let one = |der: CertificateDer<'static>| {
        let not_after = x509(&der)?.validity().not_after.timestamp();
        let not_after = Timestamp::from_second(not_after)
            .map_err(|_| broken("the end of a certificate's validity is out of range"))?;
        let served = ServedCertificate { fingerprint: fingerprint(&der), not_after };
        Ok((der, served))
    };
    ders(pem)?.into_iter().map(one).collect()
}

fn x509<'d>(der: &'d CertificateDer<'_>) -> Result<X509Certificate<'d>, SecretProblem> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| broken(&format!("a certificate cannot be read: {error}")))?;
    if rest.is_empty() { Ok(certificate) } else { Err(broken("there is data after the end of a certificate")) }
}

fn fingerprint(der: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(der).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn broken(message: &str) -> SecretProblem {
    SecretProblem { id: problem::BROKEN, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(of: &CertifiedIssuer<'static, KeyPair>) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.local".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a.local");
        (params.signed_by(&key, of).unwrap().pem(), key.serialize_pem())
    }

    fn certificate(chain: &str, key: &str) -> SecretMaterial {
        SecretMaterial::Certificate { chain: chain.to_owned(), key: key.to_owned().into() }
    }

    #[test]
    fn a_certificate_with_its_key_is_known_by_its_leaf() {
        let root = authority("root");
        let (chain, key) = leaf(&root);
        let known = judge(certificate(&format!("{chain}{}", root.pem()), &key)).unwrap();
        let [only] = known.certificates.as_slice() else { panic!("{:?}", known.certificates) };
        assert_eq!(only.fingerprint, read(&chain).unwrap()[0].fingerprint);
        assert_eq!(only.fingerprint.len(), 64);
        assert_eq!(expired(&known, Timestamp::now()), None);
        assert_eq!(expired(&known, Timestamp::MAX).unwrap().id, problem::EXPIRED);
    }

    #[test]
    fn material_that_envoy_would_refuse_is_broken() {
        let root = authority("root");
        let (chain, key) = leaf(&root);
        let (_, other_key) = leaf(&root);
        for (case, material) in [
            ("another key", certificate(&chain, &other_key)),
            ("no key", certificate(&chain, "")),
            ("an invalid key", certificate(&chain, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")),
            ("no certificate", certificate("", &key)),
            ("a truncated certificate", certificate(&chain[..chain.len() / 2], &key)),
            ("the key instead of the certificate", certificate(&key, &key)),
            ("no roots", SecretMaterial::Trust { roots: "nothing".to_owned() }),
        ] {
            let problem = judge(material).unwrap_err();
            assert_eq!(problem.id, problem::BROKEN, "{case}");
            assert!(!problem.message.contains("AAAA"), "{case}: {}", problem.message);
        }
    }

    #[test]
    fn the_root_of_a_chain_is_self_signed_or_last() {
        let root = authority("root");
        let (chain, _) = leaf(&root);
        let (other, _) = leaf(&authority("other"));
        assert_eq!(roots(&chain, &root.pem()).unwrap(), root.pem());
        // Without a self-signed certificate the last one is the root.
        assert_eq!(roots(&chain, &other).unwrap(), other);
        assert_eq!(roots(&root.pem(), "").unwrap(), root.pem());
        assert!(roots("", "").is_err());
    }
}
