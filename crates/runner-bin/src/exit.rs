//! Exit codes. `--help` lists them; scripts and Kubernetes rely on them.

use std::process::{ExitCode, Termination};

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: what was asked for is done.
    Success,
    /// 1: it is not: runs were cut off, a run of the demo did not succeed, a single run was not started.
    Failure,
    /// 2: it was not tried: the command line or the configuration is wrong.
    BadConfiguration,
    /// 130: somebody pressed Ctrl-C during the demo.
    Interrupted,
}

impl Exit {
    /// The number that the parent process sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::BadConfiguration => 2,
            Self::Interrupted => 130,
        }
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.code())
    }
}
