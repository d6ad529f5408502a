//! CloudFormation templates.
//!
//! ```text
//!   templates ──▶ stacks (nested, exports) ──▶ scope of each ──▶ evaluate each App Mesh resource ──▶ declare
//! ```
//!
//! A function is evaluated as far as the template and its [`Surroundings`] allow. The remaining expression becomes a
//! text that stands in for its value, such as `${AWS::Region}`, and a remark.

mod assembly;
mod conditions;
mod evaluate;
mod exports;
mod inputs;
mod loops;
mod references;
mod scope;
mod stacks;
mod strings;
mod template;
mod truth;

use serde_json::{Map, Value};

use super::Surroundings;
use super::config_item::kind_of;
use super::declare::{Draft, Names, declare, own_name_member, parent_name_member, tags_of, text_of};
use super::node::{Node, Spelling};
use super::reading::{Note, Reading, Skipped, Source};
use super::spelling::{self, Misspelt, nearest, unknown_members};
use super::spots::{Spot, Step};
use super::stand_ins::StandIns;
use super::unheld::{self, UnheldMember, UnheldReason};
use assembly::Assembly;
use mesh::alarm::DeclaredAlarm;
use mesh::name::ResourceKind;
use scope::Scope;
use stacks::{Absent, Stack, Stacks};

pub(super) use assembly::is_assembly;
use template::Template;
use truth::Truth;

/// Whether a document is a template.
pub(super) fn is_template(object: &Map<String, Value>) -> bool {
    let is_resource = |resource: &Value| resource.get("Type").is_some_and(Value::is_string);
    object.contains_key("AWSTemplateFormatVersion")
        || matches!(object.get("Resources"), Some(Value::Object(resources))
            if resources.iter().any(|(id, resource)| is_resource(resource) || (loops::is_loop(id) && resource.is_array())))
}

/// The attributes that a template resource may have.
const ATTRIBUTES: [&str; 9] = [
    "Type",
    "Properties",
    "Condition",
    "CreationPolicy",
    "DeletionPolicy",
    "DependsOn",
    "Metadata",
    "UpdatePolicy",
    "UpdateReplacePolicy",
];

/// The attributes that concern the stack and not the resource.
const STACK_ATTRIBUTES: [&str; 7] =
    ["Condition", "CreationPolicy", "DeletionPolicy", "DependsOn", "Metadata", "UpdatePolicy", "UpdateReplacePolicy"];

/// The transforms of AWS that add no App Mesh resource to a template. Any other transform is a macro that may add some.
const KNOWN_TRANSFORMS: [&str; 6] = [
    "AWS::CodeDeployBlueGreen",
    "AWS::LanguageExtensions",
    "AWS::SecretsManager-2020-07-23",
    "AWS::SecretsManager-2024-09-16",
    "AWS::Serverless-2016-10-31",
    "AWS::ServiceCatalog",
];

/// The templates of a run, which are resolved together.
#[derive(Debug, Default)]
pub(super) struct Templates {
    all: Vec<Template>,
    pub(super) assembly: Assembly,
}

/// A resource with evaluated functions.
struct Worked<'t> {
    source: Source,
    spot: &'t Spot,
    kind: ResourceKind,
    properties: Map<String, Value>,
    misspelt: Vec<Misspelt>,
    unheld: Vec<UnheldMember>,
}

impl Templates {
    /// Adds a template.
    pub(super) fn add(&mut self, file: &str, document: Value, spot: Spot) {
        self.all.push(Template { file: file.to_owned(), document, spot });
    }

    /// Reads the App Mesh resources of all stacks that the templates create.
    pub(super) fn declare(&self, around: &Surroundings, reading: &mut Reading) {
        let stacks = Stacks::resolve(&self.all, &self.assembly, around);
        let mut uses = vec![0_usize; self.all.len()];
        for stack in &stacks.all {
            if let Some(uses) = uses.get_mut(stack.template) {
                *uses += 1;
            }
        }
        for stack in &stacks.all {
            let Some(template) = self.all.get(stack.template) else { continue };
            // The ids of a template that is used once are its logical ids.
            let is_shared = uses.get(stack.template).is_some_and(|uses| *uses > 1);
            let chain = if is_shared { stack.chain.as_slice() } else { &[] };
            read_stack(template, chain, stack, &stacks, around, reading);
        }
        for Absent { template, id, url } in &stacks.absent {
            let Some(template) = self.all.get(*template) else { continue };
            let source = Source { file: template.file.clone(), id: id.clone() };
            let reason = Skipped::NestedElsewhere { template: url.clone() };
            reading.remark(&source, "", Note::NotRead { reason });
        }
    }
}

