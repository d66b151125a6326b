//! How many commands and keys of requests applications have: the table `tally`, and what a batch adds to it.
//!
//! What the table says is read once of an application and kept as the last commit left it, since the writer alone
//! writes it. A rollback forgets all.

use downlink_core::{AppKey, CommandId};
use foldhash::HashMap;
use rusqlite::{Connection, OptionalExtension, params};

use super::failure::Failure;
use super::memo::Memo;
use super::stretches::{self, Stretch};

/// What is remembered of applications.
const APPS_REMEMBERED: usize = 1024;

/// See the module.
pub(super) struct Tallies {
    /// What this batch adds.
    added: HashMap<AppKey, Tally>,
    /// The records among that, by when they were created.
    stretches: HashMap<(AppKey, Stretch), i64>,
    /// Open commands as the last commit left them.
    open: Memo<AppKey, i64>,
}

#[derive(Default)]
struct Tally {
    commands: i64,
    open: i64,
    request_keys: i64,
}

impl Tallies {
    pub(super) fn new() -> Self {
        Self {
            added: HashMap::default(),
            stretches: HashMap::default(),
            open: Memo::new(APPS_REMEMBERED),
        }
    }

    /// A record more, or (-1) one less.
    pub(super) fn add_record(&mut self, app: AppKey, id: CommandId, records: i64) {
        self.added.entry(app).or_default().commands += records;
        *self.stretches.entry((app, stretches::of(id))).or_default() += records;
    }

    /// So many open commands more.
    pub(super) fn add_open(&mut self, app: AppKey, open: i64) {
        self.added.entry(app).or_default().open += open;
    }

    /// So many keys of requests more.
    pub(super) fn add_request_keys(&mut self, app: AppKey, keys: i64) {
        self.added.entry(app).or_default().request_keys += keys;
    }

    /// How many keys of requests an application has, as the batch leaves it so far.
    pub(super) fn request_keys(&self, sql: &Connection, app: AppKey) -> Result<i64, Failure> {
        let added = self.added.get(&app).map_or(0, |tally| tally.request_keys);
        let before: Option<i64> = sql
            .prepare_cached("SELECT request_keys FROM tally WHERE app = ?1")?
            .query_row([app.0], |row| row.get(0))
            .optional()?;
        Ok(before.unwrap_or(0) + added)
    }

    /// How many commands of an application are open, as the batch leaves it so far.
    pub(super) fn open(&mut self, sql: &Connection, app: AppKey) -> Result<i64, Failure> {
        let added = self.added.get(&app).map_or(0, |tally| tally.open);
        if let Some(before) = self.open.get(&app) {
            return Ok(*before + added);
        }
        let before = sql
            .prepare_cached("SELECT open FROM tally WHERE app = ?1")?
            .query_row([app.0], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        self.open.put(app, before);
        Ok(before + added)
    }

    /// Writes what the batch adds.
    pub(super) fn write(&self, sql: &Connection) -> Result<(), Failure> {
        for (app, tally) in &self.added {
            sql.prepare_cached(
                "INSERT INTO tally (app, devices, commands, open, request_keys) VALUES (?1, 0, ?2, ?3, ?4) \
                 ON CONFLICT (app) DO UPDATE SET commands = commands + ?2, open = open + ?3, \
                 request_keys = request_keys + ?4",
            )?
            .execute(params![app.0, tally.commands, tally.open, tally.request_keys])?;
        }
        for (&(app, stretch), records) in &self.stretches {
            if *records != 0 {
                stretches::add(sql, app, stretch, *records)?;
            }
        }
        Ok(())
    }

    /// The transaction is over and kept.
    pub(super) fn committed(&mut self) {
        self.stretches.clear();
        for (app, tally) in self.added.drain() {
            if let Some(before) = self.open.get(&app) {
                *before += tally.open;
            }
        }
    }

    /// The transaction is over and undone.
    pub(super) fn forget_all(&mut self) {
        self.added.clear();
        self.stretches.clear();
        self.open.clear();
    }
}
