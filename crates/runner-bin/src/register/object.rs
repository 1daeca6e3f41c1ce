//! The runner object: from the options, else from the configuration, else as it is registered.

use std::path::Path;

use meshstack_client::{Certificate, CloudIdentity, RunnerObject, RunnerType, WorkloadIdentityFederation};
use serde_json::{Value, json};

use super::Refused;
use super::access::Access;
use super::args::RegisterArgs;
use crate::Exit;
use crate::keys::{certificate_beside, read_certificate_file};
use crate::peek::{KeyPlace, Peek};
use crate::runner_api::Registered;

/// What is to be registered, and what the person should know about it.
pub(super) struct Object {
    /// What is sent to create it.
    pub(super) runner: RunnerObject,
    /// What is sent to update it, or shown: with everything that is registered and that nobody here knows.
    pub(super) json: Value,
    pub(super) notes: Vec<String>,
}

/// What is known of the present registration.
pub(super) enum Present {
    /// A runner is created.
    None,
    Found(Registered),
    /// There is one, and meshStack does not show it: the status.
    Hidden(u16),
    /// The credentials were refused, with this status.
    WrongCredentials(u16),
}

impl Object {
    /// Puts it together; an error says what is missing.
    pub(super) fn of(
        args: &RegisterArgs,
        access: &Access,
        peek: &Peek<'_>,
        directory: &Path,
        uuid: Option<&str>,
        present: &Present,
    ) -> Result<Self, Refused> {
        let mut notes = Vec::new();
        let wrong = |text: String| (text, Exit::BadConfiguration);
        if let Present::Hidden(status) | Present::WrongCredentials(status) = present {
            notes.push(format!(
                "The present registration cannot be read (HTTP {status}), so nothing of it is kept but what the options and \
                 the configuration say."
            ));
        }
        let missing = |what: &str, option: &str| match present {
            Present::WrongCredentials(status) => {
                let text = format!(
                    "meshStack refused the credentials (HTTP {status}), so what is registered cannot be read. Check the \
                     client id and the secret: whether they are of this meshStack, and whether the key has run out."
                );
                (text, Exit::Failure)
            }
            Present::Hidden(_) => {
                wrong(format!("{what} is missing, and cannot be read from meshStack. Give it with {option}."))
            }
            Present::None | Present::Found(_) => wrong(format!("{what} is missing. Give it with {option}.")),
        };
        let present = match present {
            Present::Found(present) => Some(present),
            _ => None,
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
            let text = "The name and the workspace must not be empty. Give them with --display-name and --workspace.";
            return Err(wrong(text.to_owned()));
        }
        let implementation_type = args
            .implementation_type
            .clone()
            .or_else(|| present.and_then(Registered::implementation_type))
            .unwrap_or(RunnerType::All);
        let certificate = certificate(args, access, peek, directory, present, &mut notes).map_err(wrong)?;
        let workload_identity_federation = args.federation.asked().map_err(wrong)?;
        let public_key = certificate.pem().to_owned();
        let runner = RunnerObject {
            owned_by_workspace,
            display_name,
            public_key,
            implementation_type,
            workload_identity_federation,
        };
        let mut json = present.map_or_else(|| json!({}), |present| present.json().clone());
        if args.federation.no_wif
            && let Some(spec) = json.get_mut("spec").and_then(Value::as_object_mut)
        {
            spec.shift_remove("workloadIdentityFederation");
        }
        over(&mut json, uuid, &runner);
        Ok(Self { runner, json, notes })
    }
}

/// Puts what is to be registered over what is. Where nothing is, that is the body of a creation, as
/// [`meshstack_client::Client`] sends it.
fn over(object: &mut Value, uuid: Option<&str>, runner: &RunnerObject) {
    // What meshStack adds for readers alone.
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove("_links");
        fields.shift_remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("lastSeen");
    }
    object["apiVersion"] = "v1-preview".into();
    object["kind"] = "meshBuildingBlockRunner".into();
    for part in ["metadata", "spec"] {
        if !object[part].is_object() {
            object[part] = json!({});
        }
    }
    if let Some(uuid) = uuid {
        object["metadata"]["uuid"] = uuid.into();
    }
    object["metadata"]["ownedByWorkspace"] = runner.owned_by_workspace.as_str().into();
    let spec = &mut object["spec"];
    spec["displayName"] = runner.display_name.as_str().into();
    spec["publicKey"] = runner.public_key.as_str().into();
    spec["implementationType"] = runner.implementation_type.as_str().into();
    if let Some(federation) = &runner.workload_identity_federation {
        spec["workloadIdentityFederation"] = trust(federation);
    }
}

fn trust(federation: &WorkloadIdentityFederation) -> Value {
    let mut object = json!({ "issuer": federation.issuer, "subject": federation.subject });
    let clouds = [("gcp", &federation.gcp), ("aws", &federation.aws), ("azure", &federation.azure)];
    for (name, cloud) in clouds {
        if let Some(CloudIdentity { audience, token_path }) = cloud {
            object[name] = json!({ "audience": audience, "tokenPath": token_path });
        }
    }
    object
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