/// Reads the App Mesh resources of a stack.
fn read_stack(
    template: &Template,
    chain: &[String],
    stack: &Stack,
    stacks: &Stacks,
    around: &Surroundings,
    reading: &mut Reading,
) {
    let file = template.file.as_str();
    let document = stack.document(template);
    let Some(Value::Object(resources)) = document.get("Resources") else {
        let source = Source { file: file.to_owned(), id: "template".to_owned() };
        reading.refuse(source, "Resources", "is required: add it, with at least one resource");
        return;
    };
    for transform in transforms(document.get("Transform")) {
        let source = Source { file: file.to_owned(), id: "template".to_owned() };
        reading.remark(&source, "Transform", Note::LeftOut { expression: format!("${{Transform {transform}}}") });
    }
    let mut scope = Scope::new(document, around, &stack.inputs, &stacks.shared);
    let mut worked = Vec::new();
    let spot = template.spot.member("Resources");
    for (id, resource) in resources {
        let id_in_run = chain.iter().chain([id]).map(String::as_str).collect::<Vec<_>>().join(".");
        let source = Source { file: file.to_owned(), id: id_in_run };
        if loops::is_loop(id) {
            refuse_loop(file, id, resource, reading);
            continue;
        }
        if id == "Fn::Transform" {
            reading.remark(&source, "Resources", Note::LeftOut { expression: "${Fn::Transform}".to_owned() });
            continue;
        }
        let name = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
        if DeclaredAlarm::is_cloudformation_type(name) {
            if is_created(&mut scope, &source, resource, reading) {
                let properties = resource.get("Properties").and_then(|properties| scope.value(properties));
                let properties = properties.and_then(|properties| properties.as_object().cloned()).unwrap_or_default();
                reading.alarms.extend(DeclaredAlarm::from_cloudformation(file, &source.id, name, &properties));
            }
            continue;
        }
        let Some(kind) = kind_of_resource(&source, resource, reading) else {
            continue;
        };
        if is_created(&mut scope, &source, resource, reading) {
            let properties = match resource.get("Properties").and_then(|properties| scope.value(properties)) {
                Some(Value::Object(properties)) => properties,
                None => Map::new(),
                Some(_) => {
                    reading.refuse(source, "Properties", "must be an object with known members");
                    continue;
                }
            };
            let attributes = resource.as_object().map(|resource| unknown_members(resource, &ATTRIBUTES, &[]));
            let misspelt = attributes.unwrap_or_default();
            let spot = spot.member(stack.written_id(id));
            let mut unheld = Vec::new();
            if let Value::Object(resource) = resource {
                unheld::add(resource, &STACK_ATTRIBUTES, spot, "", UnheldReason::OfStack, &mut unheld);
            }
            worked.push(Worked { source, spot, kind, properties, misspelt, unheld });
        }
    }
    let stand_ins = StandIns::Made(scope.into_stand_ins());
    for resource in worked {
        declare_worked(resource, &stand_ins, reading);
    }
}

/// The macros that process a template before CloudFormation creates resources.
fn transforms(value: Option<&Value>) -> Vec<&str> {
    let all: Vec<&Value> = match value {
        Some(Value::Array(all)) => all.iter().collect(),
        one => one.into_iter().collect(),
    };
    let names = all.into_iter().filter_map(|one| one.as_str().or_else(|| one.get("Name").and_then(Value::as_str)));
    names.filter(|name| !KNOWN_TRANSFORMS.contains(name)).collect()
}

/// The kind of an App Mesh resource. A type that is similar to one of App Mesh, but unknown, is refused.
fn kind_of_resource(source: &Source, resource: &Value, reading: &mut Reading) -> Option<ResourceKind> {
    const SERVICE: &str = "AWS::AppMesh::";
    let name = resource.get("Type").and_then(Value::as_str)?;
    let exact = ResourceKind::ALL
        .into_iter()
        .find(|kind| name.strip_prefix(SERVICE) == Some(spelling::pascal(kind.as_str()).as_str()));
    let seems = || name.get(..SERVICE.len()).is_some_and(|start| start.eq_ignore_ascii_case(SERVICE));
    if exact.is_none() && seems() {
        let types = ResourceKind::ALL.map(|kind| format!("{SERVICE}{}", spelling::pascal(kind.as_str())));
        let remedy = match nearest(name, types.iter().map(String::as_str)) {
            Some(name) => format!("write `{name}`"),
            None => "correct it".to_owned(),
        };
        reading.refuse(source.clone(), "Type", format!("`{name}` is not a resource type of App Mesh: {remedy}"));
    }
    exact
}

