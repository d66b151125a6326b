//! Numbers between bytes and JSON: scaled, named, kept within bounds.

use super::definition::Kind;

/// How a field's number is written in JSON.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Form {
    /// The lowest value an application may give.
    pub(super) min: Option<f64>,
    /// The highest.
    pub(super) max: Option<f64>,
    /// JSON number = number in the bytes × factor + shift.
    pub(super) scale: Option<Scale>,
    /// Words that stand for numbers.
    pub(super) names: Vec<(i128, String)>,
}

/// A linear scale, and how many decimals its numbers have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    factor: f64,
    shift: f64,
    decimals: usize,
}

impl Scale {
    /// None if the factor is 0: nothing could be sent.
    pub(super) fn new(factor: f64, shift: f64) -> Option<Self> {
        let decimals = decimals(factor).max(decimals(shift));
        (factor != 0.0).then_some(Self {
            factor,
            shift,
            decimals,
        })
    }

    /// 0.1 × 214 is 21.400000000000002 to a computer; people meant 21.4.
    fn text(self, raw: f64) -> String {
        let text = format!("{:.*}", self.decimals, raw * self.factor + self.shift);
        let short = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => &text,
        };
        if short == "-0" {
            "0".to_owned()
        } else {
            short.to_owned()
        }
    }

    fn raw(self, value: f64) -> f64 {
        (value - self.shift) / self.factor
    }
}

fn decimals(number: f64) -> usize {
    let text = number.to_string();
    text.split_once('.')
        .map_or(0, |(_, decimals)| decimals.len().min(17))
}

/// A number of a JSON value; texts that are numbers count, as applications write both.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Given {
    Whole(i128),
    Real(f64),
}

impl Given {
    fn of(json: &str) -> Option<Self> {
        let text = match json.as_bytes().first()? {
            b'"' => serde_json::from_str::<String>(json).ok()?,
            b'-' | b'0'..=b'9' => json.to_owned(),
            _ => return None,
        };
        if let Ok(whole) = text.parse::<i64>() {
            return Some(Self::Whole(whole.into()));
        }
        if let Ok(whole) = text.parse::<u64>() {
            return Some(Self::Whole(whole.into()));
        }
        // "inf" and "nan" are numbers to the parser, and none in JSON.
        let real = text.parse::<f64>().ok().filter(|real| real.is_finite());
        real.map(Self::Real)
    }

    const fn real(self) -> f64 {
        match self {
            Self::Whole(whole) => whole as f64,
            Self::Real(real) => real,
        }
    }
}

impl Form {
    /// The whole number to send for a JSON value, or why there is none.
    pub(super) fn whole(&self, kind: Kind, json: &str) -> Result<i128, String> {
        if !self.names.is_empty() {
            return self.named(json);
        }
        let given = Given::of(json).ok_or_else(|| format!("must be a number, not {}", shown(json)))?;
        self.within(given.real(), json)?;
        let raw = match (self.scale, given) {
            (None, Given::Whole(whole)) => whole,
            (None, Given::Real(real)) if real.fract() == 0.0 => real as i128,
            (None, Given::Real(_)) => return Err(format!("must be a whole number, not {}", shown(json))),
            (Some(scale), given) => scale.raw(given.real()).round() as i128,
        };
        fits(kind, raw).map_err(|bounds| format!("{} does not fit: {bounds}", shown(json)))
    }

    /// The number to send for a JSON value, or why there is none.
    pub(super) fn real(&self, json: &str) -> Result<f64, String> {
        let given = Given::of(json).ok_or_else(|| format!("must be a number, not {}", shown(json)))?;
        self.within(given.real(), json)?;
        Ok(self.scale.map_or(given.real(), |scale| scale.raw(given.real())))
    }

    fn named(&self, json: &str) -> Result<i128, String> {
        let word = serde_json::from_str::<String>(json).unwrap_or_default();
        let found = self.names.iter().find(|(_, name)| *name == word);
        found.map(|(number, _)| *number).ok_or_else(|| {
            let names: Vec<_> = self.names.iter().map(|(_, name)| name.as_str()).collect();
            format!("must be one of {}, not {}", names.join(", "), shown(json))
        })
    }

