//! The rules of stored pushes hold whatever happens: order, sums, and that each change is in one place or over.

use std::collections::{BTreeSet, HashSet};

use downlink_core::lifecycle::Input;
use downlink_core::{CommandId, Span, Timestamp};
use downlink_store::{
    Fate, NotifyType, OrderKey, PushFilter, PushId, PushState, StoredPush, Subscription, Told,
};

use super::Stores;
use super::push_ends::{LIMITS, of_command};
use super::stored_pushes::ORIGIN;
use super::support::*;

/// A random life.
struct Life {
    world: World,
    dice: Dice,
    ids: Vec<CommandId>,
    flying: Vec<PushId>,
    /// Changes that were accepted or dropped.
    over: HashSet<(CommandId, u32)>,
}

/// Random life, the rules looked at after each step.
pub(crate) async fn the_rules_hold_whatever_happens(stores: Stores) {
    let mut life = Life {
        world: World::new(stores.open()).await,
        dice: Dice::new(),
        ids: Vec::new(),
        flying: Vec::new(),
        over: HashSet::new(),
    };
    life.subscribe().await;
    for step in 0..400u32 {
        life.step(step).await;
        life.check().await;
    }
}

impl Life {
    /// Notices of pushes that were given up live among the others, and by the same rules.
    async fn subscribe(&self) {
        let words = Subscription {
            id: "words".into(),
            app: self.world.app.key,
            notify_type: NotifyType::PushGivenUp,
            callback: format!("{ORIGIN}/words").into(),
            origin: ORIGIN.into(),
            channel: "HTTP".into(),
            created_at: at(0),
        };
        self.world.store.subscribe(words).await.unwrap().unwrap();
    }

    async fn step(&mut self, step: u32) {
        let now = at(step + 5);
        if self.ids.is_empty() || self.dice.roll(16) == 0 {
            self.ids.push(self.world.delivered(&format!("{step}")).await);
        }
        // Mostly one of the newest, so that much happens to each.
        let from = self.ids.len().saturating_sub(4);
        let id = match self.dice.roll(4) {
            0 => self.dice.pick(&self.ids),
            _ => self.dice.pick(&self.ids[from..]),
        };
        let fates = [
            Fate::Accepted,
            Fate::Again(now + Span::from_secs(3)),
            Fate::Dead("x".into()),
        ];
        match self.dice.roll(10) {
            0 | 1 => {
                let fate = self
                    .dice
                    .pick(&[None, Some(fates[1].clone()), Some(fates[2].clone())]);
                let accepted = self.dice.roll(4) as u16;
                self.tell(id, accepted).await;
                self.world.divert(id, accepted, fate, now).await;
            }
            2 => drop(self.world.apply(change(id, ok_reply(), now)).await),
            3 => drop(self.world.apply(change(id, Input::Cancel("x".into()), now)).await),
            4 => {
                self.world.store.replay(of_command(id), now, 9).await.unwrap();
            }
            5 if self.dice.roll(3) == 0 => {
                let gone = self.world.stored(of_command(id)).await;
                self.over.extend(gone.iter().map(|push| (id, push.seq)));
                self.world
                    .store
                    .drop_pushes(of_command(id), now, 9)
                    .await
                    .unwrap();
            }
            6 => self.world.hold(self.dice.roll(3) == 0, now).await,
            7 => drop(self.world.store.give_up_old(LIMITS, now, 2).await.unwrap()),
            8 => {
                let seq = 2 + self.dice.roll(3) as u16;
                if self.tell(id, seq).await {
                    let told = vec![Told { command: id, seq }];
                    self.world.store.told(told).await.unwrap();
                }
            }
            _ => self.attempt(&fates, now).await,
        }
    }

