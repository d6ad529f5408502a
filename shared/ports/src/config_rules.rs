use async_trait::async_trait;
use jiff::Timestamp;
use mesh::name::{Arn, ResourceKind, ResourcePath};
use serde::Serialize;

use crate::PortError;

/// Answers the rules of AWS Config, and reads what it has recorded.
#[async_trait]
pub trait ConfigRules: Send + Sync + std::fmt::Debug {
    /// Sends at most [`MOST_EVALUATIONS`] evaluations of one invocation. See [`crate::put_all_evaluations`] for more.
    async fn put_evaluations(&self, token: &ResultToken, evaluations: &[Evaluation]) -> Result<PutAnswer, PortError>;

    /// The newest item that AWS Config has of a resource; `None` when it has none.
    async fn newest_item(&self, resource: &ConfigResource) -> Result<Option<ConfigItem>, PortError>;
}

/// How many evaluations one `PutEvaluations` takes.
pub const MOST_EVALUATIONS: usize = 100;

/// What AWS Config answers to one `PutEvaluations`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutAnswer {
    /// It took them, but for some: the call succeeds even when every one of its evaluations failed.
    Taken {
        /// Evaluations that it could not store, "because of a client or server error": worth another attempt.
        failed: Vec<Evaluation>,
    },
    /// It refused the request because something in it is invalid, and stored nothing. The others may be valid.
    Invalid {
        /// What AWS Config says.
        message: String,
    },
    /// The result token is not valid, or the rule is gone. No answer to this invocation is ever taken.
    InvalidToken {
        /// What AWS Config says.
        message: String,
    },
}

/// What ties an answer to the invocation of a rule. Whoever has it can answer, so it is never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct ResultToken(String);

impl ResultToken {
    /// The token as an invocation carries it.
    #[must_use]
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the invocation only tries the function out: AWS Config then checks the answer and keeps nothing of it.
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

/// A resource as AWS Config names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigResource {
    /// Its type, as in `AWS::AppMesh::VirtualNode`.
    pub resource_type: String,
    /// Its id: of App Mesh's resources their ARN.
    pub resource_id: String,
}

impl ConfigResource {
    /// A resource of App Mesh.
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

/// What AWS Config has recorded of a resource: who it is and since when. What it is like is read where it lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigItem {
    /// The resource as AWS Config names it.
    #[serde(flatten)]
    pub resource: ConfigResource,
    /// The same as App Mesh names it; unset for what is no part of a mesh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<Arn>,
    /// Whether it exists.
    pub status: ItemStatus,
    /// When it was recorded: the instant that an evaluation of it speaks of.
    pub captured_at: Timestamp,
}

impl ConfigItem {
    /// An item of these members; the ARN is the one given or, as for App Mesh's resources, the id.
    #[must_use]
    pub fn new(resource: ConfigResource, arn: Option<&str>, status: ItemStatus, captured_at: Timestamp) -> Self {
        let arn = arn.into_iter().chain([resource.resource_id.as_str()]).find_map(|text| Arn::parse(text).ok());
        Self { resource, arn, status, captured_at }
    }

    /// Where in a mesh it stands, if it is part of one and its ARN is known.
    #[must_use]
    pub fn path(&self) -> Option<&ResourcePath> {
        self.arn.as_ref().map(Arn::path)
    }

    /// Its kind, where it is part of a mesh: that of its ARN or, where the item has none, of its type.
    #[must_use]
    pub fn kind(&self) -> Option<ResourceKind> {
        let of_type = || {
            let kind = self.resource.resource_type.strip_prefix("AWS::AppMesh::")?;
            ResourceKind::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(kind))
        };
        self.path().map(ResourcePath::kind).or_else(of_type)
    }
}

/// Whether a recorded resource exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ItemStatus {
    /// It was changed.
    #[serde(rename = "OK")]
    Ok,
    /// It was found.
    ResourceDiscovered,
    /// It exists and isn't recorded any more.
    ResourceNotRecorded,
    /// It was deleted.
    ResourceDeleted,
    /// It was deleted, and isn't recorded any more.
    ResourceDeletedNotRecorded,
    /// Something that isn't known here.
    #[serde(untagged)]
    Unrecognised(String),
}

impl ItemStatus {
    /// Reads it as AWS Config writes it.
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

    /// Whether the resource is gone.
    #[must_use]
    pub const fn is_deleted(&self) -> bool {
        match self {
            Self::ResourceDeleted | Self::ResourceDeletedNotRecorded => true,
            Self::Ok | Self::ResourceDiscovered | Self::ResourceNotRecorded | Self::Unrecognised(_) => false,
        }
    }
}

/// How a resource stands, as AWS Config is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// The resource.
    #[serde(flatten)]
    pub resource: ConfigResource,
    /// How it stands.
    pub compliance: RuleCompliance,
    /// Why, for people.
    pub annotation: Annotation,
    /// The instant that it speaks of: AWS Config keeps the newest by this, in whatever order answers arrive.
    pub at: Timestamp,
}

/// What AWS Config takes as an answer. `INSUFFICIENT_DATA` is what it says itself where it has none, and refuses from
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuleCompliance {
    /// As it must be.
    Compliant,
    /// Not as it must be, or not known to be.
    NonCompliant,
    /// Nothing that the rule is about, or gone.
    NotApplicable,
}

/// A text of at most 256 characters: what AWS Config keeps with an evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Annotation(String);

impl Annotation {
    /// AWS Config's limit. Its length counts UTF-16 units, of which a character beyond the basic plane has two.
    pub const MAX: usize = 256;

    const CUT: &str = "...";

    /// The text, cut at a character's end where it is too long.
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
