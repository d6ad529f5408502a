//! The last step of every reader: it combines names and a spec to a resource, or refuses them.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::form::Form;
use super::member_lines::{MemberLines, lines_of_spec};
use super::node::{Node, Spelling};
use super::reading::{Declared, Defect, Fault, Note, Reading, Refusal, Source};
use super::respell::{Respelt, member, respell};
use super::spelling::{self, Misspelt};
use super::spots::{Spot, Step};
use super::stand_ins::StandIns;
use super::unheld::UnheldMember;
use mesh::name::{
    AccountId, GatewayRouteName, MeshName, ResourceKind, ResourcePath, RouteId, RouteName, VirtualGatewayName,
    VirtualNodeName, VirtualRouterName, VirtualServiceName,
};
use mesh::resource::Tags;
use mesh::spec::{Spec, Violation};
use mesh::validate;

/// A resource in the form's spelling, before validation.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) source: Source,
    /// The position of the resource in the file.
    pub(super) spot: &'a Spot,
    pub(super) kind: ResourceKind,
    pub(super) names: Names,
    /// The spec in the form's spelling.
    pub(super) spec: &'a Value,
    /// The steps from the position of the resource to its spec; empty if the resource is its spec.
    pub(super) way: &'a [Step],
    /// Members outside the spec that the form does not have.
    pub(super) misspelt: Vec<Misspelt>,
    pub(super) spelling: Spelling,
    pub(super) stand_ins: &'a StandIns,
    /// The tags; `None` if the form has no tags.
    pub(super) tags: Option<Vec<(String, String)>>,
    pub(super) mesh_owner: Option<String>,
    /// The time at which AWS Config recorded the resource.
    pub(super) captured_at: Option<Timestamp>,
    /// The members of the file that the API does not have.
    pub(super) unheld: Vec<UnheldMember>,
}

/// The names in a path. A `None` name is missing in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) mesh: Option<String>,
    /// The virtual router of a route, the virtual gateway of a gateway route.
    pub(super) parent: Option<String>,
    /// The resource's own name; the name of a mesh is in `mesh`.
    pub(super) own: Option<String>,
}

/// The API's member for a resource's own name.
pub(super) const fn own_name_member(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::Mesh => "meshName",
        ResourceKind::VirtualNode => "virtualNodeName",
        ResourceKind::VirtualGateway => "virtualGatewayName",
        ResourceKind::VirtualRouter => "virtualRouterName",
        ResourceKind::Route => "routeName",
        ResourceKind::VirtualService => "virtualServiceName",
        ResourceKind::GatewayRoute => "gatewayRouteName",
    }
}

/// The API's member for the name of the parent of a resource.
pub(super) const fn parent_name_member(kind: ResourceKind) -> Option<&'static str> {
    match kind {
        ResourceKind::Route => Some("virtualRouterName"),
        ResourceKind::GatewayRoute => Some("virtualGatewayName"),
        ResourceKind::Mesh
        | ResourceKind::VirtualNode
        | ResourceKind::VirtualGateway
        | ResourceKind::VirtualRouter
        | ResourceKind::VirtualService => None,
    }
}

impl Names {
    /// Reads the names from the API's members, in the spelling of a form.
    pub(super) fn read(kind: ResourceKind, object: &Map<String, Value>, spelling: Spelling) -> Self {
        let text = |name: &str| match spelling {
            Spelling::ConfigItem => member(object, name).and_then(text_of),
            Spelling::CloudFormation => object.get(&spelling::pascal(name)).and_then(text_of),
            Spelling::Api | Spelling::Manifest | Spelling::Terraform => object.get(name).and_then(text_of),
        };
        let mesh = text("meshName");
        let own = if kind == ResourceKind::Mesh { mesh.clone() } else { text(own_name_member(kind)) };
        Self { mesh, parent: parent_name_member(kind).and_then(text), own }
    }
}

