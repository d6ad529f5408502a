//! The members of a certificate that the checks compare.

use jiff::Timestamp;
use ports::certificates::PrivateKey;
use rcgen::{KeyPair, PublicKeyData};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;

/// A parsed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its serial number.
    pub serial: Vec<u8>,
    /// The subject alternative names.
    pub names: Vec<String>,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// Whether both sides of mutual TLS may present it.
    pub is_for_servers_and_clients: bool,
    key: Vec<u8>,
    der: Vec<u8>,
}

impl Leaf {
    /// Parses the first certificate of a text.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let pem = Pem::iter_from_buffer(text.as_bytes()).next().unwrap().unwrap();
        let certificate = pem.parse_x509().unwrap();
        let mut leaf = Self {
            serial: certificate.raw_serial().to_vec(),
            names: Vec::new(),
            not_before: Timestamp::from_second(certificate.validity().not_before.timestamp()).unwrap(),
            not_after: Timestamp::from_second(certificate.validity().not_after.timestamp()).unwrap(),
            is_for_servers_and_clients: false,
            key: certificate.public_key().subject_public_key.data.to_vec(),
            der: pem.contents.clone(),
        };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    leaf.is_for_servers_and_clients = usage.server_auth && usage.client_auth;
                }
                ParsedExtension::SubjectAlternativeName(names) => {
                    leaf.names = names.general_names.iter().filter_map(name).collect();
                }
                _ => {}
            }
        }
        leaf
    }

    /// Whether the first certificate of a text signed it.
    #[must_use]
    pub fn is_signed_by(&self, issuer: &str) -> bool {
        let issuer = Pem::iter_from_buffer(issuer.as_bytes()).next().unwrap().unwrap();
        let issuer = issuer.parse_x509().unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&self.der).unwrap();
        certificate.verify_signature(Some(issuer.public_key())).is_ok()
    }

    /// Whether this is the key of the certificate.
    #[must_use]
    pub fn belongs_to(&self, key: &PrivateKey) -> bool {
        KeyPair::from_pem(key.pem()).unwrap().der_bytes() == self.key
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        _ => None,
    }
}
