//! Which executor carries out which run, and how many runs at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use meshstack_client::{Behavior, ImplementationType};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{Executor, Failure, Run, Serves, StepSpec};

/// An executor and its slots.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) executor: Arc<dyn Executor>,
    /// `None`: no limit of its own.
    pub(crate) slots: Option<Slots>,
}

/// How many runs of one executor may be under way at once.
#[derive(Clone)]
pub(crate) struct Slots {
    pub(crate) free: Arc<Semaphore>,
    pub(crate) limit: usize,
}

impl Slots {
    pub(crate) fn new(limit: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))), limit }
    }
}

/// The executors of a runner.
#[derive(Clone, Default)]
pub(crate) struct Executors(Vec<Registered>);

/// Who carries out a run, and in which steps. A refusal has steps too: the first carries the message.
pub(crate) struct Assignment {
    pub(crate) steps: Vec<StepSpec>,
    pub(crate) executor: Result<Registered, Failure>,
}

impl Executors {
    pub(crate) fn add(&mut self, executor: Arc<dyn Executor>, limit: Option<usize>) {
        self.0.push(Registered { executor, slots: limit.map(Slots::new) });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An executor for the type that is there twice, if there is one.
    pub(crate) fn duplicate(&self) -> Option<Serves> {
        let served: Vec<Serves> = self.0.iter().map(|r| r.executor.serves()).collect();
        served.iter().enumerate().find(|(i, serves)| served[..*i].contains(serves)).map(|(_, serves)| serves.clone())
    }

    /// Whether an executor has a limit of 0.
    pub(crate) fn lets_nothing_through(&self) -> bool {
        self.0.iter().any(|r| r.slots.as_ref().is_some_and(|slots| slots.limit == 0))
    }

    /// The longest time that one of them needs to stop a run.
    pub(crate) fn longest_stop_grace(&self) -> Duration {
        self.0.iter().map(|r| r.executor.stop_grace()).max().unwrap_or_default()
    }

    /// Tells the executor of a run what an earlier process noted of it.
    pub(crate) fn recall(&self, run: &Run, noted: &Value) {
        if let Some(registered) = self.for_type(&run.implementation_type()) {
            // The executor's code: a panic in it must not keep the runner from starting.
            let told = catch_unwind(AssertUnwindSafe(|| registered.executor.recall(run, noted)));
            if let Err(panic) = told {
                tracing::error!(panic = panic_text(panic.as_ref()), "an executor failed to recall a run");
            }
        }
    }

    fn for_type(&self, wanted: &ImplementationType) -> Option<&Registered> {
        let serving = |serves: &Serves| self.0.iter().find(|r| r.executor.serves() == *serves);
        serving(&Serves::Type(wanted.clone())).or_else(|| serving(&Serves::Any))
    }

    fn known_types(&self) -> String {
        let mut names: Vec<String> = self
            .0
            .iter()
            .filter_map(|r| match r.executor.serves() {
                Serves::Type(name) => Some(name.to_string()),
                Serves::Any => None,
            })
            .collect();
        names.sort();
        names.join(", ")
    }

    /// Finds out who carries out the run.
    pub(crate) fn assign(&self, run: &Run) -> Assignment {
        if let Some(reason) = run.as_received().unreadable() {
            let failure = Failure::because(
                "The runner cannot read this run: what meshStack sent is damaged or too long. \
                 Shorten very long inputs, or ask the platform team to look at the runner's log.",
                reason.to_owned(),
            );
            return Assignment { steps: vec![StepSpec::new("validation", "Validation")], executor: Err(failure) };
        }
        let wanted = run.implementation_type();
        let Some(registered) = self.for_type(&wanted) else {
            let failure = Failure::new(format!(
                "This runner does not carry out building blocks of type \"{}\"; it knows {}. \
                 Ask the platform team to assign the definition to another runner.",
                short(wanted.as_str()),
                self.known_types()
            ));
            return Assignment { steps: vec![StepSpec::new("validation", "Validation")], executor: Err(failure) };
        };
        // `steps` is the executor's code: a panic in it is this run's failure only.
        let steps = catch_unwind(AssertUnwindSafe(|| registered.executor.steps(run)));
        let executor = match (&steps, run.behavior()) {
            (Err(panic), _) => Err(Failure::because(
                "The runner failed to prepare this run, through a mistake of its own. Tell the platform team.",
                panic_text(panic.as_ref()),
            )),
            (Ok(_), Behavior::Other(word)) => Err(Failure::new(format!(
                "This runner does not know the behavior \"{}\" that the run asks for. \
                 Ask the platform team to update the runner.",
                short(&word)
            ))),
            _ => Ok(registered.clone()),
        };
        let mut steps = steps.unwrap_or_default();
        if steps.is_empty() {
            steps.push(StepSpec::new("validation", "Validation"));
        }
        Assignment { steps, executor }
    }
}

/// A word of meshStack's in a message: its start, where it is longer than any word.
pub(crate) fn short(word: &str) -> &str {
    word.char_indices().nth(100).map_or(word, |(end, _)| &word[..end])
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let said = panic
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panic: {}", said.as_deref().unwrap_or("without a message"))
}
