//! The product of states, answers and operators, case by case.

use super::{ANSWERS, CURRENTS, Case, Current, Kept, Operator, PENDINGS, Pending, Play, VALIDITIES};
use crate::simulation::{Answer, DAY, HOUR};

/// The cases of one state of the current leaf.
fn cases(current: Current) -> Vec<Case> {
    let mut cases = Vec::new();
    for validity in VALIDITIES {
        for answer in ANSWERS {
            let case = |kept, pending, operator| Case { kept, validity, current, pending, answer, operator };
            cases.extend(PENDINGS.map(|pending| case(Kept::Bundle, pending, Operator::Absent)));
            for operator in [Operator::RollsBackOnce, Operator::RollsBackAlways, Operator::DropsPending] {
                cases.push(case(Kept::Bundle, Pending::Nothing, operator));
                cases.push(case(Kept::Bundle, Pending::Good, operator));
            }
            if current == Current::OtherKey {
                continue;
            }
            cases.push(case(Kept::Imported, Pending::Nothing, Operator::Absent));
            // ACM's private certificates live for 395 days; a week stands for them.
            let by_acm = [Answer::Good, Answer::Slow(25), Answer::Never, Answer::Denied, Answer::Throttled];
            if validity > HOUR && by_acm.contains(&answer) {
                cases.push(case(Kept::Private, Pending::Nothing, Operator::Absent));
            }
        }
    }
    cases
}

fn all_of(current: Current) {
    let all = cases(current);
    // No dimension of the product has a size that five divides evenly at its place, so a fifth visits each of its values.
    let step = if plays_all() { 1 } else { 5 };
    let failed: Vec<String> = all.iter().step_by(step).filter_map(|case| failure(*case, false)).collect();
    println!("{} cases of {current:?}", all.len());
    assert!(all.len() > 700);
    // A screenful: the causes are few.
    let first: Vec<&str> = failed.iter().take(3).map(String::as_str).collect();
    assert!(failed.is_empty(), "{} of {} cases: {}", failed.len(), all.len(), first.join("\n\n"));
}

#[expect(clippy::disallowed_methods, reason = "the suite has no configuration")]
fn plays_all() -> bool {
    std::env::var("STANDSTILL_CASES").is_ok_and(|which| which == "all")
}

/// The failures of a case.
fn failure(case: Case, reuses_versions: bool) -> Option<String> {
    let played = std::panic::catch_unwind(|| Play::set(case, reuses_versions).play());
    let failed = played.err()?;
    let text = failed.downcast_ref::<String>().cloned();
    Some(text.or_else(|| failed.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
}

macro_rules! states {
    ($($name:ident: $current:ident,)*) => {
        $(
            #[test]
            fn $name() {
                all_of(Current::$current);
            }
        )*

        #[test]
        fn every_state_of_the_current_leaf_is_enumerated() {
            assert_eq!([$(Current::$current),*], CURRENTS);
        }
    };
}

states! {
    due_leaf_never_stands_still: Due,
    urgent_leaf_never_stands_still: Urgent,
    ended_leaf_never_stands_still: Ended,
    leaf_of_a_replaced_ca_never_stands_still: Succession,
    leaf_issued_just_before_a_succession_never_stands_still: JustIssuedThenSuccession,
    leaf_that_is_not_valid_yet_never_stands_still: NotYetValid,
    leaf_with_another_key_never_stands_still: OtherKey,
    leaf_of_an_unknown_issuer_never_stands_still: UnknownIssuer,
    revoked_leaf_never_stands_still: Revoked,
}

/// The check finds what it is for: with the version of an attempt used again, the rotation stands still.
#[test]
fn a_reused_version_is_found_as_a_cycle() {
    let case = Case {
        kept: Kept::Bundle,
        validity: DAY * 90,
        current: Current::Due,
        pending: Pending::TakenVersion,
        answer: Answer::Good,
        operator: Operator::Absent,
    };
    assert_eq!(failure(case, false), None);
    let found = failure(case, true).unwrap();
    assert!(found.starts_with("a cycle without progress"), "{found}");
}
