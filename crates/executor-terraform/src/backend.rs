//! Where the state is kept.
//!
//! Source: `protocol/terraform.md`, "Init, backend, workspace" and "State that would be lost".

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use runner_core::meshstack_client::Secret;
use runner_core::{Failure, Run, Step};

use crate::Settings;
use crate::inputs::Module;
use crate::state_lock::MeshState;

/// The run token, if the definition lets meshStack keep the state; also where the module has a
/// backend of its own, and for the pre-run script.
pub(crate) fn state_password(run: &Run) -> Result<Option<Secret>, Failure> {
    if !run.implementation_flag("useMeshHttpBackendFallback") {
        return Ok(None);
    }
    let token = run.run_token();
    if token.is_empty() {
        return Err(Failure::new(
            "meshStack keeps the state of this building block, but the run came without the token for it. \
             Start the run again; if that does not help, tell the platform team.",
        ));
    }
    Ok(Some(token))
}

/// Whether each building block has a workspace of its own in the module's backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workspaces {
    Used,
    /// meshStack keeps one state per building block.
    NotUsed,
}

/// Writes the backend that meshStack offers into a module that has none, if the definition says so.
pub(crate) fn prepare(
    run: &Run,
    module: &Module,
    dir: &Path,
    settings: &Settings,
    step: &Step,
) -> Result<Workspaces, Failure> {
    match module.backend() {
        None if run.implementation_flag("useMeshHttpBackendFallback") => {
            let address = state_address(run, settings)?;
            write(dir, &block(&address, settings.state_locking)).map_err(|error| {
                Failure::because(
                    "The runner could not write the address of the state. Ask the platform team to look at the \
                     runner's disk, then start the run again.",
                    error,
                )
            })?;
            step.log_line(format!("The state is kept by meshStack: {address}"));
            return Ok(Workspaces::NotUsed);
        }
        None => step.log_line(
            "Warning: the module has no backend, so its state lies in the working directory and is lost when this run \
             ends. The next run will not know what this one made. Give the module a backend, or let meshStack keep the \
             state (useMeshHttpBackendFallback).",
        ),
        Some("local") => step.log_line(
            "Warning: the module has the backend \"local\", so its state lies on the runner and, unless its path leads \
             out of the working directory, is lost when this run ends. Give the module another backend, or none and let \
             meshStack keep the state (useMeshHttpBackendFallback).",
        ),
        Some(_) => {}
    }
    Ok(Workspaces::Used)
}

/// The state that meshStack keeps.
pub(crate) fn mesh_state(run: &Run, password: Secret, settings: &Settings) -> Result<MeshState, Failure> {
    Ok(MeshState { address: state_address(run, settings)?, password, ca_certs: settings.ca_certs.clone() })
}

/// `<base>/api/terraform/state/workspace/<workspace>/buildingBlock/<uuid>` (`protocol/run-api.md`).
fn state_address(run: &Run, settings: &Settings) -> Result<String, Failure> {
    let base = run.link("meshstackBaseUrl").or(settings.api_url.as_deref()).ok_or_else(|| {
        Failure::new("The run does not say where meshStack keeps its state. Ask the platform team to set `api.url`.")
    })?;
    let (Some(workspace), Some(building_block)) = (run.workspace(), run.building_block_uuid()) else {
        return Err(Failure::new(
            "The run names no workspace or no building block, so its state cannot be found. Tell the platform team.",
        ));
    };
    Ok(format!(
        "{}/api/terraform/state/workspace/{}/buildingBlock/{}",
        base.trim().trim_end_matches('/'),
        segment(workspace),
        segment(building_block)
    ))
}

/// A part of a path that cannot become more than one.
fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn block(address: &str, locking: bool) -> String {
    let address = quoted(address);
    let lock =
        if locking { format!("    lock_address = {address}\n    unlock_address = {address}\n") } else { String::new() };
    format!("terraform {{\n  backend \"http\" {{\n    address = {address}\n{lock}  }}\n}}\n")
}

/// An HCL string. The base of an address comes from outside, so it may hold anything.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "$${").replace("%{", "%%{");
    format!("\"{}\"", text.replace('\n', "\\n").replace('\r', "\\r"))
}

fn write(dir: &Path, block: &str) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let path = dir.join(format!("meshStack_httpbackend-{now}.tf"));
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(block.as_bytes())
}

#[cfg(test)]
mod tests {
    use runner_core::meshstack_client::RunObject;
    use serde_json::json;

    use super::*;

    fn run(workspace: &str, link: Option<&str>) -> Run {
        let run = json!({
            "metadata": { "uuid": "run" },
            "spec": { "buildingBlock": { "uuid": "bb", "spec": { "workspaceIdentifier": workspace } } },
            "_links": { "meshstackBaseUrl": { "href": link } },
        });
        Run::undecrypted(RunObject::from_value(run).unwrap())
    }

    #[test]
    fn the_address_is_built_on_the_runs_link_else_on_the_configured_one() {
        let settings = Settings { api_url: Some("https://api.example.com/".into()), ..Settings::default() };
        let address = |run| state_address(&run, &settings).unwrap();
        assert_eq!(
            address(run("likvid", Some("https://mesh.example.com"))),
            "https://mesh.example.com/api/terraform/state/workspace/likvid/buildingBlock/bb"
        );
        assert_eq!(
            address(run("a/../b c", None)),
            "https://api.example.com/api/terraform/state/workspace/a%2F..%2Fb%20c/buildingBlock/bb"
        );
        let nowhere = state_address(&run("likvid", None), &Settings::default()).unwrap_err();
        assert!(nowhere.user_message().contains("api.url"));
    }

    #[test]
    fn the_block_names_the_lock_only_if_it_is_wanted_and_escapes_the_address() {
        assert_eq!(
            block("https://x/${y}", false),
            "terraform {\n  backend \"http\" {\n    address = \"https://x/$${y}\"\n  }\n}\n"
        );
        let locking = block("https://x/", true);
        assert!(
            locking.contains("    lock_address = \"https://x/\"\n    unlock_address = \"https://x/\"\n"),
            "{locking}"
        );
        assert_eq!(quoted("a\"\n} b"), r#""a\"\n} b""#);
    }
}
