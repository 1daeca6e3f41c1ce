//! Starts the workflow, once, and finds out which workflow run that is.
//!
//! Source: `protocol/executors.md`, `GITHUB_WORKFLOW`, 5 and 7.

use runner_core::web::Answer;
use runner_core::{Failure, Stopped};
use serde_json::{Map, Value, json};
use tokio::sync::MutexGuard;

use crate::call::Call;
use crate::checkpoint::Phase;
use crate::clock;
use crate::flow::Flow;
use crate::host::Details;
use crate::inputs;
use crate::models::DispatchAnswer;
use crate::owned::Lane;
use crate::problem::{chain, refused_dispatch, said};
use crate::session::Sent;

/// GitHub's clock is known to a second or two.
const CLOCK_SLACK: i64 = 2;

/// What became of a dispatch that was sent.
pub(crate) enum Dispatch {
    /// GitHub took it, and named the run.
    Named {
        /// The workflow run.
        id: u64,
        /// Its page.
        url: Option<String>,
    },
    /// GitHub took it. That is all it says.
    Taken,
    /// It may have arrived, or not: why that is not known.
    Unknown(String),
}

impl Flow<'_> {
    /// Waits until this dispatch may be made: on hosts that do not name the run of a dispatch, those of one workflow and
    /// ref are made one after another, and none while the workflow run of an earlier one may still show up. `held`: the
    /// turn, if it was taken before. It is not kept while others are waited for: they may need it themselves.
    pub(crate) async fn take_turn<'l>(
        &mut self,
        lane: &'l Lane,
        mut held: Option<MutexGuard<'l, ()>>,
    ) -> Result<Option<MutexGuard<'l, ()>>, Stopped> {
        loop {
            let details = self.host.details();
            // The first one has found out, perhaps.
            if details == Details::Given {
                return Ok(None);
            }
            let run = self.ctx().run().uuid();
            if details == Details::Refused && lane.in_doubt_until(run).is_some() {
                drop(held.take());
                self.session.tell(
                    "The workflow of another building block has not shown up at GitHub yet. The runner waits, so that \
                     the two are not mixed up.",
                );
                self.ctx().or_stopped(lane.without_doubt(run)).await?;
            } else if held.is_some() {
                return Ok(held);
            } else {
                if details == Details::Refused && lane.turn.try_lock().is_err() {
                    self.session.tell(
                        "The same workflow is being started for another building block. The runner waits, so that the \
                         two are not mixed up.",
                    );
                }
                held = Some(self.ctx().or_stopped(lane.turn.lock()).await?);
            }
        }
    }

    /// Sends the dispatch. It is sent again only if it certainly was not carried out. While the request is under way, a
    /// stop has to wait: its answer is the only one that names the run.
    /// `turn`: taken before it is sent, if it is needed.
    pub(crate) async fn dispatch<'l>(
        &mut self,
        lane: &'l Lane,
        turn: &mut Option<MutexGuard<'l, ()>>,
        inputs: &Map<String, Value>,
    ) -> Result<Dispatch, Failure> {
        loop {
            *turn = self.take_turn(lane, turn.take()).await?;
            let ctx = self.ctx();
            let ready = ctx.or_stopped(self.session.ready()).await?;
            let token = ready.map_err(|trouble| self.could_not_start(trouble, inputs))?;
            let asks = self.host.details() != Details::Refused;
            let call = self.call(inputs, asks);
            self.checkpoint.phase = Phase::Dispatching;
            self.checkpoint.not_before = self.host.now() - CLOCK_SLACK;
            self.checkpoint.triggered_at = clock::now();
            self.note().await?;
            if let Some(reason) = ctx.stop().reason() {
                return Err(Stopped(reason).into());
            }
            let sent = self.session.send(&call, &token).await;
            match sent {
                Err(error) if error.may_have_arrived() => return Ok(Dispatch::Unknown(chain(&error))),
                Err(error) => {
                    self.not_sent().await?;
                    let cause = chain(&error);
                    let waited = self.session.wait_out(&cause, error.certificate(), None);
                    ctx.or_stopped(waited).await?.map_err(|trouble| self.could_not_start(trouble, inputs))?;
                }
                Ok(Sent::Again) => self.not_sent().await?,
                Ok(Sent::Answer(answer)) => {
                    if let Some(dispatch) = self.read(&answer, asks, inputs)? {
                        return Ok(dispatch);
                    }
                }
            }
        }
    }

    fn call(&self, inputs: &Map<String, Value>, asks: bool) -> Call {
        let mut body = json!({ "ref": self.definition.branch, "inputs": inputs });
        if asks {
            body["return_run_details"] = json!(true);
        }
        Call::post(["actions", "workflows", &self.definition.workflow, "dispatches"]).body(body)
    }

    /// What an answer says of the dispatch. `None`: it is to be sent without the question for the run.
    fn read(&self, answer: &Answer, asked: bool, inputs: &Map<String, Value>) -> Result<Option<Dispatch>, Failure> {
        let status = answer.status;
        if status.is_success() && !answer.is_html() {
            if let Ok(DispatchAnswer { workflow_run_id: id, html_url: url }) = answer.json() {
                self.host.learn(Details::Given);
                return Ok(Some(Dispatch::Named { id, url }));
            }
            if asked && self.host.details() == Details::Unknown {
                self.host.learn(Details::Refused);
            }
            return Ok(Some(Dispatch::Taken));
        }
        if asked && matches!(status.as_u16(), 400 | 422) && answer.text().contains("return_run_details") {
            self.host.learn(Details::Refused);
            return Ok(None);
        }
        // A page with a 2xx is not GitHub's: whether GitHub got anything is not known.
        if status.is_success() || status.is_server_error() || status.as_u16() == 408 {
            return Ok(Some(Dispatch::Unknown(said(answer))));
        }
        Err(refused_dispatch(answer, &self.definition, inputs::length(inputs)).into_failure())
    }

    /// It was refused or never arrived, so that after a restart it may be sent.
    async fn not_sent(&mut self) -> Result<(), Failure> {
        self.checkpoint.phase = Phase::Waiting;
        self.note().await
    }
}