    /// What a command has still to tell by itself is accepted up to there. Says whether it had anything.
    async fn tell(&mut self, id: CommandId, upto: u16) -> bool {
        let Some(duty) = self.world.store.load_push(id).await.unwrap() else {
            return false;
        };
        let accepted = duty.events.iter().filter(|event| event.seq <= upto);
        self.over.extend(accepted.map(|event| (id, u32::from(event.seq))));
        true
    }

    /// Reads what is ready, and ends one of the attempts that are under way.
    async fn attempt(&mut self, fates: &[Fate], now: Timestamp) {
        for receiver in self.world.store.receivers(None, true, 9).await.unwrap() {
            let ready = self.world.ready(receiver.key, now).await;
            self.flying.extend(ready.pushes.iter().map(|push| push.id));
        }
        if self.flying.is_empty() {
            return;
        }
        let id = self.flying.swap_remove(self.dice.roll(self.flying.len()));
        let fate = self.dice.pick(fates);
        let one = PushFilter {
            id: Some(id),
            ..PushFilter::default()
        };
        let stored = self.world.stored(one).await;
        if let (Fate::Accepted, [push]) = (&fate, stored.as_slice())
            && !push.behind
            && let Some(command) = push.key.command()
        {
            self.over.insert((command, push.seq));
        }
        self.world.settle(id, fate, now).await;
    }

    async fn check(&self) {
        let stored = self.world.stored(PushFilter::default()).await;
        self.check_sums(&stored).await;
        check_ready(&stored);
        for id in &self.ids {
            let key = OrderKey::of_command(*id);
            let mut mine: Vec<_> = stored.iter().filter(|push| push.key == key).collect();
            mine.sort_unstable_by_key(|push| push.seq);
            self.check_command(*id, &mine).await;
        }
    }

    async fn check_sums(&self, stored: &[StoredPush]) {
        for receiver in self.world.store.receivers(None, false, 99).await.unwrap() {
            let mine = || stored.iter().filter(|push| push.receiver == receiver.key);
            let waiting = mine().filter(|push| push.state != PushState::Dead).count() as u64;
            let dead = mine().count() as u64 - waiting;
            assert_eq!((receiver.waiting, receiver.dead), (waiting, dead), "the sums");
        }
    }

    async fn check_command(&self, id: CommandId, stored: &[&StoredPush]) {
        let waiting = || stored.iter().filter(|push| push.state != PushState::Dead);
        for (n, push) in waiting().enumerate() {
            assert_eq!(push.behind, n > 0, "only the lowest is ready: {stored:?}");
        }
        let duty = self.world.store.load_push(id).await.unwrap();
        assert!(
            waiting().count() == 0 || duty.is_none(),
            "told from two places: {stored:?} {duty:?}"
        );
        let events = self.world.record(id).await.events.len() as u32;
        let last = waiting().next_back().map_or(events, |push| push.seq);
        assert_eq!(last, events, "not all that follows has joined");
        let owed = duty.map_or_else(BTreeSet::new, |duty| {
            duty.events.iter().map(|event| u32::from(event.seq)).collect()
        });
        for seq in 2..=events {
            let (is_owed, is_over) = (owed.contains(&seq), self.over.contains(&(id, seq)));
            let is_stored = stored.iter().any(|push| push.seq == seq);
            assert!(
                is_owed || is_stored || is_over,
                "change {seq} of {events} is lost: {stored:?} {owed:?}"
            );
            assert!(
                !is_owed || !is_stored && !is_over,
                "change {seq} is owed again: {stored:?} {owed:?}"
            );
        }
    }
}

/// Of each order, the first one that waits is ready, and no other.
fn check_ready(stored: &[StoredPush]) {
    let waits = |push: &&StoredPush| push.state != PushState::Dead;
    let keys: HashSet<_> = stored.iter().filter(waits).map(|push| push.key).collect();
    for key in keys {
        let ready = |push: &&StoredPush| push.key == key && waits(push) && !push.behind;
        assert_eq!(stored.iter().filter(ready).count(), 1, "one is ready");
    }
}
