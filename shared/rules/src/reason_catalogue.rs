//! The reason codes of every function, as its README documents them.
//!
//! The codes of the deciders have their entries next to their enums, where a code without an entry does not compile. The codes that
//! only a function's own code uses are listed in the modules below; a test compares them with the sources of the functions.

mod audit;
mod compliance;
mod drill;
mod every_function;
mod failover;
mod rotation;
mod sweep;
mod table;
mod traffic_shift;

pub use table::ReasonTable;

/// The tables of a function, in the order of its README; none for a name that is not one of a function.
#[must_use]
pub fn reason_tables(function: &str) -> Vec<ReasonTable> {
    let own: &[ReasonTable] = match function {
        "route-failover" => &failover::TABLES,
        "traffic-shift" => &traffic_shift::TABLES,
        "certificate-rotation" => &rotation::TABLES,
        "tag-compliance" | "egress-compliance" => &compliance::TABLES,
        "compliance-sweep" => &sweep::TABLES,
        "change-audit" => &audit::TABLES,
        "failover-drill" => &drill::TABLES,
        _ => return Vec::new(),
    };
    own.iter().chain(&every_function::TABLES).copied().collect()
}
