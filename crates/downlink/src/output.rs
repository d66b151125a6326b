//! The only place that writes to the terminal: results to stdout, complaints to stderr.
//!
//! In JSON every document is one line, so that scripts can read them one by one.

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde_json::Value;

use crate::failure::Failure;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document per line, for scripts.
    Json,
}

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    format: Format,
}

impl Out {
    pub(crate) const fn new(format: Format) -> Self {
        Self { format }
    }

    /// One result: `value` in JSON, `text` for people.
    pub(crate) fn show(self, value: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.format {
            Format::Json => write_line(&value.to_string()),
            Format::Text => write_line(text().trim_end()),
        }
    }

    /// A line for people; nothing in JSON.
    pub(crate) fn say(self, text: &str) -> Result<(), Failure> {
        match self.format {
            Format::Json => Ok(()),
            Format::Text => write_line(text),
        }
    }
}

fn write_line(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    written.map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::OutputClosed
        } else {
            Failure::Failed(format!("cannot write: {error}"))
        }
    })
}

/// Tells on stderr why the run failed.
pub(crate) fn complain(failure: &Failure) {
    if !matches!(failure, Failure::OutputClosed) {
        note(&format!("downlink: {failure}"));
    }
}

/// Tells something on stderr that is no result.
pub(crate) fn note(text: &str) {
    // Where stderr is closed too, there is nobody left to tell.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Names and values below each other, values aligned; empty values are left out.
pub(crate) fn fields(list: &[(&str, String)]) -> String {
    let shown = || list.iter().filter(|(_, value)| !value.is_empty());
    let width = shown().map(|(name, _)| name.len()).max().unwrap_or(0);
    shown()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

/// A table with a head; columns as wide as their widest entry.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(str::len);
    for row in rows {
        for (width, entry) in widths.iter_mut().zip(row) {
            *width = (*width).max(entry.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let padded: Vec<_> = row
            .iter()
            .zip(widths)
            .map(|(entry, width)| format!("{entry:width$}"))
            .collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    std::iter::once(line(&head.map(str::to_owned)))
        .chain(rows.iter().map(line))
        .collect()
}

/// The member at this JSON pointer as text: strings bare, null and missing as nothing, the rest as JSON.
pub(crate) fn text_at(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_aligned_and_empty_ones_left_out() {
        let list = [
            ("id", "7".to_owned()),
            ("empty", String::new()),
            ("name", "x".to_owned()),
        ];
        assert_eq!(fields(&list), "id    7\nname  x\n");
    }

    #[test]
    fn tables_are_aligned_without_trailing_blanks() {
        let rows = [
            ["1".to_owned(), "b".to_owned()],
            ["long".to_owned(), String::new()],
        ];
        assert_eq!(table(["ID", "NAME"], &rows), "ID    NAME\n1     b\nlong\n");
    }

    #[test]
    fn text_of_members() {
        let value = json!({"a": "x", "b": {"c": 1}, "d": null});
        assert_eq!(
            (text_at(&value, "/a"), text_at(&value, "/b")),
            ("x".to_owned(), r#"{"c":1}"#.to_owned())
        );
        assert_eq!(
            (text_at(&value, "/d"), text_at(&value, "/e")),
            (String::new(), String::new())
        );
    }
}
