//! The tables of the arbiter as Markdown, from the data that the arbiter evaluates.

use super::admit::{Column, row};
use super::deadlines::OWNERSHIP;
use super::writer::WriterKind;

/// Who waits for which layer, and which layer a write ends: one row for each writer, one column for each layer.
#[must_use]
pub fn writers_table() -> String {
    let mut lines = vec![line(std::iter::once("writer").chain(Column::ALL.map(Column::name))), line(["---"; 5])];
    for writer in WriterKind::ALL {
        lines.push(line(std::iter::once(writer.name()).chain(row(writer).map(|(_, text)| text))));
    }
    lines.concat()
}

/// Which function removes each layer, by when, and what happens if that function does not run.
#[must_use]
pub fn deadlines_table() -> String {
    let mut lines = vec![line(["layer", "removed by", "owner", "deadline", "owner does not run"]), line(["---"; 5])];
    for row in OWNERSHIP {
        lines.push(line([row.layer, row.removed_by, row.owner, row.deadline, row.without_owner]));
    }
    lines.concat()
}

fn line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let cells: Vec<&str> = cells.into_iter().collect();
    format!("| {} |\n", cells.join(" | "))
}
