//! Whether a command fits the profile of its device's product.
//!
//! The profile is the application's word for what its devices take. No page of the platform says that it enforced types
//! and ranges for commands, so whoever asks decides what to do with an [`Unfit::Para`].

use std::borrow::Cow;

use super::{CommandForm, DataType, Decimal, Para, Profile};

/// Characters that an error shows of a name that the profile does not know.
const NAME_SHOWN: usize = 64;

/// A value as an application gave it, as far as the check has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`: as if it was not given.
    Null,
    /// True or false.
    Bool(bool),
    /// A number as JSON writes it.
    Number(&'a str),
    /// A text.
    Text(Cow<'a, str>),
    /// A list; what is no text in it is none.
    List(Vec<Option<Cow<'a, str>>>),
    /// An object, of so many characters of JSON.
    Object {
        /// How many.
        chars: usize,
    },
}

/// A parameter as it was given: its name and its value.
pub type Given<'a> = (Cow<'a, str>, Value<'a>);

/// Why a command does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The product has no such service.
    #[error("the product has no such service")]
    Service,
    /// The service has no such command.
    #[error("the service has no such command")]
    Command,
    /// A parameter.
    #[error("{name} {rule}")]
    Para {
        /// Which one.
        name: String,
        /// The rule that it breaks.
        rule: Rule,
    },
}

/// The rule that a parameter breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rule {
    /// It is required and not there.
    #[error("must be given")]
    Required,
    /// The command has no such parameter.
    #[error("is no parameter of this command")]
    Declared,
    /// It is of another type.
    #[error("must be {}", .0.described())]
    Type(DataType),
    /// It is below.
    #[error("must be at least {0}")]
    Min(Decimal),
    /// It is above.
    #[error("must be at most {0}")]
    Max(Decimal),
    /// It is between two steps.
    #[error("must go in steps of {0}")]
    Step(Decimal),
    /// It is longer.
    #[error("must have at most {0} characters")]
    MaxLength(u32),
    /// It is none of those listed.
    #[error("must be one of those that the product lists")]
    Listed,
}

impl Profile {
    /// Whether the command `method` of `service` with these parameters fits. Gives how the profile declares it.
    ///
    /// # Errors
    /// What does not fit: of several parameters the first in the order of the profile, then the first that it does not know.
    pub fn check(&self, service: &str, method: &str, given: &[Given<'_>]) -> Result<&CommandForm, Unfit> {
        let form = self.command(service, method)?;
        form.check(given).map(|()| form)
    }
}

impl CommandForm {
    /// Whether these parameters fit.
    ///
    /// # Errors
    /// See [`Profile::check`].
    pub fn check(&self, given: &[Given<'_>]) -> Result<(), Unfit> {
        // Applications must give something even where there is nothing to give, and have made it up.
        if self.paras.is_empty() {
            return Ok(());
        }
        let unfit = |name: &str, rule| Unfit::Para {
            name: name.to_owned(),
            rule,
        };
        for para in &self.paras {
            let value = given.iter().rev().find(|(name, _)| *name == para.name);
            para.check(value.map(|(_, value)| value))
                .map_err(|rule| unfit(&para.name, rule))?;
        }
        let declared = |name: &str| self.paras.iter().any(|para| para.name == name);
        match given.iter().find(|(name, _)| !declared(name)) {
            None => Ok(()),
            // The application's own text, of whatever length.
            Some((name, _)) => Err(unfit(
                &name.chars().take(NAME_SHOWN).collect::<String>(),
                Rule::Declared,
            )),
        }
    }
}

impl Para {
    fn check(&self, value: Option<&Value<'_>>) -> Result<(), Rule> {
        match value {
            None | Some(Value::Null) if self.required => Err(Rule::Required),
            None | Some(Value::Null) => Ok(()),
            Some(value) => self.check_value(value),
        }
    }

    fn check_value(&self, value: &Value<'_>) -> Result<(), Rule> {
        match (self.kind, value) {
            (DataType::Int | DataType::Long | DataType::Decimal, Value::Number(text)) => {
                self.check_number(text)
            }
            (DataType::String | DataType::DateTime | DataType::Enum, Value::Text(text)) => {
                self.check_length(text.chars().count())?;
                self.check_listed(text)
            }
            (DataType::JsonObject, Value::Object { chars }) => self.check_length(*chars),
            (DataType::Boolean, Value::Bool(_)) => Ok(()),
            (DataType::StringList, Value::List(items)) => self.check_list(items),
            (
                kind,
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Text(_)
                | Value::List(_)
                | Value::Object { .. },
            ) => Err(Rule::Type(kind)),
        }
    }

    fn check_list(&self, items: &[Option<Cow<'_, str>>]) -> Result<(), Rule> {
        for item in items {
            let text = item.as_ref().ok_or(Rule::Type(self.kind))?;
            self.check_length(text.chars().count())?;
            self.check_listed(text)?;
        }
        Ok(())
    }

    fn check_number(&self, text: &str) -> Result<(), Rule> {
        let Ok(number) = text.parse::<Decimal>() else {
            return self.check_unwieldy(text);
        };
        if self.kind != DataType::Decimal && !number.is_whole() {
            return Err(Rule::Type(self.kind));
        }
        if let Some(min) = self.min.filter(|min| number < *min) {
            return Err(Rule::Min(min));
        }
        if let Some(max) = self.max.filter(|max| number > *max) {
            return Err(Rule::Max(max));
        }
        let from = self.min.unwrap_or(Decimal::ZERO);
        if let Some(step) = self.step.filter(|step| !number.is_step_from(from, *step)) {
            return Err(Rule::Step(step));
        }
        match self.listed.is_empty() {
            true => Ok(()),
            false => self.check_listed_number(number),
        }
    }

    /// A number of more digits than can be compared exactly: too large for any limit, or too finely written for any step.
    fn check_unwieldy(&self, text: &str) -> Result<(), Rule> {
        if self.kind != DataType::Decimal || !self.listed.is_empty() {
            return Err(Rule::Type(self.kind));
        }
        let number: f64 = text.parse().map_err(|_| Rule::Type(self.kind))?;
        let about = |limit: &Decimal| limit.to_string().parse::<f64>().unwrap_or(0.0);
        if let Some(min) = self.min.filter(|min| number < about(min)) {
            return Err(Rule::Min(min));
        }
        if let Some(max) = self.max.filter(|max| number > about(max)) {
            return Err(Rule::Max(max));
        }
        match self.step.filter(|step| *step != Decimal::ZERO) {
            None => Ok(()),
            Some(step) => Err(Rule::Step(step)),
        }
    }

    fn check_length(&self, chars: usize) -> Result<(), Rule> {
        match self.max_length {
            Some(max) if chars > max as usize => Err(Rule::MaxLength(max)),
            Some(_) | None => Ok(()),
        }
    }

    fn check_listed(&self, text: &str) -> Result<(), Rule> {
        match self.listed.is_empty() || self.listed.iter().any(|one| one == text) {
            true => Ok(()),
            false => Err(Rule::Listed),
        }
    }

    fn check_listed_number(&self, number: Decimal) -> Result<(), Rule> {
        match self.listed.iter().any(|one| one.parse() == Ok(number)) {
            true => Ok(()),
            false => Err(Rule::Listed),
        }
    }
}

#[cfg(test)]
mod tests;
