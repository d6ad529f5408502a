use super::*;

/// Each use as `name+` when it breaches above, `name-` below, `name?` on either side, in brackets when it is only
/// subtracted or divided by.
fn uses(expression: &str, direction: Direction) -> String {
    let Some(formula) = Formula::read(expression, direction) else { return "unreadable".to_owned() };
    let shown = formula.uses.iter().map(|found| {
        let sign = match found.direction {
            Direction::Above => "+",
            Direction::Below => "-",
            Direction::Either => "?",
        };
        if found.is_measured { format!("{}{sign}", found.name) } else { format!("({}{sign})", found.name) }
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn direction_of_each_metric_follows_from_the_arithmetic() {
    for (expression, expected) in [
        ("m1", "m1+"),
        ("100 * m1 / m2", "m1+ (m2-)"),
        ("100 - 100 * m1 / m2", "(m1-) (m2+)"),
        ("(1 - m1/(m1+m2)) * 100", "(m1-) (m1+) (m2+)"),
        ("IF(m2 > 10, m1 / m2, 0)", "m1+ (m2-)"),
        ("IF(FILL(m1, 0) > 5, 1, 0)", "m1+"),
        ("IF(m1 > 5, 1)", "m1+"),
        ("IF(m1 > 5, 0, 1)", "m1-"),
        ("IF(m1 < 5, 1, -1)", "m1-"),
        ("IF(m1 > 5 AND m2 > 20, 1, 0)", "m1+ m2+"),
        ("IF(m1 > 5, 1, 1)", "m1?"),
        ("FILL(m1, 0) + FILL(m2, REPEAT)", "m1+ m2+"),
        ("SUM([m1, m2])", "m1+ m2+"),
        ("SUM(METRICS())", "METRICS()+"),
        ("ANOMALY_DETECTION_BAND(m1, 2)", ""),
        ("m1 > 10 AND m2 < 5", "m1+ m2-"),
        ("-m1", "m1-"),
        ("", "unreadable"),
        ("m1 +", "unreadable"),
        ("m1 ) m2", "unreadable"),
    ] {
        assert_eq!(uses(expression, Direction::Above), expected, "{expression}");
    }
    assert_eq!(uses("100 - 100 * m1 / m2", Direction::Below), "(m1+) (m2-)");
    assert_eq!(uses(&"(".repeat(5_000), Direction::Above), "unreadable");
}

#[test]
fn promql_gives_metrics_directions_labels_and_grouping() {
    for (expression, expected) in [
        ("up == 0", "up-"),
        ("absent(up{job=\"a\"})", "up-"),
        ("rate(errors_total[5m]) > 0.05", "errors_total+"),
        ("0.99 > avg(success_rate)", "success_rate-"),
        ("histogram_quantile(0.99, sum by (le) (rate(x_bucket[1m] offset 5m))) > 0.5", "x_bucket+"),
        ("errors > 5 and on (node) requests > 10", "errors+ requests+"),
        ("errors > 5 unless maintenance == 1", "errors+"),
        ("{\"http.server.request.duration\", code=~\"5..\"} > 1", "http.server.request.duration+"),
        ("{__name__=\"errors\"} > 1", "errors+"),
        ("sum(a) by (x) / ignoring(y) group_left sum(b) > 1", "a+ (b-)"),
    ] {
        assert_eq!(uses(expression, Direction::Above), expected, "{expression}");
    }
    let query = "sum by (mesh, target_virtual_node) (rate(rq{mesh=\"shop\", code!='200'}[1m])) > 1";
    let formula = Formula::read(query, Direction::Above).unwrap();
    assert_eq!(formula.grouping.unwrap(), ["mesh", "target_virtual_node"]);
    let labels = &formula.uses[0].labels;
    let shown: Vec<String> =
        labels.iter().map(|found| [&*found.label, &*found.operator, &*found.value].concat()).collect();
    assert_eq!(shown, ["mesh=shop", "code!=200"]);
}

#[test]
fn insights_query_gives_metric_dimensions_and_grouping() {
    let query = "SELECT SUM(HTTPCode_5XX_Count) FROM SCHEMA(AppMesh, Mesh, VirtualNode) WHERE Mesh = 'shop' \
                 GROUP BY Mesh, VirtualNode ORDER BY SUM() DESC";
    let formula = Formula::read(query, Direction::Above).unwrap();
    assert_eq!(formula.uses[0].name, "HTTPCode_5XX_Count");
    assert_eq!(formula.uses[0].labels[0].value, "shop");
    assert_eq!(formula.grouping.unwrap(), ["Mesh", "VirtualNode"]);
    assert_eq!(formula.namespace.as_deref(), Some("AppMesh"));
    assert_eq!((formula.function.as_deref(), formula.schema.unwrap().len()), (Some("SUM"), 2));
    let quoted = Formula::read("select max(\"a.b\") from \"My/Space\"", Direction::Below).unwrap();
    assert_eq!((quoted.uses[0].name.as_str(), quoted.namespace.as_deref()), ("a.b", Some("My/Space")));
    assert_eq!((quoted.function.as_deref(), quoted.schema), (Some("max"), None));
}
