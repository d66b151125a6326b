//! Whether a store is what it must be: every rule that its tables keep between transactions, looked at one by one.
//!
//! Nothing is changed and nothing is repaired. Each family of rules is a file of its own; a rule is a query that gives
//! what breaks it, or a walk where a row has to be unpacked. What is found is told by rule, with the first ids concerned.

mod commands;
mod counts;
mod feeds;
mod file;
mod pushes;
mod references;
mod tasks;
mod walk;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::failure::Failure;
use super::migrate::{self, KNOWN};
use super::open;
use super::options::OpenError;

/// Ids that are named with each finding; the others are only counted.
const NAMED: usize = 20;

/// A rule of the tables.
#[derive(Debug, PartialEq, Eq)]
pub struct Invariant {
    /// What it is called, for scripts. Never given another meaning.
    pub name: &'static str,
    /// What must hold.
    pub promise: &'static str,
}

/// A rule that does not hold.
#[derive(Debug)]
pub struct Finding {
    /// Which one.
    pub invariant: &'static Invariant,
    /// The first of what breaks it: ids as the interfaces show them, else a table and its key, else what SQLite said.
    pub ids: Vec<String>,
    /// How many there are in all.
    pub count: u64,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// The schema of the file.
    pub schema: u32,
    /// The rules that were looked at.
    pub checked: usize,
    /// Those that do not hold.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether all holds that was looked at.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What is to be looked at.
#[derive(Debug, Clone)]
pub enum Target {
    /// A data directory that no server has.
    DataDir(PathBuf),
    /// A single file, as a backup is one.
    File(PathBuf),
}

/// A rule whose breakers one query gives, a text each.
struct Query {
    invariant: Invariant,
    sql: &'static str,
}

const fn query(name: &'static str, promise: &'static str, sql: &'static str) -> Query {
    Query {
        invariant: Invariant { name, promise },
        sql,
    }
}

/// All rules, in the order in which they are looked at.
pub fn invariants() -> Vec<&'static Invariant> {
    let queries = QUERIES.iter().flat_map(|family| family.iter());
    let walked = file::ALL.iter().chain(references::ALL).chain(walk::ALL);
    walked
        .copied()
        .chain(queries.map(|query| &query.invariant))
        .collect()
}

const QUERIES: [&[Query]; 5] = [
    commands::QUERIES,
    counts::QUERIES,
    pushes::QUERIES,
    feeds::QUERIES,
    tasks::QUERIES,
];

/// Looks at all rules. Reads everything that is stored, which takes as long as that takes.
///
/// # Errors
/// A server has the directory, or there is no store that could be looked at. A store that is damaged is no error, but
/// what the report says.
pub fn verify(target: &Target) -> Result<Report, OpenError> {
    match target {
        Target::DataDir(dir) => {
            let file = open::database_of(dir);
            open::must_be_there(&file)?;
            let _lock = open::lock(dir)?;
            verify_file(&file)
        }
        Target::File(file) => {
            open::must_be_there(file)?;
            verify_file(file)
        }
    }
}

fn verify_file(path: &Path) -> Result<Report, OpenError> {
    let mut found = Findings::default();
    let damaged = |found: &mut Findings, what: &dyn std::fmt::Display| {
        found.note(&file::SOUND, what.to_string());
        found.report(0, 1)
    };
    let sql = match open::looking(path) {
        Ok(sql) => sql,
        Err(error) if super::failure::means_damage(&error) => return Ok(damaged(&mut found, &error)),
        Err(error) => return Err(OpenError::Sqlite(error.to_string())),
    };
    let schema = match migrate::version(&sql) {
        Ok(schema) => schema,
        Err(error) if super::failure::means_damage(&error) => return Ok(damaged(&mut found, &error)),
        Err(error) => return Err(OpenError::Sqlite(error.to_string())),
    };
    if schema > KNOWN {
        return Err(OpenError::Newer {
            found: schema,
            known: KNOWN,
        });
    }
    file::look(&sql, schema, &mut found);
    if schema == KNOWN {
        look(&sql, &mut found);
    }
    let checked = match schema {
        KNOWN => invariants().len(),
        _ => file::ALL.len(),
    };
    Ok(found.report(schema, checked))
}

/// Looks at all but the file itself.
fn look(sql: &Connection, found: &mut Findings) {
    references::look(sql, found);
    walk::look(sql, found);
    for query in QUERIES.iter().flat_map(|family| family.iter()) {
        let looked = found.run(sql, &query.invariant, query.sql);
        found.unreadable(&query.invariant, looked);
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// Something breaks this rule.
    fn note(&mut self, invariant: &'static Invariant, id: String) {
        let known = self
            .list
            .iter()
            .position(|finding| finding.invariant == invariant);
        let place = known.unwrap_or_else(|| {
            self.list.push(Finding {
                invariant,
                ids: Vec::new(),
                count: 0,
            });
            self.list.len() - 1
        });
        if let Some(finding) = self.list.get_mut(place) {
            finding.count += 1;
            if finding.ids.len() < NAMED {
                finding.ids.push(id);
            }
        }
    }

    /// Notes what a query gives.
    fn run(&mut self, sql: &Connection, invariant: &'static Invariant, query: &str) -> Result<(), Failure> {
        let mut statement = sql.prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.note(invariant, row.get(0)?);
        }
        Ok(())
    }

    /// A rule that could not be looked at to the end does not hold.
    fn unreadable(&mut self, invariant: &'static Invariant, looked: Result<(), Failure>) {
        if let Err(failure) = looked {
            self.note(invariant, format!("cannot be looked at: {failure}"));
        }
    }

    fn report(&mut self, schema: u32, checked: usize) -> Report {
        Report {
            schema,
            checked,
            findings: std::mem::take(&mut self.list),
        }
    }
}
