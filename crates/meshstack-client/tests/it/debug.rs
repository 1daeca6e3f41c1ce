//! What can be printed holds no secret.

use std::io;
use std::sync::{Arc, Mutex};

use meshstack_client::{Client, KeyRing, RunAccess, Secret, generate_key_pair};
use tracing::subscriber::DefaultGuard;

use crate::crypto::key;
use crate::support::{api_key, basic, config, run_fixture};

/// The log of one test.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes what this thread logs, until the guard is dropped.
    pub(crate) fn listen(&self) -> DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nothing_that_can_be_printed_holds_a_secret() {
    let mut key_config = config("https://meshstack.example.com");
    key_config.credentials = Some(api_key());
    let mut unchecked = config("https://user:url-password@meshstack.example.com");
    unchecked.credentials = Some(basic());
    let run = run_fixture("gitlab");
    let private = key("current.key.pem");
    let pair = generate_key_pair("x").unwrap();
    let decrypted = run.decrypted(&KeyRing::new(vec![key("current.key.pem")])).unwrap();
    let printed = [
        format!("{key_config:#?} {unchecked:#?}"),
        format!("{:#?}", Client::new(key_config.clone()).unwrap()),
        format!("{:#?} {:#?}", RunAccess::of(&run), run),
        format!("{private:#?} {:#?} {pair:#?}", KeyRing::new(vec![key("previous.key.pem")])),
        format!("{decrypted:#?} {:#?}", decrypted.run.inputs()),
        format!("{} {:?}", Secret::new("own-secret"), Secret::new("own-secret")),
    ]
    .concat();
    let token = run.run_token();
    let secrets =
        ["key-secret", "basic-password", "url-password", "own-secret", "dd-secret", "glptt-secret", "pa$$w0rd"];
    for secret in secrets.into_iter().chain([token.expose(), pair.private_key_pem.expose()]) {
        assert!(!secret.is_empty() && !printed.contains(secret), "{secret} in {printed}");
    }
    assert!(!printed.contains("PRIVATE KEY"), "{printed}");
    assert!(printed.contains(run.uuid()), "{printed}");
}
