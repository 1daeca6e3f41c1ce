//! meshStack itself: its clock, the login, the registration, the permission to claim.

use std::time::{Duration, SystemTime};

use meshstack_client::{Certificate, Client, ClientConfig, Problem};
use reqwest::Url;

use super::report::{Check, Level};
use super::route::{LIMIT, Route};
use super::situation::Situation;
use crate::keys::{certificate_warnings, grouped};
use crate::register::base_url;
use crate::runner_api::{Answered, Login, Reading, Registered, RunnerApi, Unanswered};

/// No runner has this UUID: meshStack assigns none with it, so no run can be queued for it.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
/// From here on, tokens may be taken for run out or not valid yet.
const SKEW: Duration = Duration::from_secs(30);
const MUCH_SKEW: Duration = Duration::from_secs(300);

/// Everything about meshStack, each step after the one that it depends on.
pub(super) async fn checks(situation: &Situation) -> Vec<Check> {
    let Some(text) = &situation.api_url else {
        let advice = "Set `api.url` or RUNNER_API_URL to its address.";
        return vec![Check::problem(
            "meshStack",
            "There is no address of meshStack, so nothing about it can be checked.",
            advice,
        )];
    };
    let base = match base_url(text) {
        Ok(base) => base,
        Err(text) => return vec![Check::of_text("meshStack", Level::Problem, &text)],
    };
    let host = base.host_str().unwrap_or_default().to_owned();
    let port = base.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut checks = vec![Check::fine(
        "meshStack",
        format!("{}://{host}{port}{}", base.scheme(), base.path().trim_end_matches('/')),
    )];
    let (way, open) = Route::to(&base, &situation.ca_paths).checks().await;
    checks.extend(way);
    if !open {
        checks.push(Check::note("login", "not tried, because there is no way to meshStack"));
        return checks;
    }
    let api = RunnerApi::new(base.clone(), situation.credentials.clone(), situation.ca_paths.clone(), LIMIT);
    let asked = SystemTime::now();
    let login = api.login().await;
    let answered = SystemTime::now();
    let date = match &login {
        Ok((_, Some(date))) => Some(*date),
        _ => api.look().await.ok().and_then(|answered| answered.date),
    };
    checks.push(clock(date, asked, answered));
    let (check, login) = of_login(login);
    checks.push(check);
    let Some(login) = login else {
        checks.push(Check::note("registration, claim", "not tried, because there is no login"));
        return checks;
    };
    let Some(uuid) = &situation.uuid else {
        let advice = "`bb-runner register --write-config` creates a runner and writes its UUID.";
        checks.push(Check::problem("registration", "The runner has no UUID.", advice));
        return checks;
    };
    checks.extend(registration(situation, &api, uuid, &login).await);
    checks.push(claim(situation, &base, uuid).await);
    checks
}

/// meshStack's time, against the middle between the question and the answer.
fn clock(date: Option<SystemTime>, asked: SystemTime, answered: SystemTime) -> Check {
    const NAME: &str = "clock";
    let Some(date) = date else {
        return Check::note(NAME, "meshStack's time cannot be told: its answers carry no date");
    };
    let middle = asked + answered.duration_since(asked).unwrap_or_default() / 2;
    let (ahead, skew) = match middle.duration_since(date) {
        Ok(ours) => ("ahead of", ours),
        Err(theirs) => ("behind", theirs.duration()),
    };
    // The date counts whole seconds.
    if skew <= Duration::from_secs(2) {
        return Check::fine(NAME, "as meshStack's, to the second");
    }
    let seen = format!("this machine is {} seconds {ahead} meshStack", skew.as_secs());
    let advice = "Set the clock of this machine (NTP); tokens and certificates depend on it.";
    match skew {
        skew if skew < SKEW => Check::fine(NAME, seen),
        skew if skew < MUCH_SKEW => Check::warning(NAME, seen, advice),
        _ => Check::problem(NAME, seen, advice),
    }
}

