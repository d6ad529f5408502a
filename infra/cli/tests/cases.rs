//! `meshwarden check` on the recorded cases next to the repository: the first screen shows the defect of each case.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The number of lines of a screen.
const SCREEN: usize = 40;

/// A case: folder, paths, exit code with `--fail-on medium`, texts on the first screen, and texts that must not occur.
type Case = (&'static str, &'static [&'static str], i32, &'static [&'static str], &'static [&'static str]);

const CASES: [Case; 31] = [
    ("02-k8s-gateway-selectors", &["a-route-selector-only.yaml"], 1, &["manifest-gateway-missing"], &[]),
    (
        "02-k8s-gateway-selectors",
        &["b-two-gateways-match.yaml"],
        1,
        &["manifest-gateway-ambiguous"],
        &["gateway-without-routes"],
    ),
    ("03-k8s-wrong-member-case", &["v1beta1.yaml"], 2, &["only appmesh.k8s.aws/v1beta2 is read"], &[]),
    (
        "03-k8s-wrong-member-case",
        &["v1beta2.yaml"],
        2,
        &["member-unknown", "write `healthCheck`", "write `hostname`"],
        &[],
    ),
    ("03-k8s-wrong-member-case", &["snake.yaml"], 2, &["member-unknown", "write `healthCheck`"], &[]),
    ("03-k8s-wrong-member-case", &["cfn-camel.yaml"], 1, &["member-unknown", "write `Listeners`"], &[]),
    ("03-k8s-wrong-member-case", &["v1beta2-podselector-labels.yaml"], 1, &["member-unknown", "write `backends`"], &[]),
    ("03-k8s-wrong-member-case", &["enum-api.json"], 1, &["spec-refused", "`https`"], &[]),
    ("05-external-https", &["http-on-443.yaml"], 1, &["listener-protocol-unlike-port"], &[]),
    ("06-timeout-node-provider", &["template.yaml"], 1, &["listener-limit-without-effect"], &[]),
    ("06-timeout-node-provider", &["b-route-default-listener-long.json"], 1, &["listener-limit-without-effect"], &[]),
    (
        "07-grpc-stream-limits",
        &["template.yaml"],
        1,
        &["time-limit-cut-by-listener", "idle-limit-cut-by-listener"],
        &[],
    ),
    ("07-grpc-stream-limits", &["b-idle-only.yaml"], 1, &["idle-limit-cut-by-listener"], &[]),
    ("07-grpc-stream-limits", &["d-http-idle.json"], 1, &["idle-limit-cut-by-listener"], &[]),
    ("07-grpc-stream-limits", &["e-tcp-idle.json"], 1, &["idle-limit-cut-by-listener"], &[]),
    ("08-protocol-mismatch", &["api.json"], 1, &["route-target-other-protocol"], &[]),
    (
        "08-protocol-mismatch",
        &["g-router-http-route-tcp-node-tcp.json"],
        1,
        &["CRITICAL  route-kind-other-than-router"],
        &[],
    ),
    (
        "09-cdk-two-stacks",
        &["MeshCore.template.json", "MeshShop.template.json"],
        1,
        &[],
        &["reference-dangling", "mesh-empty"],
    ),
    ("09-cdk-two-stacks", &["b"], 1, &[], &["reference-dangling", "mesh-empty"]),
    ("11-hcl-directly", &["main.tf"], 2, &["terraform show -json"], &[]),
    ("11-hcl-directly", &["b/plan.json"], 0, &["2 resources, 1 mesh"], &[]),
    ("11-hcl-directly", &["c"], 2, &["cdk synth"], &[]),
    ("11-hcl-directly", &["e"], 2, &["--allow-empty"], &[]),
    ("12-many-listeners-no-port", &["manifests.yaml"], 1, &["spec-refused", "match.port: is required"], &[]),
    ("13-health-checks", &["a-http2-without-path.json"], 1, &["spec-refused", "healthCheck.path: is required"], &[]),
    (
        "13-health-checks",
        &["b-grpc-check-on-http-gateway.json"],
        1,
        &["health-check-grpc-without-http2"],
        &["spec-refused"],
    ),
    ("37-tls-origination-sni", &["api.json"], 0, &[], &["edge-broken"]),
    ("39-host-replaced", &["api.json"], 1, &["gateway-host-replaced"], &[]),
    ("42-test-route-takes-all", &["state-zeros.json"], 1, &["route-shadowed"], &["must be 1 to 65535"]),
    ("48-target-port-missing", &["api.json"], 1, &["spec-refused", "route-target-not-listening"], &[]),
    ("49-bad-enumerations", &["a-cfn.yaml"], 1, &["spec-refused", "`DENY_ALL`", "`https`"], &["mesh-egress-open"]),
];

#[test]
fn each_recorded_case_is_reported_on_the_first_screen() {
    let cases: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases/mesh");
    if !cases.is_dir() {
        println!("skipped: the folder of recorded cases does not exist");
        return;
    }
    let mut wrong = Vec::new();
    for (folder, paths, code, shown, absent) in CASES {
        let output = Command::new(env!("CARGO_BIN_EXE_meshwarden"))
            .arg("check")
            .args(paths)
            .current_dir(cases.join(folder))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let first = text.lines().take(SCREEN).collect::<Vec<_>>().join("\n");
        let ended = output.status.code();
        if ended != Some(code) {
            wrong.push(format!("{folder} {paths:?}: exit code {ended:?}, expected {code}\n{first}"));
        }
        for part in shown.iter().filter(|part| !first.contains(**part)) {
            wrong.push(format!("{folder} {paths:?}: `{part}` is not on the first screen\n{first}"));
        }
        for part in absent.iter().filter(|part| text.contains(**part)) {
            wrong.push(format!("{folder} {paths:?}: `{part}` is wrong\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
