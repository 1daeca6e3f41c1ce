//! The options of `bb-runner register`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use meshstack_client::{CloudIdentity, RunnerType, WorkloadIdentityFederation};

const HELP: &str = "\
With a UUID (--uuid, the configuration or RUNNER_UUID), the registration is updated; what is not given stays as it is, as far
as it can be read. Without one, a runner is created, and meshStack gives it its UUID.

The API key comes from the configuration and its variables, or from the options; it must be allowed to save building block
runners (BUILDINGBLOCKRUNNER_SAVE), which the key of a running runner need not be.

Exit codes:
  0 done (with --wait: and it is there); 1 meshStack did not take it, it was not there in time, or the configuration file
  could not be changed; 2 not tried: wrong arguments or configuration";

const TYPES: &str = "What it serves: ALL, MANUAL, TERRAFORM, GITHUB_WORKFLOW, GITLAB_PIPELINE or AZURE_DEVOPS_PIPELINE \
                     [default: as registered, else ALL]";

/// What to register.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct RegisterArgs {
    /// UUID of a runner that exists [default: that of the configuration]
    #[arg(long, value_name = "UUID")]
    pub uuid: Option<String>,
    /// Create a runner though the configuration names one
    #[arg(long, conflicts_with = "uuid")]
    pub new: bool,
    /// Name that people see
    #[arg(long, value_name = "NAME")]
    pub display_name: Option<String>,
    /// Identifier of the workspace that owns the runner
    #[arg(long, value_name = "WORKSPACE")]
    pub workspace: Option<String>,
    /// What it serves.
    #[arg(long = "type", value_name = "TYPE", value_parser = runner_type, help = TYPES)]
    pub implementation_type: Option<RunnerType>,
    /// Certificate, PEM [default: the one beside the current private key]
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Trust of clouds in the service account of runs.
    #[command(flatten)]
    pub federation: FederationArgs,
    /// How to reach meshStack.
    #[command(flatten)]
    pub access: AccessArgs,
    /// Print the runner object as JSON; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Wait until meshStack has the registration; with `active`, until a runner has asked it for work
    #[arg(long, value_enum, value_name = "STATE", num_args = 0..=1, default_missing_value = "registered", require_equals = true)]
    pub wait: Option<WaitFor>,
    /// How long to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400), requires = "wait")]
    pub wait_timeout: u64,
    /// Write the UUID into the configuration file; comments and everything else stay as they are
    #[arg(long, conflicts_with = "dry_run")]
    pub write_config: bool,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// The registration can be read, or is taken once more.
    Registered,
    /// A runner has asked for work under it.
    Active,
}

/// How to reach meshStack.
#[derive(Debug, Args)]
pub struct AccessArgs {
    /// meshStack's address [default: that of the configuration]
    #[arg(long, value_name = "URL")]
    pub api_url: Option<String>,
    /// Id of the API key [default: that of the configuration]
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// File with the secret of the API key, `-` for standard input [default: that of the configuration]
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
}

/// Workload identity federation. Source: `protocol/run-api.md`, "Runner objects".
#[derive(Debug, Args)]
#[group(multiple = true)]
pub struct FederationArgs {
    /// Workload identity federation: who issues the tokens of runs
    #[arg(long, value_name = "URL", requires = "wif_subject")]
    pub wif_issuer: Option<String>,
    /// Whom they name, such as system:serviceaccount:NAMESPACE:NAME
    #[arg(long, value_name = "SUBJECT", requires = "wif_issuer")]
    pub wif_subject: Option<String>,
    /// Google Cloud: audience, and where runs find the token [default: /var/run/secrets/workload-identity/gcp/token]
    #[arg(long, value_name = "AUDIENCE[,PATH]", requires = "wif_issuer")]
    pub wif_gcp: Option<String>,
    /// The same for AWS
    #[arg(long, value_name = "AUDIENCE[,PATH]", requires = "wif_issuer")]
    pub wif_aws: Option<String>,
    /// The same for Azure, whose audience has a default
    #[arg(long, value_name = "AUDIENCE[,PATH]", num_args = 0..=1, default_missing_value = AZURE, requires = "wif_issuer")]
    pub wif_azure: Option<String>,
    /// Take the workload identity federation out of a registration
    #[arg(long, conflicts_with = "wif_issuer")]
    pub no_wif: bool,
}

/// The audience that Azure expects (`protocol/run-api.md`).
const AZURE: &str = "api://AzureADTokenExchange";

impl FederationArgs {
    /// What is asked for; an error if no cloud is named.
    pub(super) fn asked(&self) -> Result<Option<WorkloadIdentityFederation>, String> {
        let Some((issuer, subject)) = self.wif_issuer.clone().zip(self.wif_subject.clone()) else { return Ok(None) };
        let cloud = |name: &str, given: &Option<String>| {
            given.as_ref().map(|given| {
                let (audience, path) = given.split_once(',').unwrap_or((given, ""));
                let default = || format!("/var/run/secrets/workload-identity/{name}/token");
                let token_path = if path.is_empty() { default() } else { path.to_owned() };
                CloudIdentity { audience: audience.to_owned(), token_path }
            })
        };
        let federation = WorkloadIdentityFederation {
            issuer,
            subject,
            gcp: cloud("gcp", &self.wif_gcp),
            aws: cloud("aws", &self.wif_aws),
            azure: cloud("azure", &self.wif_azure),
        };
        let clouds = [&federation.gcp, &federation.aws, &federation.azure];
        if clouds.iter().all(|cloud| cloud.is_none()) {
            return Err(
                "Workload identity federation needs a cloud. Add --wif-gcp, --wif-aws or --wif-azure.".to_owned()
            );
        }
        if clouds.into_iter().flatten().any(|cloud| cloud.audience.is_empty()) {
            return Err("The audience of a cloud is empty. Write it before the comma.".to_owned());
        }
        Ok(Some(federation))
    }
}

/// A type in the spelling of registrations; that of runs, and small letters, are taken too.
fn runner_type(word: &str) -> Result<RunnerType, String> {
    let word = word.trim().to_ascii_uppercase().replace('-', "_");
    let word = match word.as_str() {
        "GITLAB_CICD" => "GITLAB_PIPELINE",
        "AZURE_DEVOPS" => "AZURE_DEVOPS_PIPELINE",
        word => word,
    };
    match RunnerType::from(word) {
        RunnerType::Other(_) => Err("it is none of ALL, MANUAL, TERRAFORM, GITHUB_WORKFLOW, GITLAB_PIPELINE and \
             AZURE_DEVOPS_PIPELINE"
            .to_owned()),
        known => Ok(known),
    }
}

#[cfg(test)]
mod tests {
    use meshstack_client::RunnerType;

    use super::runner_type;

    #[test]
    fn types_are_taken_in_both_spellings() {
        assert_eq!(runner_type("all"), Ok(RunnerType::All));
        assert_eq!(runner_type("gitlab-pipeline"), Ok(RunnerType::GitlabPipeline));
        assert_eq!(runner_type("GITLAB_CICD"), Ok(RunnerType::GitlabPipeline));
        assert_eq!(runner_type("AZURE_DEVOPS"), Ok(RunnerType::AzureDevopsPipeline));
        assert!(runner_type("BASH").is_err());
    }
}
