//! The end of a failed job's log.

use runner_core::Step;
use runner_core::web::{Answer, Method, last_lines};

use crate::call::Call;
use crate::problem::{chain, said};
use crate::session::Session;

/// Bytes of a log that are shown.
const SHOWN: usize = 16 * 1024;

/// The address is on another host, which may send on to a third.
const REDIRECTS: usize = 3;

/// Shows the end of the log in the job's step. A log that cannot be had costs nothing but a line.
pub(crate) async fn show(session: &mut Session<'_>, job: u64, step: &Step) {
    match fetch(session, job).await {
        Ok(answer) => {
            let text = answer.text();
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let shown = last_lines(text, SHOWN);
            step.log_line(if answer.cut || shown.len() < text.len() { "The end of its log:" } else { "Its log:" });
            step.log(shown.as_bytes());
            step.log_line("");
        }
        Err(reason) => step.log_line(format!("Its log could not be fetched: {reason}. Look at the job's page.")),
    }
}

/// GitHub answers with an address that is valid for a minute, on a host that must not see the token.
async fn fetch(session: &mut Session<'_>, job: u64) -> Result<Answer, String> {
    let call = Call::get(["actions", "jobs", &job.to_string(), "logs"]).tail(2 * SHOWN);
    let mut answer = match session.ask(&call).await {
        Ok(answer) => answer,
        Err(trouble) => {
            session.forget_refusal();
            return Err(trouble.cause());
        }
    };
    let web = &session.github.web;
    for _ in 0..REDIRECTS {
        let Some(to) = answer.redirect() else { break };
        if answer.url.scheme() == "https" && to.scheme() != "https" {
            return Err("GitHub's address for it is not encrypted".to_owned());
        }
        let request = web.request(Method::GET, to).await.map_err(|e| chain(&e))?;
        answer = web.send_tail(request, 2 * SHOWN).await.map_err(|e| chain(&e))?;
    }
    if answer.is_success() { Ok(answer) } else { Err(said(&answer)) }
}
