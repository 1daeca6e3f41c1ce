//! The binary.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// Ends the process with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshstack-local"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn started(arguments: &[&str]) -> (Running, Value) {
    let mut child = program(arguments).spawn().unwrap();
    let mut line = String::new();
    let stdout: ChildStdout = child.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    (Running(child), serde_json::from_str(&line).unwrap())
}

#[tokio::test]
async fn it_says_where_it_is_and_lets_its_own_api_key_in() {
    let (_running, ready) = started(&["--port", "0"]);
    let url = ready["url"].as_str().unwrap();
    let login = json!({ "clientId": ready["clientId"], "clientSecret": ready["clientSecret"] });
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(format!("{url}/api/login")).header("Accept", "application/json");
    let answer = request.header("Content-Type", "application/json").body(login.to_string()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn it_tells_violations_on_standard_error() {
    let (mut running, ready) = started(&["--no-auth"]);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(format!("{}/nothing", ready["url"].as_str().unwrap())).send().await.unwrap();
    let mut line = String::new();
    BufReader::new(running.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("violation: GET /nothing: "), "{line}");
}

#[test]
fn a_taken_port_is_one_clear_sentence_and_what_to_do() {
    let (_running, ready) = started(&[]);
    let port = ready["url"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let output = program(&["--port", &port]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains(&format!("cannot listen at 127.0.0.1:{port}")), "{message}");
    assert!(message.contains("--port"), "{message}");
}

#[test]
fn help_goes_to_standard_output_and_a_wrong_option_to_standard_error() {
    let help = program(&["--help"]).output().unwrap();
    assert!(help.status.success());
    assert!(String::from_utf8(help.stdout).unwrap().contains("--plan-artifact-upload"));
    let mut wrong = program(&["--prot"]).spawn().unwrap();
    let mut message = String::new();
    wrong.stderr.take().unwrap().read_to_string(&mut message).unwrap();
    assert_eq!(wrong.wait().unwrap().code(), Some(2));
    assert!(message.contains("there is no option --prot"), "{message}");
}
