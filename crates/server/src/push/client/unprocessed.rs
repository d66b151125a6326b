//! What is known of a request that failed: whether the receiver can have processed it.

use std::error::Error;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::TrySendError;

/// What became of it.
pub(super) enum Unprocessed {
    /// Nothing of it was sent.
    Unsent(hyper::Error),
    /// The receiver says that it did not process it: it is closing the connection, or has too much to do on it.
    Refused(hyper::Error),
    /// It may have been processed.
    Unknown(hyper::Error),
}

pub(super) fn unprocessed(mut failed: TrySendError<Request<Full<Bytes>>>) -> Unprocessed {
    let unsent = failed.take_message().is_some();
    let error = failed.into_error();
    if unsent {
        Unprocessed::Unsent(error)
    } else if was_refused(&error) {
        Unprocessed::Refused(error)
    } else {
        Unprocessed::Unknown(error)
    }
}

/// A stream beyond the last that the receiver says it works on, or one that it refused by name.
fn was_refused(error: &hyper::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (error.is_go_away() || refused);
        }
        cause = error.source();
    }
    false
}
