//! Remarks and faults of the readers that leave the input open.

use readers::{Declared, Defect, Note, Reading, Remark, Skipped};

use super::input_options::InputOptions;
use super::skipped::SkippedResource;
use crate::InputRefusal;

/// Adds the refusal or the skipped declaration for a remark, if it has one.
pub(super) fn problem_of_note(
    remark: &Remark,
    options: &InputOptions,
    reading: &Reading,
    skipped: &mut Vec<SkippedResource>,
    refused: &mut Vec<InputRefusal>,
) {
    let Remark { source, member, note } = remark;
    let declared = reading.resources.iter().find(|declared| declared.source == *source);
    let line = declared.map(|Declared { lines, line, .. }| lines.line_of(member).unwrap_or(*line));
    let (mut problems, mut unknown) = (Vec::new(), None);
    let mut refuse = |problem: String, remedy: &str| problems.push((problem, remedy.to_owned()));
    // The text in place of a missing name is not an expression of the file.
    let is_name = reading.remarks.iter().any(|other| {
        let is_guess = matches!(other.note, Note::NameAssumed { .. } | Note::MeshAssumed { .. });
        is_guess && other.source == *source && other.member == *member
    });
    match note {
        Note::Unresolved { .. } if is_name => {}
        Note::Unresolved { expression } | Note::LeftOut { expression } => {
            unknown = Some(expression.clone());
            let remedy = "pass --parameter NAME=VALUE, --export, --region or --account, or render the file first";
            refuse(format!("the value of `{expression}` is unknown"), remedy);
        }
        Note::ConditionUnknown { condition } => refuse(
            format!("the condition `{condition}` is unknown"),
            "pass the parameters that it depends on with --parameter NAME=VALUE",
        ),
        Note::KindAssumed { kind } => refuse(
            format!("has no kind and no name; its members suggest a {}", kind.words()),
            "add the API's names next to `spec`, such as `meshName` and `virtualNodeName`",
        ),
        Note::NameAssumed { name } if member == "metadata.namespace" => {
            if !options.namespace_given {
                refuse(format!("names no namespace; `{name}` is a guess"), "pass --namespace NAME");
            }
        }
        Note::NameAssumed { name } => {
            refuse(format!("has no name; `{name}` is a guess"), "add its name to the file");
        }
        Note::MeshAssumed { .. } => {
            if !options.mesh_given {
                refuse("names no mesh".to_owned(), "pass --mesh NAME");
            }
        }
        Note::ReferenceAssumed { name } => refuse(
            format!("the target is not in the files; its name `{name}` is a guess"),
            "add the manifest of the target",
        ),
        Note::SelectionAssumed { name } => refuse(
            format!("the selectors do not decide its parent; `{name}` is a guess"),
            "add the manifests of the mesh, the virtual gateway and the namespace with its labels",
        ),
        // The choice between declarations, the check by the API's rules, and the row of the owner report these.
        Note::DeclaredBefore { .. } | Note::UnknownMember | Note::OwnerUnknown { .. } => {}
        Note::NotRead { reason } => match reason {
            Skipped::ConditionFalse { condition } => skipped.push(SkippedResource {
                file: source.file.clone(),
                id: source.id.clone(),
                reason: format!("its condition `{condition}` is false"),
            }),
            Skipped::Deleted => skipped.push(SkippedResource {
                file: source.file.clone(),
                id: source.id.clone(),
                reason: "it was deleted".to_owned(),
            }),
            // An AWS Config snapshot contains the resources of all services.
            Skipped::OtherType { .. } => {}
            Skipped::Oversized => refuse(
                "the notification contains only a summary of the item".to_owned(),
                "pass the output of `aws configservice get-resource-config-history` for the resource",
            ),
            Skipped::NoSpec => refuse(
                "is an entry of a list without a spec".to_owned(),
                "pass the output of the `aws appmesh describe-*` command for the resource",
            ),
            Skipped::Patch { kustomization } => {
                refuse(format!("is a patch of {kustomization}"), "pass the output of `kustomize build`");
            }
            Skipped::NestedElsewhere { template } => refuse(
                format!("the template `{template}` of the nested stack is not among the files"),
                "add the template",
            ),
        },
    }
    refused.extend(problems.into_iter().map(|(problem, remedy)| {
        let refusal = InputRefusal::new(source, line, member, problem, remedy);
        InputRefusal { unknown: unknown.clone(), ..refusal }
    }));
}

/// The problem and the remedy of a defect; `None` for a defect that does not concern the API's resources.
pub(super) fn problem_of_defect(defect: &Defect) -> Option<(String, String)> {
    let (problem, remedy) = match defect {
        Defect::UnknownMember { suggestion, .. } => {
            let remedy = suggestion.as_ref().map_or_else(
                || "remove it, or pass --drop-unknown to import the rest of the resource".to_owned(),
                |name| format!("write `{name}`, or pass --drop-unknown to import the rest of the resource"),
            );
            return Some(("is an unknown member".to_owned(), remedy));
        }
        Defect::MeshMissing { namespace, .. } => (
            format!("no mesh in the files selects the namespace `{namespace}`"),
            "add the manifest of the mesh and of the namespace with its labels, or pass --mesh NAME",
        ),
        Defect::MeshAmbiguous { namespace, meshes } => (
            format!("several meshes select the namespace `{namespace}`: {}", meshes.join(", ")),
            "pass only the manifests of one mesh",
        ),
        Defect::GatewayMissing { .. } => (
            "no virtual gateway in the files selects the gateway route".to_owned(),
            "add the manifest of the virtual gateway and of the namespace with its labels",
        ),
        Defect::GatewayAmbiguous { gateways } => (
            format!("several virtual gateways select the gateway route: {}", gateways.join(", ")),
            "pass only the manifest of one virtual gateway",
        ),
        Defect::PartlyRead { expressions } | Defect::Undecided { expressions } => (
            format!("only Terraform can evaluate {}", expressions.join(", ")),
            "pass the output of `terraform show -json` for a plan or a state",
        ),
        // The API has no pods and no namespaces.
        Defect::MeshSelectsNothing | Defect::PodsAmbiguous { .. } => return None,
    };
    Some((problem, remedy.to_owned()))
}
