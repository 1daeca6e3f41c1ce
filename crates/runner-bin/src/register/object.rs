//! The runner object: from the options, else from the configuration, else as it is registered.

use std::path::Path;

use meshstack_client::{Certificate, CloudIdentity, RunnerObject, RunnerType};
use serde_json::{Value, json};

use super::access::Access;
use super::args::RegisterArgs;
use crate::keys::{certificate_beside, read_certificate_file};
use crate::peek::{KeyPlace, Peek};
use crate::runner_api::{Reading, Registered};

/// What is to be registered, and what the person should know about it.
pub(super) struct Object {
    pub(super) runner: RunnerObject,
    pub(super) notes: Vec<String>,
}

/// Whether something of the present registration is needed to fill the object in.
pub(super) fn needs_present(args: &RegisterArgs) -> bool {
    let federation = args.federation.wif_issuer.is_some() || args.federation.no_wif;
    args.display_name.is_none() || args.workspace.is_none() || args.implementation_type.is_none() || !federation
}

impl Object {
    /// Puts it together; an error says what is missing.
    pub(super) fn of(
        args: &RegisterArgs,
        access: &Access,
        peek: &Peek<'_>,
        directory: &Path,
        reading: Option<&Reading>,
    ) -> Result<Self, String> {
        let mut notes = Vec::new();
        let present = match reading {
            Some(Reading::Found(present)) => Some(present),
            _ => None,
        };
        let updates = !args.new && (args.uuid.is_some() || access.uuid.is_some());
        if updates && present.is_none() && needs_present(args) {
            let why = match reading {
                Some(Reading::Refused(status)) => format!(" (HTTP {status})"),
                Some(Reading::NotFound) => " (HTTP 404)".to_owned(),
                _ => String::new(),
            };
            notes.push(format!(
                "The present registration cannot be read{why}, so nothing of it is kept but what the options and the \
                 configuration say."
            ));
        }
        let missing = |what: &str, option: &str| {
            let unread = if updates { ", and cannot be read from meshStack" } else { "" };
            format!("{what} is missing{unread}. Give it with {option}.")
        };
        let owned_by_workspace = args
            .workspace
            .clone()
            .or_else(|| access.controller.as_ref().map(|own| own.workspace.clone()))
            .or_else(|| present.and_then(Registered::workspace))
            .ok_or_else(|| missing("The workspace that owns the runner", "--workspace"))?;
        let display_name = args
            .display_name
            .clone()
            .or_else(|| access.controller.as_ref().map(|own| own.display_name.clone()))
            .or_else(|| present.and_then(Registered::display_name))
            .ok_or_else(|| missing("The name that people see", "--display-name"))?;
        if display_name.trim().is_empty() || owned_by_workspace.trim().is_empty() {
            return Err("The name and the workspace must not be empty. Give them with --display-name and --workspace."
                .to_owned());
        }
        let implementation_type = args
            .implementation_type
            .clone()
            .or_else(|| present.and_then(Registered::implementation_type))
            .unwrap_or(RunnerType::All);
        let certificate = certificate(args, access, peek, directory, present, &mut notes)?;
        let workload_identity_federation = match args.federation.asked()? {
            Some(asked) => Some(asked),
            None if args.federation.no_wif => None,
            None => present.and_then(Registered::federation),
        };
        let public_key = certificate.pem().to_owned();
        let runner = RunnerObject {
            owned_by_workspace,
            display_name,
            public_key,
            implementation_type,
            workload_identity_federation,
        };
        Ok(Self { runner, notes })
    }

    /// The body of the request, as [`meshstack_client::Client`] sends it.
    pub(super) fn json(&self, uuid: Option<&str>) -> String {
        let runner = &self.runner;
        let mut metadata = json!({});
        if let Some(uuid) = uuid {
            metadata["uuid"] = uuid.into();
        }
        metadata["ownedByWorkspace"] = runner.owned_by_workspace.as_str().into();
        let mut spec = json!({
            "displayName": runner.display_name,
            "publicKey": runner.public_key,
            "implementationType": runner.implementation_type.as_str(),
        });
        if let Some(federation) = &runner.workload_identity_federation {
            let mut object = json!({ "issuer": federation.issuer, "subject": federation.subject });
            let clouds = [("gcp", &federation.gcp), ("aws", &federation.aws), ("azure", &federation.azure)];
            for (name, cloud) in clouds {
                if let Some(CloudIdentity { audience, token_path }) = cloud {
                    object[name] = json!({ "audience": audience, "tokenPath": token_path });
                }
            }
            spec["workloadIdentityFederation"] = object;
        }
        let object: Value = json!({
            "apiVersion": "v1-preview", "kind": "meshBuildingBlockRunner", "metadata": metadata, "spec": spec,
        });
        serde_json::to_string_pretty(&object).unwrap_or_default()
    }
}

/// The certificate: named, or beside the current key, or in the controller's file, or the registered one.
fn certificate(
    args: &RegisterArgs,
    access: &Access,
    peek: &Peek<'_>,
    directory: &Path,
    present: Option<&Registered>,
    notes: &mut Vec<String>,
) -> Result<Certificate, String> {
    let current_file = peek.current_key().and_then(|source| match source.key {
        KeyPlace::File(file) => Some(directory.join(file)),
        KeyPlace::Inline(_) => None,
    });
    let beside = || current_file.as_deref().and_then(certificate_beside);
    let (certificate, whence) = if let Some(file) = &args.cert {
        (read_certificate_file(&directory.join(file), file)?, file.display().to_string())
    } else if let Some(own) = &access.controller {
        let certificate = Certificate::from_pem(&own.certificate)
            .map_err(|error| format!("The certificate in `crypto.publicKey` cannot be used: {error}."))?;
        (certificate, "`crypto.publicKey`".to_owned())
    } else if let Some(file) = beside() {
        (read_certificate_file(&file, &file)?, file.display().to_string())
    } else if let Some(pem) = present.and_then(Registered::public_key) {
        let certificate = Certificate::from_pem(&pem).map_err(|error| {
            format!("The registered certificate cannot be used: {error}. Give another with --cert.")
        })?;
        (certificate, "the registration".to_owned())
    } else {
        return Err(
            "There is no certificate to register. Name one with --cert, or make a key pair with `bb-runner keys \
                    generate`."
                .to_owned(),
        );
    };
    match access.keys.iter().position(|key| key.matches(&certificate)) {
        Some(0) => {}
        Some(_) => notes.push(format!(
            "The certificate from {whence} belongs to an older key of the configuration, not to the current one. That \
             works; register the current one to complete a rotation."
        )),
        None if access.keys.is_empty() => notes.push(
            "No private key is configured, so whether the certificate belongs to it was not checked. `bb-runner keys check` \
             does."
                .to_owned(),
        ),
        None => {
            return Err(format!(
                "The certificate from {whence} belongs to none of the configured private keys, so the runner could not \
                 read what meshStack encrypts for it. Name the right one with --cert, or configure its key; `bb-runner \
                 keys check` shows which is which."
            ));
        }
    }
    Ok(certificate)
}
