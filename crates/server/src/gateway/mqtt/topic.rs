//! The two families of topics: which filter asks for commands, which topic brings a result, what is foreign.
//!
//! Pure text. A session has its own topics only: those under the name it logged in with, or under its device id.

use downlink_core::{CommandId, TopicFamily};

/// By which names a session's topics may call its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    device: Box<str>,
    /// Its node id, if it logged in by that.
    node: Option<Box<str>>,
}

/// One of [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    Device,
    Node,
}

/// A topic on which commands can be sent to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) family: TopicFamily,
    pub(super) called: Called,
}

/// What a topic that a device publishes to is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Uplink {
    /// Reports and results of the legacy family, as JSON.
    LegacyData,
    /// The result of the command with this id; none: the id is not one of ours.
    OcResult(Option<CommandId>),
    /// A report of properties of the `$oc` family.
    OcProperties,
    /// Properties of devices that are connected by this one.
    OcChildren,
    /// Events of the `$oc` family.
    OcEvents,
    /// The device's own, of this family, and nothing that is read here.
    Other(TopicFamily),
    /// Not the device's.
    Foreign,
}

impl Uplink {
    /// The family that the device shows to speak by it.
    pub(super) const fn family(self) -> Option<TopicFamily> {
        match self {
            Self::LegacyData => Some(TopicFamily::Legacy),
            Self::OcResult(_) | Self::OcProperties | Self::OcChildren | Self::OcEvents => {
                Some(TopicFamily::Oc)
            }
            Self::Other(family) => Some(family),
            Self::Foreign => None,
        }
    }
}

/// What a subscription filter is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// Not of MQTT's syntax.
    Invalid,
    /// A shared subscription.
    Shared,
    /// Matches nothing of the device's own.
    Foreign,
    /// Matches some of the device's own topics, commands not among them. The family, if it spells one.
    Own(Option<TopicFamily>),
    /// Matches the topic of commands.
    Commands {
        route: Route,
        /// The family, if the filter spells one; `#` does not.
        spelled: Option<TopicFamily>,
    },
}

impl Names {
    pub(super) fn new(device: &str, node: Option<&str>) -> Self {
        Self {
            device: device.into(),
            node: node.filter(|&node| node != device).map(Into::into),
        }
    }

    /// The routes there are to a device, the preferred ones first.
    fn routes(&self) -> impl Iterator<Item = Route> + '_ {
        let of = |called| [TopicFamily::Legacy, TopicFamily::Oc].map(|family| Route { family, called });
        let called = self.node.as_ref().map(|_| Called::Node);
        called.into_iter().chain([Called::Device]).flat_map(of)
    }

    fn of(&self, called: Called) -> &str {
        match (called, &self.node) {
            (Called::Node, Some(node)) => node,
            (Called::Node, None) | (Called::Device, _) => &self.device,
        }
    }

    /// The device's id.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// How a session calls its device if nothing says otherwise.
    pub(super) fn preferred(&self) -> Called {
        match self.node {
            Some(_) => Called::Node,
            None => Called::Device,
        }
    }

    /// The topic on which the command with this id goes out.
    pub(super) fn command_topic(&self, route: Route, command: CommandId) -> String {
        let name = self.of(route.called);
        match route.family {
            // Never `command/binary`: a device that reads bytes must not be sent JSON.
            TopicFamily::Legacy => format!("/huawei/v1/devices/{name}/command/json"),
            TopicFamily::Oc => format!("$oc/devices/{name}/sys/commands/request_id={command}"),
        }
    }

    /// What `filter` asks for.
    pub(super) fn filter(&self, filter: &str) -> Filter {
        if !valid_filter(filter) {
            return Filter::Invalid;
        }
        if filter.starts_with("$share/") {
            return Filter::Shared;
        }
        // Any id will do for a filter that is meant for all commands.
        let any = CommandId::from_parts(0, 0, 0, 0);
        let asked = self
            .routes()
            .find(|&route| matches(filter, &self.command_topic(route, any)));
        if let Some(route) = asked {
            let spelled = spelled_family(filter);
            return Filter::Commands { route, spelled };
        }
        let own = |called| {
            [TopicFamily::Legacy, TopicFamily::Oc]
                .into_iter()
                .any(|family| overlaps(filter, &self.prefix(family, called)))
        };
        match own(Called::Device) || own(Called::Node) {
            true => Filter::Own(spelled_family(filter)),
            false => Filter::Foreign,
        }
    }

    fn prefix(&self, family: TopicFamily, called: Called) -> String {
        let name = self.of(called);
        match family {
            TopicFamily::Legacy => format!("/huawei/v1/devices/{name}/"),
            TopicFamily::Oc => format!("$oc/devices/{name}/"),
        }
    }

    /// What a message on `topic` is; parameters after a `?` (`?encoding=gzip`) are no part of a topic.
    pub(super) fn uplink(&self, topic: &str) -> Uplink {
        let topic = topic.split_once('?').map_or(topic, |(topic, _)| topic);
        let (family, rest) = match topic.strip_prefix("/huawei/v1/devices/") {
            Some(rest) => (TopicFamily::Legacy, rest),
            None => match topic.strip_prefix("$oc/devices/") {
                Some(rest) => (TopicFamily::Oc, rest),
                None => return Uplink::Foreign,
            },
        };
        match rest.split_once('/') {
            Some((name, rest)) if name == &*self.device || Some(name) == self.node.as_deref() => {
                own_uplink(family, rest)
            }
            Some(_) | None => Uplink::Foreign,
        }
    }
}

