//! The bound on the instructions of a cycle: where it stands, and what to do when it does not fit any more.

use std::path::Path;

use anyhow::{Context, bail};

/// So far below the bound, in percent, it does not guard anything any more.
const LOOSE: u64 = 15;

/// What stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    bound: u64,
    room_percent: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Over,
    Within,
    Loose,
}

impl Bound {
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse()?;
        let number = |key: &str| {
            let number = table.get(key).and_then(toml::Value::as_integer);
            let number = number.and_then(|number| u64::try_from(number).ok());
            number.with_context(|| format!("`{key}` has to be a number"))
        };
        Ok(Self {
            bound: number("bound")?,
            room_percent: number("room_percent")?,
        })
    }

    /// Says how it stands; an error if it is too much.
    pub(super) fn check(self, measured: u64) -> anyhow::Result<()> {
        let Self { bound, room_percent } = self;
        match self.verdict(measured) {
            Verdict::Within => println!(
                "a cycle costs {measured} instructions; the bound is {bound}, with its room of {room_percent} % {}",
                self.most()
            ),
            Verdict::Loose => println!(
                "notice: a cycle costs {measured} instructions, far less than the bound of {bound}: please lower it: {}",
                how(measured, room_percent)
            ),
            Verdict::Over => bail!(
                "a cycle costs the server {measured} instructions; the bound is {bound}, with its room of {room_percent} % {}.\n\
                 Find what has grown: callgrind_annotate with the profile beside the data directory, now and before the \
                 change.\nIf it is worth that: {}",
                self.most(),
                how(measured, room_percent)
            ),
        }
        Ok(())
    }

    fn verdict(self, measured: u64) -> Verdict {
        if measured > self.most() {
            Verdict::Over
        } else if measured * 100 < self.bound * (100 - LOOSE) {
            Verdict::Loose
        } else {
            Verdict::Within
        }
    }

    fn most(self) -> u64 {
        self.bound * (100 + self.room_percent) / 100
    }
}

/// How to set it anew.
fn how(measured: u64, room: u64) -> String {
    format!(
        "set `bound = {measured}` in instructions.toml, and say why in CHANGELOG.md, above the other such lines:\n\
         - instructions per cycle: {measured} + {room} %: THE REASON"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound {
        bound: 1000,
        room_percent: 10,
    };

    #[test]
    fn more_than_the_room_fails_and_much_less_is_noticed() {
        let verdicts = [849, 850, 1100, 1101].map(|measured| BOUND.verdict(measured));
        assert_eq!(
            verdicts,
            [Verdict::Loose, Verdict::Within, Verdict::Within, Verdict::Over]
        );
        assert!(BOUND.check(849).is_ok());
        let error = BOUND.check(1101).unwrap_err().to_string();
        assert!(error.contains("1101") && error.contains("1000"), "{error}");
    }

    #[test]
    fn the_file_that_is_shipped_is_read_and_one_without_a_number_is_not() {
        Bound::parse(include_str!("../../instructions.toml")).unwrap();
        assert_eq!(Bound::parse("bound = 1_000\nroom_percent = 10").unwrap(), BOUND);
        assert!(Bound::parse("bound = -1\nroom_percent = 10").is_err());
        assert!(Bound::parse("bound = 1000").is_err());
    }
}
