//! From settings to the controller's configuration.

use std::time::Duration;

use meshstack_client::{Certificate, PrivateKey};

use super::{ControllerConfig, kubernetes, pods};
use crate::config::problem::Place;
use crate::config::reader::{Found, Reader};
use crate::config::settings::{self, Setting};
use crate::config::{build, keys, secret_file};

/// Converts every setting. `None`, if something that is required is missing or wrong; that is noted in the reader.
pub(in crate::config) fn read(reader: &mut Reader<'_>) -> Option<ControllerConfig> {
    let namespace = required(reader, Setting::Namespace, "The namespace of the Jobs");
    if let Some(found) = namespace.as_ref().filter(|found| !kubernetes::is_label(&found.text)) {
        let text =
            format!("`{}` is no name of a Kubernetes namespace. Use lower-case letters, digits and `-`.", found.name);
        reader.mistake(found.place.clone(), text);
    }
    let runner_uuid = reader.runner_uuid();
    let owned_by_workspace = required(reader, Setting::OwnedByWorkspace, "The workspace that owns the runner");
    let display_name = required(reader, Setting::DisplayName, "The runner's name in meshStack");
    let api_url = build::api_url(reader, true);
    let credentials = build::credentials(reader, true);
    let current = reader.mistakes.len();
    let keys = keys::read(reader);
    if keys.is_empty() && reader.mistakes.len() == current {
        reader.missing(Setting::PrivateKey, "The private key");
    }
    let certificate = certificate(reader, &keys);
    let jobs = reader.number(Setting::MaxConcurrentJobs).unwrap_or_default();
    let default = settings::row(Setting::MaxConcurrentJobs).preset.number().unwrap_or_default();
    let jobs = if jobs == 0 { default } else { jobs };
    let image_pull_secrets = pods::image_pull_secrets(reader);
    let tolerations = pods::tolerations(reader);
    let node_selector = pods::node_selector(reader);
    let implementations = pods::implementations(reader);
    Some(ControllerConfig {
        version: build::version(reader),
        strict_origins: reader.flag(Setting::StrictOrigins),
        polling_interval: polling_interval(reader),
        max_concurrent_jobs: usize::try_from(jobs).ok(),
        state_dir: reader.path(Setting::StateDir),
        shutdown_grace: reader.seconds(Setting::ShutdownGraceSeconds),
        metrics_port: reader.number(Setting::MetricsPort).and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
        port: reader.port(Setting::Port),
        start_deadline: reader.seconds(Setting::StartDeadlineSeconds),
        unschedulable_deadline: reader.seconds(Setting::UnschedulableDeadlineSeconds),
        leader_election: reader.flag(Setting::LeaderElection),
        ca_paths: build::ca_paths(reader),
        warnings: Vec::new(),
        image_pull_secrets,
        tolerations,
        node_selector,
        implementations,
        keys,
        runner_uuid,
        namespace: namespace?.text,
        owned_by_workspace: owned_by_workspace?.text,
        display_name: display_name?.text,
        api_url: api_url?,
        credentials: credentials?,
        certificate: certificate?,
    })
}

fn required(reader: &mut Reader<'_>, setting: Setting, what: &str) -> Option<Found> {
    let found = reader.one(setting);
    if found.is_none() {
        reader.missing(setting, what);
    }
    found
}

/// 0 or less is the default.
fn polling_interval(reader: &mut Reader<'_>) -> Duration {
    let seconds = reader.number(Setting::PollingIntervalSeconds).filter(|seconds| *seconds > 0);
    let seconds = seconds.or_else(|| settings::row(Setting::PollingIntervalSeconds).preset.number());
    Duration::from_secs(seconds.map_or(0, i64::unsigned_abs))
}

/// The certificate; a file beats an inline one. It must belong to one of the keys, the first in the best case.
fn certificate(reader: &mut Reader<'_>, keys: &[PrivateKey]) -> Option<Certificate> {
    let inline = reader.one(Setting::PublicKey);
    let found = match reader.one(Setting::PublicKeyFile) {
        Some(named) => {
            let path = reader.expand_home(&named)?;
            match secret_file::read(&reader.directory.join(&path), &path) {
                Ok(text) => Found { text, ..named },
                Err(text) => {
                    reader.mistake(named.place, format!("`{}`: {text}", named.name));
                    return None;
                }
            }
        }
        None if inline.is_none() => {
            reader.missing(Setting::PublicKey, "The certificate of the private key");
            return None;
        }
        None => inline?,
    };
    let certificate = match Certificate::from_pem(&found.text) {
        Ok(certificate) => certificate,
        Err(mistake) => {
            reader.mistake(found.place, format!("The certificate in `{}` cannot be used: {mistake}.", found.name));
            return None;
        }
    };
    if !keys.is_empty() && !keys[0].matches(&certificate) {
        pair(reader, &found.place, &found.name, keys.iter().any(|key| key.matches(&certificate)));
    }
    Some(certificate)
}

/// Says that certificate and private key are no pair.
fn pair(reader: &mut Reader<'_>, place: &Place, name: &str, with_an_older: bool) {
    if with_an_older {
        let text = format!(
            "The certificate in `{name}` belongs to an older private key, not to the first. Put the newest key first."
        );
        reader.warning(place.clone(), text);
    } else {
        let text = format!(
            "The certificate in `{name}` does not belong to the private key, so nothing could be decrypted. Use the two files that were made together."
        );
        reader.mistake(place.clone(), text);
    }
}