fn own_uplink(family: TopicFamily, rest: &str) -> Uplink {
    match (family, rest) {
        (TopicFamily::Legacy, "data/json") => Uplink::LegacyData,
        (TopicFamily::Legacy, _) => Uplink::Other(family),
        (TopicFamily::Oc, "sys/properties/report") => Uplink::OcProperties,
        (TopicFamily::Oc, "sys/gateway/sub_devices/properties/report") => Uplink::OcChildren,
        (TopicFamily::Oc, "sys/events/up") => Uplink::OcEvents,
        (TopicFamily::Oc, rest) => match rest.strip_prefix("sys/commands/response/request_id=") {
            Some(id) => Uplink::OcResult(id.parse().ok()),
            None => Uplink::Other(family),
        },
    }
}

fn spelled_family(filter: &str) -> Option<TopicFamily> {
    if filter.starts_with("/huawei/") {
        Some(TopicFamily::Legacy)
    } else if filter.starts_with("$oc/") {
        Some(TopicFamily::Oc)
    } else {
        None
    }
}

/// Whether wildcards stand alone in their levels, `#` only in the last (MQTT 4.7.1).
fn valid_filter(filter: &str) -> bool {
    let levels = filter.split('/').count();
    let fits = |(at, level): (usize, &str)| match level {
        "+" => true,
        "#" => at + 1 == levels,
        level => !level.contains(['+', '#', '\0']),
    };
    !filter.is_empty() && filter.split('/').enumerate().all(fits)
}

/// Whether a topic matches a filter (MQTT 4.7); wildcards in the first level do not match a `$`.
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic = topic.split('/');
    for level in filter.split('/') {
        match (level, topic.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            (_, Some(_) | None) => return false,
        }
    }
    topic.next().is_none()
}

