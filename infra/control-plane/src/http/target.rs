//! Conversion of method and URI into an operation.

use axum::http::Method;
use mesh::name::{MeshName, NameError, ResourceKind, ResourcePath, VirtualGatewayName, VirtualRouterName};

use crate::document::name_member;
use crate::error::ApiError;
use crate::percent;
use crate::state::Collection;

/// The version of the API, the first part of every URI.
const BASE: &str = "v20190125";

/// One of the 38 operations, with the resource or collection that its URI names.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    /// Create a resource in this collection.
    Create(Collection),
    /// List this collection.
    List(Collection),
    /// Describe this resource.
    Describe(ResourcePath),
    /// Update this resource.
    Update(ResourcePath),
    /// Delete this resource.
    Delete(ResourcePath),
    /// `TagResource`.
    Tag,
    /// `UntagResource`.
    Untag,
    /// `ListTagsForResource`.
    ListTags,
}

/// The name of a request's operation; `Unknown` without one.
pub(super) fn operation(method: &Method, path: &str) -> &'static str {
    target(method, path).map_or("Unknown", |target| target.operation())
}

impl Target {
    /// The operation's name in the API model.
    pub(super) const fn operation(&self) -> &'static str {
        match self {
            Self::Create(collection) => match collection.kind() {
                ResourceKind::Mesh => "CreateMesh",
                ResourceKind::VirtualNode => "CreateVirtualNode",
                ResourceKind::VirtualGateway => "CreateVirtualGateway",
                ResourceKind::VirtualRouter => "CreateVirtualRouter",
                ResourceKind::Route => "CreateRoute",
                ResourceKind::VirtualService => "CreateVirtualService",
                ResourceKind::GatewayRoute => "CreateGatewayRoute",
            },
            Self::List(collection) => match collection.kind() {
                ResourceKind::Mesh => "ListMeshes",
                ResourceKind::VirtualNode => "ListVirtualNodes",
                ResourceKind::VirtualGateway => "ListVirtualGateways",
                ResourceKind::VirtualRouter => "ListVirtualRouters",
                ResourceKind::Route => "ListRoutes",
                ResourceKind::VirtualService => "ListVirtualServices",
                ResourceKind::GatewayRoute => "ListGatewayRoutes",
            },
            Self::Describe(path) => match path.kind() {
                ResourceKind::Mesh => "DescribeMesh",
                ResourceKind::VirtualNode => "DescribeVirtualNode",
                ResourceKind::VirtualGateway => "DescribeVirtualGateway",
                ResourceKind::VirtualRouter => "DescribeVirtualRouter",
                ResourceKind::Route => "DescribeRoute",
                ResourceKind::VirtualService => "DescribeVirtualService",
                ResourceKind::GatewayRoute => "DescribeGatewayRoute",
            },
            Self::Update(path) => match path.kind() {
                ResourceKind::Mesh => "UpdateMesh",
                ResourceKind::VirtualNode => "UpdateVirtualNode",
                ResourceKind::VirtualGateway => "UpdateVirtualGateway",
                ResourceKind::VirtualRouter => "UpdateVirtualRouter",
                ResourceKind::Route => "UpdateRoute",
                ResourceKind::VirtualService => "UpdateVirtualService",
                ResourceKind::GatewayRoute => "UpdateGatewayRoute",
            },
            Self::Delete(path) => match path.kind() {
                ResourceKind::Mesh => "DeleteMesh",
                ResourceKind::VirtualNode => "DeleteVirtualNode",
                ResourceKind::VirtualGateway => "DeleteVirtualGateway",
                ResourceKind::VirtualRouter => "DeleteVirtualRouter",
                ResourceKind::Route => "DeleteRoute",
                ResourceKind::VirtualService => "DeleteVirtualService",
                ResourceKind::GatewayRoute => "DeleteGatewayRoute",
            },
            Self::Tag => "TagResource",
            Self::Untag => "UntagResource",
            Self::ListTags => "ListTagsForResource",
        }
    }
}

