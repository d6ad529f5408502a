use async_trait::async_trait;
use jiff::Timestamp;
use mesh::name::{Arn, ResourceKind, ResourcePath};
use serde::Serialize;

use crate::PortError;

/// Answers AWS Config rules, and reads recorded configuration items.
#[async_trait]
pub trait ConfigRules: Send + Sync + std::fmt::Debug {
    /// Sends at most [`MOST_EVALUATIONS`] evaluations of one invocation. See [`crate::put_all_evaluations`] for more.
    async fn put_evaluations(&self, token: &ResultToken, evaluations: &[Evaluation]) -> Result<PutAnswer, PortError>;

    /// The newest configuration item of a resource; `None` if there is none.
    async fn newest_item(&self, resource: &ConfigResource) -> Result<Option<ConfigItem>, PortError>;
}

/// The maximum number of evaluations in one `PutEvaluations` call.
pub const MOST_EVALUATIONS: usize = 100;

/// The response to one `PutEvaluations` call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutAnswer {
    /// The evaluations were accepted except some: the call succeeds even if all of its evaluations failed.
    Taken {
        /// The evaluations that could not be stored "because of a client or server error"; they can be retried.
        failed: Vec<Evaluation>,
    },
    /// The request was rejected because of an invalid part, and nothing was stored. The other evaluations may be valid.
    Invalid {
        /// The message of AWS Config.
        message: String,
    },
    /// The result token is invalid, or the rule was deleted. No further answer to this invocation is accepted.
    InvalidToken {
        /// The message of AWS Config.
        message: String,
    },
}

/// The result token of a rule's invocation. It authorises the answer, so it is never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct ResultToken(String);

impl ResultToken {
    /// Wraps the token of an invocation.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the invocation is in test mode: AWS Config then checks the answer without storing it.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.0 == "TESTMODE"
    }
}

impl std::fmt::Debug for ResultToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_test() { "ResultToken(TESTMODE)" } else { "ResultToken" })
    }
}

/// The identity of a resource in AWS Config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigResource {
    /// Its type, for example `AWS::AppMesh::VirtualNode`.
    pub resource_type: String,
    /// Its id: the ARN, for App Mesh resources.
    pub resource_id: String,
}

impl ConfigResource {
    /// The identity of an App Mesh resource.
    #[must_use]
    pub fn of_mesh(arn: &Arn) -> Self {
        let resource_type = match arn.path().kind() {
            ResourceKind::Mesh => "AWS::AppMesh::Mesh",
            ResourceKind::VirtualNode => "AWS::AppMesh::VirtualNode",
            ResourceKind::VirtualGateway => "AWS::AppMesh::VirtualGateway",
            ResourceKind::VirtualRouter => "AWS::AppMesh::VirtualRouter",
            ResourceKind::Route => "AWS::AppMesh::Route",
            ResourceKind::VirtualService => "AWS::AppMesh::VirtualService",
            ResourceKind::GatewayRoute => "AWS::AppMesh::GatewayRoute",
        };
        Self { resource_type: resource_type.to_owned(), resource_id: arn.to_string() }
    }
}

/// A configuration item of AWS Config: identity and time of a resource. Its contents are read from the API instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigItem {
    /// The identity in AWS Config.
    #[serde(flatten)]
    pub resource: ConfigResource,
    /// The ARN in App Mesh; absent for resources of other services.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<Arn>,
    /// The status of the resource.
    pub status: ItemStatus,
    /// When it was recorded: the time that an evaluation of it is for.
    pub captured_at: Timestamp,
}

impl ConfigItem {
    /// Creates an item; the ARN is the given one or, for App Mesh resources, the id.
    #[must_use]
    pub fn new(resource: ConfigResource, arn: Option<&str>, status: ItemStatus, captured_at: Timestamp) -> Self {
        let arn = arn.into_iter().chain([resource.resource_id.as_str()]).find_map(|text| Arn::parse(text).ok());
        Self { resource, arn, status, captured_at }
    }

    /// The path in the mesh, if it is an App Mesh resource with a known ARN.
    #[must_use]
    pub fn path(&self) -> Option<&ResourcePath> {
        self.arn.as_ref().map(Arn::path)
    }

    /// The kind, if it is an App Mesh resource: from its ARN or, if it has none, from its type.
    #[must_use]
    pub fn kind(&self) -> Option<ResourceKind> {
        let of_type = || {
            let kind = self.resource.resource_type.strip_prefix("AWS::AppMesh::")?;
            ResourceKind::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(kind))
        };
        self.path().map(ResourcePath::kind).or_else(of_type)
    }
}

/// The status of a recorded resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ItemStatus {
    /// The resource was changed.
    #[serde(rename = "OK")]
    Ok,
    /// The resource was discovered.
    ResourceDiscovered,
    /// The resource exists, but is not recorded any more.
    ResourceNotRecorded,
    /// The resource was deleted.
    ResourceDeleted,
    /// The resource was deleted, and is not recorded any more.
    ResourceDeletedNotRecorded,
    /// A status that this version does not know.
    #[serde(untagged)]
    Unrecognised(String),
}

