//! A runner with an executor of its own: a building block of type `SHARED_FOLDER` is a folder.

use std::env::var;
use std::path::PathBuf;

use async_trait::async_trait;
use runner_core::meshstack_client::{
    Behavior, Client, ClientConfig, Credentials, ImplementationType, Output, OutputType, Secret,
};
use runner_core::{Executor, Failure, Outcome, Run, RunContext, Runner, Serves, Shutdown, StepSpec};

struct SharedFolder {
    root: PathBuf,
}

#[async_trait]
impl Executor for SharedFolder {
    fn serves(&self) -> Serves {
        Serves::Type(ImplementationType::Other("SHARED_FOLDER".to_owned()))
    }

    fn steps(&self, _run: &Run) -> Vec<StepSpec> {
        vec![StepSpec::new("folder", "Shared Folder")]
    }

    async fn execute(&self, ctx: &RunContext) -> Result<Outcome, Failure> {
        let step = ctx.step("folder");
        step.start();
        let uuid = ctx.run().building_block_uuid().unwrap_or_default();
        if uuid.is_empty() || !uuid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(Failure::new("The building block has no usable uuid. Tell the platform team."));
        }
        let folder = self.root.join(uuid);
        let done = match ctx.run().behavior() {
            Behavior::Destroy => ctx.or_stopped(tokio::fs::remove_dir_all(&folder)).await?,
            _ => ctx.or_stopped(tokio::fs::create_dir_all(&folder)).await?,
        };
        done.map_err(|e| Failure::because("The folder cannot be changed. Tell the platform team.", e))?;
        step.log_line(format!("{} of {} done", ctx.run().behavior(), folder.display()));
        let value = folder.display().to_string().into();
        step.output("path", &Output { value, kind: OutputType::String, is_sensitive: false });
        step.succeed();
        Ok(Outcome::Succeeded)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let uuid = var("RUNNER_UUID")?;
    let (client_id, client_secret) = (var("RUNNER_API_CLIENT_ID")?, Secret::new(var("RUNNER_API_CLIENT_SECRET")?));
    let mut config = ClientConfig::new(&uuid);
    config.api_url = Some(var("RUNNER_API_URL")?);
    config.credentials = Some(Credentials::ApiKey { client_id, client_secret });
    let runner =
        Runner::builder(Client::new(config)?, uuid).executor(SharedFolder { root: var("FOLDER_ROOT")?.into() });
    runner.build()?.run(&Shutdown::new()).await;
    Ok(())
}
