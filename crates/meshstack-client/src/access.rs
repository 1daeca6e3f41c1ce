//! Where and as whom to report one run.

use std::fmt;

use crate::{RunObject, Secret};

/// Where and as whom to report one run.
///
/// Made from a [`RunObject`] at the claim. Its owner may keep it on disk (the fields are public for that); `Debug` prints no
/// secret.
#[derive(Clone, PartialEq, Eq)]
pub struct RunAccess {
    /// The run's UUID.
    pub uuid: String,
    /// The run token. Where it is empty, the API credentials are used in its place.
    pub token: Secret,
    /// `_links.registerSource.href`.
    pub register_link: Option<String>,
    /// `_links.updateSource.href`, a template with `{sourceId}`.
    pub update_link: Option<String>,
    /// `_links.self.href`.
    pub self_link: Option<String>,
}

impl RunAccess {
    /// Takes out of a run what reporting needs.
    pub fn of(run: &RunObject) -> Self {
        let link = |name: &str| run.link(name).map(str::to_owned);
        Self {
            uuid: run.uuid().to_owned(),
            token: run.run_token(),
            register_link: link("registerSource"),
            update_link: link("updateSource"),
            self_link: link("self"),
        }
    }
}

impl fmt::Debug for RunAccess {
    /// Names the run only: links may be signed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunAccess").field("uuid", &self.uuid).field("token", &self.token).finish_non_exhaustive()
    }
}
