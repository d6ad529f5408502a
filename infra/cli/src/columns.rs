//! Rows in columns, for output that a terminal does not wrap: two spaces between columns, as wide as their widest cell.

use comfy_table::{ContentArrangement, Table, presets};

/// Writes rows in columns, each line after an indentation of `indent` spaces.
pub(crate) fn columns<const N: usize>(rows: &[[String; N]], indent: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.extend([&" ".repeat(indent), line.trim_end(), "\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_takes_up() {
        let rows = [["NAME", "STATE"], ["größe", "up"], ["日本", "behind"]].map(|row| row.map(str::to_owned));
        // A full-width character takes up two columns.
        assert_eq!(columns(&rows, 2), "  NAME   STATE\n  größe  up\n  日本   behind\n");
    }
}
