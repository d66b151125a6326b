//! `downlink push`: pushes that wait or were given up, and their receivers. Speaks the admin interface.

mod show;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::app::given;
use crate::client::{Admin, Query};
use crate::failure::Failure;
use crate::options::ClientArgs;
use crate::output::Out;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Lists stored pushes: those that did not reach their receiver at the first attempt
    List(List),
    /// Shows a stored push and its last attempts
    Show {
        /// Its id
        id: i64,
    },
    /// Sends again what was given up: one push with those after it, or all of a receiver
    Replay(Replay),
    /// Deletes stored pushes; they are never told
    Drop(Drop),
    /// Holds a receiver: it keeps its pushes until it is released
    Hold(Receiver),
    /// Releases a receiver that is held
    Release(Receiver),
    /// Lists the receivers that have stored pushes, are held, or have a rate
    Receivers {
        /// Only those that are held, have a rate, or have pushes that wait
        #[arg(long)]
        busy: bool,
        /// Those that the server has in memory instead, whether they have stored pushes or not; at most 1,000
        #[arg(long, conflicts_with = "busy")]
        live: bool,
    },
    /// Gives a receiver a rate of its own, or takes it away
    Rate {
        #[command(flatten)]
        receiver: Receiver,
        /// Pushes a second at the most; none: no limit of its own
        #[arg(value_name = "N|none")]
        rate: Rate,
    },
    /// Makes one attempt to push to a URL, and tells how it went
    Test {
        /// The application to push for
        #[arg(long = "for", value_name = "APP")]
        application: String,
        /// Where to
        url: String,
    },
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only those of this application
    #[arg(long = "for", value_name = "APP")]
    application: Option<String>,
    /// Only those of the receiver with this key (see `receivers`)
    #[arg(long, value_name = "KEY")]
    receiver: Option<i64>,
    /// Only those of this command
    #[arg(long, value_name = "ID")]
    command: Option<String>,
    /// Only those in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only those of changes from then on (UTC, like 20260102T030405Z)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Pushes at the most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, clap::Args)]
struct Replay {
    /// The id of a push
    #[arg(conflicts_with = "receiver", required_unless_present = "receiver")]
    id: Option<i64>,
    /// All of the receiver with this key
    #[arg(long, value_name = "KEY")]
    receiver: Option<i64>,
    /// Only those of changes from then on (UTC, like 20260102T030405Z)
    #[arg(long, value_name = "TIME", requires = "receiver", conflicts_with = "id")]
    since: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Drop {
    /// The id of a push
    #[arg(conflicts_with = "receiver", required_unless_present = "receiver")]
    id: Option<i64>,
    /// All of the receiver with this key that are in --state
    #[arg(long, value_name = "KEY", requires = "state")]
    receiver: Option<i64>,
    /// In which state
    #[arg(long, value_enum, requires = "receiver", conflicts_with = "id")]
    state: Option<State>,
}

#[derive(Debug, clap::Args)]
struct Receiver {
    /// Its key (see `receivers`)
    #[arg(
        long,
        value_name = "KEY",
        required_unless_present = "url",
        conflicts_with = "url"
    )]
    receiver: Option<i64>,
    /// Any URL of it: scheme, host and port count
    #[arg(long, requires = "application")]
    url: Option<String>,
    /// The application whose receiver it is
    #[arg(long = "for", value_name = "APP", requires = "url")]
    application: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    /// It waits
    Due,
    /// It waits, and its receiver is held
    Held,
    /// It was given up
    Dead,
}

/// Pushes a second; none: no limit.
#[derive(Debug, Clone, Copy)]
struct Rate(Option<u32>);

impl std::str::FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self(None)),
            number => match number.parse() {
                Ok(rate) if rate > 0 => Ok(Self(Some(rate))),
                Ok(_) | Err(_) => Err("must be a number above 0, or none"),
            },
        }
    }
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Held => "held",
            Self::Dead => "dead",
        }
    }
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let (admin, out) = (args.client.admin()?, args.client.out());
    match args.verb {
        Verb::List(which) => list(&admin, out, which).await,
        Verb::Show { id } => show::push(out, &admin.show_push(id).await?),
        Verb::Replay(which) => which.run(&admin, out).await,
        Verb::Drop(which) => which.run(&admin, out).await,
        Verb::Hold(which) => show::receiver(out, &admin.hold_receiver(which.body()).await?),
        Verb::Release(which) => show::receiver(out, &admin.release_receiver(which.body()).await?),
        Verb::Receivers { live: true, .. } => {
            let query = vec![("live", "true".to_owned()), ("limit", "1000".to_owned())];
            show::receivers(out, &admin.list_receivers(&query).await?)
        }
        Verb::Receivers { busy, .. } => receivers(&admin, out, busy).await,
        Verb::Rate { receiver, rate } => {
            let mut body = receiver.body();
            body["rate"] = rate.0.into();
            show::receiver(out, &admin.rate_receiver(body).await?)
        }
        Verb::Test { application, url } => {
            let attempt = admin.test_push(json!({"app": application, "url": url})).await?;
            show::test(out, &attempt)
        }
    }
}

