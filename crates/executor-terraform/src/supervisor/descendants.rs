//! All processes below this one, whatever group or session they moved to.

use std::collections::HashMap;
use std::fs;

use rustix::process::{Pid, Signal, getpid, kill_process};

/// Sends `signal` to every descendant. Those that are gone meanwhile are passed over.
pub(super) fn signal_all(signal: Signal) {
    for pid in all() {
        let _ = kill_process(pid, signal);
    }
}

fn all() -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        if let Some(parent) = fs::read(format!("/proc/{pid}/stat")).ok().and_then(|stat| parent_in(&stat)) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![getpid().as_raw_nonzero().get()];
    while let Some(parent) = open.pop() {
        let below = children.remove(&parent).unwrap_or_default();
        open.extend(&below);
        found.extend(below);
    }
    found.into_iter().filter_map(Pid::from_raw).collect()
}

/// The parent's id in `/proc/<pid>/stat`. The program's name in it may hold anything, also blanks
/// and parentheses, so what counts comes after the last `)`.
fn parent_in(stat: &[u8]) -> Option<i32> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parent_in;

    #[test]
    fn a_program_name_with_blanks_and_parentheses_does_not_hide_the_parent() {
        assert_eq!(parent_in(b"42 (evil) S 7 ) S 17 42 42 0"), Some(17));
        assert_eq!(parent_in(b"42 (sh) S 1 42"), Some(1));
        assert_eq!(parent_in(b"nonsense"), None);
    }
}
