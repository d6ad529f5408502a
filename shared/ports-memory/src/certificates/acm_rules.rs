use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ExtendedKeyUsage, GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::public_key::PublicKey;

use super::numbers::in_pairs;
use ports::certificates::{Chain, KeyAlgorithm, PrivateKey};

/// The properties of a certificate that ACM uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) common_name: String,
    pub(super) names: Vec<String>,
    pub(super) key_algorithm: KeyAlgorithm,
    pub(super) serial: String,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    key_usages: u16,
    extended_key_usages: Vec<String>,
}

/// Reads a certificate.
pub(super) fn facts(leaf: &str) -> Result<Facts, String> {
    let pem = first(leaf)?;
    let certificate = pem.parse_x509().map_err(|error| format!("the certificate is not valid: {error}"))?;
    let mut facts = Facts {
        common_name: certificate
            .subject()
            .iter_common_name()
            .next()
            .and_then(|name| name.as_str().ok())
            .unwrap_or_default()
            .to_owned(),
        names: Vec::new(),
        key_algorithm: algorithm(&certificate),
        serial: in_pairs(certificate.raw_serial()),
        not_before: at(certificate.validity().not_before.timestamp())?,
        not_after: at(certificate.validity().not_after.timestamp())?,
        key_usages: 0,
        extended_key_usages: Vec::new(),
    };
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::KeyUsage(usage) => facts.key_usages = usage.flags,
            ParsedExtension::ExtendedKeyUsage(usage) => facts.extended_key_usages = extended(usage),
            ParsedExtension::SubjectAlternativeName(names) => {
                facts.names = names.general_names.iter().filter_map(name).collect();
            }
            _ => {}
        }
    }
    Ok(facts)
}

/// Checks an imported certificate like ACM. The error is ACM's message.
pub(super) fn importable(chain: &Chain, key: &PrivateKey, now: Timestamp) -> Result<Facts, String> {
    let facts = facts(&chain.leaf)?;
    if facts.not_after <= now {
        return Err("The certificate has expired, is not valid.".to_owned());
    }
    if now < facts.not_before {
        return Err("The certificate is not in effect yet, is not valid.".to_owned());
    }
    let leaf = first(&chain.leaf)?;
    let leaf = leaf.parse_x509().map_err(|error| error.to_string())?;
    let pair = KeyPair::from_pem(key.pem()).map_err(|_| "The private key is not PEM-encoded or is not valid.")?;
    if leaf.public_key().subject_public_key.data.as_ref() != pair.der_bytes() {
        return Err("The private key does not match the certificate's.".to_owned());
    }
    let signed = if chain.issuers.trim().is_empty() {
        leaf.verify_signature(None).is_ok()
    } else {
        let issuer = first(&chain.issuers)?;
        let issuer = issuer.parse_x509().map_err(|error| format!("The certificate chain is not valid: {error}"))?;
        leaf.verify_signature(Some(issuer.public_key())).is_ok()
    };
    if signed { Ok(facts) } else { Err("Could not validate the certificate with the certificate chain.".to_owned()) }
}

/// Checks the replacement of an imported certificate like ACM.
pub(super) fn replaces(new: &Facts, old: &Facts) -> Result<(), String> {
    if new.key_algorithm != old.key_algorithm {
        let (new, old) = (&new.key_algorithm, &old.key_algorithm);
        return Err(format!("The key type and size cannot change: {new} instead of {old}."));
    }
    if old.key_usages & !new.key_usages != 0 {
        return Err("A key usage of the certificate cannot be taken away.".to_owned());
    }
    if old.extended_key_usages.iter().any(|usage| !new.extended_key_usages.contains(usage)) {
        return Err("An extended key usage of the certificate cannot be taken away.".to_owned());
    }
    if new.names.is_empty() && !old.names.is_empty() {
        return Err("Not all names of the certificate can be taken away.".to_owned());
    }
    Ok(())
}

fn first(text: &str) -> Result<Pem, String> {
    let found = Pem::iter_from_buffer(text.as_bytes()).next();
    found.and_then(Result::ok).ok_or_else(|| "The certificate is not PEM-encoded or is not valid.".to_owned())
}

fn at(second: i64) -> Result<Timestamp, String> {
    Timestamp::from_second(second).map_err(|error| error.to_string())
}

fn algorithm(certificate: &X509Certificate<'_>) -> KeyAlgorithm {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => KeyAlgorithm::named(&format!("RSA_{}", key.key_size())),
        Ok(PublicKey::EC(point)) => match point.key_size() {
            256 => KeyAlgorithm::EcPrime256v1,
            384 => KeyAlgorithm::EcSecp384r1,
            // The point's coordinates have whole bytes.
            521 | 528 => KeyAlgorithm::EcSecp521r1,
            size => KeyAlgorithm::Unrecognised(format!("EC_{size}")),
        },
        _ => KeyAlgorithm::Unrecognised(certificate.public_key().algorithm.algorithm.to_id_string()),
    }
}

fn extended(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    let known = [
        (usage.any, "any"),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "ocspSigning"),
    ];
    let known = known.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned());
    known.chain(usage.other.iter().map(x509_parser::der_parser::oid::Oid::to_id_string)).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => Some((*name).to_owned()),
        _ => None,
    }
}