async fn list(admin: &Admin, out: Out, which: List) -> Result<(), Failure> {
    let filters = [
        ("app", which.application),
        ("receiver", which.receiver.map(|key| key.to_string())),
        ("command", which.command),
        ("state", which.state.map(|state| state.word().to_owned())),
        ("since", which.since),
    ];
    let filters: Query = filters
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    let (mut pushes, mut after) = (Vec::new(), None);
    loop {
        let left = which.limit as usize - pushes.len();
        let mut query = filters.clone();
        query.push(("limit", left.min(1000).to_string()));
        query.extend(after.map(|after: i64| ("after", after.to_string())));
        let page = admin.list_pushes(&query).await?;
        pushes.extend(members(&page, "pushes").iter().cloned());
        after = page.get("nextAfter").and_then(Value::as_i64);
        if after.is_none() || pushes.len() >= which.limit as usize {
            return show::pushes(out, &json!({ "pushes": pushes, "nextAfter": after }));
        }
    }
}

async fn receivers(admin: &Admin, out: Out, busy: bool) -> Result<(), Failure> {
    let (mut receivers, mut after) = (Vec::new(), None);
    loop {
        let mut query: Query = vec![("busy", busy.to_string()), ("limit", "1000".to_owned())];
        query.extend(after.map(|after: i64| ("after", after.to_string())));
        let page = admin.list_receivers(&query).await?;
        receivers.extend(members(&page, "receivers").iter().cloned());
        after = page.get("nextAfter").and_then(Value::as_i64);
        if after.is_none() {
            return show::receivers(out, &json!({ "receivers": receivers }));
        }
    }
}

impl Replay {
    async fn run(&self, admin: &Admin, out: Out) -> Result<(), Failure> {
        let mut replayed = 0;
        if let Some(id) = self.id {
            replayed += count(&admin.replay_push(id).await?, "replayed");
        }
        if let Some(key) = self.receiver {
            let body = given([("since", self.since.as_deref().map(Value::from))]);
            loop {
                let answer = admin.replay_receiver(key, body.clone()).await?;
                replayed += count(&answer, "replayed");
                if answer.get("more") != Some(&Value::Bool(true)) {
                    break;
                }
            }
        }
        out.show(&json!({ "replayed": replayed }), || {
            format!("{replayed} pushes are sent again")
        })
    }
}

impl Drop {
    async fn run(&self, admin: &Admin, out: Out) -> Result<(), Failure> {
        let mut dropped = 0;
        if let Some(id) = self.id {
            admin.drop_push(id).await?;
            dropped += 1;
        }
        if let (Some(key), Some(state)) = (self.receiver, self.state) {
            loop {
                let body = json!({ "state": state.word() });
                let answer = admin.drop_of_receiver(key, body).await?;
                dropped += count(&answer, "dropped");
                if answer.get("more") != Some(&Value::Bool(true)) {
                    break;
                }
            }
        }
        out.show(&json!({ "dropped": dropped }), || {
            format!("{dropped} pushes are dropped")
        })
    }
}

impl Receiver {
    fn body(&self) -> Value {
        given([
            ("key", self.receiver.map(Value::from)),
            ("app", self.application.as_deref().map(Value::from)),
            ("url", self.url.as_deref().map(Value::from)),
        ])
    }
}

fn count(answer: &Value, member: &str) -> u64 {
    answer.get(member).and_then(Value::as_u64).unwrap_or(0)
}

fn members<'a>(page: &'a Value, member: &str) -> &'a [Value] {
    let list = page.get(member).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Whole {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn what_belongs_together_is_asked_for_together() {
        for (line, fits) in [
            ("replay 7", true),
            ("replay --receiver 3 --since 20260102T030405Z", true),
            ("replay", false),
            ("replay 7 --receiver 3", false),
            ("replay 7 --since 20260102T030405Z", false),
            ("drop 7", true),
            ("drop 7 --state dead", false),
            ("drop --receiver 3 --state dead", true),
            ("drop --receiver 3", false),
            ("drop --state dead", false),
            ("hold --receiver 3", true),
            ("hold --for a --url http://h/", true),
            ("hold --url http://h/", false),
            ("hold --for a", false),
            ("hold", false),
            ("rate --receiver 3 10", true),
            ("rate --receiver 3 none", true),
            ("rate --receiver 3 0", false),
            ("test --for a http://h/", true),
            ("receivers --busy", true),
            ("receivers --live", true),
            ("receivers --live --busy", false),
        ] {
            let words = std::iter::once("push").chain(line.split(' '));
            assert_eq!(Whole::try_parse_from(words).is_ok(), fits, "{line}");
        }
    }
}
