//! The App's installation on a repository, and its token: shared by all runs of that App and repository.
//!
//! Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, 2 and 3.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runner_core::Failure;
use runner_core::meshstack_client::Secret;
use runner_core::web::{Answer, Url, Web, WebError};
use tokio::time::Instant;

use crate::app_key::{AppKey, KeyError, fingerprint};
use crate::call::Call;
use crate::clock;
use crate::definition::Definition;
use crate::host::Host;
use crate::limits::{Limit, limit};
use crate::models::{Installation as Found, TokenAnswer};
use crate::pause::Pause;
use crate::problem::{Refusal, chain, no_permission, refused_credentials};

/// A token is renewed so long before it expires.
const RENEWED_BEFORE: Duration = Duration::from_secs(5 * 60);

/// How long a token is taken to be good for when GitHub does not say.
const ASSUMED_LIFE: i64 = 3600;

/// Why there is no token.
#[derive(Debug, Clone)]
pub(crate) enum TokenError {
    /// Not now.
    Limited(Limit),
    /// GitHub did not answer, or not as it should: worth another try.
    Unreachable(Arc<str>, bool),
    /// GitHub will not give one until somebody changes something.
    Refused(Refusal),
}

/// An App, installed on a repository.
pub(crate) struct Installation {
    pub(crate) host: Arc<Host>,
    /// When it may be asked again.
    pub(crate) pause: Pause,
    key: AppKey,
    app_id: String,
    base: Url,
    repository: String,
    /// The repository's API root; it moves when the repository was renamed.
    root: Mutex<Url>,
    /// Counts the fetches of a token.
    fetches: AtomicU64,
    slot: tokio::sync::Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    token: Option<Token>,
    installation: Option<String>,
    /// How the last fetch failed.
    failed: Option<TokenError>,
}

struct Token {
    secret: Secret,
    renew_at: Instant,
}

impl Installation {
    /// The repository's API root.
    pub(crate) fn root(&self) -> Url {
        lock(&self.root).clone()
    }

    /// The repository has moved.
    pub(crate) fn moved(&self, root: Url) {
        *lock(&self.root) = root;
    }

    /// The token. `refused`: one that GitHub did not take, so another is fetched. One caller fetches, the others wait,
    /// and get what comes of it.
    pub(crate) async fn token(&self, web: &Web, refused: Option<&Secret>) -> Result<Secret, TokenError> {
        let seen = self.fetches.load(Ordering::SeqCst);
        let mut slot = self.slot.lock().await;
        if let Some(token) = &slot.token
            && token.renew_at > Instant::now()
            && Some(&token.secret) != refused
        {
            return Ok(token.secret.clone());
        }
        if self.fetches.load(Ordering::SeqCst) != seen
            && let Some(error) = &slot.failed
        {
            return Err(error.clone());
        }
        slot.token = None;
        let fetched = self.fetch(web, &mut slot).await;
        self.fetches.fetch_add(1, Ordering::SeqCst);
        slot.failed = fetched.as_ref().err().cloned();
        let token = fetched?;
        let secret = token.secret.clone();
        slot.token = Some(token);
        Ok(secret)
    }

    async fn fetch(&self, web: &Web, slot: &mut Slot) -> Result<Token, TokenError> {
        let jwt =
            self.key.token(&self.app_id, clock::now()).map_err(|e| TokenError::Refused(bad_key(&self.app_id, e)))?;
        let known = slot.installation.is_some();
        if !known {
            slot.installation = Some(self.find(web, &jwt).await?);
        }
        let id = slot.installation.clone().unwrap_or_default();
        let answer =
            self.ask(web, &self.base, &Call::post(["app", "installations", &id, "access_tokens"]), &jwt).await?;
        if answer.status.as_u16() == 404 && known {
            // The App was installed anew since.
            slot.installation = None;
            return Box::pin(self.fetch(web, slot)).await;
        }
        if !answer.is_success() {
            slot.installation = None;
            return Err(TokenError::Refused(refused_credentials(&answer, &self.app_id, &self.repository)));
        }
        self.read(&answer)
    }

    /// The id of the installation.
    async fn find(&self, web: &Web, jwt: &Secret) -> Result<String, TokenError> {
        let root = self.root();
        let answer = self.ask(web, &root, &Call::get(["installation"]), jwt).await?;
        if !answer.is_success() {
            return Err(TokenError::Refused(refused_credentials(&answer, &self.app_id, &self.repository)));
        }
        let found = answer.json::<Found>().map_err(|e| unreadable(&e))?;
        found.id().ok_or_else(|| TokenError::Unreachable("the answer names no installation".into(), false))
    }

