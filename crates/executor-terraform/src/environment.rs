//! The clean environment of a run's programs: nothing of the runner's own passes unnamed, it holds
//! the API secret.
//!
//! Source: `protocol/terraform.md`, "Environment".

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use runner_core::meshstack_client::Secret;

use crate::Settings;
use crate::process::Environment;

/// What passes if the runner has it.
const PASSED: [&str; 23] = [
    "HOME",
    "PATH",
    "TMPDIR",
    "TMP",
    "TEMP",
    "SSH_KNOWN_HOSTS",
    "NIX_CONFIG",
    "MESHSTACK_ENDPOINT",
    "MESHSTACK_SKIP_VERSION_CHECK",
    "CUSTOM_CA_CERTS_PATH",
    "TF_LOG",
    "TF_LOG_CORE",
    "TF_LOG_PROVIDER",
    "TF_LOG_PATH",
    "CHECKPOINT_DISABLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

/// What every program of a run starts from. `ca_bundle` is the file with the certificates to trust,
/// if it is not the system's own.
pub(crate) fn of_the_runner(settings: &Settings, ca_bundle: Option<&Path>) -> Environment {
    pick(settings, ca_bundle, |name| std::env::var_os(name))
}

fn pick(settings: &Settings, ca_bundle: Option<&Path>, runner: impl Fn(&str) -> Option<OsString>) -> Environment {
    let allowed = settings.pass_environment.iter().map(String::as_str);
    // Without a supervisor in between, a name that is no name would be an error of every command.
    let named = PASSED.into_iter().chain(allowed).filter(|name| !name.is_empty() && !name.contains(['=', '\0']));
    let mut environment: Environment = named.filter_map(|name| Some((OsString::from(name), runner(name)?))).collect();
    if let Some(bundle) = ca_bundle {
        environment.insert("SSL_CERT_FILE".into(), bundle.into());
        environment.insert("GIT_SSL_CAINFO".into(), bundle.into());
    }
    environment
}

/// What Terraform and the pre-run script see beside that: the run's own.
pub(crate) struct OfTheRun<'a> {
    /// How git is to use ssh, for module sources.
    pub(crate) git_ssh_command: Option<&'a str>,
    /// The run token, if meshStack keeps the state. Nowhere else: what stands in a backend block
    /// would be baked into a saved plan.
    pub(crate) state_password: Option<&'a Secret>,
    /// Environment inputs.
    pub(crate) inputs: &'a BTreeMap<String, String>,
}

impl OfTheRun<'_> {
    /// The environment of the runner with the run's own on top.
    pub(crate) fn on_top_of(&self, mut environment: Environment) -> Environment {
        let mut set = |name: &str, value: &str| environment.insert(name.into(), value.into());
        if let Some(command) = self.git_ssh_command {
            set("GIT_SSH_COMMAND", command);
        }
        set("GIT_TERMINAL_PROMPT", "0");
        for (name, value) in self.inputs {
            set(name, value);
        }
        if let Some(password) = self.state_password {
            set("TF_HTTP_USERNAME", "x");
            set("TF_HTTP_PASSWORD", password.expose());
        }
        set("TF_IN_AUTOMATION", "1");
        set("TF_INPUT", "0");
        environment.remove(std::ffi::OsStr::new("TF_WORKSPACE"));
        environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(name: &str) -> Option<OsString> {
        let known =
            ["HOME", "PATH", "RUNNER_API_CLIENT_SECRET", "AWS_ROLE_ARN", "https_proxy", "TF_WORKSPACE", "TF_LOG"];
        known.contains(&name).then(|| format!("<{name}>").into())
    }

    fn names(environment: &Environment) -> Vec<&str> {
        environment.keys().map(|name| name.to_str().unwrap()).collect()
    }

    #[test]
    fn only_what_is_named_passes() {
        let settings = Settings {
            pass_environment: vec!["AWS_ROLE_ARN".into(), "NOT_SET".into(), String::new(), "A=B".into()],
            ..Settings::default()
        };
        assert_eq!(names(&pick(&settings, None, runner)), ["AWS_ROLE_ARN", "HOME", "PATH", "TF_LOG", "https_proxy"]);
    }

    #[test]
    fn a_bundle_of_certificates_is_named_to_git_and_terraform() {
        let environment = pick(&Settings::default(), Some(Path::new("/run/ca.pem")), runner);
        assert_eq!(environment[&OsString::from("SSL_CERT_FILE")], "/run/ca.pem");
        assert_eq!(environment[&OsString::from("GIT_SSL_CAINFO")], "/run/ca.pem");
    }

    #[test]
    fn the_runs_own_beats_the_runners_and_the_fixed_beats_both() {
        let inputs =
            BTreeMap::from([("HOME".to_owned(), "/mine".to_owned()), ("TF_HTTP_PASSWORD".into(), "no".into())]);
        let token = Secret::new("token");
        let run = OfTheRun { git_ssh_command: Some("ssh -i key"), state_password: Some(&token), inputs: &inputs };
        let settings = Settings { pass_environment: vec!["TF_WORKSPACE".into()], ..Settings::default() };
        let environment = run.on_top_of(pick(&settings, None, runner));
        let value = |name: &str| environment.get(&OsString::from(name)).and_then(|value| value.to_str());
        assert_eq!(value("HOME"), Some("/mine"));
        assert_eq!(value("GIT_SSH_COMMAND"), Some("ssh -i key"));
        assert_eq!((value("TF_HTTP_USERNAME"), value("TF_HTTP_PASSWORD")), (Some("x"), Some("token")));
        assert_eq!((value("TF_IN_AUTOMATION"), value("TF_INPUT"), value("TF_WORKSPACE")), (Some("1"), Some("0"), None));
    }
}
