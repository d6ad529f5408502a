//! The contract of [`ConfigRules`], as far as it can be tested without a rule: an answer in test mode is checked and
//! not stored.

use ports::{
    Annotation, ConfigResource, ConfigRules, Evaluation, PutAnswer, ResultToken, RuleCompliance, put_all_evaluations,
};

/// Runs every check.
pub async fn all(rules: &dyn ConfigRules) {
    many_evaluations_are_accepted(rules).await;
    empty_evaluations_are_accepted(rules).await;
    unrecorded_resource_has_no_item(rules).await;
}

fn resource(number: u32) -> ConfigResource {
    ConfigResource {
        resource_type: "AWS::AppMesh::VirtualNode".to_owned(),
        resource_id: format!("arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/n{number}"),
    }
}

fn trial() -> ResultToken {
    ResultToken::new("TESTMODE")
}

async fn many_evaluations_are_accepted(rules: &dyn ConfigRules) {
    let kinds = [RuleCompliance::Compliant, RuleCompliance::NonCompliant, RuleCompliance::NotApplicable];
    let evaluations: Vec<_> = (0..250)
        .zip(kinds.into_iter().cycle())
        .map(|(number, compliance)| Evaluation {
            resource: resource(number),
            compliance,
            annotation: Annotation::new(&"it lacks a tag; ".repeat(usize::try_from(number).unwrap())),
            at: "2026-11-20T10:03:50.512Z".parse().unwrap(),
        })
        .collect();
    let outcome = put_all_evaluations(rules, &trial(), &evaluations).await;
    assert!(outcome.is_complete(), "{outcome:?}");
    assert_eq!(outcome.accepted, evaluations.len());
}

async fn empty_evaluations_are_accepted(rules: &dyn ConfigRules) {
    let nothing = PutAnswer::Taken { failed: Vec::new() };
    assert_eq!(rules.put_evaluations(&trial(), &[]).await.unwrap(), nothing);
}

async fn unrecorded_resource_has_no_item(rules: &dyn ConfigRules) {
    assert_eq!(rules.newest_item(&resource(0)).await.unwrap(), None);
}
