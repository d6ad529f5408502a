//! Whole translations, as they were looked at and found right. `UPDATE_GOLDENS=1` writes them anew.

use std::path::{Path, PathBuf};
use std::process::Command;

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Map, Value, json};
use xds::{ResourceType, Translation};

use crate::shop::{explicit, intercepted, mesh};

/// The descriptors of Envoy's messages, which its generated types were made from.
fn descriptors() -> DescriptorPool {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "envoy-types").unwrap();
    let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap();
    DescriptorPool::decode(std::fs::read(folder.join("src/generated/types.bin")).unwrap().as_slice()).unwrap()
}

fn shown(pool: &DescriptorPool, translation: &Translation) -> Value {
    let mut shown = Map::new();
    for (kind, name, resource) in translation.encode() {
        let message = kind.url().rsplit('/').next().unwrap();
        let message = DynamicMessage::decode(pool.get_message_by_name(message).unwrap(), resource.body()).unwrap();
        let options = SerializeOptions::new().use_proto_field_name(true);
        let value = message.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
        let of = shown.entry(of_kind(kind)).or_insert_with(|| json!({}));
        of[name] = value;
    }
    shown.insert("secrets".to_owned(), translation.secrets.iter().map(|secret| json!(format!("{secret:?}"))).collect());
    let findings = translation.findings.iter();
    let findings = findings
        .map(|finding| json!({"id": finding.id, "resource": finding.resource.to_string(), "message": finding.message}));
    shown.insert("findings".to_owned(), findings.collect());
    Value::Object(shown)
}

const fn of_kind(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Cluster => "clusters",
        ResourceType::Endpoint => "endpoints",
        ResourceType::Secret => "secrets",
        ResourceType::Listener => "listeners",
        ResourceType::Route => "routes",
    }
}

#[test]
fn translations_are_what_they_were() {
    let pool = descriptors();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.retain(|path| {
        path.extension().is_some_and(|extension| extension == "json") && !path.to_str().unwrap().ends_with(".out.json")
    });
    assert!(inputs.len() >= 5, "{inputs:?}");
    for input in inputs {
        let case: Value = serde_json::from_str(&std::fs::read_to_string(&input).unwrap()).unwrap();
        let mesh = mesh(case["resources"].as_object().unwrap());
        let proxy = case["proxy"].as_str().unwrap();
        let translation = match case["listeners"].as_str().unwrap() {
            "interception" => intercepted(&mesh, proxy),
            "explicit" => explicit(&mesh, proxy),
            other => panic!("{other}"),
        };
        assert_eq!(crate::whole::faults(&translation), Vec::<String>::new(), "{}", input.display());
        let text = format!("{:#}\n", shown(&pool, &translation));
        let output = input.with_extension("out.json");
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&output, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&output).unwrap_or_default();
        assert!(expected == text, "{} is another now; look at it with UPDATE_GOLDENS=1 and git diff", output.display());
    }
}
