use super::*;

fn names(rule: &str) -> Vec<String> {
    CompositeRule::parse(rule).unwrap().alarms().into_iter().map(ToString::to_string).collect()
}

#[test]
fn rule_names_its_alarms_once_in_order() {
    for (rule, expected) in [
        ("ALARM(recs-5xx)", vec!["recs-5xx"]),
        ("ALARM(\"recs 5xx\") OR ALARM('cart-5xx')", vec!["recs 5xx", "cart-5xx"]),
        ("(ALARM(a) AND NOT OK(b)) OR INSUFFICIENT_DATA(a)", vec!["a", "b"]),
        ("ALARM(arn:aws:cloudwatch:us-east-1:123456789012:alarm:recs-5xx)", vec!["recs-5xx"]),
        (
            "ALARM(\"recs:alarm:5xx\") OR ALARM(\"arn:aws:cloudwatch:us-east-1:123456789012:alarm:a:alarm:b\")",
            vec!["recs:alarm:5xx", "a:alarm:b"],
        ),
        ("AT_LEAST(2, ALARM, (a, b, \"c\"))", vec!["a", "b", "c"]),
        ("AT_LEAST(50%, NOT ALARM, (a, \"2\"))", vec!["a", "2"]),
        ("ALARM(OK) OR OK(\"NOT\")", vec!["OK", "NOT"]),
        ("TRUE AND NOT FALSE", vec![]),
    ] {
        assert_eq!(names(rule), expected, "{rule}");
    }
}

#[test]
fn broken_rules_are_refused() {
    let unexpected = |found: &str, expected| RuleError::Unexpected { found: found.to_owned(), expected };
    for (rule, error) in [
        ("ALARM(a", RuleError::Unbalanced),
        ("ALARM(a))", RuleError::Unbalanced),
        ("(ALARM(a)", RuleError::Unbalanced),
        ("ALARM(\"a)", RuleError::OpenQuote { at: 6 }),
        ("ALARM(\"\")", RuleError::Name(AlarmNameError::Empty)),
        ("", unexpected("end of rule", "a test of an alarm, NOT, TRUE, FALSE or `(`")),
        ("ALARM(a) ALARM(b)", unexpected("ALARM", "AND, OR or the end of the rule")),
        ("ALARM(a) AND", unexpected("end of rule", "a test of an alarm, NOT, TRUE, FALSE or `(`")),
        ("AT_LEAST(many, ALARM, (a))", unexpected("many", "a number or a percentage")),
        ("AT_LEAST(1, a, (a))", unexpected("another word", "ALARM, OK or INSUFFICIENT_DATA")),
    ] {
        assert_eq!(CompositeRule::parse(rule), Err(error), "{rule}");
    }
    assert_eq!(CompositeRule::parse(&"NOT ".repeat(5_000)), Err(RuleError::TooDeep));
    assert_eq!(CompositeRule::parse(&"(".repeat(5_000)), Err(RuleError::TooDeep));
}

/// `a`, `m` and `o` are the states `ALARM`, `INSUFFICIENT_DATA` and `OK` of alarms named `a1`, `m1`, `o1` and so on; any
/// other alarm has no known state.
fn state(name: &AlarmName) -> Option<AlarmState> {
    match name.as_str().chars().next() {
        Some('a') => Some(AlarmState::Alarm),
        Some('o') => Some(AlarmState::Ok),
        Some('m') => Some(AlarmState::InsufficientData),
        Some('p') => Some(AlarmState::Unrecognised("PAUSED".to_owned())),
        _ => None,
    }
}

#[test]
fn known_causes_of_a_rule_with_unread_alarms() {
    for (rule, expected) in [
        ("ALARM(a1) AND ALARM(unread)", "a1"),
        ("ALARM(o1) OR ALARM(unread)", ""),
        ("(ALARM(a1) AND ALARM(unread)) OR ALARM(o1)", "a1"),
        ("AT_LEAST(2, ALARM, (a1, o1, unread))", "a1"),
        ("NOT OK(unread)", ""),
        ("ALARM(a1)", "a1"),
    ] {
        let causes = CompositeRule::parse(rule).unwrap().known_causes(&state);
        let found: Vec<String> = causes.iter().map(|cause| cause.alarm.to_string()).collect();
        assert_eq!(found.join(" "), expected, "{rule}");
    }
}

#[test]
fn rule_is_evaluated_with_unknown_as_a_third_value() {
    use RuleValue::{False, True, Unknown};
    for (rule, value, causes) in [
        ("ALARM(a1)", True, "a1"),
        ("ALARM(o1)", False, ""),
        ("INSUFFICIENT_DATA(m1)", True, "m1"),
        ("OK(o1)", True, "o1"),
        ("NOT OK(m1)", True, "m1"),
        ("NOT OK(a1)", True, "a1"),
        ("NOT OK(o1)", False, ""),
        ("ALARM(unread)", Unknown, ""),
        ("NOT ALARM(p1)", Unknown, ""),
        ("ALARM(a1) OR ALARM(unread)", True, "a1"),
        ("ALARM(o1) OR ALARM(unread)", Unknown, ""),
        ("ALARM(a1) AND ALARM(unread)", Unknown, ""),
        ("ALARM(o1) AND ALARM(unread)", False, ""),
        ("ALARM(a1) AND NOT ALARM(o1)", True, "a1 o1"),
        ("ALARM(a1) OR ALARM(a2) OR ALARM(o1)", True, "a1 a2"),
        ("NOT (OK(a1) OR OK(m1))", True, "a1 m1"),
        ("NOT (OK(a1) AND OK(o1))", True, "a1"),
        ("NOT NOT ALARM(a1)", True, "a1"),
        ("ALARM(a1) AND ALARM(o1) OR ALARM(a2)", True, "a2"),
        ("ALARM(a1) AND (ALARM(o1) OR ALARM(a2))", True, "a1 a2"),
        ("AT_LEAST(2, ALARM, (a1, o1, a2))", True, "a1 a2"),
        ("AT_LEAST(2, ALARM, (a1, o1, unread))", Unknown, ""),
        ("AT_LEAST(3, ALARM, (a1, o1, unread))", False, ""),
        ("AT_LEAST(50%, NOT OK, (a1, o1, m1))", True, "a1 m1"),
        ("NOT AT_LEAST(2, OK, (a1, o1, m1))", True, "a1 m1"),
        ("TRUE", True, ""),
        ("FALSE OR ALARM(a1)", True, "a1"),
    ] {
        let read = CompositeRule::parse(rule).unwrap();
        let found: Vec<String> = read.causes(&state).iter().map(|cause| cause.alarm.to_string()).collect();
        assert_eq!((read.evaluate(&state), found.join(" ").as_str()), (value, causes), "{rule}");
    }
}
