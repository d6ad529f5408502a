//! Writes to the App Mesh API as CloudTrail tells them, and as the control plane does in the same shape.

use mesh::audit::Caller;
use mesh::name::{
    AccountId, Arn, GatewayRouteName, MeshName, ResourceKind, ResourcePath, RouteId, RouteName, VirtualGatewayName,
    VirtualNodeName, VirtualRouterName, VirtualServiceName,
};
use serde::Deserialize;
use serde_json::Value;

use super::envelope::{Flaw, join, read, shortened};
use super::{MeshWrite, Payload};

/// Whose events these are: AWS's own, and the control plane's, since `PutEvents` refuses `aws.*`.
pub(super) const SOURCES: [&str; 2] = ["aws.appmesh", "meshwarden.appmesh"];

pub(super) fn api_call(event: &Value, at: &str) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Detail {
        event_name: String,
        #[serde(default)]
        request_parameters: Value,
        #[serde(default)]
        error_code: Option<String>,
    }
    #[derive(Deserialize)]
    struct Event {
        detail: Detail,
    }
    let Event { detail } = read(event, at)?;
    let Some(operation) = Operation::read(&detail.event_name) else {
        return Ok(Payload::NotOurs { what: format!("`{}` of App Mesh", shortened(&detail.event_name)) });
    };
    let resource = match (&detail.request_parameters, &detail.error_code) {
        // A caller who was denied is not told what with; nothing was changed either.
        (Value::Null, Some(_)) => None,
        (parameters, _) => Some(resource(operation, parameters, &join(at, "detail.requestParameters"))?),
    };
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    Ok(Payload::MeshWrite(MeshWrite {
        operation: detail.event_name,
        resource,
        error: detail.error_code,
        by: text("/detail/userIdentity/arn").or_else(|| text("/detail/userIdentity/type")).map(str::to_owned),
        at: text("/detail/eventTime").or_else(|| text("/time")).and_then(|time| time.parse().ok()),
        region: text("/detail/awsRegion").or_else(|| text("/region")).map(str::to_owned),
        account: text("/account").and_then(|account| AccountId::parse(account).ok()),
        version: event.pointer("/detail/responseElements").and_then(version),
        id: text("/detail/eventID").or_else(|| text("/detail/requestID")).map(str::to_owned),
        caller: event.get("detail").map_or(Caller::UNKNOWN, Caller::read),
    }))
}

/// The version in an answer, which CloudTrail keeps in its wrapper: `{"route": {"metadata": {"version": 2}}}`.
fn version(answer: &Value) -> Option<u64> {
    let wrapped = || answer.as_object()?.values().find_map(|inner| inner.pointer("/metadata/version"));
    answer.pointer("/metadata/version").or_else(wrapped)?.as_u64()
}

/// An operation that writes.
#[derive(Clone, Copy)]
enum Operation {
    /// It creates, updates or deletes a resource of this kind.
    Write(ResourceKind),
    /// It changes the tags of any resource.
    Tag,
}

impl Operation {
    fn read(name: &str) -> Option<Self> {
        if matches!(name, "TagResource" | "UntagResource") {
            return Some(Self::Tag);
        }
        let kind = ["Create", "Update", "Delete"].iter().find_map(|verb| name.strip_prefix(verb))?;
        let kind = ResourceKind::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(kind))?;
        Some(Self::Write(kind))
    }
}

/// The members of a call that name a resource.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    mesh_name: Option<MeshName>,
    virtual_node_name: Option<VirtualNodeName>,
    virtual_gateway_name: Option<VirtualGatewayName>,
    virtual_router_name: Option<VirtualRouterName>,
    virtual_service_name: Option<VirtualServiceName>,
    route_name: Option<RouteName>,
    gateway_route_name: Option<GatewayRouteName>,
    resource_arn: Option<Arn>,
}

fn resource(operation: Operation, parameters: &Value, at: &str) -> Result<ResourcePath, Flaw> {
    let names: Names = read(parameters, at)?;
    let missing = |member: &str| Flaw::missing(at, member);
    let Operation::Write(kind) = operation else {
        return names.resource_arn.map(|arn| arn.path().clone()).ok_or_else(|| missing("resourceArn"));
    };
    let mesh = names.mesh_name.ok_or_else(|| missing("meshName"))?;
    let gateway = names.virtual_gateway_name.ok_or_else(|| missing("virtualGatewayName"));
    let router = names.virtual_router_name.ok_or_else(|| missing("virtualRouterName"));
    Ok(match kind {
        ResourceKind::Mesh => ResourcePath::Mesh(mesh),
        ResourceKind::VirtualNode => {
            ResourcePath::VirtualNode(mesh, names.virtual_node_name.ok_or_else(|| missing("virtualNodeName"))?)
        }
        ResourceKind::VirtualGateway => ResourcePath::VirtualGateway(mesh, gateway?),
        ResourceKind::VirtualRouter => ResourcePath::VirtualRouter(mesh, router?),
        ResourceKind::Route => {
            let route = names.route_name.ok_or_else(|| missing("routeName"))?;
            ResourcePath::Route(RouteId::new(mesh, router?, route))
        }
        ResourceKind::VirtualService => {
            let service = names.virtual_service_name.ok_or_else(|| missing("virtualServiceName"))?;
            ResourcePath::VirtualService(mesh, service)
        }
        ResourceKind::GatewayRoute => {
            let route = names.gateway_route_name.ok_or_else(|| missing("gatewayRouteName"))?;
            ResourcePath::GatewayRoute(mesh, gateway?, route)
        }
    })
}
