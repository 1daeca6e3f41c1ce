//! What an executor is given for one run.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use meshstack_client::Secret;
use serde::Serialize;

use crate::active::Handle;
use crate::directory::Directory;
use crate::journal::RunJournal;
use crate::mask::Masker;
use crate::progress::{ExternalRun, Progress};
use crate::runner::Shared;
use crate::{Failure, Run, Step, StepSpec, Stop, Stopped};

/// One run, from the executor's side: what is to be done, and everything it may say about it.
pub struct RunContext {
    run: Run,
    handle: Handle,
    resumes: bool,
    progress: Arc<Progress>,
    journal: RunJournal,
    shared: Arc<Shared>,
    directory: OnceLock<Directory>,
    /// Everything that is masked in what this run says.
    hidden: Mutex<Vec<Secret>>,
}

impl RunContext {
    pub(crate) fn new(
        run: Run,
        secrets: Vec<Secret>,
        handle: Handle,
        resumes: bool,
        progress: Arc<Progress>,
        journal: RunJournal,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            run,
            handle,
            resumes,
            progress,
            journal,
            shared,
            directory: OnceLock::new(),
            hidden: Mutex::new(secrets),
        }
    }

    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Asks the executor to stop, with the reason.
    pub fn stop(&self) -> &Stop {
        &self.handle.stop
    }

    /// The step with this id.
    pub fn step(&self, id: &str) -> Step {
        self.progress.ensure_step(id, None);
        Step { id: id.to_owned(), progress: Arc::clone(&self.progress) }
    }

    /// A step that was not known up front; shown after those that were.
    pub fn add_step(&self, spec: &StepSpec) -> Step {
        self.progress.ensure_step(&spec.id, Some(&spec.display_name));
        Step { id: spec.id.clone(), progress: Arc::clone(&self.progress) }
    }

    /// Where the work goes on, as the platform calls it and as a link: meshStack shows it beside the
    /// run. Of use as long as the run is not registered, see
    /// [`Executor::names_external_run`](crate::Executor::names_external_run); noted with the next
    /// [`checkpoint`](Self::checkpoint), so call it before that.
    pub fn external_run(&self, id: Option<&str>, url: Option<&str>) {
        self.progress.set_external(ExternalRun { id: id.map(str::to_owned), url: url.map(str::to_owned) });
    }

    /// Masks one more secret, from now on, in everything that this run says: a token that the platform
    /// gave, for instance.
    pub fn hide(&self, secret: &Secret) {
        let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        if hidden.iter().all(|known| known.expose() != secret.expose()) {
            hidden.push(secret.clone());
            self.progress.set_masker(Masker::new(hidden.iter().map(Secret::expose)));
        }
    }

    /// A sentence on the run as a whole, for people; the last one stands.
    pub fn summary(&self, summary: impl AsRef<str>) {
        self.progress.set_summary(summary.as_ref());
    }

    /// Replaces this run's secrets in texts by `***`. What goes through steps, summaries and
    /// failures is masked anyway.
    pub fn masker(&self) -> Masker {
        self.progress.masker()
    }

    /// An empty directory of this run's own, mode 0700, removed with all it holds when the run has
    /// ended. Made at the first call.
    pub fn directory(&self) -> io::Result<&Path> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory.path());
        }
        let made = Directory::make(&self.shared.working_dir, self.run.uuid())?;
        Ok(self.directory.get_or_init(|| made).path())
    }

    /// Notes where the work is, for [`Executor::resume`](crate::Executor::resume) after a crash.
    ///
    /// Called before something that must not happen twice, as an intent, and after it, with what
    /// the platform called it. On disk when it returns; if it cannot be written, the step must not
    /// be taken.
    pub async fn checkpoint(&self, value: &impl Serialize) -> Result<(), Failure> {
        let value = serde_json::to_value(value)
            .map_err(|e| Failure::because("The runner could not note its progress. Start the run again.", e))?;
        self.journal.checkpoint(value, self.progress.external()).await.map_err(|e| {
            Failure::because(
                "The runner could not note its progress on disk, so nothing was started. \
                 Ask the platform team to look at the runner's disk, then start the run again.",
                e,
            )
        })?;
        self.handle.set_resumable(self.resumes);
        Ok(())
    }

    /// The result of `work`, unless a stop is asked for first: then `work` is dropped.
    pub async fn or_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            reason = self.handle.stop.requested() => Err(Stopped(reason)),
            done = work => Ok(done),
        }
    }

    /// Fetches the saved plan that this run is to apply (`_links.planArtifact`) to `to`.
    /// `None` if the run names none. Length in bytes.
    pub async fn download_plan(&self, to: &Path) -> Result<Option<u64>, meshstack_client::ApiError> {
        let Some(href) = self.run.as_received().link("planArtifact") else { return Ok(None) };
        self.shared.api.download_plan(&self.handle.access.current(), href, to).await.map(Some)
    }
}

impl Drop for RunContext {
    /// A checkout may be large: it is removed off the threads of the runtime, and the runner waits for it when it ends.
    fn drop(&mut self) {
        if let (Some(directory), Ok(runtime)) = (self.directory.take(), tokio::runtime::Handle::try_current()) {
            self.shared.removals.spawn_blocking_on(move || drop(directory), &runtime);
        }
    }
}
