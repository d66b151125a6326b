//! A command that a batch touched, in memory, and how what changed of it is written.

use std::sync::Arc;

use downlink_core::Timestamp;
use rusqlite::{Connection, params};

use super::failure::Failure;
use super::merge::{dequeue, enqueue, list};
use super::state;
use super::work_row::WorkRow;
use crate::Submission;

/// A command that the batch touched.
pub(super) struct Entry {
    pub(super) row: WorkRow,
    /// Created by this batch, from this.
    pub(super) fresh: Option<Arc<Submission>>,
    /// The device's result, if it is in memory.
    pub(super) result: Option<Arc<str>>,
    /// What of the working row differs from the one on disk.
    pub(super) dirt: Dirt,
    /// The mid differs from the one on disk.
    pub(super) new_mid: bool,
    /// The outbox differs from the one on disk.
    pub(super) new_outbox: bool,
    /// The record has to be given its (new) end.
    pub(super) ended: bool,
    /// It stands in the table of queues.
    pub(super) in_queue_table: bool,
}

/// How much of a working row is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dirt {
    Clean,
    Told,
    State,
}

impl Entry {
    /// An entry for a row as it is on disk, or one that is new.
    pub(super) fn stored(row: WorkRow, in_queue_table: bool) -> Self {
        Self {
            row,
            fresh: None,
            result: None,
            dirt: Dirt::Clean,
            new_mid: false,
            new_outbox: false,
            ended: false,
            in_queue_table,
        }
    }

    /// The working row goes, or never comes to be.
    pub(super) fn is_over(&self) -> bool {
        self.row.is_over()
    }

    /// Whether it waits in its device's queue, or holds its slot.
    pub(super) fn is_queued(&self) -> bool {
        self.row.progress.is_queued()
    }

    /// It is on disk now. False if it is there no more.
    pub(super) fn settle(&mut self) -> bool {
        (self.fresh, self.dirt, self.ended) = (None, Dirt::Clean, false);
        (self.new_mid, self.new_outbox) = (false, false);
        !self.is_over()
    }

    /// Writes what differs from the disk. `in_tail`: the tables by device do not have it yet, and will get it from there.
    pub(super) fn write(&self, sql: &Connection, in_tail: bool) -> Result<(), Failure> {
        if !in_tail {
            self.write_places(sql)?;
        }
        match &self.fresh {
            Some(submission) => {
                self.insert_command(sql, submission)?;
                if self.is_over() {
                    return Ok(());
                }
                self.row.insert(sql)?;
            }
            None => {
                if self.ended {
                    self.end_command(sql)?;
                }
                if self.is_over() {
                    return WorkRow::delete(sql, self.row.id);
                }
                match self.dirt {
                    Dirt::Clean => {}
                    Dirt::Told => self.row.update_told(sql)?,
                    Dirt::State => self.row.update(sql)?,
                }
                if self.new_mid {
                    self.row.update_mid(sql)?;
                }
            }
        }
        if self.new_outbox {
            self.row.update_outbox(sql)?;
        }
        Ok(())
    }

    fn write_places(&self, sql: &Connection) -> Result<(), Failure> {
        let row = &self.row;
        if self.fresh.is_some() {
            list(sql, row.device, row.id)?;
        }
        match (self.in_queue_table, self.is_queued()) {
            (false, true) => enqueue(sql, row.device, row.ord, row.id),
            (true, false) => dequeue(sql, row.device, row.ord),
            (false, false) | (true, true) => Ok(()),
        }
    }

    fn insert_command(&self, sql: &Connection, submission: &Submission) -> Result<(), Failure> {
        let (row, new) = (&self.row, &submission.command);
        let end = self.ended.then_some(row);
        sql.prepare_cached(
            "INSERT INTO command (id, app, device, service, method, paras, callback, expire_time, max_retransmit, \
             created_at, state, sends, delivered_at, events, result, call_id) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?
        .execute(params![
            row.id.to_bytes(),
            row.app.0,
            row.device.0,
            new.body.service,
            new.body.method,
            new.body.paras,
            new.callback,
            new.expire_time.cast_signed(),
            new.max_retransmit,
            new.created_at.as_millis(),
            end.map(|row| state::encode(&row.progress.state).code),
            end.map(|row| row.sends),
            end.and_then(|row| row.delivered_at).map(Timestamp::as_millis),
            end.map(|row| row.events.as_packed()),
            self.result,
            new.call_id,
        ])?;
        Ok(())
    }

    fn end_command(&self, sql: &Connection) -> Result<(), Failure> {
        let row = &self.row;
        sql.prepare_cached(
            "UPDATE command SET state = ?2, sends = ?3, delivered_at = ?4, events = ?5, \
             result = ?6 WHERE id = ?1",
        )?
        .execute(params![
            row.id.to_bytes(),
            state::encode(&row.progress.state).code,
            row.sends,
            row.delivered_at.map(Timestamp::as_millis),
            row.events.as_packed(),
            self.result,
        ])?;
        Ok(())
    }
}
