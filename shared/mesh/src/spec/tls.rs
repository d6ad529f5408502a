//! TLS at both ends: the certificate of a listener, and the requirements of a client.

use super::bounded::{List, Text};
use crate::spec::shapes::{structure, union, words};
use crate::split::Port;

words! {
    /// Whether a listener accepts TLS, plain text or both.
    pub enum TlsMode {
        /// TLS only.
        "STRICT" => Strict,
        /// TLS and plain text.
        "PERMISSIVE" => Permissive,
        /// Plain text only.
        "DISABLED" => Disabled,
    }
}

structure! {
    /// The TLS settings of a virtual node's or gateway's listener.
    pub struct ListenerTls {
        /// The listener's certificate.
        "certificate" => certificate: ListenerCertificate,
        /// The accepted modes.
        "mode" => mode: TlsMode,
        /// The validation of client certificates; absent if none is required.
        "validation" => validation: Option<ListenerValidation>,
    }
}

union! {
    /// A listener's certificate.
    pub enum ListenerCertificate {
        /// A certificate from AWS Certificate Manager.
        "acm" => Acm(AcmCertificate),
        /// A certificate from files in the proxy's container.
        "file" => File(FileCertificate),
        /// A certificate from the proxy's secret discovery service.
        "sds" => Sds(SdsSecret),
    }
}

structure! {
    /// A certificate in AWS Certificate Manager.
    pub struct AcmCertificate {
        /// Its ARN.
        "certificateArn" => certificate_arn: String,
    }
}

structure! {
    /// A certificate in files in the proxy's container.
    pub struct FileCertificate {
        /// The file with the chain.
        "certificateChain" => certificate_chain: Text<1, 255>,
        /// The file with the private key.
        "privateKey" => private_key: Text<1, 255>,
    }
}

structure! {
    /// A secret of a secret discovery service.
    pub struct SdsSecret {
        /// Its name.
        "secretName" => secret_name: String,
    }
}

structure! {
    /// A listener's validation of client certificates.
    pub struct ListenerValidation {
        /// The accepted names, of which one is required; any name if absent.
        "subjectAlternativeNames" => subject_alternative_names: Option<SubjectAlternativeNames>,
        /// The trust anchors.
        "trust" => trust: ListenerTrust,
    }
}

union! {
    /// The trust anchors of a listener. AWS Certificate Manager is not supported.
    pub enum ListenerTrust {
        /// Authorities in a file in the proxy's container.
        "file" => File(FileTrust),
        /// Authorities from a secret discovery service.
        "sds" => Sds(SdsSecret),
    }
}

structure! {
    /// Authorities in a file in the proxy's container.
    pub struct FileTrust {
        /// The file with their certificates.
        "certificateChain" => certificate_chain: Text<1, 255>,
    }
}

structure! {
    /// The client policy of a virtual node or gateway.
    pub struct ClientPolicy {
        /// The TLS settings.
        "tls" => tls: Option<ClientTls>,
    }
}

structure! {
    /// The TLS settings of a client policy.
    pub struct ClientTls {
        /// The client's certificate, for backends that require one.
        "certificate" => certificate: Option<ClientCertificate>,
        /// Whether TLS is enforced; enforced if absent.
        "enforce" => enforce: Option<bool>,
        /// The backend ports of the policy; all ports if absent or empty.
        "ports" => ports: Option<Vec<Port>>,
        /// The validation of the backend's certificate.
        "validation" => validation: ClientValidation,
    }
}

union! {
    /// A client's certificate. AWS Certificate Manager is not supported.
    pub enum ClientCertificate {
        /// A certificate from files in the proxy's container.
        "file" => File(FileCertificate),
        /// A certificate from the proxy's secret discovery service.
        "sds" => Sds(SdsSecret),
    }
}

structure! {
    /// A client's validation of a backend's certificate.
    pub struct ClientValidation {
        /// The accepted names, of which one is required; the discovered host name if absent.
        "subjectAlternativeNames" => subject_alternative_names: Option<SubjectAlternativeNames>,
        /// The trust anchors.
        "trust" => trust: ClientTrust,
    }
}

union! {
    /// The trust anchors of a client.
    pub enum ClientTrust {
        /// Authorities in ACM Private CA.
        "acm" => Acm(AcmTrust),
        /// Authorities in a file in the proxy's container.
        "file" => File(FileTrust),
        /// Authorities from a secret discovery service.
        "sds" => Sds(SdsSecret),
    }
}

structure! {
    /// Authorities in ACM Private CA.
    pub struct AcmTrust {
        /// Their ARNs.
        "certificateAuthorityArns" => certificate_authority_arns: List<String, 1, 3>,
    }
}

structure! {
    /// The accepted names of a certificate, of which one is required.
    pub struct SubjectAlternativeNames {
        /// The names.
        "match" => names: SubjectAlternativeNameMatchers,
    }
}

structure! {
    /// The comparison of names.
    pub struct SubjectAlternativeNameMatchers {
        /// The certificate has one of these names.
        "exact" => exact: Vec<Text<1, 254>>,
    }
}
