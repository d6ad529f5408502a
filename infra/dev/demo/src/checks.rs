//! Tables and checks of routes that several scenarios share.

use super::context::ensure;
use super::route::{Route, RouteName, table};
use stack::console::say;
use stack::failure::Result;

/// Prints the weights of a route at several moments.
pub(super) fn show(route: RouteName<'_>, moments: &[(&str, &Route)]) {
    say("");
    say(table(route, moments));
}

/// Fails unless two reads of a route differ in their weights only.
pub(super) fn same_but_for_weights(before: &Route, after: &Route) -> Result<()> {
    let same = before.all_but_weights() == after.all_but_weights();
    ensure(same, "only weights were changed", || after.all_but_weights().to_string())?;
    say("    Match, headers, retries, timeouts and priority of the route are unchanged.");
    Ok(())
}
