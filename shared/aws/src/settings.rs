//! Checks the SDK's own variables at start. Otherwise an error in them fails calls later, and looks like a lost network
//! connection.

use std::env;

use crate::Aws;
use crate::trusted_roots::{RootsError, trusted_roots};

/// The prefix of the variables that name an endpoint, for all services or, with a suffix, for one.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

/// The error in the SDK's own variables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Neither a variable nor a profile names a region.
    #[error("no region: set AWS_REGION to the region of the meshes, as in `eu-west-1`")]
    NoRegion,
    /// The region is invalid.
    #[error("invalid AWS_REGION `{given}`: expected a region such as `eu-west-1`")]
    Region {
        /// The value that was given.
        given: String,
    },
    /// An endpoint is not a URL.
    #[error("invalid {variable} `{given}`: expected a URL such as `https://mesh.internal:8080`")]
    Endpoint {
        /// The name of the variable.
        variable: String,
        /// The value of the variable.
        given: String,
    },
    /// The file of root certificates cannot be used.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

impl Aws {
    /// Works like [`Aws::open`], but refuses settings with which every call would fail.
    pub async fn open_checked() -> Result<Self, SettingsError> {
        let variables = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        endpoints(variables.map(|(name, value)| (name, value.to_string_lossy().into_owned())))?;
        trusted_roots(|name| env::var_os(name))?;
        let aws = Self::open().await;
        region(aws.connection.config.region().map(AsRef::as_ref))?;
        Ok(aws)
    }
}

/// Checks every endpoint among these variables. An empty one counts as unset.
fn endpoints(variables: impl Iterator<Item = (String, String)>) -> Result<(), SettingsError> {
    let is_endpoint = |(name, value): &(String, String)| {
        let suffix = name.strip_prefix(ENDPOINT);
        suffix.is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('_')) && !value.is_empty()
    };
    let mut wrong: Vec<_> = variables.filter(is_endpoint).filter(|(_, value)| !is_url(value)).collect();
    wrong.sort();
    match wrong.into_iter().next() {
        Some((variable, given)) => Err(SettingsError::Endpoint { variable, given }),
        None => Ok(()),
    }
}

fn is_url(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    })
}

/// A region becomes a part of host names.
fn region(given: Option<&str>) -> Result<(), SettingsError> {
    let given = given.filter(|given| !given.is_empty()).ok_or(SettingsError::NoRegion)?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let shaped = given.len() <= 63 && given.bytes().all(allowed) && !given.starts_with('-') && !given.ends_with('-');
    if shaped { Ok(()) } else { Err(SettingsError::Region { given: given.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_is_required_and_valid_in_a_host_name() {
        for good in ["eu-west-1", "us-gov-west-1", "local"] {
            assert_eq!(region(Some(good)), Ok(()), "{good}");
        }
        for missing in [None, Some("")] {
            let error = region(missing).unwrap_err();
            assert!(error.to_string().contains("set AWS_REGION"), "{error}");
        }
        for bad in ["eu west 1", "eu-west-1/", "EU (Ireland)", "-", "eu_west"] {
            let error = region(Some(bad)).unwrap_err().to_string();
            assert!(error.contains(&format!("invalid AWS_REGION `{bad}`")), "{error}");
        }
    }

    #[test]
    fn endpoints_are_urls() {
        let check = |name: &str, value: &str| endpoints([(name.to_owned(), value.to_owned())].into_iter());
        for good in ["http://127.0.0.1:4566", "https://mesh.internal", "http://[::1]:80/path", ""] {
            assert_eq!(check("AWS_ENDPOINT_URL_APP_MESH", good), Ok(()), "{good}");
        }
        for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_APP_MESH"] {
            for bad in ["mesh.internal", "localhost:4566", "ftp://mesh", "http://", "http:// mesh", "not a url"] {
                let error = check(name, bad).unwrap_err().to_string();
                assert!(error.contains(&format!("invalid {name} `{bad}`")), "{error}");
            }
        }
        assert_eq!(check("AWS_ENDPOINT_URLS", "x"), Ok(()), "another variable");
    }
}
