//! Drawing. All colours are of a middle tone, and nothing is behind them, so that a chart is readable on light and on dark
//! pages; lines differ in their dashes too.

use std::fmt::Write;

use super::axis::{Axis, short};
use super::data::{Bar, Line};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 690.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 340.0;

const INK: &str = "#767676";
const COLOURS: [&str; 6] = ["#1f77d0", "#c2590a", "#2c8a3c", "#9058c8", "#c0415f", "#0e8590"];
const DASHES: [&str; 6] = ["none", "8 4", "2 3", "8 3 2 3", "14 4", "4 2"];

/// A line for each; x and y are their names.
pub(super) fn lines(lines: &[Line], x: &str, y: &str) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let along = Axis::to(points().map(|point| point.0).fold(0.0, f64::max));
    let up = Axis::to(points().map(|point| point.1).fold(0.0, f64::max));
    let mut svg = frame(&up, y);
    for tick in along.ticks() {
        let at = across(&along, tick);
        text(&mut svg, at, BOTTOM + 18.0, "middle", &short(tick));
    }
    text(
        &mut svg,
        (LEFT + RIGHT) / 2.0,
        HEIGHT - 15.0,
        "middle",
        &spoken(x),
    );
    for (n, line) in lines.iter().enumerate() {
        draw(&mut svg, line, n, &along, &up);
        legend(&mut svg, &line.name, n);
    }
    svg + "</svg>\n"
}

/// A bar for each.
pub(super) fn bars(bars: &[Bar], y: &str) -> String {
    let up = Axis::to(bars.iter().map(|bar| bar.1).fold(0.0, f64::max));
    let mut svg = frame(&up, y);
    let slot = (RIGHT - LEFT) / bars.len() as f64;
    for (n, (name, value)) in bars.iter().enumerate() {
        let (middle, top) = (LEFT + slot * (n as f64 + 0.5), height(&up, *value));
        let (left, width, tall) = (middle - slot * 0.3, slot * 0.6, BOTTOM - top);
        let colour = COLOURS[n % COLOURS.len()];
        add(
            &mut svg,
            format_args!(
                r#"<rect x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{tall:.1}" fill="{colour}"/>"#
            ),
        );
        text(
            &mut svg,
            middle,
            top - 6.0,
            "middle",
            &short((value * 100.0).round() / 100.0),
        );
        text(&mut svg, middle, BOTTOM + 18.0, "middle", name);
    }
    svg + "</svg>\n"
}

/// The head, the title, and the y axis with its grid.
fn frame(up: &Axis, y: &str) -> String {
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif" font-size="13">"#
    );
    svg.push('\n');
    add(&mut svg, format_args!("<title>{}</title>", escaped(&spoken(y))));
    for tick in up.ticks() {
        let (at, faint) = (height(up, tick), if tick == 0.0 { "1" } else { "0.3" });
        add(
            &mut svg,
            format_args!(
                r#"<line x1="{LEFT}" y1="{at:.1}" x2="{RIGHT}" y2="{at:.1}" stroke="{INK}" stroke-opacity="{faint}"/>"#
            ),
        );
        text(&mut svg, LEFT - 8.0, at + 4.0, "end", &short(tick));
    }
    let (x, middle) = (20.0, (TOP + BOTTOM) / 2.0);
    add(
        &mut svg,
        format_args!(
            r#"<text x="{x}" y="{middle}" transform="rotate(-90 {x} {middle})" text-anchor="middle" fill="{INK}">{}</text>"#,
            escaped(&spoken(y))
        ),
    );
    svg
}

fn draw(svg: &mut String, line: &Line, n: usize, along: &Axis, up: &Axis) {
    let (colour, dash) = (COLOURS[n % COLOURS.len()], DASHES[n % DASHES.len()]);
    let at = |point: &(f64, f64)| (across(along, point.0), height(up, point.1));
    let path = line.points.iter().map(at).map(|(x, y)| format!("{x:.1},{y:.1}"));
    let path = path.collect::<Vec<_>>().join(" ");
    add(
        svg,
        format_args!(
            r#"<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>"#
        ),
    );
    for (x, y) in line.points.iter().map(at) {
        add(
            svg,
            format_args!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#),
        );
    }
}

/// Names of lines, three in a row above the chart.
fn legend(svg: &mut String, name: &str, n: usize) {
    let (column, row) = ((n % 3) as f64, (n / 3) as f64);
    let (x, y) = (LEFT + 205.0 * column, 16.0 + 16.0 * row);
    let (end, middle) = (x + 28.0, y - 4.0);
    let (colour, dash) = (COLOURS[n % COLOURS.len()], DASHES[n % DASHES.len()]);
    add(
        svg,
        format_args!(
            r#"<line x1="{x}" y1="{middle}" x2="{end}" y2="{middle}" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>"#
        ),
    );
    text(svg, end + 6.0, y, "start", name);
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = escaped(words);
    add(
        svg,
        format_args!(r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{INK}">{words}</text>"#),
    );
}

fn add(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("a string takes all");
}

fn across(along: &Axis, value: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * value / along.end
}

fn height(up: &Axis, value: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * value / up.end
}

/// A figure's name for people.
fn spoken(figure: &str) -> String {
    figure.replace('_', " ")
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tag that opens closes, in order, and every attribute is in quotes.
    fn assert_well_formed(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        for tag in svg.split('<').skip(1) {
            let (tag, _text) = tag.split_once('>').expect("a tag ends");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            let name = tag.split(' ').next().unwrap_or_default();
            match name.strip_prefix('/') {
                Some(closes) => assert_eq!(open.pop(), Some(closes)),
                None if tag.ends_with('/') => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn a_chart_of_lines_has_its_labels_and_starts_at_zero() {
        let line = |name: &str| Line {
            name: name.to_owned(),
            points: vec![(1000.0, 3.5), (18_000.0, 4.25)],
        };
        let svg = lines(&[line("plain"), line("a<b & \"c\"")], "count", "cpu_us_per_cycle");
        assert_well_formed(&svg);
        for label in [
            ">cpu us per cycle<",
            ">count<",
            ">plain<",
            ">0<",
            ">20k<",
            ">5<",
            "a&lt;b &amp; ",
        ] {
            assert!(svg.contains(label), "{label} is missing: {svg}");
        }
    }

    #[test]
    fn a_chart_of_bars_has_a_bar_for_each() {
        let all = [("full".to_owned(), 45.0), ("empty".to_owned(), 37.5)];
        let svg = bars(&all, "cpu_us_per_create");
        assert_well_formed(&svg);
        assert_eq!(svg.matches("<rect").count(), 2);
        for label in [">full<", ">empty<", ">37.5<", ">cpu us per create<"] {
            assert!(svg.contains(label), "{label} is missing: {svg}");
        }
    }
}
