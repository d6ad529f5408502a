//! The node token of an Envoy: a file, which Envoy reads again without a restart.
//!
//! Envoy reads a credential again only as a secret from SDS, so a second file names the token file as one. Metadata of the
//! stream in the bootstrap (`initial_metadata`) and a static secret would be read once.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The name of the secret.
const SECRET: &str = "meshwarden_node_token";

/// The file with the node token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile {
    /// The token. Envoy reads it again when a file is renamed in its folder.
    pub path: PathBuf,
    /// The SDS resource that names it.
    pub sds: PathBuf,
}

impl TokenFile {
    /// A token file, with the SDS resource next to it.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        let mut sds = path.clone().into_os_string();
        sds.push(".sds.json");
        Self { path, sds: sds.into() }
    }

    /// The content of the SDS resource.
    #[must_use]
    pub fn sds_resource(&self) -> Value {
        json!({"resources": [{
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": SECRET,
            "generic_secret": {"secret": {"filename": self.path}},
        }]})
    }

    /// The filters of the cluster: the token, as `authorization: Bearer TOKEN`, then the codec.
    pub(super) fn http_filters(&self) -> Value {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        json!([
            {
                "name": "envoy.filters.http.credential_injector",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
                    "overwrite": true,
                    "credential": {
                        "name": "envoy.http.injected_credentials.generic",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
                            "credential": {
                                "name": SECRET,
                                "sds_config": {
                                    "resource_api_version": "V3",
                                    "path_config_source": {"path": self.sds, "watched_directory": {"path": folder}},
                                },
                            },
                            "header": "authorization",
                            "header_value_prefix": "Bearer ",
                        },
                    },
                },
            },
            {
                "name": "envoy.filters.http.upstream_codec",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
                },
            },
        ])
    }
}
