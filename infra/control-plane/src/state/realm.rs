//! The account and region of the server.

use mesh::name::{AccountId, Arn, MeshName, ResourcePath};

use crate::error::ApiError;

/// The account and region of every resource: the part of an ARN that the state does not contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realm {
    account: AccountId,
    region: Region,
}

impl Realm {
    /// Joins an account and a region.
    #[must_use]
    pub const fn new(account: AccountId, region: Region) -> Self {
        Self { account, region }
    }

    /// The account, owner of every mesh and of every resource.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.account
    }

    /// The region.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.region
    }

    /// The ARN of a resource.
    #[must_use]
    pub fn arn(&self, path: &ResourcePath) -> String {
        format!("arn:aws:appmesh:{}:{}:{path}", self.region.0, self.account)
    }

    /// The resource that an ARN names.
    pub fn resource(&self, arn: &str) -> Result<ResourcePath, ApiError> {
        let parsed = Arn::parse(arn).map_err(|error| ApiError::invalid("resourceArn", error.to_string()))?;
        if self.arn(parsed.path()) == arn {
            Ok(parsed.path().clone())
        } else {
            Err(ApiError::UnknownArn { arn: arn.to_owned() })
        }
    }

    /// Passes if this server has the mesh of the owner in a request. Without an owner it is the server's own account.
    pub fn serves(&self, mesh: &MeshName, owner: Option<&AccountId>) -> Result<(), ApiError> {
        match owner {
            Some(owner) if *owner != self.account => {
                Err(ApiError::NotShared { mesh: mesh.clone(), owner: owner.clone(), account: self.account.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// An AWS region, such as `eu-west-1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// Accepts text that can be part of an ARN.
    pub fn parse(text: &str) -> Result<Self, RegionError> {
        let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(RegionError(text.to_owned())) }
    }

    /// The region as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text cannot be a region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid region {0:?}: expected lower-case letters, digits and hyphens, such as eu-west-1")]
pub struct RegionError(String);

#[cfg(test)]
mod tests {
    use super::*;

    fn realm() -> Realm {
        Realm::new(AccountId::parse("123456789012").unwrap(), Region::parse("eu-west-1").unwrap())
    }

    #[test]
    fn an_arn_is_resolved_to_its_resource() {
        for path in ["mesh/shop", "mesh/shop/virtualService/a b/c.local", "mesh/shop/virtualRouter/orders/route/all"] {
            let path = ResourcePath::parse(path).unwrap();
            assert_eq!(realm().resource(&realm().arn(&path)).unwrap(), path);
        }
    }

    #[test]
    fn a_foreign_arn_is_unknown_and_other_text_is_invalid() {
        for (arn, expected) in [
            ("arn:aws:appmesh:eu-west-2:123456789012:mesh/shop", "NotFoundException"),
            ("arn:aws:appmesh:eu-west-1:210987654321:mesh/shop", "NotFoundException"),
            ("arn:aws-cn:appmesh:eu-west-1:123456789012:mesh/shop", "NotFoundException"),
            ("arn:aws:acm:eu-west-1:123456789012:certificate/1", "BadRequestException"),
            ("mesh/shop", "BadRequestException"),
            ("", "BadRequestException"),
        ] {
            let error = realm().resource(arn).unwrap_err();
            assert_eq!(error.error_type().name(), expected, "{arn}");
        }
    }
}