/// Whether a filter matches any topic that starts with `prefix` (whole levels, ending in `/`).
fn overlaps(filter: &str, prefix: &str) -> bool {
    if prefix.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = filter.split('/');
    for name in prefix.trim_end_matches('/').split('/') {
        match levels.next() {
            Some("#") => return true,
            Some("+") => {}
            Some(level) if level == name => {}
            Some(_) | None => return false,
        }
    }
    levels.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> CommandId {
        CommandId::from_parts(5, 6, 7, 8)
    }

    fn route(family: TopicFamily, called: Called) -> Route {
        Route { family, called }
    }

    #[test]
    fn filters_that_ask_for_commands_are_found() {
        use Called::{Device, Node};
        use TopicFamily::{Legacy, Oc};
        let names = Names::new("p_d", Some("imei"));
        let cases = [
            ("/huawei/v1/devices/p_d/command/json", route(Legacy, Device)),
            ("/huawei/v1/devices/imei/command/json", route(Legacy, Node)),
            ("/huawei/v1/devices/p_d/command/+", route(Legacy, Device)),
            ("/huawei/v1/devices/p_d/command/#", route(Legacy, Device)),
            ("/huawei/v1/devices/p_d/#", route(Legacy, Device)),
            ("/huawei/v1/devices/+/command/json", route(Legacy, Node)),
            ("#", route(Legacy, Node)),
            ("$oc/devices/p_d/sys/commands/#", route(Oc, Device)),
            ("$oc/devices/p_d/sys/commands/+", route(Oc, Device)),
            ("$oc/devices/imei/sys/#", route(Oc, Node)),
            ("$oc/#", route(Oc, Node)),
        ];
        for (filter, expected) in cases {
            match names.filter(filter) {
                Filter::Commands { route, spelled } => {
                    assert_eq!(route, expected, "{filter}");
                    assert_eq!(spelled.is_none(), filter == "#", "{filter}");
                }
                other @ (Filter::Invalid | Filter::Shared | Filter::Foreign | Filter::Own(_)) => {
                    panic!("{filter}: {other:?}")
                }
            }
        }
    }

    #[test]
    fn other_filters_are_own_or_foreign_or_wrong() {
        let names = Names::new("p_d", None);
        let cases = [
            (
                "/huawei/v1/devices/p_d/command/binary",
                Filter::Own(Some(TopicFamily::Legacy)),
            ),
            (
                "/huawei/v1/devices/p_d/iodpsCommand",
                Filter::Own(Some(TopicFamily::Legacy)),
            ),
            (
                "/huawei/v1/devices/p_d/data/json",
                Filter::Own(Some(TopicFamily::Legacy)),
            ),
            (
                "$oc/devices/p_d/sys/messages/down",
                Filter::Own(Some(TopicFamily::Oc)),
            ),
            (
                "$oc/devices/p_d/sys/commands/response/#",
                Filter::Own(Some(TopicFamily::Oc)),
            ),
            ("+/+/+/+/+/+/+/+", Filter::Own(None)),
            ("/huawei/v1/devices/other/command/json", Filter::Foreign),
            ("$oc/devices/other/sys/commands/#", Filter::Foreign),
            ("/huawei/v1/devices/p_d", Filter::Foreign),
            ("/huawei/v1/products/p/sn/n/secretNotify", Filter::Foreign),
            ("+/devices/p_d/sys/commands/#", Filter::Foreign),
            ("sensors/t", Filter::Foreign),
            ("$SYS/#", Filter::Foreign),
            ("$share/g/$oc/devices/p_d/sys/commands/#", Filter::Shared),
            ("", Filter::Invalid),
            ("$oc/devices/p_d/sys/commands/request_id=+", Filter::Invalid),
            ("a/#/b", Filter::Invalid),
            ("a#", Filter::Invalid),
            ("a\0b", Filter::Invalid),
        ];
        for (filter, expected) in cases {
            assert_eq!(names.filter(filter), expected, "{filter}");
        }
    }

    #[test]
    fn uplinks_are_told_apart() {
        let names = Names::new("p_d", Some("imei"));
        let result = format!("$oc/devices/p_d/sys/commands/response/request_id={}", id());
        let cases = [
            ("/huawei/v1/devices/p_d/data/json", Uplink::LegacyData),
            ("/huawei/v1/devices/imei/data/json", Uplink::LegacyData),
            (
                "/huawei/v1/devices/p_d/data/binary",
                Uplink::Other(TopicFamily::Legacy),
            ),
            (result.as_str(), Uplink::OcResult(Some(id()))),
            (
                "$oc/devices/p_d/sys/commands/response/request_id=42",
                Uplink::OcResult(None),
            ),
            (
                "$oc/devices/p_d/sys/properties/report?encoding=gzip",
                Uplink::OcProperties,
            ),
            (
                "$oc/devices/p_d/sys/gateway/sub_devices/properties/report",
                Uplink::OcChildren,
            ),
            ("$oc/devices/p_d/sys/events/up", Uplink::OcEvents),
            ("$oc/devices/p_d/sys/messages/up", Uplink::Other(TopicFamily::Oc)),
            ("$oc/devices/other/sys/properties/report", Uplink::Foreign),
            ("/huawei/v1/devices/other/data/json", Uplink::Foreign),
            ("/huawei/v1/devices/p_d", Uplink::Foreign),
            ("t", Uplink::Foreign),
        ];
        for (topic, expected) in cases {
            assert_eq!(names.uplink(topic), expected, "{topic}");
        }
        let zipped = format!("{result}?encoding=gzip");
        assert_eq!(names.uplink(&zipped), Uplink::OcResult(Some(id())));
    }

    #[test]
    fn commands_go_out_on_the_topic_that_devices_look_for() {
        let names = Names::new("p_d", Some("imei"));
        let topic = |family, called| names.command_topic(Route { family, called }, id());
        assert_eq!(
            topic(TopicFamily::Legacy, names.preferred()),
            "/huawei/v1/devices/imei/command/json"
        );
        assert_eq!(
            topic(TopicFamily::Legacy, Called::Device),
            "/huawei/v1/devices/p_d/command/json"
        );
        assert_eq!(
            topic(TopicFamily::Oc, Called::Device),
            format!("$oc/devices/p_d/sys/commands/request_id={}", id())
        );
    }
}
