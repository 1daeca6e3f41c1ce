//! A bash that blocks are pasted into, as into a terminal.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};

use super::deadline;

/// What the shell is told before the page. Every command that fails is told; what is left in the background ends with
/// the shell, also when the test is killed and only the shell's input ends.
const BEFORE: &str = r#"
exec 2>&1
set -o pipefail
trap 'echo "COMMAND FAILED ($?): $BASH_COMMAND"' ERR
trap 'kill $(jobs -p) 2>/dev/null' EXIT
"#;
const END_OF_BLOCK: &str = "-- the block has ended --";

/// Killed when dropped, with everything that it has started.
pub(super) struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    transcript: String,
}

impl Shell {
    pub(super) fn start(mut bash: Command) -> Self {
        bash.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).process_group(0);
        let mut child = bash.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        let mut this = Self { child, input, lines, transcript: String::new() };
        this.paste(BEFORE);
        this
    }

    /// Runs these lines, to the letter, and gives what was printed meanwhile.
    pub(super) fn paste(&mut self, commands: &str) -> String {
        let input = self.input.as_mut().expect("the shell reads");
        let pasted = format!("{commands}echo; echo '{END_OF_BLOCK}'\n");
        input.write_all(pasted.as_bytes()).unwrap_or_else(|error| panic!("{error}: {}", self.transcript));
        self.transcript.push_str(commands);
        let mut said = String::new();
        let deadline = deadline();
        loop {
            match self.next_line(deadline) {
                Ok(line) if line == END_OF_BLOCK => break,
                Ok(line) => {
                    said.push_str(&line);
                    said.push('\n');
                    self.transcript.push_str(&line);
                    self.transcript.push('\n');
                }
                Err(why) => panic!("{why} in\n{commands}\nEverything so far:\n{}", self.transcript),
            }
        }
        assert!(!said.contains("COMMAND FAILED"), "{}", self.transcript);
        said
    }

    /// Closes the shell: nothing that it has started may be left.
    pub(super) fn assert_all_has_ended(mut self) {
        let input = self.input.as_mut().expect("the shell reads");
        input.write_all(b"trap - EXIT\n").unwrap();
        self.input = None;
        // Whoever is left keeps the shell's output open.
        let deadline = deadline();
        let why = loop {
            if let Err(why) = self.next_line(deadline) {
                break why;
            }
        };
        assert_eq!(why, RecvTimeoutError::Disconnected, "something is left: {}", self.transcript);
        assert!(self.child.wait().unwrap().success(), "{}", self.transcript);
    }

    fn next_line(&self, deadline: Instant) -> Result<String, RecvTimeoutError> {
        self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Its group is there until the shell is waited for.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
