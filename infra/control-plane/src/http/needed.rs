//! The access that a request needs.

use axum::http::Method;
use mesh::name::{MeshName, ResourcePath};

use super::request::Call;
use crate::percent;
use crate::rights::{Access, Level};
use crate::state::{Action, Collection, Read};

/// The access of an API operation.
pub(super) fn by_call(call: &Call) -> Access {
    match call {
        Call::Read(Read::Describe(path) | Read::ListTags(path, _)) => Access::resource(Level::Read, path),
        Call::Read(Read::List(collection, _)) => match collection.mesh() {
            None => Access::Filtered,
            Some(mesh) => in_collection(mesh, collection),
        },
        Call::Write(write) => {
            let level = match &write.action {
                Action::Create { .. } | Action::Delete => Level::Write,
                Action::Update { .. } => Level::Update,
                Action::Tag(_) | Action::Untag(_) => Level::Tag,
            };
            Access::resource(level, &write.path)
        }
    }
}

fn in_collection(mesh: &MeshName, collection: &Collection) -> Access {
    Access::Resource { level: Level::Read, mesh: mesh.clone(), kind: collection.kind() }
}

/// An endpoint outside the App Mesh API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// Answered after this check of rights.
    Known(&'static str, Access),
    /// Answered by a handler that finds the access in the body of the request, and checks the rights itself.
    ByBody,
    /// A URI of an endpoint that names no resource: the answer is 404, without a read of the state.
    Nameless,
}

/// The endpoint of a URI; `None` for operations of the API, and for unknown URIs.
pub(super) fn endpoint(method: &Method, path: &str) -> Option<Endpoint> {
    let of_resource = |resource: Option<ResourcePath>| match resource {
        Some(path) => Endpoint::Known("GetProxy", Access::resource(Level::Read, &path)),
        None => Endpoint::Nameless,
    };
    Some(match path {
        "/metrics" => Endpoint::Known("GetMetrics", Access::Metrics),
        "/certificates" => Endpoint::Known("GetCertificates", Access::Certificates),
        "/certificates/refresh" => Endpoint::Known("RefreshCertificates", Access::Certificates),
        "/proxies" => Endpoint::Known("GetProxies", Access::Filtered),
        "/tokens" | "/tokens/revoke" if method == Method::POST => Endpoint::ByBody,
        _ if path.starts_with("/proxies/") => of_resource(proxy_of_uri(path)),
        _ if path.starts_with("/findings/") => match mesh_of_uri(path) {
            Some(mesh) => Endpoint::Known("GetFindings", Access::WholeMesh(mesh)),
            None => Endpoint::Nameless,
        },
        _ => return None,
    })
}

/// The resource of `/proxies/<mesh>/<kind>/<name>`.
pub(super) fn proxy_of_uri(path: &str) -> Option<ResourcePath> {
    let resource = percent::decode(path.strip_prefix("/proxies/")?)?;
    ResourcePath::parse(&format!("mesh/{resource}")).ok()
}

/// The mesh of `/findings/<mesh>`.
pub(super) fn mesh_of_uri(path: &str) -> Option<MeshName> {
    percent::decode(path.strip_prefix("/findings/")?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_need_their_access() {
        let shop = || "shop".parse::<MeshName>().unwrap();
        let front = ResourcePath::parse("mesh/shop/virtualNode/front").unwrap();
        for (path, expected) in [
            ("/metrics", Some(Endpoint::Known("GetMetrics", Access::Metrics))),
            ("/certificates", Some(Endpoint::Known("GetCertificates", Access::Certificates))),
            ("/certificates/refresh", Some(Endpoint::Known("RefreshCertificates", Access::Certificates))),
            ("/proxies", Some(Endpoint::Known("GetProxies", Access::Filtered))),
            (
                "/proxies/shop/virtualNode/front",
                Some(Endpoint::Known("GetProxy", Access::resource(Level::Read, &front))),
            ),
            (
                "/proxies/shop",
                Some(Endpoint::Known("GetProxy", Access::resource(Level::Read, &ResourcePath::Mesh(shop())))),
            ),
            ("/proxies/", Some(Endpoint::Nameless)),
            ("/findings/shop", Some(Endpoint::Known("GetFindings", Access::WholeMesh(shop())))),
            ("/findings/%2F", Some(Endpoint::Nameless)),
            ("/v20190125/meshes", None),
            ("/", None),
            ("/%6Detrics", None),
        ] {
            assert_eq!(endpoint(&Method::GET, path), expected, "{path}");
        }
        assert_eq!(endpoint(&Method::POST, "/tokens"), Some(Endpoint::ByBody));
        assert_eq!(endpoint(&Method::GET, "/tokens"), None);
    }
}