    /// Sends it with the App's own token. A limit and what is GitHub's fault are errors.
    async fn ask(&self, web: &Web, root: &Url, call: &Call, jwt: &Secret) -> Result<Answer, TokenError> {
        let (answer, moved) = call.send(web, root, jwt).await.map_err(|e| unreadable(&e))?;
        self.host.saw(&answer);
        if let Some(moved) = moved.filter(|_| *root != self.base) {
            self.moved(moved);
        }
        if let Some(limit) = limit(&answer) {
            return Err(TokenError::Limited(limit));
        }
        let status = answer.status;
        if status.is_server_error() || status.as_u16() == 408 || (answer.is_success() && answer.is_html()) {
            return Err(TokenError::Unreachable(
                format!("GitHub answered {status}: {}", answer.excerpt()).into(),
                false,
            ));
        }
        Ok(answer)
    }

    fn read(&self, answer: &Answer) -> Result<Token, TokenError> {
        let token = answer.json::<TokenAnswer>().map_err(|e| unreadable(&e))?;
        if token.token.is_empty() {
            return Err(TokenError::Unreachable("the answer holds no token".into(), false));
        }
        if let Some(permissions) = &token.permissions
            && permissions.get("actions").and_then(serde_json::Value::as_str) != Some("write")
        {
            return Err(TokenError::Refused(no_permission(permissions, &self.app_id, &self.repository)));
        }
        let expires = token.expires_at.as_deref().and_then(clock::parse);
        let life = expires.map_or(ASSUMED_LIFE, |expires| expires - self.host.now());
        let life = Duration::from_secs(u64::try_from(life).unwrap_or(0));
        // One that lives shorter than that is used for half of its life.
        let renew_in = life.saturating_sub(RENEWED_BEFORE).max(life / 2);
        Ok(Token { secret: token.token, renew_at: Instant::now() + renew_in })
    }
}

impl fmt::Debug for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installation").field("repository", &self.repository).finish_non_exhaustive()
    }
}

fn unreadable(error: &WebError) -> TokenError {
    TokenError::Unreachable(chain(error).into(), error.certificate())
}

/// A sentence on a key that no token can be signed with.
fn bad_key(app_id: &str, error: KeyError) -> Refusal {
    Refusal {
        message: format!(
            "The private key of the GitHub App {app_id} cannot be used: {error}. Ask the platform team to generate a \
             private key for the App and to store the whole file in the building block definition (`appPem`)."
        ),
        cause: format!("the App's key cannot be used: {error}"),
    }
}

/// All installations. The key is part of what tells them apart: who does not have an App's key gets no token of it.
#[derive(Debug, Default)]
pub(crate) struct Installations(Mutex<HashMap<Name, Arc<Installation>>>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Name {
    base: String,
    app_id: String,
    repository: String,
    key: [u8; 32],
}

impl Installations {
    /// The installation that a definition names.
    pub(crate) fn get(&self, definition: &Definition, host: &Arc<Host>) -> Result<Arc<Installation>, Failure> {
        let name = Name {
            base: definition.base.to_string(),
            app_id: definition.app_id.clone(),
            repository: definition.full_name().to_ascii_lowercase(),
            key: fingerprint(&definition.app_pem),
        };
        let mut all = lock(&self.0);
        if let Some(installation) = all.get(&name) {
            return Ok(Arc::clone(installation));
        }
        // Those of keys that nobody uses any more are forgotten.
        if all.len() > 1000 {
            all.retain(|_, installation| Arc::strong_count(installation) > 1);
        }
        let key = AppKey::from_pem(&definition.app_pem).map_err(|e| bad_key(&definition.app_id, e).into_failure())?;
        let installation = Arc::new(Installation {
            host: Arc::clone(host),
            pause: Pause::default(),
            key,
            app_id: definition.app_id.clone(),
            base: definition.base.clone(),
            repository: definition.full_name(),
            root: Mutex::new(root(&definition.base, &definition.owner, &definition.repository)),
            fetches: AtomicU64::new(0),
            slot: tokio::sync::Mutex::default(),
        });
        all.insert(name, Arc::clone(&installation));
        Ok(installation)
    }
}

fn root(base: &Url, owner: &str, repository: &str) -> Url {
    let mut root = base.clone();
    if let Ok(mut path) = root.path_segments_mut() {
        path.pop_if_empty().extend(["repos", owner, repository]);
    }
    root
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
