//! What is drawn, out of the results.

use serde_json::Value;

use crate::report::median;

/// The results of one file.
pub(super) struct Results {
    name: String,
    json: Value,
}

/// Points in the order of x.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// A label and a length.
pub(super) type Bar = (String, f64);

impl Results {
    pub(super) fn new(name: String, json: Value) -> Self {
        Self { name, json }
    }

    /// The series that have all of these figures, with their values.
    fn series<const N: usize>(&self, figures: [&str; N]) -> Vec<(&str, [Vec<f64>; N])> {
        let series = self.json["series"].as_object().into_iter().flatten();
        let found = series.map(|(name, all)| (name.as_str(), figures.map(|figure| values(&all[figure]))));
        found
            .filter(|(_, values)| values.iter().all(|values| !values.is_empty()))
            .collect()
    }

    /// How a series is called among all that are drawn.
    fn label(&self, series: &str, files: usize) -> String {
        match files {
            1 => series.to_owned(),
            _ => format!("{}: {series}", self.name),
        }
    }
}

fn values(json: &Value) -> Vec<f64> {
    json.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}

/// A series in which x moves is a line. Series in which it stands still, as it does over the runs of one count, are the
/// points of one line together, each the median of its runs.
pub(super) fn lines(results: &[Results], figure: &str, x: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for result in results {
        let mut joined = Vec::new();
        for (series, [xs, ys]) in result.series([x, figure]) {
            if xs.iter().all(|x| *x == xs[0]) {
                joined.extend(median(ys).map(|y| (xs[0], y)));
            } else {
                let name = result.label(series, results.len());
                lines.push(Line::new(name, xs.into_iter().zip(ys).collect()));
            }
        }
        if !joined.is_empty() {
            lines.push(Line::new(result.name.clone(), joined));
        }
    }
    lines
}

impl Line {
    fn new(name: String, mut points: Vec<(f64, f64)>) -> Self {
        points.sort_by(|one, other| one.0.total_cmp(&other.0));
        Self { name, points }
    }
}

/// The median of each series.
pub(super) fn bars(results: &[Results], figure: &str) -> Vec<Bar> {
    let mut bars = Vec::new();
    for result in results {
        for (series, [values]) in result.series([figure]) {
            bars.extend(median(values).map(|value| (result.label(series, results.len()), value)));
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn runs_of_one_count_are_one_point() {
        let series = json!({
            "18000": {"count": [18000.0, 18000.0, 18000.0], "us": [7.0, 9.0, 8.0]},
            "5000": {"count": [5000.0], "us": [6.0]},
            "other": {"us": [1.0]},
        });
        let results = [Results::new("file".to_owned(), json!({"series": series}))];
        let points = vec![(5000.0, 6.0), (18000.0, 8.0)];
        let expected = [Line::new("file".to_owned(), points)];
        assert_eq!(lines(&results, "us", "count"), expected);
        assert_eq!(bars(&results, "us").len(), 3);
    }

    #[test]
    fn a_series_that_moves_is_a_line() {
        let series = json!({"soak": {"seconds": [60.0, 120.0], "mib": [5.0, 6.0]}});
        let results = [Results::new("file".to_owned(), json!({"series": series}))];
        let expected = [Line::new("soak".to_owned(), vec![(60.0, 5.0), (120.0, 6.0)])];
        assert_eq!(lines(&results, "mib", "seconds"), expected);
    }
}
