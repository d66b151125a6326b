//! JSON text, written and read member by member: members keep their order, values their text.

use serde_json::Value;

/// An object in the making.
#[derive(Debug, Default)]
pub(crate) struct Object(String);

impl Object {
    /// Adds a member; `json` is the text of its value.
    pub(crate) fn put(&mut self, name: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&Value::from(name).to_string());
        self.0.push(':');
        self.0.push_str(json);
    }

    /// Adds a member that is a text.
    pub(crate) fn put_text(&mut self, name: &str, text: &str) {
        self.put(name, &Value::from(text).to_string());
    }

    /// The object.
    pub(crate) fn text(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}
