//! The command-line options of certificates.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws::Aws;
use clap::{Args, ValueEnum};
use control_plane::certificates::{Binding, Bindings, CertificateFiles, SecretCache, SecretCacheSettings, Sources};
use control_plane::xds::{CertificateRule, ListenError, SdsServer, XdsSettings};

/// The source of the proxies' certificates.
#[derive(Debug, Args)]
pub(crate) struct CertificateArgs {
    /// The source of certificates: none, or ACM, private CAs and Secrets Manager with the AWS SDK's own
    /// environment variables.
    #[arg(long, value_name = "WHERE", default_value = "none")]
    certificates: CertificateSource,
    /// How often served secrets are compared with their source.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = interval)]
    certificate_refresh: Duration,
    /// Binds a secret name of the meshes (`sds.secretName`) to a bundle in Secrets Manager; `#certificate` or
    /// `#trust` after the ARN selects a part of a bundle that has both. Can be repeated.
    #[arg(long = "bundle", value_name = "NAME=SECRET_ARN")]
    bundles: Vec<Binding>,
    /// Limits a mesh to the certificates, CAs and bundles that match its patterns, with `*` for any characters.
    /// Without this option any mesh may use any of them; with it a mesh without a pattern may use none. Can
    /// be repeated.
    #[arg(long = "certificates-for", value_name = "MESH=PATTERN")]
    rules: Vec<CertificateRule>,
    /// How bound secrets reach the proxies: `local`, through the socket on each machine (`control-plane sds`), or
    /// `ads`.
    #[arg(long, value_name = "HOW", default_value = "local")]
    sds: SdsDelivery,
    /// The folder that contains the certificate files which a mesh names by path, to report their content: `/` where
    /// proxies run on this machine.
    #[arg(long, value_name = "DIR")]
    certificate_files: Option<PathBuf>,
}

/// Serves bound secrets to the proxies on this machine.
#[derive(Debug, Args)]
pub(crate) struct SdsArgs {
    /// The path of the socket, created with mode 0600.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// The UID of a user whose proxies are served; the mode is then 0660, and the server checks the UID of each
    /// connection. Default: only the user of this process. Can be repeated.
    #[arg(long = "uid", value_name = "UID")]
    uids: Vec<u32>,
    /// Binds a secret name to a bundle in Secrets Manager; `#certificate` or `#trust` after the ARN selects a part of
    /// a bundle that has both. Can be repeated.
    #[arg(long = "bundle", value_name = "NAME=SECRET_ARN", required = true)]
    bundles: Vec<Binding>,
    /// How often served secrets are compared with their source.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = interval)]
    certificate_refresh: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CertificateSource {
    None,
    Aws,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SdsDelivery {
    Local,
    Ads,
}

impl CertificateArgs {
    /// The first option that has no effect without another one.
    pub(crate) fn conflict(&self) -> Option<&'static str> {
        let fetches = self.certificates == CertificateSource::Aws;
        if !fetches && !self.bundles.is_empty() {
            return Some("--bundle has no effect without --certificates aws");
        }
        if !fetches && !self.rules.is_empty() {
            return Some("--certificates-for has no effect without --certificates aws");
        }
        if self.sds == SdsDelivery::Ads && self.bundles.is_empty() {
            return Some("--sds ads has no effect without --bundle");
        }
        None
    }

    /// Applies the options to the settings. Requests start when proxies need a secret.
    pub(crate) async fn apply(self, settings: XdsSettings) -> XdsSettings {
        let settings = XdsSettings { certificate_files: self.certificate_files.map(CertificateFiles::new), ..settings };
        if self.certificates == CertificateSource::None {
            return settings;
        }
        let sources = sources(self.bundles).await;
        let bound = if self.sds == SdsDelivery::Ads { sources.bindings.names() } else { settings.bound };
        let cache = SecretCache::start(sources, cache_settings(self.certificate_refresh));
        XdsSettings { secrets: cache, bound, certificate_rules: self.rules, ..settings }
    }
}

impl SdsArgs {
    /// Binds the socket. The server does not answer yet.
    pub(crate) async fn bind(self) -> Result<SdsServer, ListenError> {
        let sources = sources(self.bundles).await;
        let names = sources.bindings.names();
        let users = Some(self.uids).filter(|uids| !uids.is_empty());
        let cache = SecretCache::start(sources, cache_settings(self.certificate_refresh));
        SdsServer::bind(self.socket, users, names, cache).await
    }
}

fn cache_settings(refresh: Duration) -> SecretCacheSettings {
    SecretCacheSettings { refresh, ..SecretCacheSettings::default() }
}

async fn sources(bundles: Vec<Binding>) -> Sources {
    let aws = Aws::open().await;
    Sources {
        store: Arc::new(aws.certificates()),
        authorities: Arc::new(aws.authorities()),
        bundles: Arc::new(aws.bundles()),
        bindings: Bindings::new(bundles),
    }
}

/// The shortest interval. Every secret or service takes a call or two, and an account has a handful a second in all.
const SHORTEST: Duration = Duration::from_secs(1);

pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let read = text.parse::<jiff::SignedDuration>().ok().and_then(|length| Duration::try_from(length).ok());
    read.filter(|length| *length >= SHORTEST)
        .ok_or_else(|| format!("invalid interval {text:?}: expected a second or more, such as 60s"))
}
