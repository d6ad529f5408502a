//! Runs moto, which serves ACM, ACM Private CA and Secrets Manager, as a child process.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_acmpca::Client;
use aws_sdk_acmpca::primitives::Blob;
use aws_sdk_acmpca::types::{
    Asn1Subject, CertificateAuthorityConfiguration, CertificateAuthorityType, KeyAlgorithm, SigningAlgorithm, Validity,
    ValidityPeriodType,
};
use jiff::Timestamp;
use ports::certificates::{AuthorityArn, KeyMaker as _, PrivateKey, SubjectNames, SystemKeys};

use crate::stack::{bound_endpoint, sdk_config};

/// A moto process on a free port, which dropping it ends.
#[derive(Debug)]
pub struct Moto {
    /// The endpoint of moto.
    pub endpoint: String,
    child: Child,
}

/// The maximum time until moto responds. It takes two seconds; a busy machine takes many more.
const READY_WITHIN: Duration = Duration::from_mins(1);

impl Moto {
    /// Starts moto. `None`, with the reason printed, if it is not installed.
    pub async fn start() -> Option<Self> {
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".local/venv/bin/python");
        if !python.is_file() {
            println!("skipped: {} does not exist; `cargo xtask setup` installs it", python.display());
            return None;
        }
        let found = "import importlib.util, sys; sys.exit(importlib.util.find_spec('moto') is None)";
        if !Command::new(&python).args(["-c", found]).status().unwrap().success() {
            println!(
                "skipped: moto is not installed; `cargo xtask setup` installs the packages of infra/dev/local/requirements.txt"
            );
            return None;
        }
        let mut child = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("infra/dev/local/moto_server.py"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut moto = Self { endpoint: bound_endpoint(&mut child), child };
        let ready = format!("{}/moto-api/data.json", moto.endpoint);
        let give_up = Instant::now() + READY_WITHIN;
        while reqwest::get(&ready).await.is_err() {
            assert_eq!(moto.child.try_wait().unwrap(), None, "moto ended before it was ready");
            assert!(Instant::now() < give_up, "moto does not respond");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(moto)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // An error means that the process has already ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Moto {
    /// Creates a private CA with this name.
    pub async fn authority(&self, name: &str) -> PrivateRoot {
        PrivateRoot::make(&Client::new(&sdk_config(&self.endpoint).await), name).await
    }

    /// Imports a certificate into ACM, and returns its ARN.
    pub async fn import(&self, issued: &Issued, root: &PrivateRoot, tags: &[(&str, &str)]) -> String {
        Self::import_at(&self.endpoint, issued, root, tags).await
    }

    /// Imports a certificate into ACM at this endpoint.
    pub async fn import_at(endpoint: &str, issued: &Issued, root: &PrivateRoot, tags: &[(&str, &str)]) -> String {
        let tag =
            |(key, value): &(&str, &str)| aws_sdk_acm::types::Tag::builder().key(*key).value(*value).build().unwrap();
        let client = aws_sdk_acm::Client::new(&sdk_config(endpoint).await);
        let import = client.import_certificate().certificate(Blob::new(issued.certificate.as_str()));
        let import = import.private_key(Blob::new(issued.key.pem()));
        let import = import.certificate_chain(Blob::new(root.certificate.as_str()));
        let tags = (!tags.is_empty()).then(|| tags.iter().map(tag).collect());
        import.set_tags(tags).send().await.unwrap().certificate_arn.unwrap()
    }

    /// Stores a secret.
    pub async fn create_secret(&self, name: &str, text: &str) {
        let client = aws_sdk_secretsmanager::Client::new(&sdk_config(&self.endpoint).await);
        client.create_secret().name(name).secret_string(text).send().await.unwrap();
    }
}

/// A root CA for one test, active, for five years.
#[derive(Clone, Debug)]
pub struct PrivateRoot {
    /// The ARN of the CA.
    pub arn: AuthorityArn,
    /// The certificate of the CA, PEM.
    pub certificate: String,
    client: Client,
}

/// A certificate with its key, PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The leaf without the CA's certificate.
    pub certificate: String,
    /// The key of the certificate.
    pub key: PrivateKey,
}

impl PrivateRoot {
    /// Creates a CA that signs its own certificate.
    pub async fn make(client: &Client, name: &str) -> Self {
        let configuration = CertificateAuthorityConfiguration::builder()
            .key_algorithm(KeyAlgorithm::Rsa2048)
            .signing_algorithm(SigningAlgorithm::Sha256Withrsa)
            .subject(Asn1Subject::builder().common_name(name).build());
        let create = client.create_certificate_authority();
        let create = create.certificate_authority_configuration(configuration.build().unwrap());
        let create = create.certificate_authority_type(CertificateAuthorityType::Root);
        let arn = create.send().await.unwrap().certificate_authority_arn.unwrap();
        let csr = client.get_certificate_authority_csr().certificate_authority_arn(&arn).send().await.unwrap();
        let years = Validity::builder().r#type(ValidityPeriodType::Years).value(5).build().unwrap();
        let issue = client.issue_certificate().certificate_authority_arn(&arn);
        let issue = issue.csr(Blob::new(csr.csr.unwrap())).signing_algorithm(SigningAlgorithm::Sha256Withrsa);
        let issue = issue.template_arn("arn:aws:acm-pca:::template/RootCACertificate/V1").validity(years);
        let issued = issue.send().await.unwrap().certificate_arn.unwrap();
        let got = client.get_certificate().certificate_authority_arn(&arn).certificate_arn(issued);
        let certificate = got.send().await.unwrap().certificate.unwrap();
        let import = client.import_certificate_authority_certificate().certificate_authority_arn(&arn);
        import.certificate(Blob::new(certificate.as_str())).send().await.unwrap();
        Self { arn: AuthorityArn::parse(&arn).unwrap(), certificate, client: client.clone() }
    }

    /// Issues a certificate for a host, valid between these times.
    pub async fn issue(&self, host: &str, from: Timestamp, until: Timestamp) -> Issued {
        let names = SubjectNames { common_name: Some(host.to_owned()), dns: vec![host.to_owned()], uris: Vec::new() };
        let fresh = SystemKeys.make(&ports::certificates::KeyAlgorithm::EcPrime256v1, &names).unwrap();
        let at = |moment: Timestamp| {
            let validity = Validity::builder().r#type(ValidityPeriodType::Absolute).value(moment.as_second());
            validity.build().unwrap()
        };
        let issue = self.client.issue_certificate().certificate_authority_arn(self.arn.as_str());
        let issue = issue.csr(Blob::new(fresh.request)).signing_algorithm(SigningAlgorithm::Sha256Withrsa);
        let issued = issue.validity_not_before(at(from)).validity(at(until)).send().await.unwrap();
        let got = self.client.get_certificate().certificate_authority_arn(self.arn.as_str());
        let got = got.certificate_arn(issued.certificate_arn.unwrap()).send().await.unwrap();
        Issued { certificate: got.certificate.unwrap(), key: fresh.key }
    }
}
