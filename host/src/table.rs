//! Tables for people: columns as wide as what is in them.

use std::fmt::Write;

/// Lines up rows, the heading first. Columns named in `numbers` are lined up to the right.
pub(crate) fn aligned(rows: &[Vec<String>], numbers: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            _ = if numbers.contains(&column) {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The heading of a table.
pub(crate) fn heading(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The beginning of a text, as much as fits into a line.
pub(crate) fn shortened(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_string();
    }
    let mut short: String = text.chars().take(characters_max - 1).collect();
    short.push('…');
    short
}

/// A number of bytes for people, exact below a kilobyte.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in UNITS {
        if count >= size {
            let tenths = count.saturating_mul(10) / size;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [
            heading(&["NAME", "COUNT"]),
            vec!["é".into(), "7".into()],
            vec!["longer".into(), "1234567".into()],
        ];
        let expected = "NAME      COUNT\né             7\nlonger  1234567\n";
        assert_eq!(aligned(&rows, &[1]), expected);
    }

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes((1 << 20) - 1), "1023.9 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
    }
}
