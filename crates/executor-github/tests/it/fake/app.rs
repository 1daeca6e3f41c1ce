//! The App's credentials: what GitHub takes, and what not.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::answer::Reply;
use super::spec;
use super::state::{State, written};

const PUBLIC_KEY: &str = include_str!("../../fixtures/github-app.pub.pem");

/// The installation's id.
pub(crate) const INSTALLATION: u64 = 5_000_000_001;

/// What is wrong with an App's own token. `None`: nothing.
pub(crate) fn refuse_jwt(state: &State, authorization: &str) -> Option<Reply> {
    let undecodable = || Some(Reply::error(401, "A JSON web token could not be decoded"));
    let Some(token) = authorization.strip_prefix("Bearer ") else { return undecodable() };
    let Some((signed, signature)) = token.rsplit_once('.') else { return undecodable() };
    let Some((header, claims)) = signed.split_once('.') else { return undecodable() };
    let part =
        |text: &str| URL_SAFE_NO_PAD.decode(text).ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
    let (Some(header), Some(claims)) = (part(header), part(claims)) else { return undecodable() };
    let (Some(issued), Some(expires)) = (claims["iat"].as_i64(), claims["exp"].as_i64()) else { return undecodable() };
    if header["alg"] != "RS256" {
        return undecodable();
    }
    if claims["iss"] != json!(state.app_id) {
        return Some(Reply::error(404, "Integration not found"));
    }
    let der: String = PUBLIC_KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, STANDARD.decode(der).expect("a key"));
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return undecodable() };
    if key.verify(signed.as_bytes(), &signature).is_err() {
        return undecodable();
    }
    let now = state.now();
    if issued > now {
        let text = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
        return Some(Reply::error(401, text));
    }
    if expires <= now {
        let text = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires";
        return Some(Reply::error(401, text));
    }
    if expires > now + 600 {
        return Some(Reply::error(401, "'Expiration time' claim ('exp') is too far in the future"));
    }
    None
}

/// What is wrong with an installation's token. `None`: nothing.
pub(crate) fn refuse_token(state: &State, authorization: &str) -> Option<Reply> {
    let token = authorization.strip_prefix("Bearer ").unwrap_or_default();
    match state.tokens.get(token) {
        Some(expires) if *expires > state.now() => None,
        _ => Some(Reply::error(401, "Bad credentials")),
    }
}

pub(crate) fn installation(state: &State) -> Reply {
    if !state.installed {
        return Reply::error(404, "Not Found");
    }
    let mut json = spec::example("installation");
    json["id"] = json!(INSTALLATION);
    if !state.text_id {
        return Reply::json(200, &json);
    }
    json["id"] = json!(INSTALLATION.to_string());
    Reply { described: false, ..Reply::json(200, &json) }
}

pub(crate) fn create_token(state: &mut State, id: &str) -> Reply {
    if id != INSTALLATION.to_string() || !state.installed {
        return Reply::error(404, "Not Found");
    }
    if state.suspended {
        return Reply::error(403, "This installation has been suspended");
    }
    state.issued += 1;
    let token = format!("ghs_installation-token-{}", state.issued);
    let expires = state.now() + state.token_life;
    state.tokens.insert(token.clone(), expires);
    let mut json = json!({ "token": token, "expires_at": written(expires), "repository_selection": "selected" });
    if !state.permissions.is_null() {
        json["permissions"] = state.permissions.clone();
    }
    Reply::json(201, &json)
}
