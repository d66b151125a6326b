//! Who is calling: the token of a request against the store, and an application's secret against its hash.
//!
//! Promises: tokens are kept as hashes only; an unknown application costs a login the same as a wrong secret; what
//! password checks may cost is bounded ([`super::logins`]).

use std::sync::{Arc, LazyLock};

use axum::extract::FromRequestParts;
use downlink_api::Code;
use downlink_core::{AppId, Span};
use downlink_store::{App, NewToken, TokenKind};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::request::Query;
use super::{Api, Fault, Northbound};
use crate::clock;
use crate::secrets::{SecretHash, TokenHash, random_token, same};

/// Tokens made here have 43 characters; nothing much longer is worth hashing.
const MAX_TOKEN: usize = 256;

/// In whose name is called: of the application that the access token is of, or of the one that `appId` in the query names,
/// if the operator authorized the caller for it.
pub(crate) struct Caller(pub(crate) Arc<App>);

impl FromRequestParts<Api> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Fault> {
        let app = authenticated(parts, api).await?;
        match owner(parts, &app) {
            None => Ok(Self(app)),
            Some(owner) => in_name_of(api, app, owner).await.map(Self),
        }
    }
}

/// The application in whose name `app` calls, if it may.
pub(super) async fn in_name_of(api: &Api, app: Arc<App>, owner: AppId) -> Result<Arc<App>, Fault> {
    if owner == app.id {
        return Ok(app);
    }
    let granted = api.north.engine.store().granted(app.key, &owner).await?;
    granted.map(Arc::new).ok_or_else(|| Code::NotAuthorized.into())
}

/// The application that calls, where nobody may call in its name.
pub(crate) struct Itself(pub(crate) Arc<App>);

impl FromRequestParts<Api> for Itself {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Fault> {
        let app = authenticated(parts, api).await?;
        match owner(parts, &app) {
            None => Ok(Self(app)),
            Some(_) => Err(Code::NotAuthorized.into()),
        }
    }
}

/// The application of the access token, if it may call now.
async fn authenticated(parts: &Parts, api: &Api) -> Result<Arc<App>, Fault> {
    let token = access_token(&parts.headers).ok_or(Code::InvalidToken)?;
    let app = api.north.check(token).await?;
    if app_key(&parts.headers).is_some_and(|key| key != app.id.as_str().as_bytes()) {
        return Err(Code::InvalidToken.into());
    }
    api.north.within_rate(&app)?;
    Ok(app)
}

/// The other application that the query names.
fn owner(parts: &Parts, app: &App) -> Option<AppId> {
    let query = Query::new(parts.uri.query().unwrap_or_default());
    // Calls around device groups have the other word for it.
    let named = query.get("appId").or_else(|| query.get("accessAppId"))?;
    (named != app.id.as_str()).then(|| AppId::new(named.into_owned()))
}

/// `Authorization: Bearer …` in whatever case, else the `access_token` header of old clients.
pub(super) fn access_token(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let old = || headers.get("access_token")?.to_str().ok().map(str::trim);
    bearer
        .or_else(old)
        .filter(|token| (1..=MAX_TOKEN).contains(&token.len()))
}

/// `app_key`, or `x-app-key` where a proxy drops names with an underscore. It may be absent altogether: the token says
/// whose it is.
fn app_key(headers: &HeaderMap) -> Option<&[u8]> {
    let key = headers.get("app_key").or_else(|| headers.get("x-app-key"))?;
    Some(key.as_bytes().trim_ascii()).filter(|key| !key.is_empty())
}

/// A pair of tokens, in clear for the only time.
pub(super) struct TokenPair {
    pub(super) access: String,
    pub(super) refresh: String,
}

impl Northbound {
    /// The application of an access token.
    pub(crate) async fn check(&self, token: &str) -> Result<Arc<App>, Fault> {
        let (hash, now) = (TokenHash::of(token), clock::now());
        if let Some(app) = self.tokens.get(hash, now) {
            return Ok(app);
        }
        let read_at = self.tokens.revocations();
        let found = self.engine.store().token(hash.0, TokenKind::Access, now).await?;
        let found = found.ok_or(Code::InvalidToken)?;
        let app = Arc::new(found.app);
        self.tokens.put(hash, Arc::clone(&app), found.until, now, read_at);
        Ok(app)
    }

    /// Counts a call of the application.
    fn within_rate(&self, app: &App) -> Result<(), Fault> {
        self.rates.take(app.key, clock::now()).map_err(|wait| {
            self.engine.metrics().http_throttled.inc();
            Fault::from(Code::Throttled).after(wait)
        })
    }

