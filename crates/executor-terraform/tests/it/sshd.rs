//! A real `sshd` with throw-away keys, that hands out one git repository.
//!
//! It needs no account, no root and no fixed port: the user `git` is made up by `libnss_wrapper`, and each
//! connection gets an `sshd` of its own, as from inetd.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::{getgid, getuid};
use tempfile::TempDir;

/// Debian and Fedora.
const SSHD: [&str; 2] = ["/usr/sbin/sshd", "/usr/bin/sshd"];
/// The loader looks for it in the system's folders.
const NSS_WRAPPER: &str = "libnss_wrapper.so";
const LIBRARIES: [&str; 4] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
/// Where `sshd` locks its unprivileged half up, if it is started by root.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// What is missing for it on this machine.
pub(crate) fn missing() -> Option<&'static str> {
    if program().is_none() {
        return Some("there is no sshd");
    }
    let wrapper = LIBRARIES.iter().any(|folder| Path::new(folder).join(NSS_WRAPPER).exists());
    (!wrapper).then_some("there is no libnss_wrapper")
}

fn program() -> Option<&'static str> {
    SSHD.into_iter().find(|path| Path::new(path).is_file())
}

pub(crate) struct Sshd {
    port: u16,
    dir: TempDir,
}

impl Sshd {
    /// Hands out the repository in this folder, whatever path is asked for.
    pub(crate) fn start(repository: &Path) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for kind in ["ed25519", "rsa"] {
            keygen(kind, &dir.path().join(format!("host-{kind}")));
        }
        keygen("ed25519", &dir.path().join("user"));
        keygen("ed25519", &dir.path().join("stranger"));
        configure(dir.path(), repository);
        if getuid().is_root() {
            fs::create_dir_all(PRIVILEGE_SEPARATION).expect("the folder that sshd wants");
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let folder = dir.path().to_owned();
        thread::spawn(move || {
            // Ends with the test's process.
            for connection in listener.incoming().flatten() {
                serve(&folder, connection);
            }
        });
        Self { port, dir }
    }

    pub(crate) fn url(&self) -> String {
        format!("ssh://git@127.0.0.1:{}/module.git", self.port)
    }

    /// As ssh writes it.
    pub(crate) fn host(&self) -> String {
        format!("[127.0.0.1]:{}", self.port)
    }

    /// The key of the one user.
    pub(crate) fn user_key(&self) -> String {
        self.read("user")
    }

    /// A key that opens nothing.
    pub(crate) fn strangers_key(&self) -> String {
        self.read("stranger")
    }

    /// The public host key, `ed25519` or `rsa`: its type, and its value.
    pub(crate) fn host_key(&self, kind: &str) -> (String, String) {
        public(&self.read(&format!("host-{kind}.pub")))
    }

    /// A public key that is not the host's.
    pub(crate) fn another_key(&self) -> (String, String) {
        public(&self.read("stranger.pub"))
    }

    /// What `sshd` said.
    pub(crate) fn log(&self) -> String {
        self.read("log")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn public(line: &str) -> (String, String) {
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().expect("a type"), words.next().expect("a key"))
}

fn keygen(kind: &str, file: &Path) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-f"]).arg(file).status();
    assert!(made.expect("ssh-keygen").success());
}

fn configure(dir: &Path, repository: &Path) {
    let here = dir.display();
    let put = |name: &str, text: String| fs::write(dir.join(name), text).expect("a file");
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    put(
        "passwd",
        format!("root:x:0:0::/:/bin/sh\ngit:x:{uid}:{gid}::{here}:/bin/sh\nsshd:x:65534:65534::/:/usr/sbin/nologin\n"),
    );
    put("group", format!("root:x:0:\ngit:x:{gid}:\n"));
    let user = fs::read_to_string(dir.join("user.pub")).expect("a key");
    put("authorized", format!("restrict,command=\"git-upload-pack '{}'\" {user}", repository.display()));
    put(
        "sshd_config",
        format!(
            "HostKey {here}/host-ed25519\nHostKey {here}/host-rsa\nAuthorizedKeysFile {here}/authorized\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\n\
             AcceptEnv GIT_PROTOCOL\n"
        ),
    );
    put("log", String::new());
}

/// Not waited for: it ends with the connection.
fn serve(dir: &Path, connection: TcpStream) {
    let stdin = OwnedFd::from(connection);
    let stdout = stdin.try_clone().expect("a copy of the connection");
    let log = File::options().append(true).open(dir.join("log")).expect("the log");
    let started = Command::new(program().expect("sshd"))
        .args(["-i", "-e", "-f"])
        .arg(dir.join("sshd_config"))
        .env("LD_PRELOAD", NSS_WRAPPER)
        .env("NSS_WRAPPER_PASSWD", dir.join("passwd"))
        .env("NSS_WRAPPER_GROUP", dir.join("group"))
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(log))
        .spawn();
    let mut sshd = started.expect("sshd");
    thread::spawn(move || sshd.wait());
}
