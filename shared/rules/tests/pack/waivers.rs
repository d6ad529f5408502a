//! Waivers of findings.

use policy::Policy;

use super::case::{Case, text_of};

fn judged(resource: &str, until: &str) -> (Vec<String>, Vec<String>) {
    let mut case = Case::read(&text_of("route-drained", "fails").unwrap());
    let waiver = format!("{{rule: route-drained, resource: '{resource}', owner: sre, reason: spring, until: {until}}}");
    case.policy = Policy::read(&format!("version: 1\nwaivers: [{waiver}]")).unwrap();
    let evaluation = case.judge();
    let rules = |findings: &[rules::pack::Finding]| {
        let rules = findings.iter().map(|finding| finding.rule.to_string());
        rules.filter(|rule| rule == "route-drained" || rule == "waiver-ended").collect::<Vec<_>>()
    };
    (rules(&evaluation.findings), rules(&evaluation.waived))
}

#[test]
fn waived_finding_is_listed_separately_until_the_waiver_expires() {
    let route = "mesh/shop/virtualRouter/a/route/all";
    for (resource, until, findings, waived) in [
        (route, "2026-12-01T00:00:00Z", vec![], vec!["route-drained"]),
        ("mesh/shop/*", "2026-12-01T00:00:00Z", vec![], vec!["route-drained"]),
        ("mesh/shop/virtualRouter/b/*", "2026-12-01T00:00:00Z", vec!["route-drained"], vec![]),
        // At its end, a waiver has expired.
        (route, "2026-11-21T00:00:00Z", vec!["waiver-ended", "route-drained"], vec![]),
        (route, "2026-11-20T00:00:00Z", vec!["waiver-ended", "route-drained"], vec![]),
        // Of another mesh.
        ("mesh/other/*", "2026-11-20T00:00:00Z", vec!["route-drained"], vec![]),
        ("mesh/*", "2026-11-20T00:00:00Z", vec!["waiver-ended", "route-drained"], vec![]),
    ] {
        let (found, allowed) = judged(resource, until);
        assert_eq!(found, findings, "{resource} {until}");
        assert_eq!(allowed, waived, "{resource} {until}");
    }
}
