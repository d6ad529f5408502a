//! The command-line options of the API.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use control_plane::{ApiAuth, Audience, RolePattern, StsEndpoint, StsSettings, TlsFiles, WriteLimit};

/// The authentication of API callers, and the API's TLS.
#[derive(Debug, Args)]
pub(crate) struct ApiArgs {
    /// How API callers authenticate: `none` requires no authentication and allows loopback addresses only; `keys`
    /// requires an AWS signature by a key of `--api-keys`; `sts` requires an identity that AWS STS confirms.
    #[arg(long, value_name = "HOW", default_value = "none")]
    api_auth: ApiAuthMethod,
    /// With `keys`: the file of allowed keys, `{"keys": [{"id", "secret", "name", "readOnly"}]}`. Only its owner may
    /// have permission to read it. Reloaded when it changes; while it is invalid, every request is refused.
    #[arg(long, value_name = "FILE", required_if_eq("api_auth", "keys"))]
    api_keys: Option<PathBuf>,
    /// With `sts`: the name of this server, which callers include in their signed identity. Every server needs
    /// its own.
    #[arg(long, value_name = "NAME", required_if_eq("api_auth", "sts"), value_parser = Audience::parse)]
    auth_audience: Option<Audience>,
    /// With `sts`: a role whose sessions may call, `arn:aws:iam::ACCOUNT:role/NAME`, with `*` for any characters of
    /// the name. Can be repeated.
    #[arg(long = "allow-role", value_name = "ARN-PATTERN", required_if_eq("api_auth", "sts"))]
    allow_roles: Vec<RolePattern>,
    /// With `sts`: the endpoint of STS, such as a VPC endpoint, instead of AWS's public endpoints.
    #[arg(long, value_name = "URL")]
    sts_endpoint: Option<StsEndpoint>,
    /// The file with the rights of callers, `{"subjects": [{"role", "grants": [{"meshes", "kinds", "level"}]}]}`; required with
    /// `sts`. Reloaded when it changes; while it is invalid, every request is refused.
    #[arg(long, value_name = "FILE")]
    rights: Option<PathBuf>,
    /// The steady rate of writes of one key or role, in writes a second.
    #[arg(long, value_name = "N", default_value_t = WriteLimit::default().per_second, value_parser = clap::value_parser!(u32).range(1..))]
    write_rate: u32,
    /// The number of writes that one key or role may make at once after a pause.
    #[arg(long, value_name = "N", default_value_t = WriteLimit::default().burst, value_parser = clap::value_parser!(u32).range(1..))]
    write_burst: u32,
    /// The API's TLS certificate with its chain, as PEM. Reloaded when it changes.
    #[arg(long, value_name = "FILE", requires = "api_tls_key")]
    api_tls_cert: Option<PathBuf>,
    /// The private key of `--api-tls-cert`.
    #[arg(long, value_name = "FILE", requires = "api_tls_cert")]
    api_tls_key: Option<PathBuf>,
}

/// The settings of the API.
pub(crate) struct ApiSettings {
    pub(crate) auth: ApiAuth,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) rights: Option<PathBuf>,
    pub(crate) write_limit: WriteLimit,
}

/// The authentication methods of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ApiAuthMethod {
    None,
    Keys,
    Sts,
}

impl ApiArgs {
    /// The settings. Fails on an option that has no effect without another one, and on an incomplete
    /// authentication method.
    pub(crate) fn settings(self) -> Result<ApiSettings, &'static str> {
        if self.api_keys.is_some() && self.api_auth != ApiAuthMethod::Keys {
            return Err("--api-keys has no effect without --api-auth keys");
        }
        let about_sts = self.auth_audience.is_some() || !self.allow_roles.is_empty() || self.sts_endpoint.is_some();
        if about_sts && self.api_auth != ApiAuthMethod::Sts {
            return Err("--auth-audience, --allow-role and --sts-endpoint have no effect without --api-auth sts");
        }
        match (self.api_auth, &self.rights) {
            (ApiAuthMethod::None, Some(_)) => return Err("--rights has no effect without --api-auth keys or sts"),
            (ApiAuthMethod::Sts, None) => {
                return Err(
                    "--api-auth sts needs --rights FILE, which says what each role may do; see infra/samples/rights.json",
                );
            }
            (ApiAuthMethod::None | ApiAuthMethod::Keys, None) | (ApiAuthMethod::Keys | ApiAuthMethod::Sts, Some(_)) => {
            }
        }
        let write_limit = WriteLimit { per_second: self.write_rate, burst: self.write_burst };
        let tls = self.api_tls_cert.zip(self.api_tls_key).map(|(certificate, key)| TlsFiles { certificate, key });
        let auth = match (self.api_auth, self.api_keys, self.auth_audience) {
            (ApiAuthMethod::None, ..) => ApiAuth::Loopback,
            (ApiAuthMethod::Keys, Some(keys), _) => ApiAuth::Keys(keys),
            (ApiAuthMethod::Sts, _, Some(audience)) => {
                ApiAuth::Sts(StsSettings { audience, roles: self.allow_roles, endpoint: self.sts_endpoint })
            }
            (ApiAuthMethod::Keys, None, _) => return Err("--api-auth keys needs --api-keys FILE"),
            (ApiAuthMethod::Sts, _, None) => return Err("--api-auth sts needs --auth-audience NAME"),
        };
        Ok(ApiSettings { auth, tls, rights: self.rights, write_limit })
    }
}
