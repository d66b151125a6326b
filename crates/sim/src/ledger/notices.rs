//! What the world knows of reports and of devices that come and go, and what subscribers have to be told of them.
//!
//! The promises, in words, each as far as the application subscribed to what it speaks of:
//! N1. A report that was acknowledged is told, in each of its forms that the application was subscribed to.
//! N2. What one receiver is told of a device's reports comes in the order in which the device made them.
//! N3. What one receiver is told of one device comes one after the other: the next only after the one before was accepted. Under
//!     one id always comes the same.
//! N4. Nothing is told that nobody said: of a report no more than it was sent, of a device added or removed one notice at the most.
//! N5. The last word on whether a device is there is the right one.
//! N6. A device whose registration was answered is told of as added, and one whose removal was answered as deleted, after that.
//! N7. The result of a command is told as a notice too, as often as it changed.
//! N8. A push that its receiver wants no more (410) is given up: that is told once, and it is not tried after that, unless the
//!     operator sends it again.
//! N9. What happens between the answer to the end of a subscription and the call for a new one is not told, then or later.

mod given_up;
mod said;
mod windows;

use std::collections::BTreeMap;

use self::given_up::Refused;
use self::said::{Notice, Report};
use self::windows::Windows;
use super::operator::Operator;

/// What the application had done to a device, as it was answered.
#[derive(Debug, Default)]
struct Fleet {
    added: bool,
    removal_asked: bool,
    removed: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Notices {
    /// Which receiver is told of what.
    subscribed: BTreeMap<String, usize>,
    /// When it was subscribed to what.
    windows: BTreeMap<String, Windows>,
    reports: Vec<Report>,
    notices: BTreeMap<String, Notice>,
    /// The newest notice of a receiver and a device.
    newest: BTreeMap<(usize, String), String>,
    fleet: BTreeMap<String, Fleet>,
    /// Pushes that their receivers wanted no more, by their ids; of notices and of commands.
    refused: BTreeMap<String, Refused>,
    /// Orders all that happens here.
    clock: u64,
    /// What was broken.
    pub violations: Vec<String>,
}

/// The forms in which a report is told.
pub const FORMS: [&str; 2] = ["deviceDataChanged", "deviceDatasChanged"];

impl Notices {
    fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// The application subscribed to notices of this kind.
    pub fn subscribed(&mut self, kind: &str, receiver: usize) {
        self.subscribed.insert(kind.to_owned(), receiver);
        let now = self.now();
        self.windows_of(kind).begins(true, now);
    }

    /// The application was answered that it is not subscribed to this kind any more.
    pub fn unsubscribed(&mut self, kind: &str) {
        let now = self.now();
        self.windows_of(kind).begins(false, now);
    }

    /// It calls for one of both.
    pub fn uncertain(&mut self, kind: &str) {
        let now = self.now();
        self.windows_of(kind).ends(now);
    }

    fn windows_of(&mut self, kind: &str) -> &mut Windows {
        self.windows.entry(kind.to_owned()).or_default()
    }

    /// A device has a new report to make; its number.
    pub fn new_report(&mut self, device: &str) -> u64 {
        self.reports.push(Report {
            device: device.to_owned(),
            ..Report::default()
        });
        self.reports.len() as u64 - 1
    }

    /// A device sends a report, perhaps again.
    pub fn sent(&mut self, number: u64, connection: u64) {
        let now = self.now();
        if let Some(report) = self.report(number) {
            report.sent.push((now, connection));
        }
    }

    /// The server acknowledged a report.
    pub fn acknowledged(&mut self, number: u64) {
        let now = self.now();
        if let Some(report) = self.report(number) {
            report.acknowledged.get_or_insert(now);
        }
    }

    fn report(&mut self, number: u64) -> Option<&mut Report> {
        self.reports.get_mut(usize::try_from(number).ok()?)
    }

    /// How many reports were acknowledged.
    pub fn kept(&self) -> usize {
        let kept = self.reports.iter().filter(|report| report.acknowledged.is_some());
        kept.count()
    }

    /// A registration was answered with this id.
    pub fn added(&mut self, device: &str) {
        self.fleet.entry(device.to_owned()).or_default().added = true;
    }

