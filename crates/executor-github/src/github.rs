//! What all runs share: connections, installations, and who owns which workflow run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use runner_core::web::{Web, WebSettings};

use crate::host::Host;
use crate::installation::Installations;
use crate::owned::{Lanes, Owned};
use crate::settings::GithubSettings;

/// The state that runs share.
pub(crate) struct Github {
    pub(crate) settings: GithubSettings,
    pub(crate) web: Web,
    pub(crate) installations: Installations,
    pub(crate) owned: Owned,
    pub(crate) lanes: Lanes,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

impl Github {
    pub(crate) fn new(settings: GithubSettings) -> Self {
        let web = Web::new(WebSettings { ca_paths: settings.ca_paths.clone(), ..WebSettings::default() });
        Self {
            settings,
            web,
            installations: Installations::default(),
            owned: Owned::default(),
            lanes: Lanes::default(),
            hosts: Mutex::default(),
        }
    }

    /// The host with this API root.
    pub(crate) fn host(&self, base: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry(base.to_owned()).or_default())
    }
}
