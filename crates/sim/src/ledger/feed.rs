//! What the application read of its feed, and the promises on it.
//!
//! The promises, in words:
//! F1. Who follows the feed, from the beginning or from its end as it was, has read in the end what stands there: nothing that was
//!     committed later is missed, nothing is told twice, and a cursor stays good over crashes.
//! F2. Each change stands there once, those of a command in the order of their numbers.
//! F3. It tells what the records and the pushes tell.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// One who follows the feed.
#[derive(Debug, Default)]
pub struct Follower {
    /// Where it goes on; none: at the oldest change.
    pub cursor: Option<String>,
    /// It does not know yet where the end is that it is to begin at.
    pub seeks_head: bool,
    read: Vec<Change>,
    from_head: bool,
}

/// A change as the feed tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    command: String,
    seq: u32,
    status: String,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Feed {
    /// Those who follow it.
    pub followers: Vec<Follower>,
    /// What was broken.
    pub violations: Vec<String>,
}

impl Follower {
    /// One that begins at the end as it is when it first asks.
    pub fn from_head() -> Self {
        Self {
            seeks_head: true,
            from_head: true,
            ..Self::default()
        }
    }

    /// What to ask for.
    pub fn query(&self, limit: u64) -> String {
        match (&self.cursor, self.seeks_head) {
            (_, true) => "cursor=head".to_owned(),
            (Some(cursor), false) => format!("cursor={cursor}&limit={limit}"),
            (None, false) => format!("limit={limit}"),
        }
    }
}

impl Feed {
    /// A follower got an answer to what it asked at `from`. Whether there is more.
    pub fn answered(&mut self, follower: usize, from: Option<&str>, status: u16, page: &Value) -> bool {
        let Some(one) = self.followers.get_mut(follower) else {
            return false;
        };
        // An answer that is late was asked again meanwhile.
        if one.cursor.as_deref() != from || status >= 500 {
            return false;
        }
        if status != 200 {
            self.violations
                .push(format!("F1: at {from:?} came {status} {page}"));
            return false;
        }
        one.seeks_head = false;
        one.read.extend(changes(page));
        one.cursor = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
        page.get("more") == Some(&Value::Bool(true))
    }

    /// Checks what was read, at the end of the run; the first follower began at the beginning, and the last one does now.
    /// `events`: what the records of the commands say. `told`: what was told of any command.
    pub fn check(&mut self, events: &BTreeMap<String, Vec<(u32, String)>>, told: &BTreeSet<(String, u32)>) {
        let mut broken = Vec::new();
        let Some(whole) = self.followers.last().map(|one| one.read.clone()) else {
            return;
        };
        for (place, one) in self.followers.iter().enumerate() {
            let is_right = match one.from_head {
                true => one.seeks_head || whole.ends_with(&one.read),
                false => whole == one.read,
            };
            if !is_right {
                broken.push(format!(
                    "F1: the follower {place} read {} changes, and there are {}: {}",
                    one.read.len(),
                    whole.len(),
                    difference(&one.read, &whole)
                ));
            }
        }
        let mut by_command: BTreeMap<&str, Vec<(u32, String)>> = BTreeMap::new();
        for change in &whole {
            let of = by_command.entry(&change.command).or_default();
            if of.last().is_some_and(|(seq, _)| *seq >= change.seq) {
                broken.push(format!("F2: {change:?} comes after {of:?}"));
            }
            of.push((change.seq, change.status.clone()));
        }
        for (command, recorded) in events {
            let fed = by_command.get(command.as_str());
            if fed != Some(recorded) && !(fed.is_none() && recorded.is_empty()) {
                broken.push(format!(
                    "F3: of {command} is recorded {recorded:?}, and fed {fed:?}"
                ));
            }
        }
        for (command, seq) in told {
            let fed = by_command.get(command.as_str());
            if !fed.is_some_and(|fed| fed.iter().any(|(one, _)| one == seq)) {
                broken.push(format!("F3: {command}-{seq} was told and is not in the feed"));
            }
        }
        self.violations.append(&mut broken);
    }
}

fn changes(page: &Value) -> impl Iterator<Item = Change> {
    let items = page.get("items").and_then(Value::as_array);
    let read = |item: &Value| {
        Some(Change {
            command: item.get("commandId")?.as_str()?.to_owned(),
            seq: u32::try_from(item.get("sequence")?.as_u64()?).ok()?,
            status: item.get("status")?.as_str()?.to_owned(),
        })
    };
    items.into_iter().flatten().filter_map(read)
}

fn difference(one: &[Change], whole: &[Change]) -> String {
    let skip = whole.len().saturating_sub(one.len());
    let differ = |from: &[Change]| {
        one.iter()
            .zip(from)
            .find(|(a, b)| a != b)
            .map(|two| format!("{two:?}"))
    };
    let shown = differ(whole).or_else(|| differ(&whole[skip..]));
    shown.unwrap_or_else(|| "one is longer".to_owned())
}
