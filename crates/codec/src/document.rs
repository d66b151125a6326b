//! Reads a definition member by member, and knows where it is: every complaint names the path.

use serde_json::{Map, Value};

use crate::error::DefinitionError;

/// A value of the document and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    value: &'a Value,
    path: String,
}

/// Parses JSON (text that begins with `{`) or TOML.
pub(crate) fn parse(text: &str) -> Result<Value, DefinitionError> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| DefinitionError::Syntax {
            line: Some(error.line()),
            reason: error.to_string(),
        });
    }
    toml::from_str(text).map_err(|error| DefinitionError::Syntax {
        line: error.span().map(|span| line_of(text, span.start)),
        reason: error.message().to_owned(),
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

impl<'a> Node<'a> {
    pub(crate) const fn root(value: &'a Value) -> Self {
        Self {
            value,
            path: String::new(),
        }
    }

    /// A complaint about this value.
    pub(crate) fn rule(&self, rule: impl Into<String>) -> DefinitionError {
        let path = if self.path.is_empty() {
            "the document".to_owned()
        } else {
            self.path.clone()
        };
        DefinitionError::Rule {
            path,
            rule: rule.into(),
        }
    }

    /// A complaint about a member of this value, which need not be there.
    pub(crate) fn rule_at(&self, member: &str, rule: impl Into<String>) -> DefinitionError {
        let path = self.path_of(member);
        DefinitionError::Rule {
            path,
            rule: rule.into(),
        }
    }

    fn path_of(&self, member: &str) -> String {
        if self.path.is_empty() {
            member.to_owned()
        } else {
            format!("{}.{member}", self.path)
        }
    }

    fn object(&self) -> Result<&'a Map<String, Value>, DefinitionError> {
        self.value
            .as_object()
            .ok_or_else(|| self.rule("must be an object (a table)"))
    }

    /// Refuses members that nobody reads: most often they are misspelt.
    pub(crate) fn only(&self, members: &[&str]) -> Result<(), DefinitionError> {
        match self.object()?.keys().find(|key| !members.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(self.rule_at(
                key,
                format!("is not known here; known are {}", members.join(", ")),
            )),
        }
    }

    /// The member, unless it is absent or null.
    pub(crate) fn member(&self, name: &str) -> Result<Option<Self>, DefinitionError> {
        let value = self.object()?.get(name).filter(|value| !value.is_null());
        Ok(value.map(|value| Self {
            value,
            path: self.path_of(name),
        }))
    }

    fn needed(&self, name: &str) -> Result<Self, DefinitionError> {
        self.member(name)?.ok_or_else(|| self.rule_at(name, "is missing"))
    }

    /// The text of a member.
    pub(crate) fn text_of(&self, name: &str) -> Result<Option<String>, DefinitionError> {
        self.member(name)?.map(|node| node.text()).transpose()
    }

    /// The text of a member that has to be there, and not empty.
    pub(crate) fn needed_text(&self, name: &str) -> Result<String, DefinitionError> {
        self.needed(name)?.text()
    }

    fn text(&self) -> Result<String, DefinitionError> {
        let text = self.value.as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned)
            .ok_or_else(|| self.rule("must be a text, and not empty"))
    }

    /// The whole number of a member.
    pub(crate) fn integer_of(&self, name: &str) -> Result<Option<i128>, DefinitionError> {
        let Some(node) = self.member(name)? else {
            return Ok(None);
        };
        let number = node.value.as_i64().map(i128::from);
        let number = number.or_else(|| node.value.as_u64().map(i128::from));
        number
            .map(Some)
            .ok_or_else(|| node.rule("must be a whole number"))
    }

    /// The number of a member.
    pub(crate) fn number_of(&self, name: &str) -> Result<Option<f64>, DefinitionError> {
        let Some(node) = self.member(name)? else {
            return Ok(None);
        };
        let number = node.value.as_f64().filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| node.rule("must be a number"))
    }

    /// The number of a member that counts bytes, at most `most`.
    pub(crate) fn count_of(&self, name: &str, most: usize) -> Result<Option<usize>, DefinitionError> {
        let Some(number) = self.integer_of(name)? else {
            return Ok(None);
        };
        let count = usize::try_from(number).ok().filter(|count| *count <= most);
        count
            .map(Some)
            .ok_or_else(|| self.rule_at(name, format!("must be from 0 to {most}")))
    }

    /// The members of an object, in the order of their names.
    pub(crate) fn members(&self) -> Result<Vec<(String, Self)>, DefinitionError> {
        let members = self.object()?.iter();
        Ok(members
            .map(|(name, value)| {
                let path = self.path_of(name);
                (name.clone(), Self { value, path })
            })
            .collect())
    }

    /// The entries of a list that has to be there, with 1 to `most` of them.
    pub(crate) fn list_of(&self, name: &str, most: usize) -> Result<Vec<Self>, DefinitionError> {
        let node = self.needed(name)?;
        let Some(list) = node.value.as_array() else {
            return Err(node.rule("must be a list"));
        };
        if list.is_empty() || list.len() > most {
            return Err(node.rule(format!("must have 1 to {most} entries")));
        }
        let entries = list.iter().enumerate().map(|(i, value)| Self {
            value,
            path: format!("{}[{i}]", node.path),
        });
        Ok(entries.collect())
    }

    /// The value itself.
    pub(crate) const fn value(&self) -> &'a Value {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_document_is_refused_with_its_line() {
        let line = |text| match parse(text) {
            Err(DefinitionError::Syntax { line, .. }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(line("{\n\"kind\": \"binary\",,\n}"), Some(2));
        assert_eq!(line("kind = \"binary\"\nmessages = [\n{ id = }\n]"), Some(3));
    }

    #[test]
    fn complaints_name_the_path() {
        let value = parse("[[messages]]\nid = 1\n[[messages]]\nid = \"x\"").unwrap();
        let root = Node::root(&value);
        let second = &root.list_of("messages", 5).unwrap()[1];
        let error = second.integer_of("id").unwrap_err();
        assert_eq!(error.to_string(), "messages[1].id: must be a whole number");
        let error = root.only(&["kind"]).unwrap_err();
        assert_eq!(error.to_string(), "messages: is not known here; known are kind");
        assert!(root.list_of("messages", 1).is_err() && root.needed_text("kind").is_err());
    }
}
