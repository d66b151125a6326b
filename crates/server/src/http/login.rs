//! Login, refresh, logout: an application's secret for tokens.
//!
//! Bodies may be forms or JSON, whatever their Content-Type; names are read in whatever case.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use downlink_api::field::{self, Member};
use downlink_api::token::Tokens;
use downlink_api::{Code, Invalid};
use downlink_store::App;
use http::{HeaderMap, StatusCode};

use super::auth::{TokenPair, access_token};
use super::request::StrangersText;
use super::{Api, Fault, finish, json, no_content};
use crate::secrets::TokenHash;

/// Longest value that the interface knows here.
const MAX: usize = 256;

/// `POST /iocm/app/sec/v1.1.0/login`
pub(super) async fn login(State(api): State<Api>, body: StrangersText) -> Result<Response, Fault> {
    let given = Given::parse(body.as_str())?;
    let (id, secret) = (given.required("appId")?, given.required("secret")?);
    // What waits for a password check keeps no place of those who know their token.
    drop(body);
    let app = api.north.verify(&id, secret).await?;
    let pair = issue(&api, app).await?;
    answer(&api, &pair)
}

/// `POST /iocm/app/sec/v1.1.0/refreshToken`. The old pair stays good until it ends by itself: other threads of the
/// client may be using it, and the secret is asked for here too.
pub(super) async fn refresh(State(api): State<Api>, body: StrangersText) -> Result<Response, Fault> {
    let given = Given::parse(body.as_str())?;
    let (id, secret) = (given.required("appId")?, given.required("secret")?);
    let refresh = given.required("refreshToken")?;
    drop(body);
    let app = api.north.verify(&id, secret).await?;
    api.north.check_refresh(&app, &refresh).await?;
    let pair = issue(&api, app).await?;
    answer(&api, &pair)
}

/// `POST /iocm/app/sec/v1.1.0/logout`. Whoever has a token may end it. Unknown tokens are over already.
pub(super) async fn logout(
    State(api): State<Api>,
    headers: HeaderMap,
    body: StrangersText,
) -> Result<Response, Fault> {
    let token = match body.as_str().trim() {
        "" => access_token(&headers).map(str::to_owned),
        text => Some(Given::parse(text)?.required("accessToken")?),
    };
    let token = token.ok_or_else(|| Fault::from_missing(&Invalid::missing("accessToken")))?;
    let north = Arc::clone(&api.north);
    let work = async move { north.revoke(TokenHash::of(&token)).await };
    finish(&api.tasks, work).await?;
    Ok(no_content())
}

/// Done to its end even if the client goes away: a pair that was revoked for the new one must leave the cache too.
async fn issue(api: &Api, app: App) -> Result<TokenPair, Fault> {
    let north = Arc::clone(&api.north);
    finish(&api.tasks, async move { north.issue(&app).await }).await
}

fn answer(api: &Api, pair: &TokenPair) -> Result<Response, Fault> {
    let secs = api.north.config.auth.access_token_secs;
    json(StatusCode::OK, &Tokens::new(&pair.access, &pair.refresh, secs))
}

/// What a body says, by name.
pub(super) struct Given(Vec<(String, String)>);

impl Given {
    pub(super) fn parse(body: &str) -> Result<Self, Invalid> {
        if !body.trim_start().starts_with('{') {
            let pairs = url::form_urlencoded::parse(body.trim().as_bytes());
            return Ok(Self(pairs.into_owned().collect()));
        }
        let members: BTreeMap<String, Member<'_>> = field::object("body", body)?;
        let text = |(name, member): (String, Member<'_>)| {
            let text = serde_json::from_str::<String>(member?.get()).ok()?;
            Some((name, text))
        };
        Ok(Self(members.into_iter().filter_map(text).collect()))
    }

    pub(super) fn required(&self, name: &'static str) -> Result<String, Fault> {
        let found = self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        match found {
            Some((_, value)) if value.chars().count() > MAX => {
                Err(Invalid::new(name, format!("must be a string of 1 to {MAX} characters")).into())
            }
            Some((_, value)) if !value.is_empty() => Ok(value.clone()),
            Some(_) | None => Err(Fault::from_missing(&Invalid::missing(name))),
        }
    }
}

impl Fault {
    fn from_missing(invalid: &Invalid) -> Self {
        Self::new(Code::MissingParameter, invalid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_json_are_read_alike() {
        for body in [
            "appId=a%2B1&secret=s",
            "Secret=s&appid=a%2B1&x=y",
            r#"{"appId":"a+1","secret":"s","x":1}"#,
            " {\"APPID\":\"a+1\",\"Secret\":\"s\"}\n",
        ] {
            let given = Given::parse(body).unwrap();
            assert_eq!(given.required("appId").unwrap(), "a+1", "{body}");
            assert_eq!(given.required("secret").unwrap(), "s", "{body}");
        }
    }

    #[test]
    fn what_is_missing_or_too_long_is_told() {
        let long = format!("appId={}", "a".repeat(MAX + 1));
        for (body, code) in [
            ("", Code::MissingParameter),
            ("appId=", Code::MissingParameter),
            (r#"{"appId":1}"#, Code::MissingParameter),
            (r#"{"appId":null}"#, Code::MissingParameter),
            (&long, Code::InvalidInput),
        ] {
            let fault = Given::parse(body).unwrap().required("appId").unwrap_err();
            assert_eq!(fault.code(), code, "{body}");
        }
        assert!(Given::parse("{").is_err());
    }
}
