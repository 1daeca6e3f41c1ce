//! Other hosts that runs need: where Terraform and `OpenTofu` come from, and the hosts of pipelines.

use reqwest::Url;

use super::report::Check;
use super::route::{LIMIT, Route};
use super::situation::Situation;
use super::tools::installed;
use crate::passwords;
use crate::runner_api::RunnerApi;

/// The makers' sites. Source: `protocol/terraform.md`, "The binary".
const TERRAFORM: &str = "https://releases.hashicorp.com/terraform/index.json";
const OPENTOFU: &str = "https://get.opentofu.org/tofu/api.json";

/// Where binaries are downloaded from.
pub(super) async fn mirrors(situation: &Situation) -> Vec<Check> {
    let below = |mirror: &Option<String>, path: &str, own: &str| {
        let mirror = mirror.as_ref().map(|mirror| format!("{}/{path}", mirror.trim_end_matches('/')));
        (mirror.is_some(), mirror.unwrap_or_else(|| own.to_owned()))
    };
    let terraform = below(&situation.terraform_mirror, "terraform/index.json", TERRAFORM);
    let opentofu = below(&situation.opentofu_mirror, "api.json", OPENTOFU);
    let none_installed = installed(&situation.install_dir).is_empty();
    let (terraform, opentofu) = tokio::join!(
        mirror(situation, "Terraform download", "terraform.mirrors.terraform", terraform, none_installed),
        mirror(situation, "OpenTofu download", "terraform.mirrors.opentofu", opentofu, none_installed),
    );
    vec![terraform, opentofu]
}

async fn mirror(
    situation: &Situation,
    name: &'static str,
    key: &str,
    (configured, address): (bool, String),
    none_installed: bool,
) -> Check {
    let shown = passwords::hidden(&address);
    let Some(url) = Url::parse(&address).ok().filter(Url::has_host) else {
        let seen = format!("`{key}` is no address.");
        return Check::problem(name, seen, "Write it like https://mirror.example.com/releases.");
    };
    let host = url.host_str().unwrap_or_default().to_owned();
    let mut way = Route::to(&url, &situation.ca_paths).check(&host).await;
    if way.is_ok()
        && let Some(status) = refused(situation, url).await
    {
        let advice = "Check the address of the mirror, and the user and password in it.".to_owned();
        way = Err((format!("It is answered with HTTP {status}."), advice));
    }
    match way {
        Ok(seen) => Check::fine(name, seen),
        Err((seen, advice)) if configured || none_installed => {
            let more = if configured {
                String::new()
            } else {
                format!(" Or name a mirror with `{key}`, or install the versions in advance.")
            };
            Check::warning(name, format!("{shown}: {seen}"), format!("{advice}{more}"))
        }
        Err((seen, _)) => {
            Check::note(name, format!("{shown}: {seen} The versions that are installed work without it."))
        }
    }
}

/// The status that the list of versions is refused with. Some servers do not know the method that fetches nothing.
async fn refused(situation: &Situation, url: Url) -> Option<u16> {
    let api = RunnerApi::new(url, None, situation.ca_paths.clone(), LIMIT);
    let answered = api.look().await.ok()?;
    Some(answered.status).filter(|status| *status >= 400 && *status != 405)
}

/// Hosts of pipelines: those that the configuration names, and those that were asked for.
pub(super) async fn pipelines(situation: &Situation, asked: &[String]) -> Vec<Check> {
    const NAME: &str = "pipeline hosts";
    let mut hosts: Vec<&String> = situation.hosts.iter().chain(asked).collect();
    hosts.dedup();
    if hosts.is_empty() {
        let seen =
            "none is named: GitHub, GitLab and Azure DevOps are named by building block definitions; --host checks one";
        return vec![Check::note(NAME, seen)];
    }
    let mut checks = Vec::new();
    for host in hosts {
        let name = format!("host {}", passwords::hidden(host));
        let address = if host.contains("://") { host.clone() } else { format!("https://{host}") };
        let Some(url) =
            Url::parse(&address).ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"))
        else {
            checks.push(Check::problem(
                NAME,
                format!("{} is no host.", passwords::hidden(host)),
                "Write it like gitlab.example.com.",
            ));
            continue;
        };
        let shown = url.host_str().unwrap_or_default().to_owned();
        checks.push(match Route::to(&url, &situation.ca_paths).check(&shown).await {
            Ok(seen) => Check::fine(name, seen),
            Err((seen, advice)) => Check::problem(name, seen, advice),
        });
    }
    checks
}
