//! Conversion of a request into a read or a write, with all checks that do not depend on the state.

use axum::http::HeaderMap;
use axum::http::request::Parts;
use bytes::Bytes;
use mesh::name::{MeshName, ResourceKind, ResourcePath};
use mesh::resource::Tags;
use serde_json::{Map, Value};

use super::body::Members;
use super::query::Query;
use super::target::{self, Target};
use crate::document::name_member;
use crate::error::ApiError;
use crate::headers::IF_VERSION;
use crate::state::{Action, Collection, Page, Read, Realm, ValidSpec, Write, tags_title};
use crate::text;

/// A parsed request.
#[derive(Debug, PartialEq)]
pub(super) enum Call {
    Read(Read),
    Write(Write),
}

/// Parses a request. An unknown operation is reported before an unreadable body.
pub(super) fn parse(parts: &Parts, body: Result<Bytes, ApiError>, realm: &Realm) -> Result<Call, ApiError> {
    let target = target::target(&parts.method, parts.uri.path())?;
    let query = Query::parse(parts.uri.query())?;
    if let Some(mesh) = may_be_shared(&target) {
        realm.serves(mesh, query.mesh_owner()?.as_ref())?;
    }
    let if_version = if_version(&parts.headers)?;
    Ok(match target {
        Target::Describe(path) => Call::Read(Read::Describe(path)),
        Target::List(collection) => {
            let page = page(&query, &collection.to_string())?;
            Call::Read(Read::List(collection, page))
        }
        Target::ListTags => {
            let path = realm.resource(query.required("resourceArn")?)?;
            let page = page(&query, &tags_title(&path))?;
            Call::Read(Read::ListTags(path, page))
        }
        Target::Create(collection) => create(&collection, Members::parse(&body?)?, if_version)?,
        Target::Update(path) => update(path, Members::parse(&body?)?, if_version)?,
        Target::Delete(path) => Call::Write(Write { path, action: Action::Delete, if_version, token: None }),
        Target::Tag => {
            let path = realm.resource(query.required("resourceArn")?)?;
            let mut members = Members::parse(&body?)?;
            fits_a_resource(&path, &members)?;
            let tags = members.tags()?.ok_or_else(|| ApiError::invalid("tags", "is required"))?;
            members.finish(&["resourceArn"])?;
            Call::Write(Write { path, action: Action::Tag(tags), if_version, token: None })
        }
        Target::Untag => {
            let path = realm.resource(query.required("resourceArn")?)?;
            let mut members = Members::parse(&body?)?;
            let keys = members.tag_keys()?.ok_or_else(|| ApiError::invalid("tagKeys", "is required"))?;
            members.finish(&["resourceArn"])?;
            let action = Action::Untag(keys.into_iter().collect());
            Call::Write(Write { path, action, if_version, token: None })
        }
    })
}

fn create(collection: &Collection, mut members: Members, if_version: Option<u64>) -> Result<Call, ApiError> {
    let own_name = name_member(collection.kind());
    let name = members.text(&own_name)?.ok_or_else(|| ApiError::invalid(&own_name, "is required"))?;
    let path = target::member(collection, &name)?;
    if let Some(problem) = text::name_problem(&name) {
        return Err(ApiError::invalid(&own_name, problem));
    }
    let token = members.client_token()?;
    let tags = members.tags()?.unwrap_or_default();
    let spec = match (members.value("spec"), path.kind()) {
        (Some(spec), _) => spec,
        (None, ResourceKind::Mesh) => Value::Object(Map::new()),
        (None, _) => return Err(ApiError::invalid("spec", "is required")),
    };
    members.finish(&IN_URI)?;
    let spec = ValidSpec::parse(&path, spec)?.into();
    Ok(Call::Write(Write { path, action: Action::Create { spec, tags }, if_version, token }))
}

fn update(path: ResourcePath, mut members: Members, if_version: Option<u64>) -> Result<Call, ApiError> {
    let token = members.client_token()?;
    let spec = match (members.value("spec"), path.kind()) {
        (Some(spec), _) => Some(ValidSpec::parse(&path, spec)?.into()),
        (None, ResourceKind::Mesh) => None,
        (None, _) => return Err(ApiError::invalid("spec", "is required")),
    };
    members.finish(&IN_URI)?;
    Ok(Call::Write(Write { path, action: Action::Update { spec }, if_version, token }))
}

/// Members that a create or an update has in its URI or query.
const IN_URI: [&str; 8] = [
    "meshName",
    "meshOwner",
    "virtualNodeName",
    "virtualGatewayName",
    "virtualRouterName",
    "virtualServiceName",
    "routeName",
    "gatewayRouteName",
];

/// Refuses more tags in one request than a resource may have. This error precedes errors of single tags.
fn fits_a_resource(path: &ResourcePath, members: &Members) -> Result<(), ApiError> {
    match members.length("tags") {
        count if count > Tags::MAX => Err(ApiError::TooManyTags { path: path.clone(), count }),
        _ => Ok(()),
    }
}

fn page(query: &Query, title: &str) -> Result<Page, ApiError> {
    Ok(Page::parse(query.text("limit"), query.text("nextToken"), title)?)
}

/// The mesh of an operation with the parameter `meshOwner`: all operations inside a mesh, and `DescribeMesh`.
fn may_be_shared(target: &Target) -> Option<&MeshName> {
    match target {
        Target::Create(collection) | Target::List(collection) => collection.mesh(),
        Target::Update(ResourcePath::Mesh(_))
        | Target::Delete(ResourcePath::Mesh(_))
        | Target::Tag
        | Target::Untag
        | Target::ListTags => None,
        Target::Describe(path) | Target::Update(path) | Target::Delete(path) => Some(path.mesh()),
    }
}

fn if_version(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let mut given = headers.get_all(IF_VERSION).iter();
    let (Some(value), second) = (given.next(), given.next()) else {
        return Ok(None);
    };
    if second.is_some() {
        return Err(ApiError::invalid(IF_VERSION, "is given more than once"));
    }
    value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| ApiError::invalid(IF_VERSION, format!("must be a version number, not {value:?}")))
}