/// Refuses each App Mesh resource that a loop would create, because the collection of the loop is unknown.
fn refuse_loop(file: &str, id: &str, value: &Value, reading: &mut Reading) {
    let body = value.as_array().and_then(|parts| parts.iter().rev().find_map(Value::as_object));
    let mut refuse = |id: &str, problem: &str| {
        let source = Source { file: file.to_owned(), id: id.to_owned() };
        reading.refuse(source, "Resources", problem);
    };
    let Some(body) = body else {
        return refuse(id, "is a loop without a body: give an identifier, a collection and a body");
    };
    for (made, resource) in body {
        if loops::is_loop(made) {
            refuse_loop(file, made, resource, reading);
        } else if let Some(kind) = resource.get("Type").and_then(Value::as_str).filter(|kind| kind_of(kind).is_some()) {
            let source = Source { file: file.to_owned(), id: made.clone() };
            let problem =
                format!("{kind} is created by the loop {id} over an unknown collection: give its parameter a value");
            reading.refuse(source, "Resources", problem);
        }
    }
}

/// An unknown condition counts as true, so that its resources are checked.
fn is_created(scope: &mut Scope<'_>, source: &Source, resource: &Value, reading: &mut Reading) -> bool {
    let Some(condition) = resource.get("Condition").and_then(Value::as_str) else {
        return true;
    };
    let name = condition.to_owned();
    match scope.condition(condition) {
        Truth::True => true,
        Truth::False => {
            let reason = Skipped::ConditionFalse { condition: name };
            reading.remark(source, "", Note::NotRead { reason });
            false
        }
        Truth::Unknown => {
            reading.remark(source, "", Note::ConditionUnknown { condition: name });
            true
        }
    }
}

fn declare_worked(worked: Worked<'_>, stand_ins: &StandIns, reading: &mut Reading) {
    const TAGS: Node = Node::List(&Node::Members(&[("Key", Node::Free), ("Value", Node::Free)]));
    let Worked { source, spot, kind, properties, mut misspelt, unheld } = worked;
    let own = own_name_member(kind);
    let hidden = Step::Hidden("Properties".to_owned());
    let names: Vec<String> =
        [Some(own), parent_name_member(kind)].into_iter().flatten().map(spelling::pascal).collect();
    let mut known = vec!["MeshName", "MeshOwner", "Spec", "Tags"];
    known.extend(names.iter().map(String::as_str));
    misspelt.extend(unknown_members(&properties, &known, std::slice::from_ref(&hidden)));
    let way = |name: &str| [hidden.clone(), Step::Member(name.to_owned())];
    let tags = properties.get("Tags").map(|tags| spelling::check(tags, TAGS, Spelling::CloudFormation, &way("Tags")));
    let tags = tags.map(|checked| {
        misspelt.extend(checked.misspelt);
        tags_of(&checked.value)
    });
    let mut names = Names::read(kind, &properties, Spelling::CloudFormation);
    if names.own.is_none() && kind != ResourceKind::VirtualService {
        // CloudFormation creates a name from the stack's name, this id and random characters.
        let name = source.id.clone();
        reading.remark(&source, own, Note::NameAssumed { name: name.clone() });
        if kind == ResourceKind::Mesh {
            names.mesh = Some(name.clone());
        }
        names.own = Some(name);
    }
    let empty = Value::Object(Map::new());
    declare(
        Draft {
            source,
            spot,
            kind,
            names,
            spec: properties.get("Spec").unwrap_or(&empty),
            way: &way("Spec"),
            misspelt,
            spelling: Spelling::CloudFormation,
            stand_ins,
            tags: Some(tags.unwrap_or_default()),
            mesh_owner: properties.get("MeshOwner").and_then(text_of),
            captured_at: None,
            unheld,
        },
        reading,
    );
}
