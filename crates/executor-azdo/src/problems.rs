//! What goes wrong with Azure DevOps, in the words of the person who ordered and with what to do. The cause goes to the
//! platform team beside it.

use runner_core::Failure;

use crate::address::Address;
use crate::answer::ApiError;

/// The token is not accepted.
pub(crate) const TOKEN: &str = "Azure DevOps does not accept the personal access token of the building block definition: it is \
                                wrong, expired or revoked. Ask the platform team to put a new one into the definition";

/// The pipeline was not started.
pub(crate) fn not_started(error: ApiError, address: &Address) -> Failure {
    let host = address.host();
    let message = match &error {
        ApiError::SignIn { .. } => format!("The pipeline was not started. {TOKEN}, then start the run again."),
        ApiError::Denied { .. } => "The pipeline was not started: the personal access token may not do that in Azure DevOps. \
             Ask the platform team for a token with the scope \"Build (read and execute)\" of somebody who may queue this \
             pipeline, then start the run again."
            .to_owned(),
        ApiError::NotFound { .. } => "The pipeline was not started: Azure DevOps does not find it, or the personal access token \
             may not see it. Ask the platform team to check organization, project and pipeline id of the building block \
             definition, and who the token belongs to."
            .to_owned(),
        ApiError::Moved { to, .. } => format!(
            "The pipeline was not started: {host} points to another address, {to}. Ask the platform team to correct the \
             base URL in the building block definition."
        ),
        ApiError::Throttled { .. } => "The pipeline was not started: Azure DevOps gets too many requests from this runner. \
             Start the run again in some minutes."
            .to_owned(),
        ApiError::Web(error) if error.certificate() => format!(
            "The pipeline was not started: the certificate of {host} is not trusted. Ask the platform team to give the runner \
             the certificate of its authority (CUSTOM_CA_CERTS_PATH)."
        ),
        ApiError::Web(_) => format!(
            "The pipeline was not started: {host} cannot be reached. Check that Azure DevOps is there and that the runner may \
             connect to it, then start the run again."
        ),
        ApiError::Refused { message, .. } => {
            format!("The pipeline was not started: Azure DevOps refused it ({message}). Correct that, then start the run again.")
        }
        ApiError::Broken { .. } | ApiError::Page { .. } => {
            "The pipeline was not started: Azure DevOps does not work right now. Start the run again later.".to_owned()
        }
    };
    Failure::because(message, error)
}

/// Whether the pipeline was started is not known, so it is not started again.
pub(crate) fn may_have_started(address: &Address, cause: Option<ApiError>) -> Failure {
    let message = format!(
        "The pipeline may have been started: the answer of Azure DevOps was lost. Look at {} for a run of this building block, \
         and start this run again only if there is none.",
        address.pipeline_page()
    );
    match cause {
        Some(error) => Failure::because(message, error),
        None => Failure::new(message),
    }
}

/// The pipeline cannot be followed any more.
pub(crate) fn lost_sight(error: ApiError, link: &str) -> Failure {
    let why = match &error {
        ApiError::SignIn { .. } => format!("{TOKEN}."),
        ApiError::Denied { .. } => {
            "The personal access token may not read the run any more. Ask the platform team for a token \
             with the scope \"Build (read and execute)\"."
                .to_owned()
        }
        ApiError::NotFound { .. } => {
            "Azure DevOps does not find the run any more: it was deleted, or the token may not see it.".to_owned()
        }
        ApiError::Web(error) if error.certificate() => {
            "The certificate of Azure DevOps is not trusted any more. Ask the \
             platform team to give the runner the certificate of its authority (CUSTOM_CA_CERTS_PATH)."
                .to_owned()
        }
        _ => "Azure DevOps does not tell how it goes on.".to_owned(),
    };
    Failure::because(format!("The pipeline cannot be followed and may still be running ({link}). {why}"), error)
}
