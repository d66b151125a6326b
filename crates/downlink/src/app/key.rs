//! `downlink app key`: the keys that an application's pushes are signed with.

use clap::Subcommand;
use serde_json::{Value, json};

use super::given;
use crate::client::Admin;
use crate::failure::Failure;
use crate::output::{Out, fields, table, text_at};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Makes a key and shows its secret, which is never shown again; the key before goes on signing for a while
    Create {
        /// The application's id
        id: String,
        /// For how long the key before goes on signing beside it, in seconds [default: a day]
        #[arg(long, value_name = "SECS")]
        overlap: Option<u32>,
        /// The secret, whsec_ and Base64 [default: made by the server]
        #[arg(long, env = "DOWNLINK_SIGNING_SECRET", hide_env_values = true)]
        signing_secret: Option<String>,
    },
    /// Lists the keys that pushes are signed with now
    List {
        /// The application's id
        id: String,
    },
    /// Deletes a key: nothing is signed with it from then on
    Delete {
        /// The application's id
        id: String,
        /// The key's id
        key: String,
    },
}

pub(super) async fn run(verb: Verb, admin: &Admin, out: Out) -> Result<(), Failure> {
    match verb {
        Verb::Create {
            id,
            overlap,
            signing_secret,
        } => {
            let body = given([
                ("overlapSecs", overlap.map(Value::from)),
                ("secret", signing_secret.map(Value::from)),
            ]);
            let key = admin.create_key(&id, body).await?;
            out.show(&key, || {
                fields(&[
                    ("id", text_at(&key, "/id")),
                    ("secret", text_at(&key, "/secret")),
                    ("created", text_at(&key, "/createdAt")),
                ])
            })
        }
        Verb::List { id } => {
            let answer = admin.list_keys(&id).await?;
            out.show(&answer, || shown(&answer))
        }
        Verb::Delete { id, key } => {
            admin.delete_key(&id, &key).await?;
            out.show(&json!({"deleted": key}), || format!("deleted {key}"))
        }
    }
}

fn shown(answer: &Value) -> String {
    let keys = answer.get("keys").and_then(Value::as_array);
    let rows: Vec<_> = keys
        .into_iter()
        .flatten()
        .map(|key| ["/id", "/createdAt", "/endsAt"].map(|member| text_at(key, member)))
        .collect();
    table(["ID", "CREATED", "ENDS"], &rows)
}
