//! Who is calling, and what they may do (`protocol/run-api.md`, Authentication).

use std::time::SystemTime;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::answer::Refusal;
use crate::options::Options;
use crate::request::Route;
use crate::state::State;

/// Who is calling.
#[derive(Debug, PartialEq, Eq)]
enum Caller {
    /// The holder of the API key or of the Basic credentials.
    Api,
    /// The holder of the token of this run.
    Run(String),
}

enum Credentials {
    None,
    Bearer(String),
    /// User name and password.
    Basic((String, String)),
}

fn credentials(headers: &HeaderMap) -> Result<Credentials, Refusal> {
    let Some(given) = headers.get(header::AUTHORIZATION) else { return Ok(Credentials::None) };
    let unreadable = || Refusal::violation(401, "the Authorization header is neither Bearer nor Basic");
    let (scheme, rest) = given.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(unreadable)?;
    match scheme {
        "Bearer" => Ok(Credentials::Bearer(rest.to_owned())),
        "Basic" => {
            let bytes = STANDARD.decode(rest).map_err(|_| unreadable())?;
            let text = String::from_utf8(bytes).map_err(|_| unreadable())?;
            let (user, password) = text.split_once(':').ok_or_else(unreadable)?;
            Ok(Credentials::Basic((user.to_owned(), password.to_owned())))
        }
        _ => Err(unreadable()),
    }
}

impl State {
    /// Lets the request pass, or says why not.
    pub(crate) fn authorize(
        &self,
        route: &Route,
        headers: &HeaderMap,
        now: SystemTime,
        options: &Options,
    ) -> Result<(), Refusal> {
        if matches!(route, Route::Login | Route::Unknown) {
            return Ok(());
        }
        let credentials = credentials(headers)?;
        if matches!(credentials, Credentials::None) && !options.require_auth {
            return Ok(());
        }
        if let Route::TerraformState { workspace, building_block } = route {
            return self.authorize_state(&credentials, workspace, building_block, now);
        }
        let caller = self.caller(credentials, now, options)?;
        let allowed = match (route, &caller) {
            (_, Caller::Api) => true,
            (
                Route::Register { run } | Route::Patch { run, .. } | Route::ReadRun { run } | Route::UploadPlan { run },
                Caller::Run(own),
            ) => run == own,
            (Route::DownloadPlan { run }, Caller::Run(own)) => self.readable_plans(own).contains(run),
            _ => false,
        };
        if allowed { Ok(()) } else { Err(Refusal::violation(403, "a run token is for its own run only")) }
    }

    fn caller(&self, credentials: Credentials, now: SystemTime, options: &Options) -> Result<Caller, Refusal> {
        match credentials {
            Credentials::None => Err(Refusal::violation(401, "there are no credentials")),
            Credentials::Bearer(token) => match self.api_tokens.get(&token) {
                Some(expires) if *expires > now => Ok(Caller::Api),
                Some(_) => Err(Refusal::expected(401, "the API token has expired")),
                None => self.run_of(&token, now).map(|run| Caller::Run(run.to_owned())),
            },
            Credentials::Basic(given) if options.basic.as_ref() == Some(&given) => Ok(Caller::Api),
            Credentials::Basic(_) => Err(Refusal::violation(401, "the user name or the password is wrong")),
        }
    }

    /// The run that this token speaks for. One that has had its time is no violation: its holder can't know.
    fn run_of(&self, token: &str, now: SystemTime) -> Result<&str, Refusal> {
        let token = self.run_tokens.get(token).ok_or_else(|| Refusal::violation(401, "nobody was given this token"))?;
        if token.replaced {
            return Err(Refusal::expected(401, "the run was delivered again, under another token"));
        }
        if token.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::expected(401, "the run token has expired"));
        }
        Ok(&token.run)
    }

    /// Any user name, and the run token as the password.
    fn authorize_state(
        &self,
        credentials: &Credentials,
        workspace: &str,
        building_block: &str,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let Credentials::Basic((_, password)) = credentials else {
            return Err(Refusal::violation(401, "Terraform state is for Basic authentication only"));
        };
        let run = self.run_of(password, now)?;
        let own = self
            .runs
            .get(run)
            .is_some_and(|run| run.workspace() == workspace && run.building_block() == building_block);
        if own {
            Ok(())
        } else {
            Err(Refusal::violation(403, "a run token is for its own building block's state only"))
        }
    }
}
