use super::*;

#[test]
fn certificate_sources_parse_as_certificates_and_paths_as_resources() {
    for (text, wanted) in [("acm:arn:aws:acm:r:1:certificate/x", None), ("trust sds:ca", Some("sds:ca"))] {
        let wanted = wanted.unwrap_or(text).to_owned();
        assert_eq!(journalled(text), Ok(Journalled::Certificate(wanted)));
    }
    assert_eq!(journalled("mesh/shop"), resource("mesh/shop").map(Journalled::Resource));
    assert!(journalled("cart").is_err());
}

#[test]
fn alarm_prefix_parses_as_an_alarm_and_paths_as_resources() {
    let name = |text| Explained::Alarm(AlarmName::parse(text).unwrap());
    assert_eq!(explained("alarm/team/5xx"), Ok(name("team/5xx")));
    assert_eq!(explained("mesh/shop"), resource("mesh/shop").map(Explained::Resource));
    assert!(explained("alarm/").is_err());
}

#[test]
fn only_documents_that_a_function_can_rebuild_can_be_reset() {
    for text in [
        "change-audit",
        "compliance-sweep/shop",
        "compliance-sweep/shop/3-of-16",
        "tag-compliance/shop",
        "route-failover",
        "failures/certificate-rotation",
        "failures/route-failover",
        "standstills/compliance-sweep",
    ] {
        assert_eq!(document(text).unwrap().as_str(), text);
    }
    for text in [
        "route/shop/cart/all",
        "route-failover/shop",
        "failures",
        "failures/change-audit/shop",
        "standstills/x",
        "kill-switch-log",
        "certificate-rotation",
        "change-audit/",
        "compliance-sweep/shop/x",
        "",
    ] {
        assert!(document(text).is_err(), "{text}");
    }
}

#[test]
fn releasable_is_route_or_certificate() {
    assert_eq!(releasable("certificate/sds:web"), Ok(Releasable::Certificate("sds:web".to_owned())));
    assert_eq!(releasable("shop/cart/all"), route("shop/cart/all").map(Releasable::Route));
    assert!(releasable("certificate/web").unwrap_err().contains("certificate/sds:web"));
    assert!(releasable("cart").is_err());
}

#[test]
fn route_parses_in_both_forms() {
    for text in ["shop/cart/all", "mesh/shop/virtualRouter/cart/route/all"] {
        assert_eq!(route(text).unwrap().to_string(), "shop/cart/all");
    }
    assert!(route("mesh/shop/virtualNode/cart-v1").unwrap_err().contains("is not a route"));
    assert!(resource("cart").unwrap_err().contains("MESH/ROUTER/ROUTE"));
}
