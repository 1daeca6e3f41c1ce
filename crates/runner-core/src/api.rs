//! What the core needs of meshStack. One implementation talks HTTP; tests bring their own.

use std::path::Path;

use async_trait::async_trait;
use meshstack_client::{ApiError, Client, PatchAnswer, RunAccess, RunObject, SourceRegistration, StatusPatch};

/// The run API, as the core uses it. Source: `protocol/run-api.md`.
#[async_trait]
pub trait RunApi: Send + Sync + 'static {
    /// Asks for the next queued run.
    async fn claim(&self) -> Result<Option<RunObject>, ApiError>;
    /// Registers this runner as a source of the run.
    async fn register(&self, run: &RunAccess, body: &SourceRegistration) -> Result<(), ApiError>;
    /// Reports.
    async fn patch(&self, run: &RunAccess, patch: &StatusPatch) -> Result<PatchAnswer, ApiError>;
    /// Reads the run as meshStack has it now, for its status.
    async fn read_run(&self, run: &RunAccess) -> Result<RunObject, ApiError>;
    /// Fetches a saved plan to a file; gives its length in bytes.
    async fn download_plan(&self, run: &RunAccess, href: &str, to: &Path) -> Result<u64, ApiError>;
    /// Hands a saved plan over.
    async fn upload_plan(&self, run: &RunAccess, href: &str, from: &Path) -> Result<(), ApiError>;
}

#[async_trait]
impl RunApi for Client {
    async fn claim(&self) -> Result<Option<RunObject>, ApiError> {
        Client::claim(self).await
    }

    async fn register(&self, run: &RunAccess, body: &SourceRegistration) -> Result<(), ApiError> {
        Client::register(self, run, body).await
    }

    async fn patch(&self, run: &RunAccess, patch: &StatusPatch) -> Result<PatchAnswer, ApiError> {
        Client::patch(self, run, patch).await
    }

    async fn read_run(&self, run: &RunAccess) -> Result<RunObject, ApiError> {
        Client::read_run(self, run).await
    }

    async fn download_plan(&self, run: &RunAccess, href: &str, to: &Path) -> Result<u64, ApiError> {
        Client::download_plan(self, run, href, to).await
    }

    async fn upload_plan(&self, run: &RunAccess, href: &str, from: &Path) -> Result<(), ApiError> {
        Client::upload_plan(self, run, href, from).await
    }
}
