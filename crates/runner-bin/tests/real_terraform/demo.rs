//! The demo, as a stranger sees it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{PATIENCE, bb_runner};

/// Runs the demo; gives exit code, standard output and standard error.
fn demo(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = bb_runner(folder).arg("demo").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn module(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("main.tf"), text).unwrap();
    folder
}

pub(crate) fn the_demo_shows_both_blocks_succeeded() {
    let folder = tempfile::tempdir().unwrap();
    let (code, shown, said) = demo(folder.path(), &[]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{shown}");
    assert!(shown.contains("Office badge: SUCCEEDED") && shown.contains("Demo application: SUCCEEDED"), "{shown}");
    assert!(shown.contains("https://shop.example.com"), "{shown}");
    let login = shown.lines().find(|line| line.contains("admin_login")).unwrap();
    assert!(login.ends_with("***"), "{login}");
    assert!(!shown.contains("battery staple"), "{shown}");
}

pub(crate) fn a_module_of_ones_own_gets_typed_inputs() {
    let module = module(
        "variable \"text\" { type = string }\nvariable \"count_of\" { type = number }\nvariable \"flag\" { type = bool }\n\
         variable \"list\" { type = list(string) }\nvariable \"object\" { type = object({ a = number }) }\n\
         variable \"password\" {\n  type = string\n  sensitive = true\n}\n\
         output \"all\" { value = [var.text, var.count_of + 1, !var.flag, var.list[1], var.object.a] }\n\
         output \"open\" { value = nonsensitive(length(var.password)) }\noutput \"closed\" {\n  value = var.password\n  sensitive = true\n}\n",
    );
    let mut arguments = vec!["--module", module.path().to_str().unwrap()];
    for input in ["text=eu-1", "count_of=41", "flag=false", "list=[\"a\",\"b\"]", "object={\"a\": 7}"] {
        arguments.extend(["--input", input]);
    }
    arguments.extend(["--sensitive", "password=hush-hush"]);
    let (code, shown, said) = demo(module.path(), &arguments);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{shown}");
    assert!(shown.contains("[\"eu-1\",42,true,\"b\",7]"), "{shown}");
    assert!(shown.contains("open    INTEGER  9"), "{shown}");
    assert!(!shown.contains("hush-hush"), "{shown}");
}

pub(crate) fn a_syntax_error_is_shown_in_terraforms_words() {
    let module = module("output \"broken\" {\n  value = \n}\n");
    let (code, shown, _) = demo(module.path(), &["--module", module.path().to_str().unwrap()]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("FAILED"), "{shown}");
    assert!(shown.contains("Invalid expression") && shown.contains("main.tf"), "{shown}");
}

pub(crate) fn an_interrupted_demo_stops_terraform_and_says_so() {
    let module = module(
        "resource \"terraform_data\" \"slow\" {\n  provisioner \"local-exec\" {\n    command = \"echo $$ > ${path.module}/pid; cp ${path.module}/pid $HOME/pid; exec sleep 600\"\n  }\n}\n",
    );
    let home = tempfile::tempdir().unwrap();
    let mut command = bb_runner(home.path());
    let mut child = command
        .args(["demo", "--module", module.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("Terraform Apply: IN_PROGRESS")));
    // The step is under way before its program is; the program says when.
    let deadline = Instant::now() + PATIENCE;
    let sleeping = loop {
        assert!(Instant::now() < deadline, "the program of the run does not start");
        if let Some(pid) =
            fs::read_to_string(home.path().join("pid")).ok().and_then(|text| text.trim().parse::<i32>().ok())
        {
            break pid;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(lines.any(|line| line == "Interrupted."));
    assert!(!Path::new(&format!("/proc/{sleeping}")).exists(), "the program of the run is still there");
}
