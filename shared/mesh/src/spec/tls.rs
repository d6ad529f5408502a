//! TLS at both ends: what a listener presents and what a client requires.

use super::bounded::{List, Text};
use crate::spec::shapes::{structure, union, words};
use crate::weights::Port;

words! {
    /// Whether a listener takes TLS, plain text or both.
    pub enum TlsMode {
        /// TLS only.
        "STRICT" => Strict,
        /// Both.
        "PERMISSIVE" => Permissive,
        /// Plain text only.
        "DISABLED" => Disabled,
    }
}

structure! {
    /// How a listener of a virtual node or gateway ends TLS.
    pub struct ListenerTls {
        /// What the listener presents.
        "certificate" => certificate: ListenerCertificate,
        /// Whether plain text is taken too.
        "mode" => mode: TlsMode,
        /// What clients must present; without it, nothing.
        "validation" => validation: Option<ListenerValidation>,
    }
}

union! {
    /// A listener's certificate.
    pub enum ListenerCertificate {
        /// From AWS Certificate Manager.
        "acm" => Acm(AcmCertificate),
        /// From files beside the proxy.
        "file" => File(FileCertificate),
        /// From a secret discovery service beside the proxy.
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
    /// A certificate in files beside the proxy.
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
    /// What a listener requires of a client's certificate.
    pub struct ListenerValidation {
        /// The names it must have one of; any name when absent.
        "subjectAlternativeNames" => subject_alternative_names: Option<SubjectAlternativeNames>,
        /// Whose certificates are trusted.
        "trust" => trust: ListenerTrust,
    }
}

union! {
    /// Whose client certificates a listener trusts. AWS Certificate Manager is not among the sources.
    pub enum ListenerTrust {
        /// Authorities in a file beside the proxy.
        "file" => File(FileTrust),
        /// Authorities from a secret discovery service.
        "sds" => Sds(SdsSecret),
    }
}

structure! {
    /// Authorities in a file beside the proxy.
    pub struct FileTrust {
        /// The file with their certificates.
        "certificateChain" => certificate_chain: Text<1, 255>,
    }
}

structure! {
    /// How a virtual node or gateway calls its backends.
    pub struct ClientPolicy {
        /// TLS towards them.
        "tls" => tls: Option<ClientTls>,
    }
}

structure! {
    /// TLS towards backends.
    pub struct ClientTls {
        /// What the client presents, where the backend asks.
        "certificate" => certificate: Option<ClientCertificate>,
        /// Whether plain text is refused; yes when absent.
        "enforce" => enforce: Option<bool>,
        /// The backend ports this is about; all when absent or empty.
        "ports" => ports: Option<Vec<Port>>,
        /// What backends must present.
        "validation" => validation: ClientValidation,
    }
}

union! {
    /// A client's certificate. AWS Certificate Manager is not among the sources.
    pub enum ClientCertificate {
        /// From files beside the proxy.
        "file" => File(FileCertificate),
        /// From a secret discovery service beside the proxy.
        "sds" => Sds(SdsSecret),
    }
}

structure! {
    /// What a client requires of a backend's certificate.
    pub struct ClientValidation {
        /// The names it must have one of; the discovered host name when absent.
        "subjectAlternativeNames" => subject_alternative_names: Option<SubjectAlternativeNames>,
        /// Whose certificates are trusted.
        "trust" => trust: ClientTrust,
    }
}

union! {
    /// Whose server certificates a client trusts.
    pub enum ClientTrust {
        /// Authorities in ACM Private CA.
        "acm" => Acm(AcmTrust),
        /// Authorities in a file beside the proxy.
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
    /// Names that a certificate must have one of.
    pub struct SubjectAlternativeNames {
        /// The names.
        "match" => names: SubjectAlternativeNameMatchers,
    }
}

structure! {
    /// How the names are compared.
    pub struct SubjectAlternativeNameMatchers {
        /// Equal to one of these.
        "exact" => exact: Vec<Text<1, 254>>,
    }
}
