//! The command-line options of xDS.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use control_plane::xds::{ListenAddress, ListenerMode, TlsFiles, XdsAuth, XdsListener, XdsSettings};
use xds::{ClientAddress, StatNames};

/// The xDS listeners, and the proxies that they serve.
#[derive(Debug, Args)]
pub(crate) struct XdsArgs {
    /// An xDS listener: an address, port 0 for a free port, or `unix:PATH`; with `,auth=HOW` where its authentication
    /// differs from `--xds-auth`: `0.0.0.0:18000,auth=mtls`. Can be repeated.
    #[arg(long, value_name = "ADDR[,auth=HOW]")]
    xds: Vec<ListenerArg>,
    /// The TLS certificate, with its chain, of the xDS listeners on addresses. Reloaded when it changes.
    #[arg(long, value_name = "FILE", requires = "xds_tls_key")]
    xds_tls_cert: Option<PathBuf>,
    /// The private key of `--xds-tls-cert`.
    #[arg(long, value_name = "FILE", requires = "xds_tls_cert")]
    xds_tls_key: Option<PathBuf>,
    /// How proxies authenticate where `--xds` does not set it: `none`, any proxy on this machine; `mtls`, proxies
    /// with a certificate that names their node; `token`, proxies with a token for their node (`--token-key`), over TLS; `unix`, proxies of certain users, through a socket. Default: `none`.
    #[arg(long, value_name = "HOW")]
    xds_auth: Option<XdsAuthMethod>,
    /// With `mtls`: the CA certificates of the proxies' certificates.
    #[arg(long, value_name = "FILE")]
    xds_client_ca: Option<PathBuf>,
    /// With `mtls`: the certificate revocation lists (CRLs) as PEM, one for each issuer of proxy certificates.
    /// Reloaded when the file changes.
    #[arg(long, value_name = "FILE", requires = "xds_client_ca")]
    xds_client_crl: Option<PathBuf>,
    /// With `unix`: the UID of a user whose proxies are served. Default: the user of this process. Can be repeated.
    #[arg(long = "xds-unix-uid", value_name = "UID")]
    xds_unix_uids: Vec<u32>,
    /// How traffic reaches the proxies: `interception`, as App Mesh's images expect it, or `explicit:FIRST-LAST`, a
    /// loopback port of that range for each use.
    #[arg(long, value_name = "MODE", default_value = "interception")]
    listeners: ListenerMode,
    /// How proxies name the statistics of the virtual nodes that they call: `service`, by the node and the virtual
    /// service, which the tags of `control-plane bootstrap --statsd` need; `cluster`, by the node alone, as App Mesh
    /// did, for proxies with another bootstrap.
    #[arg(long, value_name = "NAMES", default_value = "service")]
    stat_names: StatNamesArg,
    /// Virtual gateways append the address of the client's connection to `X-Forwarded-For`, and use it as the client
    /// address (Envoy's `use_remote_address`). Without it they forward the header unchanged, as App Mesh's
    /// gateways did.
    #[arg(long)]
    gateway_use_remote_address: bool,
    /// The number of trusted proxies in front of virtual gateways that append to `X-Forwarded-For`, such as 1 for a
    /// load balancer (Envoy's `xff_num_trusted_hops`).
    #[arg(long, value_name = "N", default_value_t = 0)]
    gateway_xff_trusted_hops: u32,
}

/// How statistics are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatNamesArg {
    Service,
    Cluster,
}

/// The authentication methods of xDS listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum XdsAuthMethod {
    None,
    Mtls,
    Token,
    Unix,
}

/// The address of a listener, and its own authentication method if it has one.
#[derive(Debug, Clone)]
struct ListenerArg {
    address: ListenAddress,
    auth: Option<XdsAuthMethod>,
}

impl FromStr for ListenerArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, option) = match text.split_once(',') {
            Some((address, option)) => (address, Some(option)),
            None => (text, None),
        };
        let auth = option.map(|option| {
            let method = option.strip_prefix("auth=").and_then(|method| XdsAuthMethod::from_str(method, false).ok());
            method.ok_or_else(|| {
                format!("invalid listener option {option:?}: expected auth=none, auth=mtls, auth=token or auth=unix")
            })
        });
        Ok(Self { address: address.parse().map_err(|error| format!("{error}"))?, auth: auth.transpose()? })
    }
}

impl XdsArgs {
    /// The settings. Fails on an option that has no effect without another one, and on an incomplete
    /// authentication method.
    pub(crate) fn settings(self) -> Result<XdsSettings, String> {
        let default = self.xds_auth.unwrap_or(XdsAuthMethod::None);
        let methods: Vec<XdsAuthMethod> = self.xds.iter().map(|listener| listener.auth.unwrap_or(default)).collect();
        // Without a listener no proxy is served, but conflicting options are still refused.
        let uses = |method| methods.contains(&method) || (methods.is_empty() && default == method);
        if self.xds_client_ca.is_some() && !uses(XdsAuthMethod::Mtls) {
            return Err("--xds-client-ca has no effect without --xds-auth mtls, or auth=mtls in --xds".to_owned());
        }
        if self.xds_client_ca.is_none() && uses(XdsAuthMethod::Mtls) {
            return Err("mtls needs --xds-client-ca FILE, the CA certificates of the proxies".to_owned());
        }
        if !self.xds_unix_uids.is_empty() && !uses(XdsAuthMethod::Unix) {
            return Err("--xds-unix-uid has no effect without --xds-auth unix, or auth=unix in --xds".to_owned());
        }
        if self.xds_auth.is_some() && !self.xds.is_empty() && self.xds.iter().all(|listener| listener.auth.is_some()) {
            return Err("--xds-auth has no effect: every --xds sets its own auth".to_owned());
        }
        let client_ca = self.xds_client_ca.unwrap_or_default();
        let settings_of = |method| match method {
            XdsAuthMethod::None => XdsAuth::None,
            XdsAuthMethod::Mtls => XdsAuth::Mtls { client_ca: client_ca.clone() },
            XdsAuthMethod::Token => XdsAuth::Token,
            XdsAuthMethod::Unix => XdsAuth::Unix { uids: self.xds_unix_uids.clone() },
        };
        let addresses = self.xds.into_iter().map(|listener| listener.address);
        let listen = addresses
            .zip(methods)
            .map(|(address, method)| XdsListener { address, auth: settings_of(method) })
            .collect();
        let tls = self.xds_tls_cert.zip(self.xds_tls_key).map(|(certificate, key)| TlsFiles { certificate, key });
        let stat_names = match self.stat_names {
            StatNamesArg::Service => StatNames::Service,
            StatNamesArg::Cluster => StatNames::Cluster,
        };
        let client_address = ClientAddress {
            use_remote_address: self.gateway_use_remote_address,
            trusted_hops: self.gateway_xff_trusted_hops,
        };
        let listeners = self.listeners;
        Ok(XdsSettings {
            client_crl: self.xds_client_crl,
            listen,
            tls,
            listeners,
            stat_names,
            client_address,
            ..XdsSettings::default()
        })
    }
}
