//! The arguments of a registration or update: `ep`, `lt`, `b`, `lwm2m` in the query (LwM2M 1.0 §8.2.3), and
//! `Q` (LwM2M 1.1 §6.2.1).

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
    /// `Q` alone, as LwM2M 1.1 has it.
    pub(crate) queue: bool,
}

impl Arguments {
    /// Reads the query; unknown arguments are passed over. `None` if a known one is wrong.
    pub(crate) fn read(message: &Message<'_>, longest_endpoint: usize) -> Option<Self> {
        let mut arguments = Self::default();
        for value in message.values(option::URI_QUERY) {
            let argument = std::str::from_utf8(value).ok()?;
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            match name {
                "ep" => arguments.endpoint = Some(text(value, longest_endpoint)?),
                "lt" => arguments.lifetime_secs = Some(value.parse().ok()?),
                "b" => arguments.binding = Some(text(value, SHORT)?),
                "lwm2m" => arguments.version = Some(text(value, SHORT)?),
                "Q" => arguments.queue = true,
                _ => {}
            }
        }
        Some(arguments)
    }

    /// Whether the device says that it sleeps: by `Q`, or by its binding: `UQ`, `SQ`, `UQS`.
    pub(crate) fn queues(&self) -> Option<bool> {
        let bound = self.binding.as_ref().map(|binding| binding.contains('Q'));
        if self.queue { Some(true) } else { bound }
    }
}

fn text(value: &str, longest: usize) -> Option<String> {
    let fits = !value.is_empty() && value.len() <= longest && !value.contains(char::is_control);
    fits.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::{Builder, Code, Kind, Token};

    fn read(query: &[&str]) -> Option<Arguments> {
        let message = Builder::new(Kind::Con, Code::POST, 1, Token::default())
            .each(option::URI_QUERY, query)
            .done();
        Arguments::read(&Message::parse(&message).expect("a message"), 20)
    }

    #[test]
    fn who_sleeps() {
        for (query, sleeps) in [
            (&["ep=x"][..], None),
            (&["b=U"], Some(false)),
            (&["b=UQ"], Some(true)),
            (&["b=U", "Q"], Some(true)),
            (&["Q"], Some(true)),
        ] {
            assert_eq!(read(query).unwrap().queues(), sleeps, "{query:?}");
        }
    }

    #[test]
    fn what_is_wrong_and_what_is_passed_over() {
        for wrong in [
            "ep=",
            "ep",
            "ep=aaaaaaaaaaaaaaaaaaaaa",
            "ep=a\n",
            "lt=",
            "lt=-1",
            "lt=4294967296",
            "b=",
        ] {
            assert_eq!(read(&[wrong]), None, "{wrong}");
        }
        assert_eq!(read(&["sms=1", "=", "", "x=y=z"]), Some(Arguments::default()));
        assert_eq!(read(&["ep=a=b"]).unwrap().endpoint.as_deref(), Some("a=b"));
    }
}
