//! Bodies around tokens.

use serde::Serialize;

/// The answer to login and refresh.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tokens<'a> {
    /// Always `default`.
    pub scope: &'static str,
    /// Always `bearer`.
    pub token_type: &'static str,
    /// Life of the access token, in seconds.
    pub expires_in: u32,
    /// For calls.
    pub access_token: &'a str,
    /// For new tokens.
    pub refresh_token: &'a str,
}

impl<'a> Tokens<'a> {
    /// The answer with these tokens.
    pub const fn new(access_token: &'a str, refresh_token: &'a str, expires_in: u32) -> Self {
        Self {
            scope: "default",
            token_type: "bearer",
            expires_in,
            access_token,
            refresh_token,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        assert_eq!(
            serde_json::to_string(&Tokens::new("4f0c", "9ab1", 3600)).unwrap(),
            r#"{"scope":"default","tokenType":"bearer","expiresIn":3600,"accessToken":"4f0c","refreshToken":"9ab1"}"#
        );
    }
}