    /// A device is being removed.
    pub fn removing(&mut self, device: &str) {
        self.fleet.entry(device.to_owned()).or_default().removal_asked = true;
    }

    /// Its removal was answered.
    pub fn removed(&mut self, device: &str) {
        self.fleet.entry(device.to_owned()).or_default().removed = true;
    }

    /// A notice arrived at this receiver.
    pub fn pushed(&mut self, receiver: usize, webhook_id: &str, text: &str) {
        if let Some(known) = self.notices.get(webhook_id) {
            if known.text != text {
                let broken = format!("N3: under {webhook_id} came {}, and then {text}", known.text);
                self.violations.push(broken);
            }
            return;
        }
        let notice = Notice::read(text, receiver, self.now());
        let before = self
            .newest
            .insert((receiver, notice.device.clone()), webhook_id.to_owned());
        if let Some(before) = before
            && !self.notices.get(&before).is_some_and(|before| before.accepted)
        {
            self.violations
                .push(format!("N3: {webhook_id} came before {before} was accepted"));
        }
        self.notices.insert(webhook_id.to_owned(), notice);
    }

    /// Its receiver accepted it.
    pub fn accepted(&mut self, webhook_id: &str) {
        if let Some(notice) = self.notices.get_mut(webhook_id) {
            notice.accepted = true;
        }
    }

    /// Whether it arrived, once at least.
    pub fn arrived(&self, webhook_id: &str) -> bool {
        self.notices.contains_key(webhook_id)
    }

    /// Whether all is told that has to be. `online`: who of the devices has to be told of last as there, or not.
    pub fn is_told(&self, online: &BTreeMap<String, bool>, operator: &Operator) -> bool {
        self.notices.values().all(|notice| notice.accepted)
            && self.missing_reports().is_empty()
            && self.wrong_words(online).is_empty()
            && self.wrong_fleet().is_empty()
            && self.wrong_given_up(operator).is_empty()
    }

    /// Checks all at the end of the run. `answers`: of each command that is known, how often its record says that its device
    /// answered.
    pub fn check(
        &mut self,
        online: &BTreeMap<String, bool>,
        answers: &BTreeMap<String, usize>,
        operator: &Operator,
    ) {
        let mut broken = self.missing_reports();
        broken.append(&mut self.disorder());
        broken.append(&mut self.unwanted());
        broken.append(&mut self.unsaid());
        broken.append(&mut self.wrong_words(online));
        broken.append(&mut self.wrong_fleet());
        broken.append(&mut self.wrong_answers(answers));
        broken.append(&mut self.wrong_given_up(operator));
        for (id, notice) in &self.notices {
            if !notice.accepted {
                broken.push(format!("N1: {id} was never accepted: {}", notice.text));
            }
        }
        self.violations.append(&mut broken);
    }

    /// The notices of a kind, in the order of their first arrival.
    fn of_kind<'a>(&'a self, kind: &'a str) -> Vec<&'a Notice> {
        let mut of: Vec<&Notice> = self
            .notices
            .values()
            .filter(|notice| notice.kind == kind)
            .collect();
        of.sort_by_key(|notice| notice.first);
        of
    }

    /// When each report was first told in this form, how often, and where first.
    fn told(&self, form: &str) -> BTreeMap<u64, (u64, usize, usize)> {
        let mut told = BTreeMap::new();
        for notice in self.of_kind(form) {
            for number in notice.reports() {
                told.entry(number).or_insert((notice.first, 0, notice.receiver)).1 += 1;
            }
        }
        told
    }

    fn numbered(&self) -> impl Iterator<Item = (u64, &Report)> {
        (0..).zip(&self.reports)
    }

    fn is_subscribed(&self, kind: &str) -> bool {
        self.subscribed.contains_key(kind)
    }

    fn missing_reports(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for form in FORMS {
            let told = self.told(form);
            let lost = self
                .numbered()
                .filter(|(number, report)| self.fell(form, true, report) && !told.contains_key(number));
            missing.extend(lost.map(|(number, _)| {
                format!("N1: the report {number} was acknowledged and is not told as {form}")
            }));
        }
        missing
    }

    /// Whether a report was kept while the application was subscribed to this form, or while it was not.
    fn fell(&self, form: &str, subscribed: bool, report: &Report) -> bool {
        let times = report.sent.first().zip(report.acknowledged);
        times.is_some_and(|((from, _), until)| {
            let windows = self.windows.get(form);
            windows.is_some_and(|windows| windows.was(subscribed, *from, until))
        })
    }

