//! A mesh written in each form, to be read back. The product reads these forms and never writes them.

use serde_json::{Map, Value, json};

use mesh::name::{ResourceKind, ResourcePath};

/// A resource to write: its path, its spec as the API has it, its tags.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Written {
    pub(crate) path: ResourcePath,
    pub(crate) spec: Value,
    pub(crate) tags: Vec<(String, String)>,
}

impl Written {
    fn names(&self) -> Map<String, Value> {
        let mut names = Map::from_iter([("meshName".to_owned(), json!(self.path.mesh().as_str()))]);
        match &self.path {
            ResourcePath::Route(id) => names.insert("virtualRouterName".to_owned(), json!(id.router.as_str())),
            ResourcePath::GatewayRoute(_, gateway, _) => {
                names.insert("virtualGatewayName".to_owned(), json!(gateway.as_str()))
            }
            _ => None,
        };
        names.insert(format!("{}Name", self.path.kind()), json!(self.path.name()));
        names
    }
}

pub(crate) fn api(mesh: &[Written]) -> String {
    let resources: Vec<Value> = mesh
        .iter()
        .map(|one| {
            let mut object = one.names();
            object.insert("spec".to_owned(), one.spec.clone());
            object.insert("tags".to_owned(), pairs(&one.tags, "key", "value"));
            Value::Object(object)
        })
        .collect();
    json!({"resources": resources}).to_string()
}

pub(crate) fn config(mesh: &[Written]) -> String {
    let items: Vec<Value> = mesh
        .iter()
        .map(|one| {
            let mut configuration = renamed(&Value::Object(one.names()), &pascal);
            configuration["Spec"] = renamed(&one.spec, &|name| match name {
                "awsCloudMap" => "AWSCloudMap".to_owned(),
                "dns" => "DNS".to_owned(),
                name => pascal(name),
            });
            json!({
                "resourceType": format!("AWS::AppMesh::{}", pascal(one.path.kind().as_str())),
                "configurationItemStatus": "OK",
                "tags": object(&one.tags),
                "configuration": configuration.to_string(),
            })
        })
        .collect();
    json!({"configurationItems": items}).to_string()
}

pub(crate) fn cloudformation(mesh: &[Written]) -> String {
    let resources = mesh.iter().enumerate().map(|(index, one)| {
        let mut properties = renamed(&Value::Object(one.names()), &pascal);
        if one.path.kind() != ResourceKind::Mesh {
            properties["MeshName"] = json!({"Fn::GetAtt": ["R0", "MeshName"]});
        }
        properties["Spec"] = renamed(&one.spec, &|name| match name {
            "awsCloudMap" => "AWSCloudMap".to_owned(),
            "dns" | "tls" | "acm" | "sds" | "http" | "http2" | "grpc" | "tcp" => name.to_uppercase(),
            name => pascal(name),
        });
        properties["Tags"] = pairs(&one.tags, "Key", "Value");
        let kind = format!("AWS::AppMesh::{}", pascal(one.path.kind().as_str()));
        (format!("R{index}"), json!({"Type": kind, "Properties": properties}))
    });
    json!({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources.collect::<Map<_, _>>()}).to_string()
}

pub(crate) fn terraform(mesh: &[Written]) -> String {
    let resources: Vec<Value> = mesh
        .iter()
        .enumerate()
        .map(|(index, one)| {
            let kind = format!("aws_appmesh_{}", snake(one.path.kind().as_str()));
            let mut values = Map::new();
            for (name, value) in one.names() {
                let own = name == format!("{}Name", one.path.kind());
                values.insert(if own { "name".to_owned() } else { snake(&name) }, value);
            }
            values.insert("spec".to_owned(), json!([blocks(&one.spec)]));
            values.insert("tags".to_owned(), Value::Null);
            values.insert("tags_all".to_owned(), object(&one.tags));
            json!({"address": format!("{kind}.r{index}"), "mode": "managed", "type": kind, "name": format!("r{index}"), "values": values})
        })
        .collect();
    json!({"terraform_version": "1.9.5", "planned_values": {"root_module": {"resources": resources}}}).to_string()
}

/// A configuration without a plan: resources with attributes and blocks.
#[allow(dead_code, reason = "only the command reads configurations")]
pub(crate) fn hcl(mesh: &[Written]) -> String {
    let resources = mesh.iter().enumerate().map(|(index, one)| {
        let kind = format!("aws_appmesh_{}", snake(one.path.kind().as_str()));
        let names = one.names().into_iter().map(|(name, value)| {
            let own = name == format!("{}Name", one.path.kind());
            format!("  {} = {}\n", if own { "name".to_owned() } else { snake(&name) }, expression(&value))
        });
        let tags =
            if one.tags.is_empty() { String::new() } else { format!("  tags = {}\n", expression(&object(&one.tags))) };
        let spec = block("spec", &one.spec, "  ");
        format!("resource \"{kind}\" \"r{index}\" {{\n{}{spec}{tags}}}\n", names.collect::<String>())
    });
    resources.collect::<Vec<_>>().join("\n")
}

fn block(name: &str, value: &Value, indent: &str) -> String {
    let Value::Object(members) = value else { return format!("{indent}{name} = {}\n", expression(value)) };
    let inner = format!("{indent}  ");
    let members = members.iter().map(|(member, value)| match value {
        Value::Object(_) => block(&snake(member), value, &inner),
        Value::Array(_) if member == "attributes" => format!("{inner}{member} = {}\n", expression(&attributes(value))),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().map(|item| block(&block_name(member), item, &inner)).collect()
        }
        Value::Null => String::new(),
        _ => format!("{inner}{} = {}\n", snake(member), expression(value)),
    });
    format!("{indent}{name} {{\n{}{indent}}}\n", members.collect::<String>())
}

