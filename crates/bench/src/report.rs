//! What the runs gave: for people as a table of medians with their spread, and as JSON with every value.

mod points;
mod times;

use std::path::Path;

use serde_json::{Map, Value, json};

pub(crate) use self::times::Times;

/// The figures of one run, in the order in which they are shown.
#[derive(Default)]
pub(crate) struct Run(Vec<(String, f64)>);

impl Run {
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64) {
        self.0.push((name.into(), value));
    }

    /// Adds percentiles in milliseconds.
    pub(crate) fn add_times(&mut self, name: &str, times: &mut Times) {
        for (label, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
            self.add(format!("{name}_ms_{label}"), times.at(share).as_secs_f64() * 1e3);
        }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    /// All on one line.
    pub(crate) fn line(&self) -> String {
        let figures = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={}", figure(*value)));
        figures.collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
    }
}

/// All runs of one bench, by what was measured. The first of them is what the others are compared to.
pub(crate) struct Report {
    bench: &'static str,
    facts: Map<String, Value>,
    series: Vec<(String, Vec<Run>)>,
    points: Vec<(String, Vec<Run>)>,
}

impl Report {
    pub(crate) fn new(bench: &'static str) -> Self {
        let mut report = Self {
            bench,
            facts: Map::new(),
            series: Vec::new(),
            points: Vec::new(),
        };
        report.fact(
            "cores",
            std::thread::available_parallelism().map_or(0, usize::from),
        );
        report
    }

    /// Something that holds of all runs.
    pub(crate) fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// Adds a run of `series`.
    pub(crate) fn add(&mut self, series: &str, run: Run) {
        push(&mut self.series, series, run);
    }

    /// Adds a point of `series`: what is shown is how its figures went, not their median.
    pub(crate) fn point(&mut self, series: &str, point: Run) {
        push(&mut self.points, series, point);
    }

    /// Prints the table, and writes the JSON where it is wanted.
    pub(crate) fn give(&self, json: Option<&Path>) -> anyhow::Result<()> {
        let facts = self.facts.iter().map(|(name, value)| format!("{name}={value}"));
        println!("{}: {}", self.bench, facts.collect::<Vec<_>>().join(" "));
        for line in self.table() {
            println!("{line}");
        }
        if let Some(path) = json {
            std::fs::write(path, format!("{:#}\n", self.json()))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let series = self.series.iter().chain(&self.points).map(|(name, runs)| {
            let figures = names(runs)
                .into_iter()
                .map(|figure| (figure.clone(), json!(values(runs, &figure))));
            (name.clone(), Value::Object(figures.collect()))
        });
        json!({"bench": self.bench, "facts": self.facts, "series": Value::Object(series.collect())})
    }

    fn table(&self) -> Vec<String> {
        let points = self
            .points
            .iter()
            .flat_map(|(name, points)| points::lines(name, points));
        // What has the same figures, or some of them, stands beside each other.
        let blocks = self.series.chunk_by(|(_, one), (_, other)| {
            let known = names(one);
            names(other).iter().all(|name| known.contains(name))
        });
        points.chain(blocks.flat_map(block)).collect()
    }
}

fn push(all: &mut Vec<(String, Vec<Run>)>, series: &str, run: Run) {
    match all.iter_mut().find(|(known, _)| known == series) {
        Some((_, runs)) => runs.push(run),
        None => all.push((series.to_owned(), vec![run])),
    }
}

fn block(series: &[(String, Vec<Run>)]) -> Vec<String> {
    let Some((_, first)) = series.first() else {
        return Vec::new();
    };
    let mut lines = vec![format!("{:>28}", "")];
    for (at, (name, runs)) in series.iter().enumerate() {
        let ratio = if at == 0 { "" } else { "    ratio" };
        lines[0] += &format!("{ratio}  {:>32}", format!("{name} ({} runs)", runs.len()));
    }
    let all: Vec<&[Run]> = series.iter().map(|(_, runs)| runs.as_slice()).collect();
    for figure in names(first) {
        let mut line = format!("{figure:>28}");
        for (at, runs) in all.iter().enumerate() {
            if at > 0 {
                line += &ratio(first, runs, &figure);
            }
            line += &format!("  {:>32}", spread(values(runs, &figure)));
        }
        lines.push(line);
    }
    lines
}

fn names(runs: &[Run]) -> Vec<String> {
    runs.first().map(Run::names).unwrap_or_default()
}

fn values(runs: &[Run], figure: &str) -> Vec<f64> {
    runs.iter().filter_map(|run| run.value(figure)).collect()
}

/// The middle one; of two, the mean.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some((values[last / 2] + values[last.div_ceil(2)]) / 2.0)
}

fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    match (values.first(), values.last(), median(values.clone())) {
        (Some(least), Some(most), Some(middle)) if least < most => {
            format!("{} [{} – {}]", figure(middle), figure(*least), figure(*most))
        }
        (_, _, Some(middle)) => figure(middle),
        (_, _, None) => "–".to_owned(),
    }
}

/// The median of the ratios of runs that stood beside each other.
fn ratio(first: &[Run], other: &[Run], figure: &str) -> String {
    let pairs = first.iter().zip(other).filter_map(|(first, other)| {
        let (first, other) = (first.value(figure)?, other.value(figure)?);
        (other != 0.0).then_some(first / other)
    });
    median(pairs.collect()).map_or_else(|| format!("{:>9}", ""), |ratio| format!("{ratio:>9.2}"))
}

fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(value: f64) -> Run {
        let mut run = Run::default();
        run.add("cpu_us", value);
        run
    }

    #[test]
    fn the_median_is_of_the_values_and_the_ratio_of_the_pairs() {
        let mut report = Report::new("test");
        for (ours, floor) in [(10.0, 5.0), (30.0, 10.0), (20.0, 20.0)] {
            report.add("ours", run(ours));
            report.add("floor", run(floor));
        }
        let table = report.table();
        assert!(table[1].contains("20.0 [10.0 – 30.0]"), "{table:?}");
        assert!(table[1].contains("     2.00"), "{table:?}");
        assert_eq!(median(vec![1.0, 4.0]), Some(2.5));
        assert_eq!(
            report.json()["series"]["ours"]["cpu_us"],
            json!([10.0, 30.0, 20.0])
        );
    }
}
