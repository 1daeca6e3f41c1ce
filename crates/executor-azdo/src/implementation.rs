//! What a building block definition says about its pipeline.
//!
//! Source: `protocol/executors.md`, `AZURE_DEVOPS`.

use runner_core::Failure;
use runner_core::meshstack_client::{RunObject, Secret};
use serde_json::Value;

use crate::address::{Address, AddressError};

/// The fields of an `AZURE_DEVOPS` implementation, checked.
#[derive(Debug, Clone)]
pub(crate) struct Implementation {
    pub(crate) address: Address,
    pub(crate) token: Secret,
    /// The pipeline reports the end itself.
    pub(crate) asynchronous: bool,
    /// A full ref name; without one Azure DevOps takes the pipeline's default branch.
    pub(crate) ref_name: Option<String>,
}

/// Why a definition cannot be carried out.
#[derive(Debug, thiserror::Error)]
enum Incomplete {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("it has no personal access token")]
    NoToken,
}

impl Implementation {
    /// Reads them from a decrypted run.
    pub(crate) fn read(run: &RunObject) -> Result<Self, Failure> {
        Self::checked(run).map_err(|incomplete| {
            Failure::new(format!(
                "The building block definition does not say how to reach its pipeline in Azure DevOps: {incomplete}. \
                 Ask the platform team to correct the definition."
            ))
        })
    }

    fn checked(run: &RunObject) -> Result<Self, Incomplete> {
        let text = |field| run.implementation_text(field).unwrap_or_default();
        let pipeline = match run.implementation().and_then(|fields| fields.get("pipelineId")) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let address = Address::new(text("azureDevOpsBaseUrl"), text("organization"), text("project"), &pipeline)?;
        let token = text("personalAccessToken").trim();
        if token.is_empty() {
            return Err(Incomplete::NoToken);
        }
        Ok(Self {
            address,
            token: Secret::new(token),
            asynchronous: run.implementation_flag("async"),
            ref_name: Some(text("refName").trim()).filter(|name| !name.is_empty()).map(full_ref),
        })
    }
}

/// A branch may be given by its name alone.
fn full_ref(name: &str) -> String {
    if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(change: impl FnOnce(&mut Value)) -> RunObject {
        let mut implementation = json!({
            "type": "AZURE_DEVOPS", "azureDevOpsBaseUrl": "https://dev.azure.com", "organization": "likvid",
            "project": "infra", "pipelineId": "12", "personalAccessToken": " pat \n", "async": false, "refName": null,
        });
        change(&mut implementation);
        let spec = json!({ "buildingBlockDefinition": { "spec": { "implementation": implementation } } });
        RunObject::from_value(json!({ "metadata": { "uuid": "u" }, "spec": spec })).unwrap()
    }

    #[test]
    fn a_ref_that_is_no_full_name_is_a_branch() {
        let read = |name: &str| Implementation::read(&run(|i| i["refName"] = json!(name))).unwrap().ref_name;
        assert_eq!(read("main").as_deref(), Some("refs/heads/main"));
        assert_eq!(read("feature/x").as_deref(), Some("refs/heads/feature/x"));
        assert_eq!(read("refs/tags/v1").as_deref(), Some("refs/tags/v1"));
        assert_eq!(read(" "), None);
        assert_eq!(Implementation::read(&run(|_| {})).unwrap().ref_name, None);
    }

    #[test]
    fn a_pipeline_id_may_be_a_number_and_a_pasted_token_loses_its_line_break() {
        let read = Implementation::read(&run(|i| i["pipelineId"] = json!(12))).unwrap();
        assert_eq!(
            (read.address.run(1).path(), read.token.expose()),
            ("/likvid/infra/_apis/pipelines/12/runs/1", "pat")
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        for (field, said) in [
            ("azureDevOpsBaseUrl", "it names no base URL"),
            ("organization", "it names no organization"),
            ("project", "it names no project"),
            ("pipelineId", "its pipeline id is not a number"),
            ("personalAccessToken", "it has no personal access token"),
        ] {
            let failure = Implementation::read(&run(|i| i[field] = Value::Null)).unwrap_err();
            assert!(failure.user_message().contains(said), "{field}: {}", failure.user_message());
        }
    }
}
