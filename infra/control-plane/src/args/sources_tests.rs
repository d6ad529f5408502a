//! Settings of the three sources, over the options of the command itself.

use std::collections::BTreeMap;

use clap::{CommandFactory as _, Parser as _};

use super::*;
use crate::args::Args;

/// The arguments that a command line gets from variables and from a file with this content.
fn collect(line: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> Result<Vec<String>, String> {
    let folder = std::env::temp_dir().join(format!("meshwarden-settings-{}", uuid::Uuid::new_v4()));
    fs::create_dir(&folder).unwrap();
    let path = folder.join("settings.json");
    let mut line: Vec<OsString> = line.iter().map(OsString::from).collect();
    if let Some(content) = file {
        fs::write(&path, content).unwrap();
        line.extend(["--config".into(), path.clone().into_os_string()]);
    }
    let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
    let sources = Sources::collect(&Args::command(), line.clone(), |name| variables.get(name).map(OsString::from));
    fs::remove_dir_all(folder).unwrap();
    let sources = sources.map_err(|error| error.to_string())?;
    let added = sources.args.get(line.len()..).unwrap();
    Ok(added.iter().map(|arg| arg.to_str().unwrap().to_owned()).collect())
}

#[test]
fn flag_overrides_variable_and_variable_overrides_file() {
    let file = Some(r#"{"account": "111111111111", "region": "eu-west-3", "metrics": 9102}"#);
    let variables = [("MESHWARDEN_ACCOUNT", "222222222222"), ("MESHWARDEN_REGION", "eu-west-2")];
    assert_eq!(
        collect(&["control-plane", "--account", "333333333333"], &variables, file),
        Ok(vec!["--region=eu-west-2".to_owned(), "--metrics=9102".to_owned()])
    );
    let equal_sign = ["control-plane", "--account=333333333333", "--region=a"];
    assert_eq!(collect(&equal_sign, &variables, file), Ok(vec!["--metrics=9102".to_owned()]));
}

#[test]
fn repeated_options_and_switches_have_values_of_their_type() {
    let file = r#"{"xds": ["127.0.0.1:0", "unix:/run/xds.sock,auth=unix"], "gateway-use-remote-address": true}"#;
    assert_eq!(
        collect(&["control-plane"], &[], Some(file)).unwrap(),
        ["--xds=127.0.0.1:0", "--xds=unix:/run/xds.sock,auth=unix", "--gateway-use-remote-address"]
    );
    let variables = [
        ("MESHWARDEN_XDS", "127.0.0.1:0  127.0.0.1:1,auth=none"),
        ("MESHWARDEN_GATEWAY_USE_REMOTE_ADDRESS", "false"),
        ("MESHWARDEN_STORE", ""),
    ];
    assert_eq!(
        collect(&["control-plane"], &variables, None).unwrap(),
        ["--xds=127.0.0.1:0", "--xds=127.0.0.1:1,auth=none"]
    );
}

#[test]
fn unknown_members_and_values_of_another_type_are_refused_by_name() {
    for (variables, file, expected) in [
        (&[][..], r#"{"acount": "1"}"#, "unknown member `acount`"),
        (&[], r#"{"help": true}"#, "unknown member `help`"),
        (&[], r#"{"config": "other.json"}"#, "unknown member `config`"),
        (&[], "[]", "expected a JSON object"),
        (&[], r#"{"account": ["1"]}"#, "invalid value of `account`: expected a text or a number"),
        (&[], r#"{"xds": [{}]}"#, "invalid value of `xds`: expected a list of texts"),
        (&[], r#"{"etcd-accept-old": "yes"}"#, "invalid value of `etcd-accept-old`: expected true or false"),
        (&[("MESHWARDEN_ETCD_ACCEPT_OLD", "yes")], "{}", "invalid value of MESHWARDEN_ETCD_ACCEPT_OLD"),
    ] {
        let error = collect(&["control-plane"], variables, Some(file)).unwrap_err();
        assert!(error.contains(expected), "{file}: {error}");
    }
}

#[test]
fn missing_file_is_refused() {
    let line = ["control-plane", "--config=/nonexistent/settings.json"].map(OsString::from).to_vec();
    let error = Sources::collect(&Args::command(), line, |_| None).unwrap_err();
    assert!(error.to_string().starts_with("failed to read settings file /nonexistent/settings.json"), "{error}");
}

#[test]
fn every_option_has_a_variable_of_its_own() {
    let command = Args::command();
    let names: Vec<String> = command
        .get_arguments()
        .filter(|arg| is_setting(arg))
        .filter_map(|arg| arg.get_long().map(variable_name))
        .collect();
    let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
    assert!(!names.iter().any(|name| name == "MESHWARDEN_POLICY"), "the functions read it");
}

#[test]
fn lasting_store_needs_an_account() {
    for (args, is_accepted) in [
        (&["--data", "/nonexistent"][..], false),
        (&["--store", "dynamodb:mesh"], false),
        (&["--store", "etcd:localhost:1"], false),
        (&["--store", "memory"], true),
        (&[], true),
        (&["--data", "/nonexistent", "--account", "123456789012"], true),
    ] {
        let args = Args::try_parse_from([&["control-plane"], args].concat()).unwrap();
        assert_eq!(args.account().is_ok(), is_accepted, "{args:?}");
    }
}

#[test]
fn deployment_files_name_existing_options() {
    let command = Args::command();
    let options: Vec<&str> =
        command.get_arguments().filter(|arg| is_setting(arg)).filter_map(clap::Arg::get_long).collect();
    let variables: Vec<String> = options.iter().map(|option| variable_name(option)).collect();
    let template = include_str!("../../../deploy/ecs/control-plane.yaml");
    let named: Vec<&str> =
        template.split("Name: MESHWARDEN_").skip(1).filter_map(|rest| rest.split(',').next()).collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        assert!(
            variables.contains(&format!("MESHWARDEN_{name}")),
            "MESHWARDEN_{name} is not the variable of an option"
        );
    }
    let chart = include_str!("../../../deploy/helm/meshwarden-control-plane/templates/_helpers.tpl");
    let members: Vec<&str> = chart
        .lines()
        .filter_map(|line| {
            line.strip_prefix("  \"").or_else(|| line.split_once("set $settings \"").map(|(_, rest)| rest))
        })
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(members.len() > 10, "{members:?}");
    for member in members {
        assert!(options.contains(&member), "no option is called {member}");
    }
}

/// The replicas of the ECS template start with the template's options of the API.
#[test]
fn options_of_the_ecs_template_are_complete() {
    let template = include_str!("../../../deploy/ecs/control-plane.yaml");
    let mut args = vec!["control-plane".to_owned()];
    for line in template.lines().filter_map(|line| line.trim().strip_prefix("- { Name: MESHWARDEN_")) {
        let (name, value) = line.trim_end_matches(" }").split_once(", Value: ").unwrap();
        if !["API", "AUTH", "ALLOW", "RIGHTS"].iter().any(|part| name.starts_with(part)) {
            continue;
        }
        let value = match value {
            "!Ref AuthAudience" => "mesh.internal",
            "!Ref AllowRole" => "arn:aws:iam::123456789012:role/meshwarden-*",
            literal => literal.trim_matches('"'),
        };
        args.extend([format!("--{}", name.to_ascii_lowercase().replace('_', "-")), value.to_owned()]);
    }
    assert!(args.len() > 10, "{args:?}");
    let args = Args::try_parse_from(args).unwrap();
    args.who.settings().unwrap();
}

#[test]
fn sidecar_definitions_have_valid_bootstraps() {
    let pod = include_str!("../../../deploy/sidecar/kubernetes.yaml");
    let args: Vec<&str> = pod
        .lines()
        .skip_while(|line| line.trim() != "- bootstrap")
        .map_while(|line| line.trim().strip_prefix("- "))
        .collect();
    assert!(args.len() > 5, "{args:?}");
    Args::try_parse_from([&["control-plane"], args.as_slice()].concat()).unwrap();
    let task = include_str!("../../../deploy/sidecar/ecs-task.yaml");
    let flags = task.lines().filter_map(|line| {
        line.trim().trim_start_matches("- ").trim_start_matches("!Sub ").trim_matches('"').strip_prefix("--")
    });
    let flags: Vec<&str> = flags.filter_map(|flag| flag.split('=').next()).collect();
    let command = Args::command();
    let bootstrap = command.find_subcommand("bootstrap").unwrap();
    assert!(flags.len() > 5, "{flags:?}");
    for flag in flags {
        assert!(bootstrap.get_arguments().any(|arg| arg.get_long() == Some(flag)), "--{flag} is missing in bootstrap");
    }
}
