//! The certificates that a server shows, whether anybody trusts them or not: to name the authority that is missing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::keys::date;

/// A certificate that ends sooner than this is worth a word.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What a server showed: its own certificate first.
pub(super) struct Presented(Vec<Certificate>);

/// The certificates of a server. The handshake is broken off once they are there, so nothing is ever sent over a connection
/// that was not checked.
pub(super) async fn presented(stream: TcpStream, host: &str, limit: Duration) -> Option<Presented> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let seen = Arc::new(Looker { seen: Mutex::new(Vec::new()), provider: provider.clone() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let _broken_off = tokio::time::timeout(limit, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
    let ders = std::mem::take(&mut *seen.seen.lock().unwrap_or_else(PoisonError::into_inner));
    let chain: Vec<Certificate> = ders.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    (!chain.is_empty()).then_some(Presented(chain))
}

/// Notes the certificates, and trusts none.
#[derive(Debug)]
struct Looker {
    seen: Mutex<Vec<CertificateDer<'static>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Looker {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = std::iter::once(end_entity).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        Err(Error::General("seen enough".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("nothing is trusted here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("nothing is trusted here".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Presented {
    fn own(&self) -> Option<&Certificate> {
        self.0.first()
    }

    /// The authority that is missing: who issued the last certificate, or the last one itself if it is its own issuer.
    fn missing(&self) -> Option<String> {
        self.0.last().map(|last| name(last.tbs_certificate().issuer()))
    }

    /// A sentence on a server that is trusted.
    pub(super) fn trusted(&self) -> String {
        let Some(own) = self.own() else { return "the certificate is trusted".to_owned() };
        let until = ends(own);
        let soon = if until < SystemTime::now() + SOON { ": that is soon" } else { "" };
        format!(
            "the certificate is trusted; issued by {}, valid until {}{soon}",
            name(own.tbs_certificate().issuer()),
            date(until)
        )
    }
}

fn ends(certificate: &Certificate) -> SystemTime {
    SystemTime::UNIX_EPOCH + certificate.tbs_certificate().validity().not_after.to_unix_duration()
}

fn begins(certificate: &Certificate) -> SystemTime {
    SystemTime::UNIX_EPOCH + certificate.tbs_certificate().validity().not_before.to_unix_duration()
}

/// A name on one line, in quotes.
fn name(name: &x509_cert::name::Name) -> String {
    let text: String = name.to_string().chars().filter(|c| !c.is_control()).take(200).collect();
    format!("\"{text}\"")
}

/// Why TLS does not come about, and what to do.
pub(super) fn explained(chain: &str, presented: Option<&Presented>, host: &str) -> (String, String) {
    let own = presented.and_then(Presented::own);
    let subject = own.map_or_else(|| host.to_owned(), |own| name(own.tbs_certificate().subject()));
    if chain.contains("UnknownIssuer") {
        let missing =
            presented.and_then(Presented::missing).unwrap_or_else(|| "an authority that is not known here".to_owned());
        let alone = presented.is_some_and(|presented| presented.0.len() == 1);
        let hint = if alone {
            " The server shows its own certificate only: if that authority is an intermediate one, the server must show it too."
        } else {
            ""
        };
        return (
            format!("The certificate of {host} is not trusted: the authority {missing} is not among those that are.{hint}"),
            "Put the certificate of that authority (PEM) into a file or folder that CUSTOM_CA_CERTS_PATH names. If you do \
             not know the authority, somebody may be in between: ask before you trust it."
                .to_owned(),
        );
    }
    if chain.contains("expired") || chain.contains("Expired") {
        let until = own.map(|own| format!(" on {}", date(ends(own)))).unwrap_or_default();
        return (
            format!("The certificate of {host} has run out{until}."),
            "Have it renewed; if the date seems right, set the clock of this machine.".to_owned(),
        );
    }
    if chain.contains("NotYetValid") || chain.contains("not valid yet") {
        let from = own.map(|own| format!(" before {}", date(begins(own)))).unwrap_or_default();
        return (format!("The certificate of {host} is not valid{from}."), "Set the clock of this machine.".to_owned());
    }
    if chain.contains("NotValidForName") || chain.contains("not valid for name") {
        return (
            format!("The server at {host} shows a certificate for another name: {subject}."),
            "Use the name that the certificate is for, or have one issued for this name.".to_owned(),
        );
    }
    if chain.contains("InvalidContentType") || chain.contains("corrupt message") {
        return (
            format!("{host} does not speak TLS at this port ({chain})."),
            "Check the port, and whether the address must begin with http://.".to_owned(),
        );
    }
    (
        format!("No secure connection to {host} comes about ({chain})."),
        "Check the way between: a proxy or firewall may break TLS open, or cut it.".to_owned(),
    )
}
