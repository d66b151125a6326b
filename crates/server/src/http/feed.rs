//! The feed: an application's changes of commands after a cursor, for those who cannot rely on pushes alone. An extension.
//!
//! Pulled a page at a time here, or followed as a stream: see [`stream`]. Both tell the same changes in the same words.

mod cursor;
pub(super) mod stream;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use downlink_api::feed::{FeedBody, FeedEntry};
use downlink_api::{Code, Invalid};
use downlink_core::AppId;
use downlink_store::{App, FeedItem, FeedPage};
use http::StatusCode;

use super::auth::Itself;
use super::{Api, Fault, Query, json};

/// The most bytes of results on a page; the one that passes it still goes with it.
const PAGE_BYTES: usize = 1 << 20;
/// What stands for the end of the feed in place of a cursor.
const HEAD: &str = "head";

/// Place where a feed is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Oldest,
    Head,
    After(u64),
}

impl Place {
    fn of(app: &AppId, cursor: Option<&str>) -> Result<Self, Fault> {
        match cursor {
            None => Ok(Self::Oldest),
            Some(HEAD) => Ok(Self::Head),
            Some(text) => match cursor::read(app, text) {
                Ok(n) => Ok(Self::After(n)),
                Err(bad) => Err(Fault::new(Code::InvalidInput, format!("cursor: {bad}."))),
            },
        }
    }
}

/// A part of a feed.
struct Part {
    items: Vec<FeedItem>,
    upto: u64,
    more: bool,
}

/// `GET /downlink/v1/feed?cursor&limit`
pub(super) async fn pull(
    State(api): State<Api>,
    Itself(app): Itself,
    query: Query,
) -> Result<Response, Fault> {
    let from = Place::of(&app.id, query.get("cursor").as_deref())?;
    let limit = limit(&query, api.north.config.feed.page_limit)?;
    let _turn = api.north.room.turn_to_list().await?;
    let part = read(&api, &app, from, limit).await?;
    let body = FeedBody {
        items: part.items.iter().map(|item| entry(&app.id, item)).collect(),
        next_cursor: cursor::write(&app.id, part.upto),
        more: part.more,
    };
    json(StatusCode::OK, &body)
}

fn limit(query: &Query, most: u32) -> Result<u32, Fault> {
    let Some(text) = query.get("limit") else {
        return Ok(most);
    };
    let limit = text.parse::<u32>().ok().filter(|limit| *limit > 0);
    let rule = || Invalid::new("limit", "must be a number above 0");
    Ok(limit.ok_or_else(rule)?.min(most))
}

/// Reads from a place, or says why that cannot be.
async fn read(api: &Api, app: &Arc<App>, from: Place, limit: u32) -> Result<Part, Fault> {
    let store = api.north.engine.store();
    let after = match from {
        Place::Oldest => None,
        Place::After(n) => Some(n),
        Place::Head => {
            let upto = store.feed_head(app.key).await?.ok_or(Code::FeedOff)?;
            return Ok(Part {
                items: Vec::new(),
                upto,
                more: false,
            });
        }
    };
    match store.read_feed(app.key, after, limit, PAGE_BYTES).await? {
        FeedPage::Read { items, upto, more } => Ok(Part { items, upto, more }),
        FeedPage::Expired => Err(Code::CursorExpired.into()),
        FeedPage::Off => Err(Code::FeedOff.into()),
    }
}

fn entry<'a>(app: &AppId, item: &'a FeedItem) -> FeedEntry<'a> {
    FeedEntry::new(
        cursor::write(app, item.n),
        item.command,
        item.device_id.as_str(),
        item.seq,
        item.status.as_str(),
        item.at,
        item.result.as_deref(),
    )
}
