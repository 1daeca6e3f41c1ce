//! When a run token runs out, if it says so. Tokens are opaque: this is a bonus, never a need.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshstack_client::Secret;
use serde_json::Value;

use crate::access::Access;

/// A token is not used up to its last second: the end must get through too.
const FOR_THE_END: Duration = Duration::from_secs(60);

/// Waits until the run's token is about to run out; for ever if it does not say when. A run that
/// is given again meanwhile has until its new token runs out.
pub(crate) async fn about_to_end(access: &Access) {
    loop {
        let generation = access.generation();
        match time_left(&access.current().token, SystemTime::now()) {
            Some(left) => tokio::time::sleep(left.saturating_sub(FOR_THE_END.min(left / 2))).await,
            None => std::future::pending().await,
        }
        if access.generation() == generation {
            return;
        }
    }
}

/// How long the token is still good, from `exp` of a JWT. `None` where it does not say, or says that
/// it ran out already: meshStack just gave it to us, so then somebody's clock is wrong.
pub(crate) fn time_left(token: &Secret, now: SystemTime) -> Option<Duration> {
    let payload = token.expose().split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()?;
    let exp = claims.get("exp")?.as_f64().filter(|exp| exp.is_finite() && *exp >= 0.0)?;
    let expires = UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(exp).ok()?)?;
    expires.duration_since(now).ok().filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> Secret {
        Secret::new(format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims)))
    }

    #[test]
    fn the_expiry_of_a_jwt_is_read() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        assert_eq!(time_left(&token(r#"{"exp":1600}"#), now), Some(Duration::from_secs(600)));
        assert_eq!(time_left(&token(r#"{"exp":1600.5}"#), now), Some(Duration::from_millis(600_500)));
    }

    #[test]
    fn a_token_that_says_nothing_useful_has_no_expiry() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        for claims in [r#"{"exp":900}"#, r#"{"exp":"soon"}"#, r#"{"exp":-1}"#, r#"{"exp":1e400}"#, "{}", "no json"] {
            assert_eq!(time_left(&token(claims), now), None, "{claims}");
        }
        assert_eq!(time_left(&Secret::new("opaque"), now), None);
        assert_eq!(time_left(&Secret::new("a.b.c"), now), None);
    }
}