fn expression(value: &Value) -> String {
    match value {
        Value::String(text) => Value::String(text.replace("${", "$${").replace("%{", "%%{")).to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(expression).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let pairs = members.iter().map(|(key, value)| format!("{} = {}", json!(key), expression(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The provider's name of a member that is a list.
fn block_name(name: &str) -> String {
    match name {
        "backends" | "listeners" | "headers" | "queryParameters" | "weightedTargets" => {
            snake(name.trim_end_matches('s'))
        }
        name => snake(name),
    }
}

/// Cloud Map attributes are a map.
fn attributes(items: &Value) -> Value {
    let items = items.as_array().into_iter().flatten();
    items.map(|item| (item["key"].as_str().unwrap_or_default().to_owned(), item["value"].clone())).collect()
}

fn blocks(value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let block = |(name, value): (&String, &Value)| {
        let written = block_name(name);
        let value = match value {
            Value::Array(_) if name == "attributes" => attributes(value),
            Value::Array(items) => items.iter().map(blocks).collect(),
            Value::Object(_) => json!([blocks(value)]),
            other => other.clone(),
        };
        (written, value)
    };
    // The plan has a `null` for an unset value.
    let unset = std::iter::once(("not_set".to_owned(), Value::Null));
    Value::Object(members.iter().map(block).chain(unset).collect())
}

/// Objects with synthetic names and `awsName`. References to absent objects are ARNs.
pub(crate) fn manifest(mesh: &[Written]) -> String {
    let mut documents =
        vec![json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "labels": {"in": "it"}}})];
    for (index, one) in mesh.iter().enumerate() {
        let kind = one.path.kind();
        if kind == ResourceKind::Route {
            continue;
        }
        let mut spec = references(&one.spec, mesh);
        spec["awsName"] = json!(one.path.name());
        match &one.path {
            ResourcePath::Mesh(_) => {
                spec["namespaceSelector"] = json!({"matchLabels": {"in": "it"}});
                if let Some(discovery) = spec.as_object_mut().and_then(|spec| spec.shift_remove("serviceDiscovery")) {
                    spec["meshServiceDiscovery"] = discovery;
                }
            }
            ResourcePath::GatewayRoute(mesh_name, gateway, _) => {
                let path = ResourcePath::VirtualGateway(mesh_name.clone(), gateway.clone());
                spec["virtualGatewayRef"] = json!({"name": object_name(&path, mesh).unwrap_or_default()});
            }
            ResourcePath::VirtualRouter(_, router) => {
                let held = mesh.iter().filter_map(|other| match &other.path {
                    ResourcePath::Route(id) if id.router == *router => {
                        let mut route = references(&other.spec, mesh);
                        route["name"] = json!(id.route.as_str());
                        Some(route)
                    }
                    _ => None,
                });
                spec["routes"] = held.collect();
            }
            _ => {}
        }
        documents.push(json!({"apiVersion": "appmesh.k8s.aws/v1beta2", "kind": pascal(kind.as_str()),
            "metadata": {"name": format!("r{index}"), "namespace": "ns"}, "spec": spec}));
    }
    let documents: Vec<String> = documents.iter().map(Value::to_string).collect();
    documents.join("\n---\n")
}

fn references(value: &Value, mesh: &[Written]) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| references(item, mesh)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let referred = |kind: &str, value: &str| {
                    let path = format!("mesh/{}/{kind}/{value}", mesh[0].path.mesh());
                    match ResourcePath::parse(&path).ok().and_then(|path| object_name(&path, mesh)) {
                        Some(name) => (format!("{kind}Ref"), json!({"name": name})),
                        None => (format!("{kind}ARN"), json!(format!("arn:aws:appmesh:eu-west-1:123456789012:{path}"))),
                    }
                };
                match (name.as_str(), value) {
                    ("virtualNode" | "virtualNodeName", Value::String(value)) => referred("virtualNode", value),
                    ("virtualRouterName", Value::String(value)) => referred("virtualRouter", value),
                    ("virtualServiceName", Value::String(value)) => referred("virtualService", value),
                    ("certificateArn", value) => ("certificateARN".to_owned(), value.clone()),
                    ("certificateAuthorityArns", value) => ("certificateAuthorityARNs".to_owned(), value.clone()),
                    (name, value) => (name.to_owned(), references(value, mesh)),
                }
            })
            .collect(),
        other => other.clone(),
    }
}

fn object_name(path: &ResourcePath, mesh: &[Written]) -> Option<String> {
    mesh.iter().position(|one| one.path == *path).map(|index| format!("r{index}"))
}

fn pairs(tags: &[(String, String)], key: &str, value: &str) -> Value {
    tags.iter().map(|(k, v)| json!({key: k, value: v})).collect()
}

fn object(tags: &[(String, String)]) -> Value {
    tags.iter().map(|(key, value)| (key.clone(), json!(value))).collect()
}

fn renamed(value: &Value, name: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| renamed(item, name)).collect(),
        Value::Object(members) => members.iter().map(|(k, v)| (name(k), renamed(v, name))).collect(),
        other => other.clone(),
    }
}

fn pascal(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

fn snake(name: &str) -> String {
    let mut written = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            written.push('_');
        }
        written.push(c.to_ascii_lowercase());
    }
    written
}