impl ItemStatus {
    /// Parses the status of AWS Config.
    #[must_use]
    pub fn read(text: &str) -> Self {
        match text {
            "OK" => Self::Ok,
            "ResourceDiscovered" => Self::ResourceDiscovered,
            "ResourceNotRecorded" => Self::ResourceNotRecorded,
            "ResourceDeleted" => Self::ResourceDeleted,
            "ResourceDeletedNotRecorded" => Self::ResourceDeletedNotRecorded,
            other => Self::Unrecognised(other.to_owned()),
        }
    }

    /// Whether the resource is deleted.
    #[must_use]
    pub const fn is_deleted(&self) -> bool {
        match self {
            Self::ResourceDeleted | Self::ResourceDeletedNotRecorded => true,
            Self::Ok | Self::ResourceDiscovered | Self::ResourceNotRecorded | Self::Unrecognised(_) => false,
        }
    }
}

/// An evaluation of a resource for AWS Config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// The resource.
    #[serde(flatten)]
    pub resource: ConfigResource,
    /// The compliance.
    pub compliance: RuleCompliance,
    /// The annotation.
    pub annotation: Annotation,
    /// The time that it is for: AWS Config keeps the evaluation with the newest time, in any order of arrival.
    pub at: Timestamp,
}

/// The compliance in AWS Config's API. `INSUFFICIENT_DATA` is reserved for AWS Config itself, and rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuleCompliance {
    /// The resource is compliant.
    Compliant,
    /// The resource is not compliant.
    NonCompliant,
    /// The rule does not apply to the resource, or the resource is deleted.
    NotApplicable,
}

/// An annotation: a text of at most 256 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Annotation(String);

impl Annotation {
    /// AWS Config's limit. It counts UTF-16 units; a character beyond the basic plane has two.
    pub const MAX: usize = 256;

    const CUT: &str = "...";

    /// Creates an annotation; a longer text is cut at a character boundary.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let length = |text: &str| text.chars().map(char::len_utf16).sum::<usize>();
        if length(text) <= Self::MAX {
            return Self(text.to_owned());
        }
        let mut left = Self::MAX - Self::CUT.len();
        let fits = |character: &char| match left.checked_sub(character.len_utf16()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let mut cut: String = text.chars().take_while(fits).collect();
        cut.push_str(Self::CUT);
        Self(cut)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_cut_between_characters() {
        for (text, length, end) in [
            ("a".repeat(256), 256, "aaaa"),
            ("a".repeat(257), 256, "a..."),
            ("\u{e9}".repeat(256), 256, "\u{e9}\u{e9}"),
            ("\u{e9}".repeat(300), 256, "\u{e9}..."),
            // Two units each: 126 of them fit before the dots, one unit stays unused.
            ("\u{1f980}".repeat(129), 129, "\u{1f980}..."),
            (String::new(), 0, ""),
        ] {
            let cut = Annotation::new(&text);
            assert_eq!(cut.as_str().chars().count(), length, "{text}");
            assert!(cut.as_str().ends_with(end), "{}", cut.as_str());
            assert!(cut.as_str().encode_utf16().count() <= Annotation::MAX);
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        assert_eq!(format!("{:?}", ResultToken::new("secret")), "ResultToken");
        assert!(ResultToken::new("TESTMODE").is_test());
        assert!(!ResultToken::new("secret").is_test());
    }

    #[test]
    fn an_items_place_comes_from_its_arn_or_its_id() {
        let arn = "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/cart-v1";
        let resource =
            |id: &str| ConfigResource { resource_type: "AWS::AppMesh::VirtualNode".into(), resource_id: id.into() };
        let at: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        for (id, given) in [(arn, None), ("cart-v1", Some(arn)), (arn, Some("nonsense"))] {
            let item = ConfigItem::new(resource(id), given, ItemStatus::Ok, at);
            assert_eq!(item.path().unwrap().to_string(), "mesh/shop/virtualNode/cart-v1");
        }
        let without_arn = ConfigItem::new(resource("cart-v1"), None, ItemStatus::Ok, at);
        assert_eq!((without_arn.path(), without_arn.kind()), (None, Some(ResourceKind::VirtualNode)));
        let other = ConfigResource { resource_type: "AWS::ACM::Certificate".into(), resource_id: "x".into() };
        assert_eq!(ConfigItem::new(other, None, ItemStatus::Ok, at).kind(), None);
        assert_eq!(ConfigResource::of_mesh(&Arn::parse(arn).unwrap()), resource(arn));
    }

    #[test]
    fn only_deleted_items_are_deleted() {
        for (text, deleted) in [
            ("OK", false),
            ("ResourceDiscovered", false),
            ("ResourceNotRecorded", false),
            ("ResourceDeleted", true),
            ("ResourceDeletedNotRecorded", true),
            ("Vanished", false),
        ] {
            assert_eq!(ItemStatus::read(text).is_deleted(), deleted, "{text}");
            assert_eq!(serde_json::to_value(ItemStatus::read(text)).unwrap(), text);
        }
    }
}
