//! When an application was subscribed to a kind of notice, and when not, as far as it knows: between a call and its answer, or where
//! none came, it does not.

/// A time in which it knows.
#[derive(Debug, Clone, Copy)]
struct Window {
    subscribed: bool,
    from: u64,
    until: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Windows(Vec<Window>);

impl Windows {
    /// A call was answered: from now on it is so.
    pub(super) fn begins(&mut self, subscribed: bool, now: u64) {
        self.ends(now);
        self.0.push(Window {
            subscribed,
            from: now,
            until: None,
        });
    }

    /// It calls to have that changed.
    pub(super) fn ends(&mut self, now: u64) {
        if let Some(last) = self.0.last_mut() {
            last.until.get_or_insert(now);
        }
    }

    /// Whether it was so all the time, for sure.
    pub(super) fn was(&self, subscribed: bool, from: u64, until: u64) -> bool {
        let mut windows = self.0.iter();
        windows.any(|one| {
            one.subscribed == subscribed && one.from <= from && one.until.is_none_or(|end| end >= until)
        })
    }
}
