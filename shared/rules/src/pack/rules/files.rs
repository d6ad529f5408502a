//! Members of a file that its target drops, refuses or resolves differently than the file states.
//!
//! A mesh that was read from the service has no such members. These rules evaluate a [`Fault`] of a reader instead of
//! the mesh.

use crate::pack::context::RuleContext;
use crate::pack::controls::CONFIGURATION;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity, is_evaluated};
use crate::pack::{Finding, FindingFacts};
use mesh::name::ResourceKind;
use policy::Policy;
use readers::{Defect, Fault, Form};

const FILE: Rule = Rule {
    id: "",
    profile: Profile::Core,
    group: Group::Files,
    severity: Severity::High,
    on: &ResourceKind::ALL,
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: CONFIGURATION,
    rests_on_certificates: false,
    check: no_mesh_findings,
};

const MESH: &[ResourceKind] = &[ResourceKind::Mesh];
const GATEWAY_ROUTE: &[ResourceKind] = &[ResourceKind::GatewayRoute];
const PROXIES: &[ResourceKind] = &[ResourceKind::VirtualNode, ResourceKind::VirtualGateway];

const MEMBER_UNKNOWN: Rule = Rule {
    id: "member-unknown",
    title: "A member is misspelt, in the wrong case, or does not exist",
    why: "CloudFormation, the Terraform provider and the App Mesh API refuse a document with an unknown member, and \
          Kubernetes drops the member. Names are case-sensitive and each form has its own spelling. The intended \
          setting is missing from the target, and it is not read here either.",
    remedy: "Write the member as in the finding, or remove it.",
    ..FILE
};

const MESH_SELECTS_NOTHING: Rule = Rule {
    id: "manifest-mesh-selects-nothing",
    on: MESH,
    title: "A Mesh has no namespace selector",
    why: "The controller assigns an object to the one mesh with a `namespaceSelector` that matches the labels of the \
          object's namespace. A Mesh without a selector matches no namespace, and every object for it is refused. An \
          empty selector matches all namespaces.",
    remedy: "Add `namespaceSelector` with a label of the namespaces of the mesh, or `namespaceSelector: {}` for all.",
    ..FILE
};

const MESH_MISSING: Rule = Rule {
    id: "manifest-mesh-missing",
    on: MESH,
    title: "No mesh selects a namespace that has objects of a mesh",
    why: "The controller refuses an object in a namespace that no Mesh selects: `failed to find matching mesh for \
          namespace`.",
    remedy: "Label the namespace to match the Mesh's `namespaceSelector`, or change the selector.",
    ..FILE
};

const MESH_AMBIGUOUS: Rule = Rule {
    id: "manifest-mesh-ambiguous",
    on: MESH,
    title: "Several meshes select the same namespace",
    why: "The controller refuses an object in a namespace that several Meshes select: `found multiple matching meshes \
          for namespace`.",
    remedy: "Change the `namespaceSelector` of all but one of the meshes, or the labels of the namespace.",
    ..FILE
};

const GATEWAY_MISSING: Rule = Rule {
    id: "manifest-gateway-missing",
    on: GATEWAY_ROUTE,
    title: "No virtual gateway selects a gateway route",
    why: "A GatewayRoute belongs to the one VirtualGateway with a `namespaceSelector` that matches the labels of its \
          namespace and, if present, a `gatewayRouteSelector` that matches its own labels. A VirtualGateway without \
          `namespaceSelector` selects nothing. The controller refuses a route that no gateway selects.",
    remedy: "Add the labels that the gateway selects, or give the gateway a matching `namespaceSelector`.",
    ..FILE
};

const GATEWAY_AMBIGUOUS: Rule = Rule {
    id: "manifest-gateway-ambiguous",
    on: GATEWAY_ROUTE,
    title: "Several virtual gateways select the same gateway route",
    why: "The controller refuses a GatewayRoute that several VirtualGateways select: `found multiple matching \
          virtualGateways`. It is not attached to the first of them.",
    remedy: "Give each gateway a `gatewayRouteSelector`, and the route the labels of one of them.",
    ..FILE
};

const PODS_AMBIGUOUS: Rule = Rule {
    id: "manifest-pods-ambiguous",
    profile: Profile::Recommended,
    on: PROXIES,
    title: "Several virtual nodes or virtual gateways select the same pods",
    why: "The controller refuses to create a pod that several VirtualNodes, or several VirtualGateways, of its namespace \
          select by `podSelector`: `found multiple matching virtualNodes for pod`. A Deployment then has no pods after its \
          next rollout.",
    remedy: "Give each `podSelector` a label that only its own pods have, such as a version.",
    ..FILE
};

