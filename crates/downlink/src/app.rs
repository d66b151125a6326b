//! `downlink app`: the applications that may use a server. Speaks the admin interface.

mod key;
mod push_tls;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::client::Admin;
use crate::failure::Failure;
use crate::options::ClientArgs;
use crate::output::{Out, fields, table, text_at};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Makes an application and shows its secret, which is never shown again
    Create(Create),
    /// Lists the applications
    List,
    /// Changes settings of an application; what is not given stays
    Update {
        /// The application's id
        id: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Gives an application a new secret and shows it; the old one is void from then on
    RotateSecret {
        /// The application's id
        id: String,
    },
    /// Deletes an application
    Delete {
        /// The application's id
        id: String,
    },
    /// Allows an application to call in the name of another (`appId` in the query)
    Authorize {
        /// The application whose devices, commands and subscriptions these are
        owner: String,
        /// The application that may call from now on
        other: String,
    },
    /// Takes back what `authorize` gave
    Unauthorize {
        /// The application whose devices, commands and subscriptions these are
        owner: String,
        /// The application that may call no more
        other: String,
    },
    /// Lists who may call in the name of an application
    Authorized {
        /// The application's id
        owner: String,
    },
    /// Keys that its pushes are signed with
    #[command(subcommand)]
    Key(key::Verb),
    /// Certificates of its own for pushes over TLS
    #[command(subcommand)]
    PushTls(push_tls::Verb),
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Its id [default: made by the server]
    #[arg(long)]
    id: Option<String>,
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// Its secret [default: made by the server]
    #[arg(long)]
    secret: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Default, clap::Args)]
struct Settings {
    /// Which changes of a command's status are pushed [at first: all]
    #[arg(long, value_enum)]
    push_statuses: Option<PushStatuses>,
    /// Whether SENT is pushed where the answer to the create call already said it
    #[arg(long, value_name = "BOOL")]
    push_sent_immediate: Option<bool>,
    /// Whether its changes are kept for `downlink feed` [at first: off]
    #[arg(long, value_enum)]
    feed: Option<Switch>,
    /// How old its pushes become before they are given up; default: as the server is configured
    #[arg(long, value_name = "SECS|default")]
    push_max_age: Option<MaxAge>,
    /// How its devices over LwM2M sleep of which neither they themselves nor their product say it; default: as the server is configured
    #[arg(long, value_enum)]
    work_mode: Option<WorkMode>,
    /// Length of the eDRX cycle in seconds
    #[arg(long, value_name = "SECS", required_if_eq("work_mode", "edrx"))]
    cycle: Option<u32>,
}

/// How devices sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkMode {
    /// Reachable only after they spoke
    Psm,
    /// Reachable at any time
    Drx,
    /// Reachable once in each cycle
    Edrx,
    /// As whoever is asked next says it
    Default,
}

impl WorkMode {
    /// The mode in the interface: null for the default.
    pub(crate) fn value(self) -> Value {
        match self {
            Self::Psm => "psm".into(),
            Self::Drx => "drx".into(),
            Self::Edrx => "edrx".into(),
            Self::Default => Value::Null,
        }
    }
}

/// Seconds; none: as the server is configured.
#[derive(Debug, Clone, Copy)]
struct MaxAge(Option<u32>);

