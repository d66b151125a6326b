//! Whether the points stay level: the last quarter of the time beside the second one, and what grows with each cycle.

use crate::report::{Report, Run};

/// Reports the points and what is seen in them.
pub(super) fn tell(report: &mut Report, points: Vec<Run>) {
    let quarter = points.len() / 4;
    if quarter > 0 {
        // The last one first: the ratio is that of the last to the second.
        report.add("4th quarter", mean(&points[points.len() - quarter..]));
        report.add("2nd quarter", mean(&points[quarter..2 * quarter]));
    }
    if let Some(growth) = growth(&points) {
        report.add("growth", growth);
    }
    for point in points {
        report.point("soak", point);
    }
}

/// Of all figures but the time itself.
fn mean(points: &[Run]) -> Run {
    let mut mean = Run::default();
    let names = points.first().map(Run::names).unwrap_or_default();
    for name in names.into_iter().filter(|name| name != "seconds") {
        let sum: f64 = points.iter().filter_map(|point| point.value(&name)).sum();
        mean.add(name, sum / points.len() as f64);
    }
    mean
}

/// From the end of the first point to the end of the last one.
fn growth(points: &[Run]) -> Option<Run> {
    let ([first, rest @ ..], Some(last)) = (points, points.last()) else {
        return None;
    };
    let sum = |name: &str| rest.iter().filter_map(|point| point.value(name)).sum::<f64>();
    let cycles = sum("cycles");
    let mut growth = Run::default();
    for (figure, name) in [
        ("db", "db_mib"),
        ("data", "data_mib"),
        ("resident", "resident_mib"),
    ] {
        let grown = last.value(name)? - first.value(name)?;
        growth.add(
            format!("{figure}_bytes_per_cycle"),
            grown * f64::from(1 << 20) / cycles.max(1.0),
        );
    }
    growth.add("log_bytes_per_cycle", sum("log_bytes") / cycles.max(1.0));
    Some(growth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: f64) -> Run {
        let mut run = Run::default();
        for (name, value) in [("cycles", 1024.0), ("db_mib", at), ("data_mib", 2.0 * at)] {
            run.add(name, value);
        }
        run.add("resident_mib", 7.0);
        run.add("log_bytes", 0.0);
        run
    }

    #[test]
    fn quarters_and_growth_are_of_the_points() {
        let points: Vec<Run> = (1..=8).map(|at| point(f64::from(at))).collect();
        assert_eq!(mean(&points[2..4]).value("db_mib"), Some(3.5));
        let growth = growth(&points).expect("there are points");
        assert_eq!(growth.value("db_bytes_per_cycle"), Some(1024.0));
        assert_eq!(growth.value("data_bytes_per_cycle"), Some(2048.0));
        assert_eq!(growth.value("resident_bytes_per_cycle"), Some(0.0));
    }
}