fn of_login(login: Result<(Login, Option<SystemTime>), Unanswered>) -> (Check, Option<Login>) {
    const NAME: &str = "login";
    let check_key =
        "Check the client id and the secret: whether they are of this meshStack, and whether the key has run out.";
    match login {
        Ok((Login::Token(token), _)) => (Check::fine(NAME, "meshStack takes the API key"), Some(Login::Token(token))),
        Ok((Login::NotNeeded, _)) => {
            let seen = "User and password are configured; they are tried below.";
            (
                Check::warning(NAME, seen, "Use an API key: meshStack calls user and password deprecated."),
                Some(Login::NotNeeded),
            )
        }
        Ok((Login::Refused(answer), _)) => {
            let (seen, advice) = refused(&answer, check_key);
            (Check::problem(NAME, seen, advice), None)
        }
        Err(Unanswered::NoCredentials) => {
            let advice =
                "Set RUNNER_API_CLIENT_ID and RUNNER_API_CLIENT_SECRET, or `api.clientId` and `api.clientSecret`.";
            (Check::problem(NAME, "There are no credentials for meshStack.", advice), None)
        }
        Err(error) => {
            let seen = format!("meshStack does not answer the login ({}).", error.chain());
            (Check::problem(NAME, seen, "Try again; a proxy or firewall between may cut the connection."), None)
        }
    }
}

fn refused(answer: &Answered, check_key: &str) -> (String, String) {
    let status = answer.status;
    if let Some(host) =
        answer.location.as_deref().and_then(|to| Url::parse(to).ok()).and_then(|to| to.host_str().map(str::to_owned))
    {
        let seen = format!("The login is redirected to {host} (HTTP {status}), which is not followed.");
        return (
            seen,
            "Check `api.url`: it must be meshStack's own address, with https:// where it has that.".to_owned(),
        );
    }
    match status {
        401 | 403 => (format!("meshStack refuses the API key (HTTP {status})."), check_key.to_owned()),
        _ if answer.html => (
            format!("The login is answered with a web page (HTTP {status})."),
            "Check `api.url`: a proxy or a sign-in page answers in meshStack's place.".to_owned(),
        ),
        404 => (
            "There is no login at this address (HTTP 404).".to_owned(),
            "Check `api.url`: it must be meshStack's base address, without a path.".to_owned(),
        ),
        500.. => (format!("meshStack is not available (HTTP {status})."), "Try again later.".to_owned()),
        _ => (format!("The login is answered with HTTP {status} and without a token."), "Check `api.url`.".to_owned()),
    }
}

/// Whether the registration is there, and is for the key that is configured.
async fn registration(situation: &Situation, api: &RunnerApi, uuid: &str, login: &Login) -> Vec<Check> {
    const NAME: &str = "registration";
    match api.read_runner(uuid, login).await {
        Ok(Reading::Found(registered)) => {
            let of = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
            let word = registered.implementation_type().map(|word| word.as_str().to_owned());
            let seen = match registered.last_seen() {
                Some(last) => format!("it last asked for work at {last}"),
                None => "it has not asked for work yet".to_owned(),
            };
            let name = format!(
                "{:?} of the workspace {}, for {}; {seen}",
                of(registered.display_name()),
                of(registered.workspace()),
                of(word)
            );
            let mut checks = vec![Check::fine(NAME, name)];
            checks.push(registered_key(situation, &registered));
            checks
        }
        Ok(Reading::NotFound) => {
            let seen = format!(
                "meshStack shows no runner {uuid} (HTTP 404): it was never created, or this API key is not shown it; so whether \
                 its certificate fits cannot be told."
            );
            let advice =
                "Compare the UUID with the one that meshStack shows; `bb-runner register` creates or updates a runner.";
            vec![Check::warning(NAME, seen, advice)]
        }
        Ok(Reading::Refused(401)) => {
            let seen = "meshStack refuses the credentials (HTTP 401).";
            vec![Check::problem(NAME, seen, "Check user and password, or the client id and secret.")]
        }
        Ok(Reading::Refused(status) | Reading::Unreadable(status)) => {
            let seen = format!(
                "cannot be read with these credentials (HTTP {status}), so whether its certificate fits the private key cannot be \
                 told from here; compare the fingerprints of `bb-runner keys check` with what was pasted into meshStack"
            );
            vec![Check::note(NAME, seen)]
        }
        Err(error) => vec![Check::note(NAME, format!("cannot be read ({})", error.chain()))],
    }
}