    /// Reports that were sent once, while the application was not subscribed, and told.
    fn unwanted(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for form in FORMS {
            let told = self.told(form);
            let fell = self.numbered().filter(|(number, report)| {
                told.contains_key(number) && report.sent.len() == 1 && self.fell(form, false, report)
            });
            broken.extend(fell.map(|(number, report)| {
                format!("N9: nobody was subscribed to {form}, and is told {number}: {report:?}")
            }));
        }
        broken
    }

    fn disorder(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for form in FORMS {
            let told = self.told(form);
            let first = |number: &u64| told.get(number).map(|(first, _, receiver)| (*first, *receiver));
            for (one, earlier) in self.numbered() {
                for (other, later) in self.numbered().filter(|(other, _)| *other > one) {
                    if let (Some((a, there)), Some((b, also_there))) = (first(&one), first(&other))
                        && a > b
                        && there == also_there
                        && earlier.precedes(later)
                    {
                        broken.push(format!(
                            "N2: the report {other} came after {one}, and was told first as {form}"
                        ));
                    }
                }
            }
        }
        broken
    }

    fn unsaid(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for form in FORMS {
            for (number, (_, times, _)) in self.told(form) {
                let place = usize::try_from(number).unwrap_or(usize::MAX);
                let sent = self.reports.get(place).map_or(0, |report| report.sent.len());
                if times > sent {
                    broken.push(format!(
                        "N4: the report {number} was sent {sent} times, and told {times} times as {form}"
                    ));
                }
            }
        }
        broken
    }

    fn wrong_words(&self, online: &BTreeMap<String, bool>) -> Vec<String> {
        let words = self.of_kind("deviceInfoChanged");
        let last = |device: &str| {
            let of = words.iter().rev().find(|notice| notice.device == device)?;
            of.body.pointer("/deviceInfo/status")?.as_str()
        };
        let wanted = online.iter().filter(|_| self.is_subscribed("deviceInfoChanged"));
        let wrong = wanted.filter_map(|(device, there)| {
            let expected = if *there { "ONLINE" } else { "OFFLINE" };
            let told = last(device);
            (told != Some(expected))
                .then(|| format!("N5: {device} is {expected}, and was told of as {told:?}"))
        });
        wrong.collect()
    }

    fn wrong_fleet(&self) -> Vec<String> {
        let (added, deleted) = (self.of_kind("deviceAdded"), self.of_kind("deviceDeleted"));
        let same = self.subscribed.get("deviceAdded") == self.subscribed.get("deviceDeleted");
        let mut broken = Vec::new();
        for (device, known) in &self.fleet {
            let of = |all: &[&Notice]| -> Vec<u64> {
                let of = all.iter().filter(|notice| notice.device == *device);
                of.map(|notice| notice.first).collect()
            };
            let (added, deleted) = (of(&added), of(&deleted));
            let lacks = |kind, is_told: &[u64]| is_told.is_empty() && self.is_subscribed(kind);
            if (known.added && lacks("deviceAdded", &added))
                || (known.removed && lacks("deviceDeleted", &deleted))
            {
                broken.push(format!("N6: of {device} is not told: {known:?}"));
            }
            if added.len() > 1 || deleted.len() > 1 || (!known.removal_asked && !deleted.is_empty()) {
                broken.push(format!("N4: of {device} was told too much: {known:?}"));
            }
            if same && known.added && deleted.first() < added.first() && !deleted.is_empty() {
                broken.push(format!("N6: {device} was deleted before it was added"));
            }
        }
        broken
    }

    fn wrong_answers(&self, answers: &BTreeMap<String, usize>) -> Vec<String> {
        let told = self.of_kind("commandRsp");
        let wanted = answers.iter().filter(|_| self.is_subscribed("commandRsp"));
        let wrong = wanted.filter_map(|(command, times)| {
            let of = told
                .iter()
                .filter(|notice| notice.request() == Some(command.as_str()));
            let of = of.count();
            (of != *times).then(|| format!("N7: {command} was answered {times} times, and told {of} times"))
        });
        wrong.collect()
    }
}
