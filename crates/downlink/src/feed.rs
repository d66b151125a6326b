//! `downlink feed`: an application's changes of commands, pulled to the end or followed as they come.

mod events;

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use self::events::Events;
use crate::client::Northbound;
use crate::failure::Failure;
use crate::options::ClientArgs;
use crate::output::{Out, note, text_at};

/// The pause before a stream that broke off is opened again.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Begins after this cursor, which an earlier run told; `head`: with what comes from now on [default: the oldest change
    /// that is kept]
    #[arg(long)]
    cursor: Option<String>,
    /// Goes on with each change as it comes, until it is interrupted; over restarts of the server too
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let (mut server, out) = (args.client.northbound()?, args.client.out());
    if args.follow {
        follow(&mut server, out, args.cursor).await
    } else {
        pull(&mut server, out, args.cursor).await
    }
}

/// All there is, page by page.
async fn pull(server: &mut Northbound, out: Out, mut cursor: Option<String>) -> Result<(), Failure> {
    loop {
        let page = server.feed(cursor.as_deref()).await?;
        let items = page.get("items").and_then(Value::as_array);
        for item in items.map(Vec::as_slice).unwrap_or_default() {
            tell(out, item)?;
        }
        let next = text_at(&page, "/nextCursor");
        if page.get("more") != Some(&Value::Bool(true)) {
            note(&format!("next cursor: {next}"));
            return Ok(());
        }
        cursor = Some(next);
    }
}

/// Follows the stream; one that breaks off is resumed where it was.
async fn follow(server: &mut Northbound, out: Out, mut cursor: Option<String>) -> Result<(), Failure> {
    let mut away = false;
    loop {
        let ended = match server.feed_stream(cursor.as_deref()).await {
            Ok(mut stream) => {
                away = false;
                let mut events = Events::default();
                loop {
                    match stream.chunk().await {
                        Ok(Some(bytes)) => {
                            for event in events.take(&bytes)? {
                                cursor = event.id.or(cursor);
                                tell_event(out, &event.kind, &event.data)?;
                            }
                        }
                        Ok(None) => break None,
                        Err(failure) => break Some(failure),
                    }
                }
            }
            Err(failure) => Some(failure),
        };
        match ended {
            None | Some(Failure::Unreachable(_) | Failure::TimedOut(_)) => {}
            Some(failure) => return Err(failure),
        }
        if let Some(failure) = ended.filter(|_| !away) {
            note(&format!("downlink: {failure}; following again"));
            away = true;
        }
        sleep(PAUSE).await;
    }
}

fn tell_event(out: Out, kind: &str, data: &str) -> Result<(), Failure> {
    if data.is_empty() {
        return Ok(());
    }
    let value: Value = serde_json::from_str(data)
        .map_err(|error| Failure::Failed(format!("the stream holds what is no JSON: {error}")))?;
    match kind {
        "error" => Err(Failure::Failed(format!(
            "the stream ended ({}): {}",
            text_at(&value, "/error_code"),
            text_at(&value, "/error_desc")
        ))),
        _ => tell(out, &value),
    }
}

fn tell(out: Out, item: &Value) -> Result<(), Failure> {
    let text = |member| text_at(item, member);
    out.show(item, || {
        format!(
            "{}  {:<10}  {}  {}  {}",
            text("/at"),
            text("/status"),
            text("/webhookId"),
            text("/deviceId"),
            text("/resultDetail")
        )
    })
}
