//! Translations as canonical JSON, with what is packed into them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Map, Value, json};
use xds::{ResourceType, Translation};

/// Envoy's messages, as the crate that they were generated in describes them.
static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("has packages");
    let types = packages.iter().find(|package| package["name"] == "envoy-types").expect("is a dependency");
    let manifest = PathBuf::from(types["manifest_path"].as_str().expect("has a path"));
    let file = manifest.with_file_name("src").join("generated/types.bin");
    DescriptorPool::decode(std::fs::read(file).expect("has its descriptors").as_slice()).expect("they can be read")
});

/// All of a translation, by type and name.
pub(crate) fn printed(translation: &Translation) -> Value {
    let mut resources: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (kind, name, resource) in translation.encode() {
        let message = message(kind.url(), resource.body());
        resources.entry(member(kind)).or_default().insert(name, message);
    }
    let findings = translation
        .findings
        .iter()
        .map(|finding| json!({"id": finding.id, "resource": finding.resource.to_string(), "message": finding.message}));
    let mut all: Map<String, Value> =
        resources.into_iter().map(|(member, resources)| (member.to_owned(), resources.into())).collect();
    let secrets: Vec<_> = translation.secrets.iter().map(|secret| json!(secret.name())).collect();
    let findings: Vec<Value> = findings.collect();
    for (member, list) in [("secrets", secrets), ("findings", findings)] {
        if !list.is_empty() {
            all.insert(member.to_owned(), list.into());
        }
    }
    Value::Object(all)
}

/// A message as JSON, with Envoy's own member names.
pub(crate) fn message(url: &str, body: &[u8]) -> Value {
    let name = url.rsplit('/').next().expect("has a last part");
    let descriptor = DESCRIPTORS.get_message_by_name(name).expect("is a message of Envoy's");
    let message = DynamicMessage::decode(descriptor, body).expect("is such a message");
    let options = SerializeOptions::new().use_proto_field_name(true);
    let value = message.serialize_with_options(serde_json::value::Serializer, &options).expect("can be printed");
    sorted(value)
}

const fn member(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Cluster => "clusters",
        ResourceType::Endpoint => "endpoints",
        ResourceType::Secret => "secrets",
        ResourceType::Listener => "listeners",
        ResourceType::Route => "routes",
    }
}

/// Maps have no order on the wire; here they have.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// JSON with what comes again and again replaced by the name that `golden/fragments.json` gives it.
pub(crate) fn abbreviated(value: Value, fragments: &Map<String, Value>) -> Value {
    match value {
        Value::Object(mut members) => {
            let mut names = Vec::new();
            for (name, fragment) in fragments {
                let fragment = fragment.as_object().expect("a fragment is an object");
                if fragment.iter().all(|(member, value)| members.get(member) == Some(value)) {
                    members.retain(|member, _| !fragment.contains_key(member));
                    names.push(format!("<{name}>"));
                }
            }
            if let ([name], true) = (names.as_slice(), members.is_empty()) {
                return json!(name);
            }
            let members = members.into_iter().map(|(member, value)| (member, abbreviated(value, fragments)));
            names.into_iter().map(|name| (name, json!({}))).chain(members).collect()
        }
        Value::Array(items) => items.into_iter().map(|item| abbreviated(item, fragments)).collect(),
        other => other,
    }
}

/// How wide a printed line may be.
const WIDTH: usize = 116;

/// JSON that is good to compare: what fits a line stands on one.
pub(crate) fn laid_out(value: &Value) -> String {
    lay_out(value, 0, 0) + "\n"
}

/// `before` is how much stands on the line already.
fn lay_out(value: &Value, indent: usize, before: usize) -> String {
    let line = value.to_string();
    let inner = indent + 2;
    let item = |key: String, value: &Value| {
        let value = lay_out(value, inner, key.len());
        format!("\n{:inner$}{key}{value}", "")
    };
    let (open, close, items): (_, _, Vec<String>) = match value {
        _ if indent + before + line.len() < WIDTH => return line,
        Value::Object(members) => {
            ('{', '}', members.iter().map(|(name, value)| item(format!("{}: ", json!(name)), value)).collect())
        }
        Value::Array(items) => ('[', ']', items.iter().map(|value| item(String::new(), value)).collect()),
        _ => return line,
    };
    format!("{open}{}\n{:indent$}{close}", items.join(","), "")
}
