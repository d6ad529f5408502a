//! Real certificates.

use jiff::Timestamp;
use mesh::certificates::{Certificate, Chain};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, SanType,
};

/// The time at which the tables are judged.
pub(super) fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// From and until when, as years.
pub(super) type Years = (i32, i32);

/// An authority that issues.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn root(name: &str, years: Years) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self { issuer: CertifiedIssuer::self_signed(Self::params(name, years), key).unwrap() }
    }

    pub(super) fn under(&self, name: &str, years: Years) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self { issuer: CertifiedIssuer::signed_by(Self::params(name, years), key, &self.issuer).unwrap() }
    }

    fn params(name: &str, (from, until): Years) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        params
    }

    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(super) fn certificate(&self) -> Certificate {
        Certificate::read_all(&self.pem()).unwrap().swap_remove(0)
    }

    /// A leaf's PEM.
    pub(super) fn issue(&self, names: &[&str], (from, until): Years) -> String {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.distinguished_name.push(DnType::CommonName, "leaf");
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) if name.contains("://") => SanType::URI((*name).try_into().unwrap()),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        params.signed_by(&key, &self.issuer).unwrap().pem()
    }

    /// A leaf, with what leads from it to the root.
    pub(super) fn chain(&self, names: &[&str], years: Years, others: &[&Self]) -> Chain {
        let others: String = others.iter().map(|other| other.pem()).collect();
        Chain::read(&format!("{}{others}", self.issue(names, years))).unwrap()
    }
}
