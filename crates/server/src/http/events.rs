//! A command with all that happened to it: an extension, for consoles and for people.

use axum::extract::State;
use axum::response::Response;
use downlink_api::command::{CommandHistory, EventView};
use http::StatusCode;

use super::auth::Caller;
use super::commands::{record_of, shown};
use super::request::IdInPath;
use super::{Api, Fault, json};

/// `GET /downlink/v1/commands/{id}`
pub(super) async fn history(
    State(api): State<Api>,
    Caller(app): Caller,
    IdInPath(id): IdInPath,
) -> Result<Response, Fault> {
    let record = record_of(&api, &app, &id).await?;
    let events = record.events.iter().enumerate();
    let body = CommandHistory {
        command: shown(&record, &app.id),
        events: events
            .map(|(place, event)| EventView::new(place + 1, event.status.as_str(), event.at, &event.detail))
            .collect(),
    };
    json(StatusCode::OK, &body)
}
