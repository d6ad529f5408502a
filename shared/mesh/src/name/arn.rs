//! App Mesh resource ARNs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{AccountId, NameError, PathError, ResourcePath};

/// `arn:<partition>:appmesh:<region>:<account>:<path>`. The account is the mesh owner's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn {
    partition: String,
    region: String,
    account: AccountId,
    path: ResourcePath,
}

impl Arn {
    /// The ARN of a resource in the `aws` partition.
    pub fn new(region: &str, account: AccountId, path: ResourcePath) -> Result<Self, ArnError> {
        Self::in_partition("aws", region, account, path)
    }

    /// The ARN of a resource in another partition, for example `aws-cn`.
    pub fn in_partition(
        partition: &str,
        region: &str,
        account: AccountId,
        path: ResourcePath,
    ) -> Result<Self, ArnError> {
        let part = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if part(partition) && part(region) {
            Ok(Self { partition: partition.to_owned(), region: region.to_owned(), account, path })
        } else {
            Err(ArnError::Shape { given: format!("arn:{partition}:appmesh:{region}:{account}:{path}") })
        }
    }

    /// Parses the ARN of an App Mesh resource.
    pub fn parse(text: &str) -> Result<Self, ArnError> {
        match text.splitn(6, ':').collect::<Vec<_>>().as_slice() {
            ["arn", partition, "appmesh", region, account, path] => {
                Self::in_partition(partition, region, AccountId::parse(account)?, ResourcePath::parse(path)?)
            }
            _ => Err(ArnError::Shape { given: text.to_owned() }),
        }
    }

    /// The partition: `aws`, `aws-cn` or `aws-us-gov`.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The account that owns the mesh.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.account
    }

    /// The resource.
    #[must_use]
    pub const fn path(&self) -> &ResourcePath {
        &self.path
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, region, account, path } = self;
        write!(f, "arn:{partition}:appmesh:{region}:{account}:{path}")
    }
}

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Arn {
    type Error = ArnError;

    fn try_from(text: String) -> Result<Self, ArnError> {
        Self::parse(&text)
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> Self {
        arn.to_string()
    }
}

/// The reason why a text is not the ARN of an App Mesh resource.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArnError {
    /// The text does not have the parts of such an ARN.
    #[error("invalid ARN `{given}`: expected one like `arn:aws:appmesh:eu-west-1:123456789012:mesh/shop`")]
    Shape {
        /// The text.
        given: String,
    },
    /// The account id is invalid.
    #[error(transparent)]
    Account(#[from] NameError),
    /// The resource path is invalid.
    #[error(transparent)]
    Path(#[from] PathError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::ResourceKind;

    #[test]
    fn every_kind_is_read_and_written_back() {
        let table = [
            ("mesh/shop", ResourceKind::Mesh, "shop"),
            ("mesh/shop/virtualNode/orders_ns", ResourceKind::VirtualNode, "orders_ns"),
            ("mesh/shop/virtualGateway/edge", ResourceKind::VirtualGateway, "edge"),
            ("mesh/shop/virtualRouter/orders", ResourceKind::VirtualRouter, "orders"),
            ("mesh/shop/virtualRouter/orders/route/all", ResourceKind::Route, "all"),
            ("mesh/shop/virtualService/orders.shop.local", ResourceKind::VirtualService, "orders.shop.local"),
            ("mesh/shop/virtualService/a/b:c d", ResourceKind::VirtualService, "a/b:c d"),
            ("mesh/shop/virtualGateway/edge/gatewayRoute/root", ResourceKind::GatewayRoute, "root"),
        ];
        for (path, kind, name) in table {
            let text = format!("arn:aws:appmesh:eu-west-1:123456789012:{path}");
            let arn = Arn::parse(&text).unwrap();
            assert_eq!(arn.to_string(), text);
            assert_eq!((arn.path().kind(), arn.path().name()), (kind, name));
            assert_eq!(arn.path().mesh().as_str(), "shop");
        }
    }

    #[test]
    fn arn_of_another_service_is_refused() {
        let table = [
            "",
            "mesh/shop",
            "arn:aws:acm:eu-west-1:123456789012:certificate/1",
            "arn:aws:appmesh:eu-west-1:123456789012:shop",
            "arn:aws:appmesh::123456789012:mesh/shop",
            "arn:aws:appmesh:eu-west-1:12:mesh/shop",
            "arn:aws:appmesh:eu-west-1:123456789012:mesh/",
            "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/",
            "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/a/route/b",
            "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/certificate/a",
        ];
        for text in table {
            assert!(Arn::parse(text).is_err(), "{text}");
        }
    }
}