const PARTLY_READ: Rule = Rule {
    id: "resource-partly-read",
    severity: Severity::Low,
    title: "A resource of a Terraform configuration was read in part",
    why: "Some of its values need Terraform to evaluate: data sources, modules from elsewhere, and variables without a \
          value. Rules on those values have no result.",
    remedy: "Check the output of `terraform show -json` for a plan, or give the variables values in `terraform.tfvars`.",
    ..FILE
};

const UNDECIDED: Rule = Rule {
    id: "resource-undecided",
    severity: Severity::Medium,
    title: "The number of instances of a resource or block is unknown",
    why: "`count`, `for_each` and `dynamic` create as many instances as an expression says, and only Terraform can \
          evaluate this one. The resource was read once, and the content of a dynamic block was not read.",
    remedy: "Check the output of `terraform show -json` for a plan.",
    ..FILE
};

pub(super) const RULES: &[Rule] = &[
    MEMBER_UNKNOWN,
    MESH_SELECTS_NOTHING,
    MESH_MISSING,
    MESH_AMBIGUOUS,
    GATEWAY_MISSING,
    GATEWAY_AMBIGUOUS,
    PODS_AMBIGUOUS,
    PARTLY_READ,
    UNDECIDED,
];

/// The check of these rules: a mesh has no spelling, and the faults of files come from their readers.
const fn no_mesh_findings(_: &RuleContext<'_>, _: &mut RuleFindings<'_>) {}

/// The findings of faults.
pub(in crate::pack) fn of_faults(faults: &[Fault], policy: &Policy) -> Vec<Finding> {
    let mut all = Vec::new();
    for fault in faults {
        let (rule, message, mut facts) = describe(fault);
        if !is_evaluated(rule, policy) {
            continue;
        }
        facts.insert("file".into(), fault.source.file.as_str().into());
        facts.insert("line".into(), fault.line.into());
        let severity = policy.rules.get(&rule.name()).and_then(|setting| setting.severity);
        let mut found = RuleFindings::new(rule.name(), rule.severity, severity, &mut all);
        found.on_part(fault.resource.clone(), fault.part.clone(), message, facts);
    }
    all.sort_by(Finding::order);
    all.dedup();
    all
}

fn describe(fault: &Fault) -> (&'static Rule, String, FindingFacts) {
    let part = &fault.part;
    match &fault.defect {
        Defect::UnknownMember { form, suggestion } => {
            let effect = match form {
                Form::CloudFormation => "which CloudFormation does not know and refuses",
                Form::Terraform => "which the Terraform provider does not know and refuses",
                Form::Manifest => "which the custom resource does not have and Kubernetes drops or refuses",
                Form::Api => "which the App Mesh API does not know and refuses",
                Form::ConfigItem => "which App Mesh does not have",
            };
            let remedy = match suggestion {
                Some(name) => format!("write `{name}`"),
                None => "remove it".to_owned(),
            };
            let message = format!("it has `{part}`, {effect}: {remedy}");
            (&MEMBER_UNKNOWN, message, facts! {"member": part, "suggestion": suggestion})
        }
        Defect::MeshSelectsNothing => {
            let message = "it has no namespaceSelector, and so selects no namespace".to_owned();
            (&MESH_SELECTS_NOTHING, message, facts! {})
        }
        Defect::MeshMissing { namespace, reasons } => {
            let message = format!("no mesh selects namespace `{namespace}`: {}", reasons.join("; "));
            (&MESH_MISSING, message, facts! {"namespace": namespace, "reasons": reasons})
        }
        Defect::MeshAmbiguous { namespace, meshes } => {
            let message = format!("namespace `{namespace}` is selected by several meshes: {}", meshes.join(", "));
            (&MESH_AMBIGUOUS, message, facts! {"namespace": namespace, "meshes": meshes})
        }
        Defect::GatewayMissing { reasons } => {
            let message = format!("no virtual gateway selects it: {}", reasons.join("; "));
            (&GATEWAY_MISSING, message, facts! {"reasons": reasons})
        }
        Defect::GatewayAmbiguous { gateways } => {
            let message = format!("several virtual gateways select it: {}", gateways.join(", "));
            (&GATEWAY_AMBIGUOUS, message, facts! {"gateways": gateways})
        }
        Defect::PodsAmbiguous { kind, objects } => {
            let kind = if *kind == ResourceKind::VirtualGateway { "virtual gateways" } else { "virtual nodes" };
            let message = format!("its pods are selected by several {kind}: {}", objects.join(", "));
            (&PODS_AMBIGUOUS, message, facts! {"objects": objects})
        }
        Defect::PartlyRead { expressions } => {
            let message = format!("it was read in part, since these have no value here: {}", expressions.join(", "));
            (&PARTLY_READ, message, facts! {"expressions": expressions})
        }
        Defect::Undecided { expressions } => {
            let message = format!("it was read once, since only Terraform evaluates {}", expressions.join(", "));
            (&UNDECIDED, message, facts! {"expressions": expressions})
        }
    }
}
