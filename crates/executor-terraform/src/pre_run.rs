//! The script that a platform team runs before Terraform.
//!
//! Source: `protocol/terraform.md`, "Pre-run script".

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use runner_core::{Failure, RunContext, Step};

use crate::binary::Binary;
use crate::hints::last_lines;
use crate::process::{CommandSpec, Finished};
use crate::steps::is_async;
use crate::terraform::Terraform;

const FILE: &str = "meshstack-pre-run.sh";
/// A message for a person; a file that is larger is not one.
const MOST_OF_A_MESSAGE: u64 = 64 * 1024;

/// Runs the script, if there is one.
pub(crate) async fn run(
    ctx: &RunContext,
    terraform: &Terraform<'_>,
    binary: &Binary,
    step: &Step,
) -> Result<(), Failure> {
    let Some(script) = ctx.run().implementation_text("preRunScript") else {
        step.log_line("There is no pre-run script.");
        if !is_async(ctx.run()) {
            step.user_message("There is no pre-run script.");
        }
        return Ok(());
    };
    let prepared = ctx.directory().and_then(|directory| Prepared::new(directory, terraform, binary, script));
    let prepared = prepared.map_err(|error| {
        Failure::because(
            "The runner could not prepare the pre-run script. Ask the platform team to look at the runner's disk, then \
             start the run again.",
            error,
        )
    })?;
    let input = ctx.run().plain().raw().to_string().into_bytes();
    let args =
        ["--noprofile", "--norc", "-e", "-o", "pipefail", FILE, ctx.run().behavior().as_str()].map(str::to_owned);
    let spec = CommandSpec {
        stdin: Some(input),
        ..CommandSpec::new("bash", terraform.dir, prepared.environment(terraform)).args(args)
    };
    let finished = terraform.commands.run(&spec, step).await;
    let finished = finished.map_err(|error| {
        error.into_failure(
            "The pre-run script could not be run. Ask the platform team to look at the runner (it needs `bash`), then \
             start the run again.",
        )
    })?;
    step.log_line(format!("The pre-run script ended with {}.", finished.how_it_ended()));
    judge(&finished, prepared.message(), step)
}

/// The script's message is the step's, however the script ended.
fn judge(finished: &Finished, message: Option<String>, step: &Step) -> Result<(), Failure> {
    if let Some(message) = &message {
        step.log_line(format!("Message of the pre-run script: {message}"));
        step.user_message(message);
    }
    if finished.success() {
        return Ok(());
    }
    let how = finished.how_it_ended();
    let cause = format!("the pre-run script ended with {how}");
    Err(Failure::because(
        message.unwrap_or_else(|| {
            let said = last_lines(&finished.last_lines);
            let gap = if said.is_empty() { "" } else { "\n\n" };
            format!("The pre-run script failed with {how}. Ask the platform team what it needs.{gap}{said}")
        }),
        cause,
    ))
}

/// What the script finds on the disk.
struct Prepared {
    message: PathBuf,
    /// The folder with `terraform` in it.
    programs: PathBuf,
}

impl Prepared {
    fn new(directory: &Path, terraform: &Terraform<'_>, binary: &Binary, script: &str) -> io::Result<Self> {
        let file = terraform.dir.join(FILE);
        // Whatever the checkout has under this name gives way, a link too.
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        put(&file, &script.replace("\r\n", "\n"))?;
        let message = directory.join("user-message.txt");
        put(&message, "")?;
        Ok(Self { message, programs: programs(directory, binary)? })
    }

    fn environment(&self, terraform: &Terraform<'_>) -> crate::process::Environment {
        let mut environment = terraform.environment.clone();
        let mut path: OsString = self.programs.clone().into();
        if let Some(rest) = environment.get(&OsString::from("PATH")).filter(|rest| !rest.is_empty()) {
            path.push(":");
            path.push(rest);
        }
        environment.insert("PATH".into(), path);
        environment.insert("MESHSTACK_USER_MESSAGE".into(), self.message.clone().into());
        environment
    }

    /// What the script wrote for the person who ordered. A script can put anything at this path.
    fn message(&self) -> Option<String> {
        if !fs::metadata(&self.message).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        fs::File::open(&self.message).ok()?.take(MOST_OF_A_MESSAGE).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}

/// The binary's folder; where it goes by another name, one with a link to it.
fn programs(directory: &Path, binary: &Binary) -> io::Result<PathBuf> {
    let name = binary.path.file_name().unwrap_or_default();
    match binary.path.parent() {
        Some(folder) if name == "terraform" => Ok(folder.to_owned()),
        _ => {
            let folder = directory.join("bin");
            fs::create_dir(&folder)?;
            symlink(&binary.path, folder.join("terraform"))?;
            symlink(&binary.path, folder.join(name))?;
            Ok(folder)
        }
    }
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}
