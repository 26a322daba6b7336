//! Plain tables: columns as wide as their widest cell, two spaces between.
//! Not escaped here: cells are text that may be shown.

/// Rows of cells as lines; the last column is not padded.
pub fn rows(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| visible(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (position, (cell, width)) in row.iter().zip(widths).enumerate() {
        if position > 0 {
            text.push_str("  ");
        }
        text.push_str(cell);
        if position + 1 < row.len() {
            text.extend(std::iter::repeat_n(' ', width - visible(cell)));
        }
    }
    let mut text = text.trim_end().to_owned();
    text.push('\n');
    text
}

/// Characters that take room: our own colours do not.
fn visible(cell: &str) -> usize {
    let mut in_colour = false;
    cell.chars()
        .filter(|&c| {
            let hidden = in_colour || c == '\x1b';
            in_colour = hidden && c != 'm';
            !hidden
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_with_and_without_colour() {
        let cell = |text: &str| text.to_owned();
        let table = rows(&[
            vec![cell("a"), cell("\x1b[1mbb\x1b[0m"), cell("c")],
            vec![cell("aaa"), cell("b"), cell("cc")],
        ]);
        assert_eq!(table, "a    \x1b[1mbb\x1b[0m  c\naaa  b   cc\n");
    }
}
