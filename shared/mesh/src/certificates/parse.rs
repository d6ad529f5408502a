//! Parses PEM texts.

use std::net::IpAddr;

use jiff::Timestamp;
use thiserror::Error;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use super::certificate::{Certificate, Chain, KeyKind};
use super::fingerprint::{Fingerprint, hexadecimal};
use super::names::CertificateNames;

/// The reason why a text is not a certificate. Contains no part of the text, which may be confidential.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseError {
    /// The text contains no certificate.
    #[error("no certificate found in PEM text")]
    Empty,
    /// A PEM block is malformed.
    #[error("failed to parse PEM block {block}")]
    Pem {
        /// The number of the block, from 1.
        block: usize,
    },
    /// A certificate is malformed.
    #[error("failed to parse certificate {block}")]
    Certificate {
        /// The number of its PEM block, from 1.
        block: usize,
    },
}

impl Certificate {
    /// Parses every certificate in a PEM text, in order; other blocks are skipped.
    pub fn read_all(pem: &str) -> Result<Vec<Self>, ParseError> {
        let mut found = Vec::new();
        for (index, block) in Pem::iter_from_buffer(pem.as_bytes()).enumerate() {
            let number = index + 1;
            let block = block.map_err(|_| ParseError::Pem { block: number })?;
            if block.label == "CERTIFICATE" {
                let certificate = Self::read_der(&block.contents);
                found.push(certificate.ok_or(ParseError::Certificate { block: number })?);
            }
        }
        if found.is_empty() { Err(ParseError::Empty) } else { Ok(found) }
    }

    /// Parses a certificate in DER form.
    #[must_use]
    pub fn read_der(der: &[u8]) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut key_id = None;
        let mut issuer_key_id = None;
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => key_id = Some(hexadecimal(id.0)),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    issuer_key_id = id.key_identifier.as_ref().map(|id| hexadecimal(id.0));
                }
                // Other extensions are not needed.
                _ => {}
            }
        }
        Some(Self {
            fingerprint: Fingerprint::from_der(der),
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            key_id,
            issuer_key_id,
            public_key: Fingerprint::from_der(parsed.public_key().raw).to_string(),
            key: key_kind(&parsed),
            serial: hexadecimal(parsed.raw_serial()),
            names: names(&parsed),
            is_ca: parsed.is_ca(),
            not_before: time(parsed.validity().not_before)?,
            not_after: time(parsed.validity().not_after)?,
        })
    }
}

impl Chain {
    /// Parses a PEM text that starts with the leaf.
    pub fn read(pem: &str) -> Result<Self, ParseError> {
        let mut all = Certificate::read_all(pem)?.into_iter();
        let leaf = all.next().ok_or(ParseError::Empty)?;
        Ok(Self { leaf, others: all.collect() })
    }
}

fn time(time: ASN1Time) -> Option<Timestamp> {
    Timestamp::from_second(time.timestamp()).ok()
}

fn key_kind(certificate: &X509Certificate<'_>) -> KeyKind {
    let other = || KeyKind::Other(certificate.public_key().algorithm.algorithm.to_string());
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => bits(key.key_size()).map_or_else(other, KeyKind::Rsa),
        Ok(PublicKey::EC(point)) => bits(point.key_size()).map_or_else(other, KeyKind::Ec),
        Ok(_) | Err(_) => other(),
    }
}

/// A key size in bits. The parser returns 528 for P-521, in whole bytes.
fn bits(size: usize) -> Option<u32> {
    u32::try_from(size).ok().map(|bits| if bits == 528 { 521 } else { bits })
}

fn names(certificate: &X509Certificate<'_>) -> CertificateNames {
    let common = certificate.subject().iter_common_name().find_map(|name| name.as_str().ok()).map(str::to_owned);
    let mut names = CertificateNames { common, dns: Vec::new(), uris: Vec::new(), addresses: Vec::new() };
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    for name in alternatives.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
            GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
            GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
            // Proxies are not identified by these names.
            _ => {}
        }
    }
    names
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
