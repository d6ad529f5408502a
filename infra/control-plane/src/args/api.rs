//! Who may call the API, on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use control_plane::{ApiAuth, Audience, RolePattern, StsEndpoint, StsSettings, TlsFiles};

/// Who may call the API, and how it is reached.
#[derive(Debug, Args)]
pub(crate) struct ApiArgs {
    /// Who may call the API: `none` asks nobody and stays on loopback; `keys` asks for an AWS signature by a key of
    /// `--api-keys`; `sts` asks AWS whose credentials the caller has.
    #[arg(long, value_name = "HOW", default_value = "none")]
    api_auth: Auth,
    /// With `keys`: the keys that may call, `{"keys": [{"id", "secret", "name", "readOnly"}]}`. Only its owner may be
    /// able to read the file. Read again when it changes; while it can't be used, nobody is let in.
    #[arg(long, value_name = "FILE", required_if_eq("api_auth", "keys"))]
    api_keys: Option<PathBuf>,
    /// With `sts`: the name of this server, which callers sign their identity for. No two servers should share one.
    #[arg(long, value_name = "NAME", required_if_eq("api_auth", "sts"), value_parser = Audience::parse)]
    auth_audience: Option<Audience>,
    /// With `sts`: a role that may call, `arn:aws:iam::ACCOUNT:role/NAME`, with `*` for any characters of the name. Can be
    /// repeated.
    #[arg(long = "allow-role", value_name = "ARN-PATTERN", required_if_eq("api_auth", "sts"))]
    allow_roles: Vec<RolePattern>,
    /// With `sts`: who is asked instead of AWS's public endpoints, such as a VPC endpoint.
    #[arg(long, value_name = "URL")]
    sts_endpoint: Option<StsEndpoint>,
    /// The certificate, with its chain, that the API shows. Read again when it changes.
    #[arg(long, value_name = "FILE", requires = "api_tls_key")]
    api_tls_cert: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", requires = "api_tls_cert")]
    api_tls_key: Option<PathBuf>,
}

/// The ways to prove who is calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Auth {
    None,
    Keys,
    Sts,
}

impl ApiArgs {
    /// The settings, unless they ask for a protection that they don't switch on, or switch one on that has nothing to go
    /// by.
    pub(crate) fn settings(self) -> Result<(ApiAuth, Option<TlsFiles>), &'static str> {
        if self.api_keys.is_some() && self.api_auth != Auth::Keys {
            return Err("--api-keys lets nobody in without --api-auth keys");
        }
        let about_sts = self.auth_audience.is_some() || !self.allow_roles.is_empty() || self.sts_endpoint.is_some();
        if about_sts && self.api_auth != Auth::Sts {
            return Err("--auth-audience, --allow-role and --sts-endpoint let nobody in without --api-auth sts");
        }
        let tls = self.api_tls_cert.zip(self.api_tls_key).map(|(certificate, key)| TlsFiles { certificate, key });
        let auth = match (self.api_auth, self.api_keys, self.auth_audience) {
            (Auth::None, ..) => ApiAuth::Loopback,
            (Auth::Keys, Some(keys), _) => ApiAuth::Keys(keys),
            (Auth::Sts, _, Some(audience)) => {
                ApiAuth::Sts(StsSettings { audience, roles: self.allow_roles, endpoint: self.sts_endpoint })
            }
            (Auth::Keys, None, _) => return Err("--api-auth keys needs --api-keys FILE"),
            (Auth::Sts, _, None) => return Err("--api-auth sts needs --auth-audience NAME"),
        };
        Ok((auth, tls))
    }
}
