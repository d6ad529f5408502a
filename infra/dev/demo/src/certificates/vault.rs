//! Private CAs and certificates, created with ACM Private CA, ACM and Secrets Manager.

use serde_json::{Value, json};

use stack::LocalAws;
use stack::demo_mesh::now;
use stack::failure::{Failure, Result};

const DAY: u64 = 24 * 60 * 60;

/// A root CA.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    pub(super) arn: String,
    /// Its certificate, PEM.
    pub(super) certificate: String,
}

/// A certificate with its key, PEM. Never printed.
pub(super) struct Leaf {
    certificate: String,
    key: String,
    issuer: String,
}

/// The age of a certificate and its remaining lifetime, in days.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    pub(super) lived: u64,
    pub(super) left: u64,
}

impl Authority {
    /// Creates a self-signed root.
    pub(super) fn create(aws: &mut LocalAws, name: &str) -> Result<Self> {
        let configuration = json!({
            "KeyAlgorithm": "RSA_2048", "SigningAlgorithm": "SHA256WITHRSA", "Subject": {"CommonName": name},
        });
        let request = json!({"CertificateAuthorityConfiguration": configuration, "CertificateAuthorityType": "ROOT"});
        let made = aws.call("acm-pca", "create_certificate_authority", &request)?;
        let arn = text(&made, "CertificateAuthorityArn")?;
        let csr = aws.call("acm-pca", "get_certificate_authority_csr", &json!({"CertificateAuthorityArn": arn}))?;
        let order = json!({
            "CertificateAuthorityArn": arn, "Csr": text(&csr, "Csr")?, "SigningAlgorithm": "SHA256WITHRSA",
            "TemplateArn": "arn:aws:acm-pca:::template/RootCACertificate/V1",
            "Validity": {"Type": "YEARS", "Value": 10},
        });
        let certificate = text(&issued(aws, &arn, &order)?, "Certificate")?;
        let import = json!({"CertificateAuthorityArn": arn, "Certificate": certificate});
        aws.call("acm-pca", "import_certificate_authority_certificate", &import)?;
        Ok(Self { arn, certificate })
    }

    /// Issues a certificate for hosts.
    pub(super) fn issue(&self, aws: &mut LocalAws, hosts: &[&str], age: Age) -> Result<Leaf> {
        let key = aws.call("local", "make_key", &json!({"Hosts": hosts}))?;
        let at = |moment: u64| json!({"Type": "ABSOLUTE", "Value": moment});
        let order = json!({
            "CertificateAuthorityArn": self.arn, "Csr": text(&key, "Csr")?, "SigningAlgorithm": "SHA256WITHRSA",
            "ValidityNotBefore": at(now() - age.lived * DAY), "Validity": at(now() + age.left * DAY),
        });
        let certificate = text(&issued(aws, &self.arn, &order)?, "Certificate")?;
        Ok(Leaf { certificate, key: text(&key, "PrivateKey")?, issuer: self.certificate.clone() })
    }
}

fn issued(aws: &mut LocalAws, authority: &str, order: &Value) -> Result<Value> {
    let ordered = aws.call("acm-pca", "issue_certificate", order)?;
    let request = json!({"CertificateAuthorityArn": authority, "CertificateArn": text(&ordered, "CertificateArn")?});
    aws.call("acm-pca", "get_certificate", &request)
}

/// Imports a certificate with its key into ACM, and returns its ARN.
pub(super) fn import(aws: &mut LocalAws, leaf: &Leaf) -> Result<String> {
    let request = json!({"Certificate": leaf.certificate, "PrivateKey": leaf.key, "CertificateChain": leaf.issuer});
    text(&aws.call("acm", "import_certificate", &request)?, "CertificateArn")
}

/// The current certificate in ACM, with its issuers.
pub(super) fn in_acm(aws: &mut LocalAws, arn: &str) -> Result<String> {
    let got = aws.call("acm", "get_certificate", &json!({"CertificateArn": arn}))?;
    Ok(format!("{}\n{}", text(&got, "Certificate")?.trim_end(), text(&got, "CertificateChain")?))
}

/// Creates a secret with a certificate and its key.
pub(super) fn create_leaf(aws: &mut LocalAws, secret: &str, leaf: &Leaf) -> Result<()> {
    create(aws, secret, &json!({"certificate": leaf.certificate, "chain": leaf.issuer, "privateKey": leaf.key}))
}

/// Creates a secret with a trusted CA.
pub(super) fn create_trust(aws: &mut LocalAws, secret: &str, authority: &Authority) -> Result<()> {
    create(aws, secret, &json!({"trust": authority.certificate}))
}

fn create(aws: &mut LocalAws, secret: &str, bundle: &Value) -> Result<()> {
    let request = json!({"Name": secret, "SecretString": bundle.to_string()});
    aws.call("secretsmanager", "create_secret", &request).map(drop)
}

/// Replaces the certificate and key of a secret.
pub(super) fn replace_leaf(aws: &mut LocalAws, secret: &str, leaf: &Leaf) -> Result<()> {
    let bundle = json!({"certificate": leaf.certificate, "chain": leaf.issuer, "privateKey": leaf.key});
    let request = json!({"SecretId": secret, "SecretString": bundle.to_string()});
    aws.call("secretsmanager", "put_secret_value", &request).map(drop)
}

/// Members of a secret's current version, joined; missing ones are left out.
pub(super) fn current(aws: &mut LocalAws, secret: &str, members: &[&str]) -> Result<String> {
    // Without a stage the local service returns the version that was written last.
    let request = json!({"SecretId": secret, "VersionStage": "AWSCURRENT"});
    let got = aws.call("secretsmanager", "get_secret_value", &request)?;
    let bundle: Value = serde_json::from_str(&text(&got, "SecretString")?).unwrap_or_default();
    let texts = members.iter().filter_map(|member| bundle.get(*member)?.as_str());
    Ok(texts.collect::<Vec<_>>().join("\n"))
}

/// The labels of each version of a secret.
pub(super) fn labels(aws: &mut LocalAws, secret: &str) -> Result<Vec<String>> {
    let got = aws.call("secretsmanager", "describe_secret", &json!({"SecretId": secret}))?;
    let versions = got.get("VersionIdsToStages").and_then(Value::as_object).into_iter().flatten();
    let labels = versions.map(|(_, labels)| {
        let labels = labels.as_array().into_iter().flatten().filter_map(Value::as_str);
        labels.collect::<Vec<_>>().join("+")
    });
    let mut labels: Vec<String> = labels.filter(|labels| !labels.is_empty()).collect();
    labels.sort();
    Ok(labels)
}

fn text(answer: &Value, member: &str) -> Result<String> {
    let found = answer.get(member).and_then(Value::as_str);
    found
        .map(ToOwned::to_owned)
        .ok_or_else(|| Failure::Refused { what: "the service".to_owned(), answer: format!("without {member}") })
}