/// Finds the operation. The path is split before it is decoded, since names may contain encoded slashes.
pub(super) fn target(method: &Method, path: &str) -> Result<Target, ApiError> {
    let unknown =
        |known_uri| ApiError::UnknownOperation { method: method.to_string(), uri: path.to_owned(), known_uri };
    let uri = parse_uri(path)?.ok_or_else(|| unknown(false))?;
    match (uri, method.as_str()) {
        (UriTarget::Collection(collection), "PUT") => Ok(Target::Create(collection)),
        (UriTarget::Collection(collection), "GET") => Ok(Target::List(collection)),
        (UriTarget::Resource(resource), "GET") => Ok(Target::Describe(resource)),
        (UriTarget::Resource(resource), "PUT") => Ok(Target::Update(resource)),
        (UriTarget::Resource(resource), "DELETE") => Ok(Target::Delete(resource)),
        (UriTarget::Tag, "PUT") => Ok(Target::Tag),
        (UriTarget::Untag, "PUT") => Ok(Target::Untag),
        (UriTarget::Tags, "GET") => Ok(Target::ListTags),
        _ => Err(unknown(true)),
    }
}

/// The resource, collection or tag operation of a URI, independent of the method.
enum UriTarget {
    Collection(Collection),
    Resource(ResourcePath),
    Tag,
    Untag,
    Tags,
}

