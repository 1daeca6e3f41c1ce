//! Faults a test can plan: what goes wrong, for which requests, and how often.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// `POST /api/login`.
    Login,
    /// A claim.
    Claim,
    /// Registering a source.
    Register,
    /// A status patch.
    Patch,
    /// Reading a run.
    ReadRun,
    /// Downloading or uploading a plan.
    Artifact,
    /// Terraform state: reading, writing, locking.
    State,
    /// Creating or updating a runner object.
    Runner,
    /// Anything else.
    Unknown,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// This answer instead; the request is not applied.
    Status {
        /// The HTTP status.
        code: u16,
        /// Headers of the answer.
        headers: Vec<(String, String)>,
        /// Body of the answer.
        body: String,
    },
    /// The request is applied and answered, this much later.
    Delay(Duration),
    /// The connection is closed; the request is not applied.
    CutBefore,
    /// The request is applied, and the connection closed: its answer is lost.
    CutAfter,
    /// An HTML page with status 200, as a proxy sends it; the request is not applied.
    Html,
    /// A JSON text of this many bytes with status 200; the request is not applied.
    HugeBody(u64),
    /// The request is applied, and its answer breaks off in the middle of the JSON.
    BrokenJson,
    /// There is never an answer; the request is not applied.
    Hang,
}

impl Effect {
    /// This status with an empty body.
    pub fn status(code: u16) -> Self {
        Self::Status { code, headers: Vec::new(), body: String::new() }
    }

    /// The name under which it is recorded.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Delay(_) => "delay",
            Self::CutBefore => "cutBefore",
            Self::CutAfter => "cutAfter",
            Self::Html => "html",
            Self::HugeBody(_) => "hugeBody",
            Self::BrokenJson => "brokenJson",
            Self::Hang => "hang",
        }
    }
}

/// A planned fault. Of several that fit a request, the one planned first is taken.
///
/// ```
/// use meshstack_local::{Effect, Fault, Operation};
///
/// // The answers to the second and third patch are lost.
/// let fault = Fault::on(Operation::Patch, Effect::CutAfter).skip(1).times(2);
/// # let _ = fault;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub(crate) operation: Option<Operation>,
    pub(crate) method: Option<String>,
    pub(crate) path_part: Option<String>,
    pub(crate) skip: u64,
    pub(crate) times: Option<u64>,
    pub(crate) effect: Effect,
}

impl Fault {
    /// Strikes the next request about `operation`.
    pub fn on(operation: Operation, effect: Effect) -> Self {
        Self { operation: Some(operation), ..Self::any(effect) }
    }

    /// Strikes the next request with this method (upper case) whose path or query contains `path_part`.
    pub fn on_path(method: &str, path_part: &str, effect: Effect) -> Self {
        Self { method: Some(method.to_owned()), ..Self::any(effect) }.containing(path_part)
    }

    /// Strikes the next request, whatever it is.
    pub fn any(effect: Effect) -> Self {
        Self { operation: None, method: None, path_part: None, skip: 0, times: Some(1), effect }
    }

    /// Only requests whose path or query contains this text, a run's UUID say.
    #[must_use]
    pub fn containing(mut self, path_part: &str) -> Self {
        self.path_part = Some(path_part.to_owned());
        self
    }

    /// Strikes this often.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Strikes until [`clear_faults`](crate::LocalMeshStack::clear_faults).
    #[must_use]
    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    /// Lets this many fitting requests pass first.
    #[must_use]
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    fn fits(&self, operation: Operation, method: &str, path: &str) -> bool {
        self.operation.is_none_or(|wanted| wanted == operation)
            && self.method.as_deref().is_none_or(|wanted| wanted == method)
            && self.path_part.as_deref().is_none_or(|part| path.contains(part))
    }
}

/// The planned faults, in the order in which they were planned.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn plan(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The effect this request suffers; a fault that has struck often enough is forgotten.
    pub(crate) fn strike(&mut self, operation: Operation, method: &str, path: &str) -> Option<Effect> {
        let mut struck = None;
        for fault in &mut self.0 {
            if !fault.fits(operation, method, path) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if let Some(times) = &mut fault.times {
                if *times == 0 {
                    continue;
                }
                *times -= 1;
            }
            struck = Some(fault.effect.clone());
            break;
        }
        self.0.retain(|fault| fault.times != Some(0));
        struck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strike(faults: &mut Faults, operation: Operation) -> Option<Effect> {
        faults.strike(operation, "PATCH", "/runs/a/status")
    }

    #[test]
    fn a_fault_strikes_as_often_as_planned_and_then_no_more() {
        let mut faults = Faults::default();
        faults.plan(Fault::on(Operation::Patch, Effect::CutAfter).skip(1).times(2));
        let struck: Vec<bool> = (0..4).map(|_| strike(&mut faults, Operation::Patch).is_some()).collect();
        assert_eq!(struck, [false, true, true, false]);
    }

    #[test]
    fn a_fault_spares_requests_it_was_not_planned_for() {
        let mut faults = Faults::default();
        faults.plan(Fault::on_path("PATCH", "/runs/b", Effect::Hang).always());
        faults.plan(Fault::on(Operation::Claim, Effect::Hang).always());
        assert_eq!(strike(&mut faults, Operation::Patch), None);
        assert_eq!(faults.strike(Operation::Patch, "PATCH", "/runs/b/status"), Some(Effect::Hang));
    }

    #[test]
    fn of_two_faults_the_first_strikes_first() {
        let mut faults = Faults::default();
        faults.plan(Fault::any(Effect::Html));
        faults.plan(Fault::any(Effect::Hang));
        assert_eq!(strike(&mut faults, Operation::Patch), Some(Effect::Html));
        assert_eq!(strike(&mut faults, Operation::Patch), Some(Effect::Hang));
    }
}
