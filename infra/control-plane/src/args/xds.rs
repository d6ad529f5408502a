//! Where Envoys are served, and which, on the command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use control_plane::xds::{Listen, ListenerMode, TlsFiles, XdsAuth, XdsListener, XdsSettings};
use xds::{ClientAddress, StatNames};

/// Where Envoys are served, and which.
#[derive(Debug, Args)]
pub(crate) struct XdsArgs {
    /// Where Envoys are served: an address, port 0 for a free one, or `unix:PATH`; and which are served there, where that
    /// is not as `--xds-auth` says: `0.0.0.0:18000,auth=mtls`. Can be repeated.
    #[arg(long, value_name = "ADDR[,auth=HOW]")]
    xds: Vec<Place>,
    /// The certificate, with its chain, that is shown to Envoys on addresses. Read again when it changes.
    #[arg(long, value_name = "FILE", requires = "xds_tls_key")]
    xds_tls_cert: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", requires = "xds_tls_cert")]
    xds_tls_key: Option<PathBuf>,
    /// Which Envoys are served where `--xds` doesn't say it: `none`, any on this machine; `mtls`, those whose certificate
    /// names the node that they are; `unix`, those of certain users, through a socket. Without it, `none`.
    #[arg(long, value_name = "HOW")]
    xds_auth: Option<Auth>,
    /// With `mtls`: the certificates that vouch for those of Envoys.
    #[arg(long, value_name = "FILE")]
    xds_client_ca: Option<PathBuf>,
    /// With `mtls`: the certificates of Envoys that are revoked, as PEM lists (CRLs) of their issuers, each of which needs
    /// one. Read again when it changes.
    #[arg(long, value_name = "FILE", requires = "xds_client_ca")]
    xds_client_crl: Option<PathBuf>,
    /// With `unix`: a user whose Envoys are served; the user that this runs as, when none is given. Can be repeated.
    #[arg(long = "xds-unix-uid", value_name = "UID")]
    xds_unix_uids: Vec<u32>,
    /// How traffic reaches the proxies: `interception`, as App Mesh's images expect it, or `explicit:FIRST-LAST`, a
    /// loopback port of that range for each use.
    #[arg(long, value_name = "MODE", default_value = "interception")]
    listeners: ListenerMode,
    /// What Envoys name the statistics of the virtual nodes that they call by: `service`, the node and the virtual
    /// service, which the tags of `control-plane bootstrap --statsd` need; `cluster`, the node alone, as App Mesh had
    /// it, for proxies with another bootstrap.
    #[arg(long, value_name = "NAMES", default_value = "service")]
    stat_names: Names,
    /// Virtual gateways append the address of the client's connection to `X-Forwarded-For`, and take that for the client
    /// (Envoy's `use_remote_address`). Without it they pass the header on as it came, as App Mesh's gateways did.
    #[arg(long)]
    gateway_use_remote_address: bool,
    /// The number of proxies before virtual gateways that can be trusted to append to `X-Forwarded-For`, such as 1 for a
    /// load balancer (Envoy's `xff_num_trusted_hops`).
    #[arg(long, value_name = "N", default_value_t = 0)]
    gateway_xff_trusted_hops: u32,
}

/// What statistics are named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Names {
    Service,
    Cluster,
}

/// How Envoys are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Auth {
    None,
    Mtls,
    Unix,
}

/// A place to listen, and how Envoys are told apart there, if it says.
#[derive(Debug, Clone)]
struct Place {
    place: Listen,
    auth: Option<Auth>,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, option) = match text.split_once(',') {
            Some((place, option)) => (place, Some(option)),
            None => (text, None),
        };
        let auth = option.map(|option| {
            let how = option.strip_prefix("auth=").and_then(|how| Auth::from_str(how, false).ok());
            how.ok_or_else(|| format!("{option:?} is none of auth=none, auth=mtls and auth=unix"))
        });
        Ok(Self { place: place.parse().map_err(|error| format!("{error}"))?, auth: auth.transpose()? })
    }
}

impl XdsArgs {
    /// The settings, unless they ask for a protection that they don't switch on, or switch one on that has nothing to go
    /// by.
    pub(crate) fn settings(self) -> Result<XdsSettings, String> {
        let said = self.xds_auth.unwrap_or(Auth::None);
        let asked: Vec<Auth> = self.xds.iter().map(|place| place.auth.unwrap_or(said)).collect();
        // Without a listener nobody is served; what is said of that is looked at all the same.
        let uses = |auth| asked.contains(&auth) || (asked.is_empty() && said == auth);
        if self.xds_client_ca.is_some() && !uses(Auth::Mtls) {
            return Err("--xds-client-ca checks nobody without --xds-auth mtls, or auth=mtls in --xds".to_owned());
        }
        if self.xds_client_ca.is_none() && uses(Auth::Mtls) {
            return Err("mtls needs --xds-client-ca FILE: nobody vouches for Envoys".to_owned());
        }
        if !self.xds_unix_uids.is_empty() && !uses(Auth::Unix) {
            return Err("--xds-unix-uid checks nobody without --xds-auth unix, or auth=unix in --xds".to_owned());
        }
        if self.xds_auth.is_some() && !self.xds.is_empty() && self.xds.iter().all(|place| place.auth.is_some()) {
            return Err("--xds-auth is about no listener: each --xds says its own".to_owned());
        }
        let client_ca = self.xds_client_ca.unwrap_or_default();
        let proof = |auth| match auth {
            Auth::None => XdsAuth::None,
            Auth::Mtls => XdsAuth::Mtls { client_ca: client_ca.clone() },
            Auth::Unix => XdsAuth::Unix { uids: self.xds_unix_uids.clone() },
        };
        let places = self.xds.into_iter().map(|place| place.place);
        let listen = places.zip(asked).map(|(place, auth)| XdsListener { place, auth: proof(auth) }).collect();
        let tls = self.xds_tls_cert.zip(self.xds_tls_key).map(|(certificate, key)| TlsFiles { certificate, key });
        let stat_names = match self.stat_names {
            Names::Service => StatNames::Service,
            Names::Cluster => StatNames::Cluster,
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