    /// The application with this id, if that is its secret.
    pub(super) async fn verify(&self, id: &str, secret: String) -> Result<App, Fault> {
        let app = self.engine.store().app(&AppId::new(id)).await?;
        let now = clock::now();
        self.logins.begin(id, now).map_err(|wait| self.refused(wait))?;
        if let Some(app) = app.as_ref().filter(|app| self.logins.knows(app, &secret)) {
            return Ok(app.clone());
        }
        self.logins.risk(id, now).map_err(|wait| self.refused(wait))?;
        let hash = app.as_ref().map(|app| app.secret_hash.clone());
        let (fits, secret) = self
            .slowly(move || (fits(hash.as_deref(), &secret), secret))
            .await?;
        match app {
            Some(app) if fits => {
                self.logins.right(&app, &secret, now);
                Ok(app)
            }
            Some(_) | None => Err(Code::WrongSecret.into()),
        }
    }

    fn refused(&self, wait: Span) -> Fault {
        self.engine.metrics().logins_refused.inc();
        Fault::new(
            Code::Congested,
            "Too many logins that were wrong, or too many at all.",
        )
        .after(wait)
    }

    /// Does a password's work off the runtime's threads, in its turn.
    pub(crate) async fn slowly<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let turn = self.logins.turn().await;
        let _turn = turn.ok_or_else(|| Fault::new(Code::Congested, "Too many logins at once."))?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Fault::internal(error.to_string()))
    }

    /// Hands out a new pair of tokens to an application that proved itself.
    pub(super) async fn issue(&self, app: &App) -> Result<TokenPair, Fault> {
        let (access, refresh, now) = (random_token(), random_token(), clock::now());
        let auth = &self.config.auth;
        let token = NewToken {
            app: app.key,
            access: TokenHash::of(&access).0,
            access_until: now + Span::from_secs(auth.access_token_secs),
            refresh: TokenHash::of(&refresh).0,
            refresh_until: now + Span::from_secs(auth.refresh_token_secs),
            issued_at: now,
        };
        let access_hash = token.access;
        self.engine
            .store()
            .add_token(token, auth.max_tokens_per_app)
            .await?;
        // The oldest pair may just have been revoked for this one.
        self.tokens.forget_app(app.key);
        self.still_the_secret(app, access_hash).await?;
        Ok(TokenPair { access, refresh })
    }

    /// If the secret was changed (or the application removed) while it was checked, the tokens must not outlive it.
    async fn still_the_secret(&self, app: &App, access: [u8; 32]) -> Result<(), Fault> {
        let store = self.engine.store();
        match store.app(&app.id).await? {
            Some(now) if now.key == app.key && now.secret_hash == app.secret_hash => Ok(()),
            Some(_) | None => {
                store.revoke_token(access, TokenKind::Access).await?;
                Err(Code::WrongSecret.into())
            }
        }
    }

    /// Ends an access token and the refresh token handed out with it.
    pub(super) async fn revoke(&self, access: TokenHash) -> Result<(), Fault> {
        self.engine
            .store()
            .revoke_token(access.0, TokenKind::Access)
            .await?;
        self.tokens.forget(access);
        Ok(())
    }

    /// Whether a refresh token is good and this application's.
    pub(super) async fn check_refresh(&self, app: &App, token: &str) -> Result<(), Fault> {
        let hash = TokenHash::of(token);
        let found = self
            .engine
            .store()
            .token(hash.0, TokenKind::Refresh, clock::now())
            .await?;
        match found {
            Some(found) if found.app.key == app.key => Ok(()),
            Some(_) | None => Err(Code::WrongSecret.into()),
        }
    }
}

/// What an unknown application's secret is compared with.
static NOBODY: LazyLock<String> = LazyLock::new(|| SecretHash::of("nobody"));

/// Whether `secret` fits; takes as long where there is no hash.
fn fits(hash: Option<&str>, secret: &str) -> bool {
    let nobody = NOBODY.as_str();
    let fits = SecretHash::fits(hash.unwrap_or(nobody), secret);
    fits && hash.is_some_and(|hash| !same(hash, nobody))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn where_a_token_may_stand() {
        for (name, value, token) in [
            ("authorization", "Bearer abc", Some("abc")),
            ("authorization", "bearer abc", Some("abc")),
            ("authorization", " BEARER  abc ", Some("abc")),
            ("authorization", "Basic abc", None),
            ("authorization", "abc", None),
            ("authorization", "Bearer ", None),
            ("access_token", "abc", Some("abc")),
            ("access_token", "", None),
            ("x-access-token", "abc", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            assert_eq!(access_token(&headers), token, "{name}: {value}");
        }
    }

    #[test]
    fn an_unknown_application_fits_nothing() {
        assert!(!fits(None, "nobody"));
        assert!(fits(Some(&SecretHash::of("s")), "s"));
        assert!(!fits(Some(&SecretHash::of("s")), "t"));
    }
}
