//! The endpoint of STS.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::Uri;
use axum::http::uri::{Authority, Scheme};

/// An endpoint instead of AWS's public endpoints: a VPC endpoint, or a test server on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsEndpoint {
    scheme: Scheme,
    authority: Authority,
}

/// The text is not an endpoint, or requests to it would not be protected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid STS endpoint {0:?}: expected https://HOST[:PORT], or http:// and a loopback address")]
pub struct StsEndpointError(String);

impl FromStr for StsEndpoint {
    type Err = StsEndpointError;

    fn from_str(text: &str) -> Result<Self, StsEndpointError> {
        let parse = || {
            let uri: Uri = text.parse().ok().filter(|_| !text.contains('#'))?;
            let (scheme, authority) = (uri.scheme()?.clone(), uri.authority()?.clone());
            let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
            let safe = scheme == Scheme::HTTPS || (scheme == Scheme::HTTP && is_loopback(&authority));
            (bare && safe).then_some(Self { scheme, authority })
        };
        parse().ok_or_else(|| StsEndpointError(text.to_owned()))
    }
}

impl fmt::Display for StsEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl StsEndpoint {
    pub(super) fn uses_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The endpoint of a presigned request. `None` if it is neither the configured one nor, without one, a public one of AWS.
    pub(super) fn allowed(scheme: &str, authority: &str, configured: Option<&Self>) -> Option<Self> {
        match configured {
            Some(configured) => (configured.scheme.as_str() == scheme && configured.authority.as_str() == authority)
                .then(|| configured.clone()),
            None if scheme == "https" && is_sts(authority) => {
                Some(Self { scheme: Scheme::HTTPS, authority: authority.parse().ok()? })
            }
            None => None,
        }
    }

    pub(super) fn uri(&self, query: &str) -> Option<Uri> {
        let path = format!("/?{query}");
        Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path).build().ok()
    }
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether STS, and no other service, answers under this name. The region must have the form of one:
/// `sts.s3.amazonaws.com` is an S3 bucket.
fn is_sts(host: &str) -> bool {
    if host == "sts.amazonaws.com" {
        return true;
    }
    let Some(rest) = host.strip_prefix("sts.") else { return false };
    let Some((region, domain)) = rest.split_once('.') else { return false };
    let domains: &[&str] = if region.starts_with("cn-") {
        &["amazonaws.com.cn", "api.amazonwebservices.com.cn"]
    } else {
        &["amazonaws.com", "api.aws"]
    };
    domains.contains(&domain) && is_region(region)
}

/// Whether the text has the form of a region, such as `eu-west-1` or `us-gov-east-1`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some(([area, middle @ ..], number)) = parts.split_last().map(|(last, rest)| (rest, last)) else {
        return false;
    };
    let word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    area.len() == 2
        && word(area)
        && (1..=2).contains(&middle.len())
        && middle.iter().all(word)
        && number.len() == 1
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_sts_are_allowed() {
        for (host, expected) in [
            ("sts.amazonaws.com", true),
            ("sts.eu-west-1.amazonaws.com", true),
            ("sts.us-gov-east-1.amazonaws.com", true),
            ("sts.eu-west-1.api.aws", true),
            ("sts.cn-north-1.amazonaws.com.cn", true),
            ("sts.cn-north-1.api.amazonwebservices.com.cn", true),
            ("sts.eu-west-1.amazonaws.com.cn", false),
            ("sts.cn-north-1.amazonaws.com", false),
            ("sts.s3.amazonaws.com", false),
            ("sts.s3-us-west-2.amazonaws.com", false),
            ("sts.s3-eu-west-1.amazonaws.com", false),
            ("sts.eu-west-1.s3.amazonaws.com", false),
            ("sts.eu-west-1.amazonaws.com.evil.example", false),
            ("sts.eu-west-1.amazonaws.com:443", false),
            ("sts.eu-west-1.amazonaws.com.", false),
            ("sts.eu-west-1.evil.example", false),
            ("stsXeu-west-1.amazonaws.com", false),
            ("STS.amazonaws.com", false),
            ("evil@sts.amazonaws.com", false),
            ("iam.amazonaws.com", false),
            ("sts..amazonaws.com", false),
            ("127.0.0.1", false),
            ("", false),
        ] {
            assert_eq!(StsEndpoint::allowed("https", host, None).is_some(), expected, "{host}");
            assert_eq!(StsEndpoint::allowed("http", host, None), None, "{host}");
        }
        let own: StsEndpoint = "http://127.0.0.1:4566".parse().unwrap();
        assert!(StsEndpoint::allowed("http", "127.0.0.1:4566", Some(&own)).is_some());
        for (scheme, host) in [("https", "127.0.0.1:4566"), ("http", "127.0.0.1:4567"), ("https", "sts.amazonaws.com")]
        {
            assert_eq!(StsEndpoint::allowed(scheme, host, Some(&own)), None, "{scheme} {host}");
        }
    }

    #[test]
    fn a_configured_endpoint_is_protected() {
        for (text, expected) in [
            ("https://vpce-1.sts.eu-west-1.vpce.amazonaws.com", true),
            ("http://127.0.0.1:4566", true),
            ("http://[::1]:4566/", true),
            ("http://sts.example", false),
            ("https://user@sts.example", false),
            ("https://sts.example/path", false),
            ("https://sts.example?a=b", false),
            ("https://sts.example#", false),
            ("ftp://sts.example", false),
            ("sts.example", false),
        ] {
            assert_eq!(text.parse::<StsEndpoint>().is_ok(), expected, "{text}");
        }
    }
}
