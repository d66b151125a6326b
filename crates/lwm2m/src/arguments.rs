//! The arguments of a registration or update: `ep`, `lt`, `b`, `lwm2m` in the query (LwM2M 1.0 §8.2.3).

use crate::coap::{Message, option};

/// Longer values of `b` and `lwm2m` are no such values.
const SHORT: usize = 8;

/// What the query said; `None` for what it did not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) endpoint: Option<String>,
    pub(crate) lifetime_secs: Option<u32>,
    pub(crate) binding: Option<String>,
    pub(crate) version: Option<String>,
}

impl Arguments {
    /// Reads the query; unknown arguments are passed over. `None` if a known one is wrong.
    pub(crate) fn read(message: &Message<'_>, longest_endpoint: usize) -> Option<Self> {
        let mut arguments = Self::default();
        for value in message.values(option::URI_QUERY) {
            let (name, value) = std::str::from_utf8(value)
                .ok()?
                .split_once('=')
                .unwrap_or_default();
            match name {
                "ep" => arguments.endpoint = Some(text(value, longest_endpoint)?),
                "lt" => arguments.lifetime_secs = Some(value.parse().ok()?),
                "b" => arguments.binding = Some(text(value, SHORT)?),
                "lwm2m" => arguments.version = Some(text(value, SHORT)?),
                _ => {}
            }
        }
        Some(arguments)
    }

    /// Whether the binding says that the device sleeps: `UQ`, `SQ`, `UQS`.
    pub(crate) fn queues(&self) -> Option<bool> {
        self.binding.as_ref().map(|binding| binding.contains('Q'))
    }
}

fn text(value: &str, longest: usize) -> Option<String> {
    let fits = !value.is_empty() && value.len() <= longest && !value.contains(char::is_control);
    fits.then(|| value.to_owned())
}
