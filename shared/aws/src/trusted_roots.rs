//! The root certificates of TLS connections: those of the machine, or a file in the variable `AWS_CA_BUNDLE` or
//! `SSL_CERT_FILE`, which replaces them as in AWS's other tools.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use aws_smithy_http_client::tls::TrustStore;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

/// A file of root certificates cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {variable} `{file}`: {reason}")]
pub struct RootsError {
    /// The name of the variable.
    variable: &'static str,
    /// The file that the variable names.
    file: String,
    /// The reason.
    reason: String,
}

/// The variables that name a file of root certificates, the first one before the second.
const VARIABLES: [&str; 2] = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"];

/// The root certificates that these variables select. An empty variable counts as unset.
pub(crate) fn trusted_roots(variable: impl Fn(&str) -> Option<OsString>) -> Result<TrustStore, RootsError> {
    let set = VARIABLES.into_iter().find_map(|name| {
        let file = variable(name).filter(|file| !file.is_empty())?;
        Some((name, PathBuf::from(file)))
    });
    let Some((variable, file)) = set else { return Ok(TrustStore::default()) };
    let invalid = |reason: String| RootsError { variable, file: file.display().to_string(), reason };
    let pem = fs::read(&file).map_err(|error| invalid(error.to_string()))?;
    // The client panics on a certificate that it cannot use, so each one is checked here.
    let mut usable = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| invalid(error.to_string()))?;
        usable.add(certificate).map_err(|error| invalid(error.to_string()))?;
    }
    if usable.is_empty() {
        return Err(invalid("it has no certificate in PEM format".to_owned()));
    }
    Ok(TrustStore::empty().with_pem_certificate(pem))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome for variables that name these files.
    fn outcome(bundle: Option<&str>, file: Option<&str>) -> Result<String, String> {
        let roots = trusted_roots(|name| {
            let value = if name == "AWS_CA_BUNDLE" { bundle } else { file };
            value.map(OsString::from)
        });
        roots.map(|roots| format!("{roots:?}")).map_err(|error| error.to_string())
    }

    #[test]
    fn roots_of_the_machine_are_used_without_a_variable() {
        for roots in [outcome(None, None), outcome(Some(""), Some(""))] {
            assert!(roots.unwrap().contains("enable_native_roots: true"));
        }
    }

    #[test]
    fn unusable_file_is_refused_with_its_variable() {
        for (bundle, file, expected) in [
            (Some("/nonexistent/ca.pem"), None, "invalid AWS_CA_BUNDLE `/nonexistent/ca.pem`: No such file"),
            (None, Some("/nonexistent/ca.pem"), "invalid SSL_CERT_FILE `/nonexistent/ca.pem`: No such file"),
            (Some("/dev/null"), Some("/nonexistent"), "invalid AWS_CA_BUNDLE `/dev/null`: it has no certificate"),
        ] {
            let error = outcome(bundle, file).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        let file = std::env::temp_dir().join(format!("meshwarden-roots-{}.pem", std::process::id()));
        fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        let error = outcome(file.to_str(), None).unwrap_err();
        fs::remove_file(&file).unwrap();
        assert!(error.starts_with("invalid AWS_CA_BUNDLE"), "{error}");
    }
}
