//! The rules, a file a domain.

mod addresses;
mod backends;
mod calls;
mod certificates;
mod cost;
mod edges;
mod egress;
mod ejection;
mod environments;
mod gateways;
mod health;
mod logs;
mod names;
mod quotas;
mod references;
mod retries;
mod routes;
mod spread;
mod tags;
mod tls;
mod waivers;

use super::rule::Rule;

/// Every rule; a group's rules stand together.
pub(super) const ALL: &[&[Rule]] = &[
    tags::RULES,
    egress::RULES,
    tls::RULES,
    edges::RULES,
    certificates::RULES,
    references::RULES,
    routes::RULES,
    gateways::RULES,
    backends::RULES,
    retries::RULES,
    calls::RULES,
    health::RULES,
    ejection::RULES,
    spread::RULES,
    logs::RULES,
    addresses::RULES,
    quotas::RULES,
    cost::RULES,
    names::RULES,
    environments::RULES,
    waivers::RULES,
];

/// The id that is most like a text.
pub(super) fn nearest(text: &str) -> &'static str {
    let ids = ALL.iter().flat_map(|rules| rules.iter()).map(|rule| rule.id);
    ids.min_by_key(|id| distance(id, text)).unwrap_or_default()
}

/// How many letters have to be put in, taken out or replaced to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let mut next = vec![left];
        for (letter_of_other, above) in other.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(letter != *letter_of_other);
            left = replaced.min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
