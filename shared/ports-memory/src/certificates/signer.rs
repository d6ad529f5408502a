use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};

use super::Validity;
use ports::certificates::{Chain, Template};

/// The key of an authority with the certificate that it signs under.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    key: Arc<KeyPair>,
    params: Arc<CertificateParams>,
    /// The authority's own certificate with its issuers.
    chain: Chain,
}

/// Equal keys: no other member differs without the key.
impl PartialEq for Signer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.key, &other.key) && self.chain == other.chain
    }
}

impl Signer {
    /// Creates a root authority.
    pub(super) fn root(key: Arc<KeyPair>, name: &str, validity: Validity, serial: &[u8]) -> Result<Self, rcgen::Error> {
        let params = authority(name, validity, serial);
        let leaf = params.self_signed(&*key)?.pem();
        Ok(Self { key, params: Arc::new(params), chain: Chain { leaf, issuers: String::new() } })
    }

    /// Creates a subordinate authority.
    pub(super) fn subordinate(
        &self,
        key: Arc<KeyPair>,
        name: &str,
        validity: Validity,
        serial: &[u8],
    ) -> Result<Self, rcgen::Error> {
        let mut params = authority(name, validity, serial);
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&*key, &Issuer::from_params(&self.params, &*self.key))?.pem();
        Ok(Self { key, params: Arc::new(params), chain: Chain { leaf, issuers: self.chain.whole() } })
    }

    /// The same authority with a new certificate from the same issuer.
    pub(super) fn again(
        &self,
        from: Option<&Self>,
        name: &str,
        validity: Validity,
        serial: &[u8],
    ) -> Result<Self, rcgen::Error> {
        let key = Arc::clone(&self.key);
        match from {
            None => Self::root(key, name, validity, serial),
            Some(parent) => parent.subordinate(key, name, validity, serial),
        }
    }

    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Signs a request, with its names.
    pub(super) fn sign(
        &self,
        request: &str,
        template: Template,
        validity: Validity,
        serial: &[u8],
    ) -> Result<Chain, rcgen::Error> {
        let mut request = CertificateSigningRequestParams::from_pem(request)?;
        let params = &mut request.params;
        set_validity(params, validity);
        params.serial_number = Some(SerialNumber::from_slice(serial));
        // The usage in the request is ignored in favour of the template's.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = match template {
            Template::EndEntity => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            Template::EndEntityServerAuth => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Template::EndEntityClientAuth => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        let leaf = request.signed_by(&Issuer::from_params(&self.params, &*self.key))?.pem();
        Ok(Chain { leaf, issuers: self.chain.whole() })
    }
}

fn authority(name: &str, validity: Validity, serial: &[u8]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    set_validity(&mut params, validity);
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params
}

/// The time since 1970. X.509 has whole seconds, and no certificate here is older.
fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default())
}

fn set_validity(params: &mut CertificateParams, validity: Validity) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch(validity.from);
    params.not_after = epoch + since_epoch(validity.until);
}