/// A text, even if YAML parsed it as a number.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Tags as a list of keys and values, in any case, or as an object.
pub(super) fn tags_of(value: &Value) -> Vec<(String, String)> {
    let pair = |item: &Value| {
        let object = item.as_object()?;
        let text = |name| member(object, name).and_then(text_of);
        Some((text("key")?, text("value").unwrap_or_default()))
    };
    match value {
        Value::Array(items) => items.iter().filter_map(pair).collect(),
        Value::Object(pairs) => {
            pairs.iter().map(|(key, value)| (key.clone(), text_of(value).unwrap_or_default())).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// Validates a draft, and adds its resource, remarks, refusals and faults.
pub(super) fn declare(draft: Draft<'_>, reading: &mut Reading) {
    let Draft {
        source,
        spot,
        kind,
        names,
        spec,
        way,
        mut misspelt,
        spelling,
        stand_ins,
        tags,
        mesh_owner,
        captured_at,
        unheld,
    } = draft;
    let lines = lines(kind, spec, spot, way, spelling);
    // The members of manifests are checked when the objects are collected.
    let Respelt { value, notes, twice } = if spelling == Spelling::Manifest {
        respell(spec, Spec::shape(kind), spelling, stand_ins, "spec")
    } else {
        let checked = spelling::check(spec, Node::Spec(kind), spelling, way);
        misspelt.extend(checked.misspelt);
        respell(&checked.value, Spec::shape(kind), spelling, stand_ins, "spec")
    };
    let mut violations = Vec::new();
    violations.extend(twice.into_iter().map(|path| Violation::malformed(path, "is given twice: remove one")));
    let path = path_of(kind, &names, &mut violations);
    for (key, value) in tags.iter().flatten() {
        if let Some(expression) = stand_ins.within(value).or_else(|| stand_ins.within(key)) {
            let note = Note::Unresolved { expression: expression.to_owned() };
            reading.remark(&source, format!("tags.{key}"), note);
        }
    }
    let tags = tags.map(|tags| read_tags(tags, &mut violations));
    let mesh_owner = mesh_owner.and_then(|owner| {
        let account = AccountId::parse(&owner).ok();
        if account.is_none() {
            reading.remark(&source, "meshOwner", Note::OwnerUnknown { given: owner });
        }
        account
    });
    let spec = match Spec::read(kind, &value) {
        Ok(spec) => Some(spec),
        Err(found) => {
            violations.extend(found.into_iter().map(|violation| explain(violation, &notes)));
            None
        }
    };
    remark_on_names(&source, kind, &names, stand_ins, reading);
    for (member, note) in notes {
        reading.remark(&source, member, note);
    }
    if let (Some(resource), Some(form)) = (&path, form_of(spelling)) {
        reading.faults.extend(misspelt.iter().map(|misspelt| Fault {
            resource: resource.clone(),
            source: source.clone(),
            line: spot.follow(&misspelt.steps).line(),
            part: misspelt.member.clone(),
            defect: Defect::UnknownMember { form, suggestion: misspelt.suggestion.clone() },
        }));
    }
    if !violations.is_empty() {
        violations.extend(misspelt.iter().map(violation_of));
    }
    let line = spot.line();
    match (path, spec) {
        (Some(path), Some(spec)) if violations.is_empty() => {
            let declared = Declared { path, spec, tags, mesh_owner, source, line, lines, captured_at, unheld };
            reading.resources.push(declared);
        }
        _ => {
            let first = violations.first().and_then(|violation| lines.line_of(&violation.path));
            reading.refusals.push(Refusal { source_: source, line: Some(first.unwrap_or(line)), violations });
        }
    }
}

/// The lines of a resource's members. The spec is at the end of the steps from the resource's position.
fn lines(kind: ResourceKind, spec: &Value, spot: &Spot, way: &[Step], spelling: Spelling) -> MemberLines {
    let mut lines = lines_of_spec(spec, spot.follow(way), Spec::shape(kind), spelling);
    // The spec is a member of the object that also contains the tags.
    let is_spec = |step: &Step| matches!(step, Step::Member(name) if name.eq_ignore_ascii_case("spec"));
    let holder = spot.follow(way.iter().position(is_spec).and_then(|before| way.get(..before)).unwrap_or_default());
    for member in ["spec", "tags"] {
        if let Some(spot) = holder.child(member) {
            lines.note(member, spot.line());
        }
    }
    lines
}

/// The violation of a misspelt member in a resource that is refused anyway. The misspelling is often the cause.
pub(super) fn violation_of(misspelt: &Misspelt) -> Violation {
    let remedy = match &misspelt.suggestion {
        Some(name) => format!("write `{name}`"),
        None => "remove it".to_owned(),
    };
    Violation::malformed(misspelt.member.clone(), format!("is not a member here: {remedy}"))
}

/// The form with this spelling. AWS Config records existing resources, so none of its members is misspelt.
const fn form_of(spelling: Spelling) -> Option<Form> {
    match spelling {
        Spelling::Api => Some(Form::Api),
        Spelling::ConfigItem => None,
        Spelling::CloudFormation => Some(Form::CloudFormation),
        Spelling::Manifest => Some(Form::Manifest),
        Spelling::Terraform => Some(Form::Terraform),
    }
}

/// Explains that a required member is not missing in the file, but was left out because its value is unknown.
fn explain(mut violation: Violation, notes: &[(String, Note)]) -> Violation {
    let left_out = notes.iter().find_map(|(path, note)| match note {
        Note::LeftOut { expression } if violation.path.starts_with(path) => Some(expression),
        _ => None,
    });
    if let Some(expression) = left_out {
        violation = Violation::malformed(
            violation.path,
            format!("depends on `{expression}`, which has no value here: give it one"),
        );
    }
    violation
}

fn remark_on_names(source: &Source, kind: ResourceKind, names: &Names, stand_ins: &StandIns, reading: &mut Reading) {
    let members = [
        ("meshName", &names.mesh),
        (parent_name_member(kind).unwrap_or_default(), &names.parent),
        (own_name_member(kind), &names.own),
    ];
    for (member, name) in members {
        if let Some(expression) = name.as_deref().and_then(|name| stand_ins.within(name)) {
            reading.remark(source, member, Note::Unresolved { expression: expression.to_owned() });
        }
    }
}

fn path_of(kind: ResourceKind, names: &Names, violations: &mut Vec<Violation>) -> Option<ResourcePath> {
    let mut given = |member: &str, name: &Option<String>| match name {
        Some(name) => Some(name.clone()),
        None => refuse(member, "is required: add it", violations),
    };
    let mesh = given("meshName", &names.mesh);
    let own = if kind == ResourceKind::Mesh { mesh.clone() } else { given(own_name_member(kind), &names.own) };
    let parent = parent_name_member(kind).map(|member| (member, given(member, &names.parent)));
    let mesh = accept("meshName", MeshName::parse(&mesh?), violations);
    let own = own?;
    let member = own_name_member(kind);
    Some(match kind {
        ResourceKind::Mesh => ResourcePath::Mesh(mesh?),
        ResourceKind::VirtualNode => {
            let own = accept(member, VirtualNodeName::parse(&own), violations);
            ResourcePath::VirtualNode(mesh?, own?)
        }
        ResourceKind::VirtualGateway => {
            let own = accept(member, VirtualGatewayName::parse(&own), violations);
            ResourcePath::VirtualGateway(mesh?, own?)
        }
        ResourceKind::VirtualRouter => {
            let own = accept(member, VirtualRouterName::parse(&own), violations);
            ResourcePath::VirtualRouter(mesh?, own?)
        }
        ResourceKind::VirtualService => {
            let own = accept(member, VirtualServiceName::parse(&own), violations);
            ResourcePath::VirtualService(mesh?, own?)
        }
        ResourceKind::Route => {
            let (parent_member, parent) = parent?;
            let router = accept(parent_member, VirtualRouterName::parse(&parent?), violations);
            let own = accept(member, RouteName::parse(&own), violations);
            ResourcePath::Route(RouteId::new(mesh?, router?, own?))
        }
        ResourceKind::GatewayRoute => {
            let (parent_member, parent) = parent?;
            let gateway = accept(parent_member, VirtualGatewayName::parse(&parent?), violations);
            let own = accept(member, GatewayRouteName::parse(&own), violations);
            ResourcePath::GatewayRoute(mesh?, gateway?, own?)
        }
    })
}

fn read_tags(pairs: Vec<(String, String)>, violations: &mut Vec<Violation>) -> Tags {
    let list: Value = pairs.into_iter().map(|(key, value)| serde_json::json!({"key": key, "value": value})).collect();
    let mut tags = Tags::default();
    match validate::tags(&list) {
        Ok(list) => {
            if let Err(error) = tags.merge(list) {
                refuse::<()>("tags", &error.to_string(), violations);
            }
        }
        Err(found) => violations.extend(found),
    }
    tags
}

fn accept<T, E: std::fmt::Display>(path: &str, value: Result<T, E>, violations: &mut Vec<Violation>) -> Option<T> {
    match value {
        Ok(value) => Some(value),
        Err(error) => refuse(path, &error.to_string(), violations),
    }
}

fn refuse<T>(path: &str, message: &str, violations: &mut Vec<Violation>) -> Option<T> {
    violations.push(Violation::malformed(path, message));
    None
}