    fn within(&self, given: f64, json: &str) -> Result<(), String> {
        if let Some(min) = self.min.filter(|min| given < *min) {
            return Err(format!("{} is below the minimum {min}", shown(json)));
        }
        if let Some(max) = self.max.filter(|max| given > *max) {
            return Err(format!("{} is above the maximum {max}", shown(json)));
        }
        Ok(())
    }

    /// A whole number of the device as JSON. One that has no name stays a number.
    pub(super) fn whole_text(&self, raw: i128) -> String {
        if let Some((_, name)) = self.names.iter().find(|(number, _)| *number == raw) {
            return serde_json::Value::from(name.as_str()).to_string();
        }
        self.scale
            .map_or_else(|| raw.to_string(), |scale| scale.text(raw as f64))
    }

    /// A number of the device as JSON; what is no number there (NaN, infinities) is null.
    pub(super) fn real_text(&self, raw: f64) -> String {
        match self.scale {
            Some(scale) if raw.is_finite() => scale.text(raw),
            Some(_) | None => serde_json::Number::from_f64(raw).map_or("null".to_owned(), |n| n.to_string()),
        }
    }

    /// A number of four bytes as JSON, with no more digits than it has.
    pub(super) fn float_text(&self, raw: f32) -> String {
        match self.scale {
            None if raw.is_finite() => serde_json::to_string(&raw).unwrap_or_else(|_| "null".to_owned()),
            Some(_) | None => self.real_text(raw.into()),
        }
    }
}

/// A value in a complaint: whole if it is short.
pub(super) fn shown(json: &str) -> String {
    match json.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", &json[..end]),
        None => json.to_owned(),
    }
}

/// The number, if it fits the bytes; else what would.
pub(super) fn fits(kind: Kind, number: i128) -> Result<i128, String> {
    match kind.bounds() {
        Some((low, high)) if (low..=high).contains(&number) => Ok(number),
        Some((low, high)) => Err(format!("the field takes {low} to {high}")),
        None => Err("the field takes no whole number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTE: Kind = Kind::Integer {
        bytes: 1,
        signed: false,
    };

    #[test]
    fn scaled_numbers_have_the_decimals_of_the_scale() {
        let form = |factor, shift| Form {
            scale: Scale::new(factor, shift),
            ..Form::default()
        };
        assert_eq!(form(0.1, 0.0).whole_text(214), "21.4");
        assert_eq!(form(0.1, 0.0).whole_text(210), "21");
        assert_eq!(form(0.5, -40.0).whole_text(81), "0.5");
        assert_eq!(form(0.1, 0.0).whole_text(0), "0");
        assert_eq!(form(-0.1, 0.0).whole_text(0), "0");
        assert_eq!(form(100.0, 0.0).whole_text(7), "700");
        assert_eq!(form(0.1, 0.0).whole(BYTE, "21.4"), Ok(214));
        assert_eq!(form(0.5, -40.0).whole(BYTE, r#""0.5""#), Ok(81));
        assert!(form(0.1, 0.0).whole(BYTE, "25.6").is_err());
    }

    #[test]
    fn numbers_come_as_numbers_or_texts_and_have_to_fit() {
        let form = Form::default();
        assert_eq!(form.whole(BYTE, "255"), Ok(255));
        assert_eq!(form.whole(BYTE, r#""7""#), Ok(7));
        assert_eq!(form.whole(BYTE, "7.0"), Ok(7));
        let wrong = |json: &str| form.whole(BYTE, json).unwrap_err();
        assert_eq!(wrong("256"), "256 does not fit: the field takes 0 to 255");
        assert_eq!(wrong("1.5"), "must be a whole number, not 1.5");
        assert_eq!(wrong("true"), "must be a number, not true");
        assert_eq!(wrong(r#""nan""#), r#"must be a number, not "nan""#);
        assert!(form.whole(BYTE, "1e300").is_err() && form.whole(BYTE, "-1").is_err());
    }

    #[test]
    fn what_json_cannot_say_is_null() {
        let form = Form::default();
        assert_eq!(form.real_text(f64::NAN), "null");
        assert_eq!(form.float_text(f32::INFINITY), "null");
        assert_eq!(form.float_text(21.3), "21.3");
    }
}
