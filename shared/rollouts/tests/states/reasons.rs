//! Every code is documented on the page of traffic-shift.

use std::collections::BTreeSet;

use rules::reason_catalogue::reason_tables;

#[test]
fn each_code_is_in_the_catalogue() {
    let source = include_str!("../../src/reason.rs");
    let codes = source.lines().filter_map(|line| line.split_once("=> \"")?.1.strip_suffix("\","));
    let codes: BTreeSet<&str> = codes.collect();
    assert!(codes.len() > 20, "{codes:?}");
    let documented: BTreeSet<&str> =
        reason_tables("traffic-shift").iter().flat_map(|table| table.entries).map(|entry| entry.code).collect();
    let missing: Vec<_> = codes.difference(&documented).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
