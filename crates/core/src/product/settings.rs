//! What an operator says of a product besides its profile.

use crate::command::ResponseRule;
use crate::time::Span;

/// Seconds that a result may be awaited at the most: 7 days.
pub const MAX_RESPONSE_WAIT_SECS: u32 = 7 * 24 * 3600;
/// Seconds of an eDRX cycle at the most (3GPP TS 24.008: 10485.76 s).
pub const MAX_CYCLE_SECS: u32 = 10_486;

/// What becomes of a command whose parameters do not fit the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CheckParas {
    /// They are not looked at.
    Off,
    /// It is created; counted, and said in its first event.
    #[default]
    Warn,
    /// It is refused by the name of the parameter.
    Reject,
}

/// How devices of a product sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkMode {
    /// Reachable only after they spoke (power saving mode).
    Psm,
    /// Reachable at any time.
    Drx,
    /// Reachable once in each cycle; the network keeps what comes meanwhile.
    Edrx {
        /// Length of the cycle, 1 to [`MAX_CYCLE_SECS`].
        cycle_secs: u32,
    },
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProductSettings {
    /// Whether parameters of commands are checked.
    pub check_paras: CheckParas,
    /// How its devices sleep; none: as the listener they come by has it.
    pub work_mode: Option<WorkMode>,
    /// How long a result is awaited, in seconds, 1 to [`MAX_RESPONSE_WAIT_SECS`]; none: as its work mode or the server has it.
    pub response_wait_secs: Option<u32>,
    /// Its devices may only connect securely.
    pub secure: bool,
}

impl ProductSettings {
    /// Whether, and for how long, a result is awaited of a command that is `answered` or not. `default`: where the product
    /// does not say how long.
    pub fn response_rule(&self, answered: bool, default: Span) -> ResponseRule {
        if !answered {
            return ResponseRule::None;
        }
        ResponseRule::Expected {
            within: self.response_wait_secs.map_or(default, Span::from_secs),
        }
    }
}

impl WorkMode {
    /// How long a result of a device that sleeps like this is awaited; none: the mode does not say.
    pub const fn response_wait(self) -> Option<Span> {
        match self {
            // The device hears of it within two cycles; 120 s for the rest, as the platform has it.
            Self::Edrx { cycle_secs } => {
                Some(Span::from_secs(cycle_secs.saturating_mul(2).saturating_add(120)))
            }
            Self::Psm | Self::Drx => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_says_how_long_a_result_is_awaited() {
        let default = Span::from_secs(300);
        let rule = |settings: ProductSettings| settings.response_rule(true, default);
        let within = |secs| ResponseRule::Expected {
            within: Span::from_secs(secs),
        };
        let mut settings = ProductSettings::default();
        assert_eq!(rule(settings), within(300));
        settings.response_wait_secs = Some(7);
        assert_eq!(rule(settings), within(7));
        assert_eq!(settings.response_rule(false, default), ResponseRule::None);
    }

    #[test]
    fn a_device_with_long_cycles_has_longer() {
        let waits =
            [WorkMode::Psm, WorkMode::Drx, WorkMode::Edrx { cycle_secs: 40 }].map(WorkMode::response_wait);
        assert_eq!(waits, [None, None, Some(Span::from_secs(200))]);
    }
}
