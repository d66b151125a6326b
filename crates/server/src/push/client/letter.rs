//! The request of an attempt, signed.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;

use super::Outgoing;
use crate::clock;
use crate::push::connect::ConnectError;
use crate::push::outcome::Outcome;
use crate::push::sign::{Signer, signature};
use crate::push::target::Ask;
use crate::push::trust::Security;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const SEQUENCE: HeaderName = HeaderName::from_static("downlink-sequence");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("downlink/", env!("CARGO_PKG_VERSION")));

/// Headers of a request, at the most.
const HEADERS: usize = 7;

/// What is sent, found fit to be sent.
pub(super) struct Letter<'a> {
    pub(super) outgoing: &'a Outgoing,
    pub(super) ask: &'a Ask,
    pub(super) security: &'a Security,
    id: HeaderValue,
    signers: &'a [Signer],
}

impl<'a> Letter<'a> {
    /// Else why there is nothing that could be sent.
    pub(super) fn new(outgoing: &'a Outgoing, security: &'a Security) -> Result<Self, Outcome> {
        let ask = outgoing.target.ask.as_ref();
        let ask = ask.ok_or(Outcome::NotConnected(ConnectError::NoTarget))?;
        // A header's value cannot hold the end of a line: what would begin a header of its own is refused here.
        let id = HeaderValue::from_str(&outgoing.webhook_id)
            .map_err(|_| Outcome::Broken("its id is not fit for a header".to_owned()))?;
        let signers = security
            .signers
            .as_ref()
            .map_err(|why| Outcome::Broken(why.clone()))?;
        Ok(Self {
            outgoing,
            ask,
            security,
            id,
            signers,
        })
    }

    /// The request as of now; `with_host`: with a Host header, which HTTP/2 has in the URI.
    pub(super) fn request(&self, uri: &Uri, with_host: bool) -> Request<Full<Bytes>> {
        let (outgoing, now) = (self.outgoing, clock::now());
        let seconds = now.as_millis() / 1000;
        let mut request = Request::new(Full::new(outgoing.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.reserve(HEADERS);
        if with_host {
            headers.insert(HOST, self.ask.host.clone());
        }
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(USER_AGENT, AGENT);
        headers.insert(WEBHOOK_ID, self.id.clone());
        headers.insert(WEBHOOK_TIMESTAMP, seconds.into());
        headers.insert(SEQUENCE, outgoing.sequence.into());
        if let Some(value) = signature(self.signers, &outgoing.webhook_id, seconds, &outgoing.body, now) {
            headers.insert(WEBHOOK_SIGNATURE, value);
        }
        request
    }
}
