//! What an executor is given for one run.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use tempfile::TempDir;

use crate::active::Handle;
use crate::journal::RunJournal;
use crate::mask::Masker;
use crate::progress::Progress;
use crate::{Failure, Run, Step, StepSpec, Stop, Stopped, api::RunApi};

/// One run, from the executor's side: what is to be done, and everything it may say about it.
pub struct RunContext {
    run: Run,
    handle: Handle,
    resumes: bool,
    progress: Arc<Progress>,
    journal: RunJournal,
    api: Arc<dyn RunApi>,
    working_dir: PathBuf,
    directory: OnceLock<TempDir>,
}

impl RunContext {
    pub(crate) fn new(
        run: Run,
        handle: Handle,
        resumes: bool,
        progress: Arc<Progress>,
        journal: RunJournal,
        api: Arc<dyn RunApi>,
        working_dir: PathBuf,
    ) -> Self {
        Self { run, handle, resumes, progress, journal, api, working_dir, directory: OnceLock::new() }
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
        std::fs::create_dir_all(&self.working_dir)?;
        // Readable in a listing, harmless whatever the uuid holds; tempfile makes it 0700 and new.
        let name: String =
            self.run.uuid().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(36).collect();
        let made = tempfile::Builder::new().prefix(&format!("run-{name}-")).tempdir_in(&self.working_dir)?;
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
        self.journal.checkpoint(value).await.map_err(|e| {
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
        self.api.download_plan(&self.handle.access.current(), href, to).await.map(Some)
    }
}

impl Drop for RunContext {
    /// A checkout may be large: it is removed off the threads of the runtime.
    fn drop(&mut self) {
        if let (Some(directory), Ok(runtime)) = (self.directory.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(directory));
        }
    }
}
