//! Who holds the lock of a state that meshStack keeps.
//!
//! Terraform's `http` backend says only the id of the lock that is in its way, and of the rest it shows its own
//! attempt. The server knows: whoever asks for the lock is told who has it (423, with the lock's information).

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Method, StatusCode, Url};
use runner_core::meshstack_client::Secret;
use serde_json::{Value, json};

use super::info::LockInfo;
use crate::certificates;

/// It is only for a better message: nobody waits long for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// A lock's information has a few hundred bytes.
const MOST_BYTES: u64 = 64 * 1024;

/// A state at meshStack.
#[derive(Debug)]
pub(crate) struct MeshState {
    pub(crate) address: String,
    pub(crate) password: Secret,
    pub(crate) ca_certs: Vec<PathBuf>,
}

impl MeshState {
    /// Who has the lock; none if nobody has it, or it cannot be found out.
    pub(super) async fn holder(&self) -> Option<LockInfo> {
        let address = Url::parse(&self.address).ok()?;
        let client = self.client(&address)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        // Never the holder's: a lock is given again to whoever has it.
        let probe = json!({ "ID": format!("question-{now}"), "Operation": "none", "Who": "the runner" }).to_string();
        let ask = |method: &'static str| {
            let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
            let request = client.request(method, address.clone()).basic_auth("x", Some(self.password.expose()));
            request.header("Content-Type", "application/json").body(probe.clone()).send()
        };
        let answer = ask("LOCK").await.ok()?;
        match answer.status() {
            StatusCode::LOCKED | StatusCode::CONFLICT => {
                let length = answer.content_length().filter(|length| *length <= MOST_BYTES);
                length.and(serde_json::from_slice::<Value>(&answer.bytes().await.ok()?).ok()).and_then(|v| read(&v))
            }
            status => {
                if status.is_success() {
                    // It became free just now.
                    let _ = ask("UNLOCK").await;
                }
                None
            }
        }
    }

    fn client(&self, address: &Url) -> Option<Client> {
        let own = certificates::own(&self.ca_certs);
        let certificates = own.iter().flat_map(|(_, pem)| Certificate::from_pem_bundle(pem).unwrap_or_default());
        let builder = Client::builder().timeout(PATIENCE).redirect(Policy::none()).tls_certs_merge(certificates);
        let local = address.host_str().is_some_and(|host| host == "localhost" || host.starts_with("127."));
        if local { builder.no_proxy() } else { builder }.build().ok()
    }
}

/// The lock's information as Terraform has sent it.
fn read(value: &Value) -> Option<LockInfo> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    LockInfo::new(text("ID")?, text("Who"), text("Operation"), text("Created"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read;

    #[test]
    fn the_holder_is_read_from_the_servers_answer() {
        let lock = read(&json!({
            "ID": "1b2c", "Operation": "OperationTypeApply", "Who": "root@runner-0", "Created": "2026-05-04T06:40:01.5Z",
        }));
        let lock = lock.unwrap();
        assert_eq!((lock.id.as_str(), lock.who.as_str()), ("1b2c", "root@runner-0"));
        assert!(lock.created.is_some());
        assert_eq!(read(&json!({ "ID": "a b" })), None);
        assert_eq!(read(&json!("<html>")), None);
    }
}