fn registered_key(situation: &Situation, registered: &Registered) -> Check {
    const NAME: &str = "registered key";
    let certificate = match registered.public_key().map(|pem| Certificate::from_pem(&pem)) {
        Some(Ok(certificate)) => certificate,
        Some(Err(error)) => {
            let seen = format!("The registered certificate cannot be used: {error}.");
            return Check::problem(NAME, seen, "Register another: `bb-runner register --cert FILE`.");
        }
        None => {
            let seen = "meshStack shows no certificate of the runner, so whether it fits cannot be told";
            return Check::note(NAME, seen);
        }
    };
    let keys: Vec<_> = situation.keys.iter().filter_map(|report| report.key.as_ref().ok()).collect();
    match keys.iter().position(|key| key.matches(&certificate)) {
        Some(0) => match certificate_warnings(&certificate, SystemTime::now()).first() {
            Some(warning) => Check::of_text(NAME, Level::Warning, warning),
            None => Check::fine(NAME, "meshStack encrypts for the current private key"),
        },
        Some(_) => Check::warning(
            NAME,
            "meshStack still encrypts for an older private key, not for the current one.",
            "Complete the rotation: `bb-runner register --cert FILE` with the certificate of the current key.",
        ),
        None if keys.is_empty() => Check::problem(
            NAME,
            "A certificate is registered, but the runner has no usable private key, so it can read no secret.",
            "Configure the private key that belongs to the certificate (`privateKeyFile`), or register a new pair.",
        ),
        None => Check::problem(
            NAME,
            format!(
                "meshStack encrypts for a key that the runner does not have (public key SHA-256 {}).",
                grouped(&certificate.fingerprint())
            ),
            "Configure the private key that belongs to it beside the others (`privateKeyFiles`), or register the certificate of \
             the current one: `bb-runner register --cert FILE`.",
        ),
    }
}

/// Whether the credentials are let in to claims.
///
/// A claim for our own UUID could bring a run, which would be lost. So a claim is made for a UUID that no runner has: it
/// tells whether the credentials get past the door, not whether they may claim for this runner.
async fn claim(situation: &Situation, base: &Url, uuid: &str) -> Check {
    const NAME: &str = "claim";
    if uuid == NOBODY {
        return Check::note(NAME, "not tried: the configured UUID is a placeholder");
    }
    let mut config = ClientConfig::new(NOBODY);
    config.version = situation.version.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    config.api_url = Some(base.to_string());
    config.credentials.clone_from(&situation.credentials);
    config.ca_paths.clone_from(&situation.ca_paths);
    let Ok(client) = Client::new(config) else {
        return Check::note(NAME, "not tried: the version holds characters that cannot be sent");
    };
    let Ok(answer) = tokio::time::timeout(LIMIT * 2, client.claim()).await else {
        return Check::warning(NAME, "meshStack does not answer a claim in time.", "Try again.");
    };
    match answer.map_err(|error| (error.to_string(), error.problem)) {
        Ok(None) => Check::fine(
            NAME,
            "meshStack lets these credentials in to claims (asked for a UUID that nobody has, so that no run is taken); whether \
             they may claim for this runner shows when it starts",
        ),
        Ok(Some(_)) => Check::problem(
            NAME,
            "meshStack handed out a run for a UUID that no runner can have. It is given again after three hours.",
            "Whatever answers at `api.url` is no meshStack: check the address.",
        ),
        Err((_, Problem::Unauthorised { status: 403, .. })) => Check::note(
            NAME,
            "cannot be told without taking a run: meshStack refuses a claim for a UUID that nobody has (HTTP 403), which may be \
             for the UUID or for a permission that is missing; the log of the runner tells when it starts",
        ),
        Err((_, Problem::Unauthorised { status, .. })) => Check::problem(
            NAME,
            format!("meshStack refuses the credentials (HTTP {status})."),
            "Check the credentials; the key needs the permissions of a runner for building block runs.",
        ),
        Err((text, problem)) if problem.is_transient() => Check::warning(
            NAME,
            format!("A claim is not answered as it should ({text})."),
            "Try again; if it stays, ask those who run meshStack or the proxy before it.",
        ),
        Err((_, Problem::Refused { status, .. })) => Check::note(
            NAME,
            format!(
                "cannot be told without taking a run: meshStack does not take a UUID that nobody has (HTTP {status})"
            ),
        ),
        Err((text, _)) => Check::note(NAME, format!("cannot be told ({text})")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::clock;
    use crate::doctor::report::Level;

    #[test]
    fn the_clock_is_judged_by_its_distance_in_both_directions() {
        let now = SystemTime::now();
        let level = |seconds: u64, ahead: bool| {
            let skew = Duration::from_secs(seconds);
            clock(Some(if ahead { now - skew } else { now + skew }), now, now).level
        };
        for ahead in [true, false] {
            assert_eq!(level(1, ahead), Level::Fine);
            assert_eq!(level(60, ahead), Level::Warning);
            assert_eq!(level(3600, ahead), Level::Problem);
        }
        assert_eq!(clock(None, now, now).level, Level::Note);
    }
}
