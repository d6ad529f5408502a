//! Translations as canonical JSON, with their packed messages expanded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Map, Value, json};
use xds::{ResourceType, Translation};

/// The descriptors of Envoy's messages, from the crate that generates the types.
static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let file = sources_of_envoy_types().join("generated/types.bin");
    let descriptors = fs::read(&file).unwrap_or_else(|error| panic!("failed to read {}: {error}", file.display()));
    DescriptorPool::decode(descriptors.as_slice()).expect("the descriptors are a descriptor set")
});

/// The `src` folder that `envoy-types` was compiled from.
///
/// The compiler notes the sources of each crate in a dependency file next to this test's executable. That file exists
/// whenever this test runs. `cargo metadata` cannot replace it: offline, it fails unless cargo's cache happens to
/// contain the packages of all platforms.
fn sources_of_envoy_types() -> PathBuf {
    let executable = std::env::current_exe().expect("the system knows this executable");
    let folder = executable.parent().expect("an executable is in a folder");
    let entries = fs::read_dir(folder).expect("the folder is readable");
    let notes: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_note(path)).collect();
    let sources = notes.iter().filter_map(|note| root_folder(&fs::read_to_string(note).ok()?));
    // A build folder has the dependency files of both versions after an upgrade.
    let locked = format!("envoy-types-{}", locked_version());
    let mut sources: Vec<PathBuf> = sources.filter(|folder| folder.is_dir()).collect();
    sources.sort_by_key(|folder| !folder.to_string_lossy().contains(&locked));
    let found = sources.into_iter().next();
    found.unwrap_or_else(|| panic!("no dependency file of envoy-types names its sources: {notes:?}"))
}

fn is_note(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("envoy_types-") && path.extension().is_some_and(|extension| extension == "d")
}

/// The folder of the crate's root file, from the rule `PATH/lib.rs:` that a dependency file has for each source.
fn root_folder(note: &str) -> Option<PathBuf> {
    let root = note.lines().find_map(|line| line.strip_suffix("/lib.rs:"))?;
    // A space in a path is escaped, as in a Makefile.
    Some(PathBuf::from(root.replace("\\ ", " ")))
}

fn locked_version() -> &'static str {
    let lock = include_str!("../../../../Cargo.lock");
    let (_, entry) = lock.split_once("name = \"envoy-types\"\nversion = \"").expect("the lock file names envoy-types");
    entry.split('"').next().expect("text has a first part")
}

/// All resources of a translation, by type and name.
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

/// A message as JSON, with Envoy's member names.
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

/// Sorts the members of maps, which have no order on the wire.
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

/// JSON with each repeated fragment replaced by its name in `golden/fragments.json`.
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

/// The maximum width of a printed line.
const WIDTH: usize = 116;

/// JSON in a layout that is easy to compare: a value that fits on one line is printed on one line.
pub(crate) fn laid_out(value: &Value) -> String {
    lay_out(value, 0, 0) + "\n"
}

/// Lays out a value; `before` is the number of characters that are already on the line.
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
