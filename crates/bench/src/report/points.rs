//! A series of points, each a line of the table: how figures went over time or size.

use super::{Run, figure, names, values};

/// The lines of one series.
pub(super) fn lines(series: &str, points: &[Run]) -> Vec<String> {
    let names = names(points);
    let widths: Vec<usize> = names.iter().map(|name| name.len().max(9)).collect();
    let mut lines = vec![format!("{series} ({} points)", points.len())];
    lines.push(line(names.iter().map(String::as_str), &widths));
    let columns: Vec<Vec<f64>> = names.iter().map(|name| values(points, name)).collect();
    for at in 0..points.len() {
        let cells = columns
            .iter()
            .map(|column| column.get(at).map_or_else(String::new, |value| figure(*value)));
        let cells: Vec<String> = cells.collect();
        lines.push(line(cells.iter().map(String::as_str), &widths));
    }
    lines
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let cells = cells.zip(widths).map(|(cell, &width)| format!("{cell:>width$}"));
    cells.collect::<Vec<_>>().join("  ")
}