fn parse_uri(path: &str) -> Result<Option<UriTarget>, ApiError> {
    let segments = path
        .split('/')
        .map(|segment| {
            percent::decode(segment)
                .ok_or_else(|| ApiError::invalid("URI", format!("{segment:?} is not percent-encoded UTF-8")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["", BASE, rest @ ..] = segments.as_slice() else {
        return Ok(None);
    };
    match rest {
        ["tag"] => return Ok(Some(UriTarget::Tag)),
        ["untag"] => return Ok(Some(UriTarget::Untag)),
        ["tags"] => return Ok(Some(UriTarget::Tags)),
        _ => {}
    }
    let Some((collection, name)) = split(rest)? else {
        return Ok(None);
    };
    Ok(Some(match name {
        None => UriTarget::Collection(collection),
        Some(name) => UriTarget::Resource(member(&collection, name)?),
    }))
}

/// The collection, and the name of the resource if there is one. The URI has a parent's own collection in the plural,
/// and a parent before its children in the singular.
fn split<'a>(segments: &[&'a str]) -> Result<Option<(Collection, Option<&'a str>)>, ApiError> {
    let ["meshes", in_meshes @ ..] = segments else {
        return Ok(None);
    };
    let (mesh, in_mesh) = match in_meshes {
        [] => return Ok(Some((Collection::Meshes, None))),
        [name] => return Ok(Some((Collection::Meshes, Some(name)))),
        [mesh, in_mesh @ ..] => (mesh, in_mesh),
    };
    let mesh = MeshName::parse(mesh).map_err(|error| invalid_name(ResourceKind::Mesh, &error))?;
    let (collection, name) = match in_mesh {
        ["virtualNodes", name @ ..] => (Collection::VirtualNodes(mesh), name),
        ["virtualGateways", name @ ..] => (Collection::VirtualGateways(mesh), name),
        ["virtualRouters", name @ ..] => (Collection::VirtualRouters(mesh), name),
        ["virtualServices", name @ ..] => (Collection::VirtualServices(mesh), name),
        ["virtualRouter", router, "routes", name @ ..] => {
            let router =
                VirtualRouterName::parse(router).map_err(|error| invalid_name(ResourceKind::VirtualRouter, &error))?;
            (Collection::Routes(mesh, router), name)
        }
        ["virtualGateway", gateway, "gatewayRoutes", name @ ..] => {
            let gateway = VirtualGatewayName::parse(gateway)
                .map_err(|error| invalid_name(ResourceKind::VirtualGateway, &error))?;
            (Collection::GatewayRoutes(mesh, gateway), name)
        }
        _ => return Ok(None),
    };
    Ok(match name {
        [] => Some((collection, None)),
        [name] => Some((collection, Some(name))),
        _ => None,
    })
}

/// The resource of that name in a collection.
pub(super) fn member(collection: &Collection, name: &str) -> Result<ResourcePath, ApiError> {
    collection.member(name).map_err(|error| invalid_name(collection.kind(), &error))
}

fn invalid_name(kind: ResourceKind, error: &NameError) -> ApiError {
    ApiError::invalid(name_member(kind), error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(method: &str, path: &str) -> String {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        match target(&method, &format!("/v20190125{path}")) {
            Ok(Target::Create(collection)) => format!("create in {collection}"),
            Ok(Target::List(collection)) => format!("list {collection}"),
            Ok(Target::Describe(path)) => format!("describe {path}"),
            Ok(Target::Update(path)) => format!("update {path}"),
            Ok(Target::Delete(path)) => format!("delete {path}"),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.error_type().status().to_string(),
        }
    }

    #[test]
    fn every_uri_of_the_api_is_found() {
        let collections = [
            ("/meshes", "meshes", "mesh/n"),
            ("/meshes/m/virtualNodes", "virtual nodes of mesh/m", "mesh/m/virtualNode/n"),
            ("/meshes/m/virtualGateways", "virtual gateways of mesh/m", "mesh/m/virtualGateway/n"),
            ("/meshes/m/virtualRouters", "virtual routers of mesh/m", "mesh/m/virtualRouter/n"),
            ("/meshes/m/virtualServices", "virtual services of mesh/m", "mesh/m/virtualService/n"),
            ("/meshes/m/virtualRouter/r/routes", "routes of mesh/m/virtualRouter/r", "mesh/m/virtualRouter/r/route/n"),
            (
                "/meshes/m/virtualGateway/g/gatewayRoutes",
                "gateway routes of mesh/m/virtualGateway/g",
                "mesh/m/virtualGateway/g/gatewayRoute/n",
            ),
        ];
        for (uri, title, path) in collections {
            assert_eq!(describe("PUT", uri), format!("create in {title}"));
            assert_eq!(describe("GET", uri), format!("list {title}"));
            assert_eq!(describe("DELETE", uri), "405");
            let uri = format!("{uri}/n");
            assert_eq!(describe("GET", &uri), format!("describe {path}"));
            assert_eq!(describe("PUT", &uri), format!("update {path}"));
            assert_eq!(describe("DELETE", &uri), format!("delete {path}"));
            assert_eq!(describe("POST", &uri), "405");
            assert_eq!(describe("GET", &format!("{uri}/more")), "404");
        }
        assert_eq!(describe("PUT", "/tag"), "Tag");
        assert_eq!(describe("PUT", "/untag"), "Untag");
        assert_eq!(describe("GET", "/tags"), "ListTags");
    }

    #[test]
    fn names_are_decoded_after_the_path_is_split() {
        assert_eq!(
            describe("GET", "/meshes/m/virtualServices/a%20b%2Fc.local"),
            "describe mesh/m/virtualService/a b/c.local"
        );
        assert_eq!(describe("GET", "/meshes/m%2FvirtualNodes"), "400");
        assert_eq!(describe("GET", "/meshes/%zz"), "400");
    }

    #[test]
    fn an_unknown_uri_is_not_reported_as_a_missing_resource() {
        for uri in [
            "",
            "/",
            "/mesh/m",
            "/meshes/m/virtualNode/n",
            "/meshes/m/virtualRouters/r/routes",
            "/meshes/m/virtualGateways/g/gatewayRoutes",
            "/meshes/m/routes",
        ] {
            assert_eq!(describe("GET", uri), "404", "{uri}");
        }
        let error = target(&Method::GET, "/meshes").unwrap_err();
        assert_eq!(error.error_type().name(), "UnknownOperationException");
    }

    #[test]
    fn an_invalid_name_is_reported_with_its_member() {
        for (uri, prefix) in [
            ("/meshes/", "meshName: "),
            ("/meshes//virtualNodes", "meshName: "),
            ("/meshes/m/virtualRouter//routes/r", "virtualRouterName: "),
            ("/meshes/m/virtualGateway/g/gatewayRoutes/", "gatewayRouteName: "),
        ] {
            let error = target(&Method::GET, &format!("/v20190125{uri}")).unwrap_err();
            assert!(error.to_string().starts_with(prefix), "{uri}: {error}");
        }
    }
}
