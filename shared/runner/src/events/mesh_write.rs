//! Writes to the App Mesh API as CloudTrail records them, and as the control plane reports them in the same shape.

use mesh::name::{
    AccountId, Arn, GatewayRouteName, MeshName, ResourceKind, ResourcePath, RouteId, RouteName, VirtualGatewayName,
    VirtualNodeName, VirtualRouterName, VirtualServiceName,
};
use rules::audit::ApiCaller as Caller;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::bus_event::BusEvent;
use super::reading::{Flaw, join, read, shortened};
use super::{MeshWrite, Payload};

/// The sources of these events: AWS's own, and the control plane's, since `PutEvents` refuses `aws.*`.
pub(super) const SOURCES: [&str; 2] = ["aws.appmesh", "meshwarden.appmesh"];

/// The service that CloudTrail names in a record of a call.
pub(super) const CALLED: &str = "appmesh.amazonaws.com";

pub(super) fn api_call(event: &BusEvent<'_>) -> Result<Payload, Flaw> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Detail {
        event_name: String,
        #[serde(default)]
        request_parameters: Value,
        #[serde(default)]
        response_elements: Value,
        #[serde(default)]
        error_code: Option<String>,
    }
    let Detail { event_name, request_parameters, response_elements, error_code } = event.detail()?;
    let detail = event.raw_detail()?;
    let Some(operation) = Operation::read(&event_name) else {
        return Ok(Payload::NotOurs { what: format!("`{}` of App Mesh", shortened(&event_name)) });
    };
    let at = join(&event.detail_at(), "requestParameters");
    let named = resource(operation, &request_parameters, &response_elements, &at)
        .or_else(|flaw| listed(operation, detail).ok_or(flaw));
    let resource = match (named, &error_code) {
        (Ok(resource), _) => Some(resource),
        // The event of a denied call has no parameters, and those of a refused call may be malformed. In both cases
        // nothing was changed.
        (Err(_), Some(_)) => None,
        (Err(flaw), None) => return Err(flaw),
    };
    let text = |pointer: &str| detail.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    Ok(Payload::MeshWrite(MeshWrite {
        operation: event_name,
        resource,
        error: error_code,
        by: writer(detail),
        at: text("/eventTime").and_then(|time| time.parse().ok()).or(event.time()),
        region: text("/awsRegion").or_else(|| event.region()).map(str::to_owned),
        account: event.account().and_then(|account| AccountId::parse(account).ok()),
        named_owner: named_owner(&request_parameters, &response_elements),
        version: version(&response_elements),
        id: text("/eventID").or_else(|| text("/requestID")).map(str::to_owned),
        caller: Caller::read(detail),
    }))
}

/// Reads the connection or disconnection of a proxy: it is not a write, and is reported with the proxy's node.
pub(super) fn service_event(event: &BusEvent<'_>) -> Payload {
    let text = |pointer: &str| {
        let detail = event.raw_detail().ok()?;
        detail.pointer(pointer)?.as_str().filter(|text| !text.is_empty()).map(shortened)
    };
    let name = text("/eventName").unwrap_or_else(|| "a service event".to_owned());
    let parts = ["nodeArn", "eventStatus"].map(|member| text(&format!("/serviceEventDetails/{member}")));
    let about: String = parts.into_iter().flatten().fold(String::new(), |about, part| format!("{about}, {part}"));
    Payload::NotOurs { what: format!("`{name}` of App Mesh{about}") }
}

/// The ARN, or the best other name, of the identity that called.
fn writer(detail: &Value) -> Option<String> {
    let members = ["arn", "invokedBy", "userName", "principalId", "type"];
    let text = |member: &&str| detail.pointer(&format!("/userIdentity/{member}"))?.as_str();
    members.iter().filter_map(text).find(|text| !text.is_empty()).map(str::to_owned)
}

/// The owner of the mesh, as the response or the parameters name it.
fn named_owner(parameters: &Value, answer: &Value) -> Option<AccountId> {
    let answered = inner(answer).and_then(|inner| inner.pointer("/metadata/meshOwner"));
    let mut named = [answered, parameters.get("meshOwner")].into_iter().flatten().filter_map(Value::as_str);
    named.find_map(|account| AccountId::parse(account).ok())
}

/// The version in a response.
fn version(answer: &Value) -> Option<u64> {
    inner(answer)?.pointer("/metadata/version")?.as_u64()
}

/// The resource in a response, which CloudTrail records with its wrapper: `{"route": {"metadata": {"version": 2}}}`.
fn inner(answer: &Value) -> Option<&Value> {
    let is_resource = |value: &&Value| value.get("metadata").is_some() || value.get("meshName").is_some();
    Some(answer).filter(is_resource).or_else(|| answer.as_object()?.values().find(is_resource))
}

/// The resource by the ARNs in the response and the record, for a call without a parameter that names it.
fn listed(operation: Operation, detail: &Value) -> Option<ResourcePath> {
    let answered = detail.get("responseElements").and_then(inner).and_then(|inner| inner.pointer("/metadata/arn"));
    let listed = detail.get("resources").and_then(Value::as_array).into_iter().flatten();
    let arns = answered.into_iter().chain(listed.filter_map(|resource| resource.get("ARN").or(resource.get("arn"))));
    let paths = arns.filter_map(|arn| Some(Arn::parse(arn.as_str()?).ok()?.path().clone()));
    let fits = |path: &ResourcePath| match operation {
        Operation::Write(kind) => path.kind() == kind,
        Operation::Tag => true,
    };
    paths.filter(fits).max_by_key(|path| path.kind() != ResourceKind::Mesh)
}

/// An operation that writes.
#[derive(Clone, Copy)]
enum Operation {
    /// An operation that creates, updates or deletes a resource of this kind.
    Write(ResourceKind),
    /// An operation that changes the tags of any resource.
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

/// The names of the members of [`Names`].
const NAMES: [&str; 8] = [
    "meshName",
    "virtualNodeName",
    "virtualGatewayName",
    "virtualRouterName",
    "virtualServiceName",
    "routeName",
    "gatewayRouteName",
    "resourceArn",
];

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

/// The resource as the parameters name it. Missing parameters are taken from the response, which has the same names.
/// CloudTrail omits parameters that are too large, and those of calls that a service makes for a caller.
fn resource(operation: Operation, parameters: &Value, answer: &Value, at: &str) -> Result<ResourcePath, Flaw> {
    let mut members = Map::new();
    for source in [inner(answer), Some(parameters)] {
        let known = source.and_then(Value::as_object).into_iter().flatten();
        let known = known.filter(|(name, value)| NAMES.contains(&name.as_str()) && !value.is_null());
        members.extend(known.map(|(name, value)| (name.clone(), value.clone())));
    }
    let names: Names = read(&Value::Object(members), at)?;
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