impl std::str::FromStr for MaxAge {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "default" => Ok(Self(None)),
            number => match number.parse() {
                Ok(secs) if secs > 0 => Ok(Self(Some(secs))),
                Ok(_) | Err(_) => Err("must be a number of seconds above 0, or default"),
            },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// Yes
    On,
    /// No
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PushStatuses {
    /// Every one, EXPIRED and CANCELED included
    All,
    /// SENT, DELIVERED, SUCCESSFUL, FAILED, TIMEOUT
    Documented,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let (admin, out) = (args.client.admin()?, args.client.out());
    match args.verb {
        Verb::Create(create) => show_app(out, &admin.create_app(create.body()).await?),
        Verb::List => list(&admin, out).await,
        Verb::Update { id, settings } => {
            let body = given(settings.members());
            if body.as_object().is_none_or(serde_json::Map::is_empty) {
                return Err(Failure::Usage("nothing to change was given".to_owned()));
            }
            show_app(out, &admin.update_app(&id, body).await?)
        }
        Verb::RotateSecret { id } => show_app(out, &admin.rotate_secret(&id).await?),
        Verb::Delete { id } => {
            admin.delete_app(&id).await?;
            out.show(&json!({"deleted": id}), || format!("deleted {id}"))
        }
        Verb::Authorize { owner, other } => {
            admin.authorize(&owner, &other).await?;
            out.show(&json!({"authorized": other}), || format!("authorized {other}"))
        }
        Verb::Unauthorize { owner, other } => {
            admin.unauthorize(&owner, &other).await?;
            out.show(&json!({"deleted": other}), || {
                format!("{other} is not authorized any more")
            })
        }
        Verb::Authorized { owner } => {
            let answer = admin.authorized(&owner).await?;
            out.show(&answer, || lines(&answer, "authorized"))
        }
        Verb::Key(verb) => key::run(verb, &admin, out).await,
        Verb::PushTls(verb) => push_tls::run(verb, &admin, out).await,
    }
}

impl Create {
    fn body(&self) -> Value {
        let [statuses, sent, feed, age, mode, cycle] = self.settings.members();
        given([
            ("id", self.id.as_deref().map(Value::from)),
            ("name", self.name.as_deref().map(Value::from)),
            ("secret", self.secret.as_deref().map(Value::from)),
            statuses,
            sent,
            feed,
            age,
            mode,
            cycle,
        ])
    }
}

impl Settings {
    fn members(&self) -> [(&'static str, Option<Value>); 6] {
        let statuses = self.push_statuses.map(|statuses| match statuses {
            PushStatuses::All => "all",
            PushStatuses::Documented => "documented",
        });
        let feed = self.feed.map(|feed| feed == Switch::On);
        [
            ("pushStatuses", statuses.map(Value::from)),
            ("pushSentImmediate", self.push_sent_immediate.map(Value::from)),
            ("feed", feed.map(Value::from)),
            ("pushMaxAgeSecs", self.push_max_age.map(|age| age.0.into())),
            ("workMode", self.work_mode.map(WorkMode::value)),
            ("cycleSecs", self.cycle.map(Value::from)),
        ]
    }
}

/// An object of the members that were given.
pub(crate) fn given<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// The texts of a list, one a line.
fn lines(answer: &Value, name: &str) -> String {
    let texts = answer.get(name).and_then(Value::as_array);
    let texts: Vec<_> = texts.into_iter().flatten().filter_map(Value::as_str).collect();
    texts.join("\n")
}

fn show_app(out: Out, app: &Value) -> Result<(), Failure> {
    out.show(app, || {
        fields(&[
            ("id", text_at(app, "/id")),
            ("name", text_at(app, "/name")),
            ("secret", text_at(app, "/secret")),
            ("pushed", text_at(app, "/pushStatuses")),
            ("feed", text_at(app, "/feed")),
            ("push max age (s)", text_at(app, "/pushMaxAgeSecs")),
            ("work mode", text_at(app, "/workMode")),
            ("eDRX cycle (s)", text_at(app, "/cycleSecs")),
            ("created", text_at(app, "/createdAt")),
        ])
    })
}

async fn list(admin: &Admin, out: Out) -> Result<(), Failure> {
    let answer = admin.list_apps().await?;
    out.show(&answer, || {
        let apps = answer
            .get("apps")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let rows: Vec<_> = apps
            .iter()
            .map(|app| ["/id", "/name", "/pushStatuses", "/createdAt"].map(|member| text_at(app, member)))
            .collect();
        table(["ID", "NAME", "PUSHED", "CREATED"], &rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_is_sent() {
        let create = Create {
            id: Some("a".into()),
            name: None,
            secret: None,
            settings: Settings {
                push_statuses: Some(PushStatuses::Documented),
                push_sent_immediate: Some(true),
                feed: Some(Switch::Off),
                push_max_age: None,
                work_mode: Some(WorkMode::Edrx),
                cycle: Some(41),
            },
        };
        assert_eq!(
            create.body(),
            json!({"id": "a", "pushStatuses": "documented", "pushSentImmediate": true, "feed": false,
                "workMode": "edrx", "cycleSecs": 41})
        );
        for (text, value) in [("60", json!(60)), ("default", Value::Null)] {
            let settings = Settings {
                push_max_age: Some(text.parse().unwrap()),
                ..Settings::default()
            };
            assert_eq!(given(settings.members()), json!({ "pushMaxAgeSecs": value }));
        }
        assert!("0".parse::<MaxAge>().is_err() && "1h".parse::<MaxAge>().is_err());
    }
}
