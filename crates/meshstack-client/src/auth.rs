//! Credentials of requests: tokens, and how the API's token is got and kept.
//!
//! Source: `protocol/run-api.md`, "Authentication".

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::excerpt::Hidden;
use crate::http::{Http, Request};
use crate::{ApiError, Credentials, Problem, Secret};

/// A token is not used in the last seconds of its life.
const MARGIN: Duration = Duration::from_secs(30);
/// The least time that a token is used for, whatever its life.
const LEAST: Duration = Duration::from_secs(1);
/// The longest; a token that is said to live for ever is fetched again some day.
const MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// An `Authorization` header, and what errors must not show.
#[derive(Clone)]
pub(crate) struct Authorization {
    header: HeaderValue,
    hidden: Hidden,
}

impl Authorization {
    /// `Bearer`; an error if no header can carry the token.
    pub(crate) fn bearer(token: &Secret) -> Result<Self, Problem> {
        Self::new(&format!("Bearer {}", token.expose()), Hidden::token(token))
    }

    fn basic(username: &str, password: &Secret) -> Result<Self, Problem> {
        let encoded = STANDARD.encode(format!("{username}:{}", password.expose()));
        Self::new(&format!("Basic {encoded}"), Hidden::password(username, password))
    }

    fn new(text: &str, hidden: Hidden) -> Result<Self, Problem> {
        let mut header = HeaderValue::from_str(text).map_err(|_| Problem::Local {
            reason: "the token holds characters that no HTTP header can carry".to_owned(),
        })?;
        header.set_sensitive(true);
        Ok(Self { header, hidden })
    }

    pub(crate) fn header(&self) -> &HeaderValue {
        &self.header
    }

    pub(crate) fn hidden(&self) -> &Hidden {
        &self.hidden
    }
}

/// The API's credentials, and the token that they gave.
pub(crate) struct Auth {
    credentials: Option<Credentials>,
    /// Locked while a token is fetched: whoever needs one meanwhile waits for it.
    token: Mutex<Option<Token>>,
}

struct Token {
    authorization: Authorization,
    until: Instant,
}

/// An authorization, and whether it is worth trying again with a new one when it is refused.
pub(crate) struct Granted {
    pub(crate) authorization: Authorization,
    /// It comes from an earlier login, so it may have been revoked since.
    pub(crate) from_earlier: bool,
}

impl Auth {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        Self { credentials, token: Mutex::new(None) }
    }

    pub(crate) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// The authorization of an API call. `refused`: the one that was answered 401, which is dropped.
    pub(crate) async fn api(
        &self,
        http: &Http,
        base: Option<&Url>,
        request: &Request,
        refused: Option<&Authorization>,
    ) -> Result<Granted, ApiError> {
        let fixed = |authorization| Granted { authorization, from_earlier: false };
        let (client_id, client_secret) = match &self.credentials {
            None => {
                let reason = "there are no credentials for it: configure an API key (client id and secret)".to_owned();
                return Err(request.error(Problem::Local { reason }));
            }
            Some(Credentials::Basic { username, password }) => {
                return Authorization::basic(username, password).map(fixed).map_err(|problem| request.error(problem));
            }
            Some(Credentials::ApiKey { client_id, client_secret }) => (client_id, client_secret),
        };
        let mut cached = self.token.lock().await;
        // Somebody else may have replaced the refused one already.
        let alive = |token: &&Token| {
            token.until > Instant::now() && refused.is_none_or(|refused| refused.header != token.authorization.header)
        };
        if let Some(token) = cached.as_ref().filter(alive) {
            return Ok(Granted { authorization: token.authorization.clone(), from_earlier: true });
        }
        *cached = None;
        let token = log_in(http, base, request, client_id, client_secret).await?;
        let authorization = token.authorization.clone();
        *cached = Some(token);
        Ok(fixed(authorization))
    }

    /// Forgets the token, so that the next call logs in.
    pub(crate) async fn forget(&self) {
        *self.token.lock().await = None;
    }
}

async fn log_in(
    http: &Http,
    base: Option<&Url>,
    wanted_for: &Request,
    client_id: &str,
    client_secret: &Secret,
) -> Result<Token, ApiError> {
    let Some(base) = base else {
        let reason = "an API key needs the address of meshStack: configure `api.url`".to_owned();
        return Err(wanted_for.error(Problem::Local { reason }));
    };
    let url = crate::address::under(base, "/api/login").map_err(|problem| wanted_for.error(problem))?;
    let body = json!({ "clientId": client_id, "clientSecret": client_secret.expose() }).to_string();
    let request = Request::new("POST", url, "application/json").body(body);
    let asked = Instant::now();
    let answer = http.call(&request, None).await?.hiding(Hidden::token(client_secret));
    let answer = answer.checked().map_err(login_refused)?;
    let object = answer.json()?;
    let token = Secret::new(object.get("access_token").and_then(Value::as_str).unwrap_or_default().trim());
    if token.is_empty() {
        return Err(answer.broken("the login gave no `access_token`"));
    }
    let expires_in = object.get("expires_in").and_then(Value::as_f64).unwrap_or_default();
    let authorization = Authorization::bearer(&token).map_err(|problem| request.error(problem))?;
    Ok(Token { authorization, until: asked + life(expires_in) })
}

/// A login that is not found says nothing about the run or runner that the call is about.
fn login_refused(mut error: ApiError) -> ApiError {
    error.problem = match error.problem {
        Problem::Gone { excerpt } => Problem::Refused { status: 404, excerpt },
        Problem::Conflict { excerpt } => Problem::Refused { status: 409, excerpt },
        other => other,
    };
    error
}

/// For how long a token is used that expires in so many seconds.
fn life(expires_in: f64) -> Duration {
    let life = Duration::try_from_secs_f64(expires_in.max(0.0)).unwrap_or(MOST);
    life.saturating_sub(MARGIN).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::life;

    #[test]
    fn a_token_is_used_until_thirty_seconds_before_its_end_and_at_least_for_one() {
        assert_eq!(life(300.0), Duration::from_secs(270));
        assert_eq!(life(30.5), Duration::from_secs(1));
        assert_eq!(life(0.0), Duration::from_secs(1));
        assert_eq!(life(-5.0), Duration::from_secs(1));
        assert_eq!(life(1e300), Duration::from_secs(86_370), "one day less the margin");
    }
}
