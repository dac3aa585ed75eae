//! TLS as a client: whom to trust, and the handshake over any stream.

use super::connect::Stream;
use super::failure::{Failure, quoted, sentence};
use super::spec::Verify;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_rustls::TlsConnector;

/// The authorities of the system are read again after so long: it takes milliseconds.
const SYSTEM_LASTS: Duration = Duration::from_secs(600);

/// Largest file of authorities that is read; that of a whole system has about 250 KiB.
const LARGEST_FILE: u64 = 4 << 20;

/// What is spoken above TLS, as the handshake tells it (RFC 7301).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Above {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Whom to trust, read once and again when it has changed.
#[derive(Debug, Default)]
pub struct Trust {
    system: Mutex<Option<(Instant, Arc<RootCertStore>)>>,
    files: Mutex<HashMap<PathBuf, (Stamp, Arc<RootCertStore>)>>,
}

/// What tells one content of a file from another: device, inode, length and the time of its last change.
type Stamp = (u64, u64, u64, i64, i64);

impl Trust {
    /// Speaks TLS on `stream` with whoever is called `name`: a host name or an address, without a port.
    ///
    /// # Errors
    ///
    /// When the handshake fails, the certificate is not what `verify` wants, or the authorities cannot be read.
    pub async fn handshake(
        &self,
        stream: Box<dyn Stream>,
        name: &str,
        verify: &Verify,
        above: Above,
    ) -> Result<Box<dyn Stream>, Failure> {
        let config = self.config(verify, above)?;
        let Ok(server) = ServerName::try_from(name.to_owned()) else {
            return Err(Failure::Answer(format!(
                "\"{}\" is no name that a certificate could have",
                quoted(name)
            )));
        };
        let stream = TlsConnector::from(Arc::new(config)).connect(server, stream).await;
        let stream = stream.map_err(|why| refused(&why))?;
        if above == Above::Http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(Failure::Answer("the server does not speak HTTP/2 over TLS".to_owned()));
        }
        Ok(Box::new(stream))
    }

    fn config(&self, verify: &Verify, above: Above) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|why| Failure::Host(format!("TLS cannot be spoken: {why}")))?;
        let mut config = match verify {
            Verify::System => config.with_root_certificates(self.system()?),
            Verify::File(path) => config.with_root_certificates(self.file(path)?),
            Verify::Nothing => {
                config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            }
        }
        .with_no_client_auth();
        config.alpn_protocols = match above {
            Above::Http1 => vec![b"http/1.1".to_vec()],
            Above::Http2 => vec![b"h2".to_vec()],
        };
        // Each question looks at the certificate, and no server can make us keep its tickets.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    fn system(&self) -> Result<Arc<RootCertStore>, Failure> {
        let mut kept = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, roots)) = kept.as_ref().filter(|(read, _)| read.elapsed() < SYSTEM_LASTS) {
            return Ok(Arc::clone(roots));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let why = "this system trusts no certificate authority: install ca-certificates";
            return Err(Failure::Answer(why.to_owned()));
        }
        let roots = Arc::new(roots);
        *kept = Some((Instant::now(), Arc::clone(&roots)));
        Ok(roots)
    }

    fn file(&self, path: &Path) -> Result<Arc<RootCertStore>, Failure> {
        let unreadable = |why: &dyn std::fmt::Display| {
            Failure::Answer(format!("the authorities in {} cannot be read: {why}", path.display()))
        };
        let meta = fs::metadata(path).map_err(|why| unreadable(&why))?;
        if !meta.is_file() || meta.len() > LARGEST_FILE {
            return Err(unreadable(&"it is no file, or larger than 4 MiB"));
        }
        let stamp = (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec());
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, roots)) = files.get(path).filter(|(read, _)| *read == stamp) {
            return Ok(Arc::clone(roots));
        }
        let text = fs::read(path).map_err(|why| unreadable(&why))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|why| unreadable(&why))?;
            roots.add(certificate).map_err(|why| unreadable(&why))?;
        }
        if roots.is_empty() {
            return Err(unreadable(&"there is no certificate in it"));
        }
        let roots = Arc::new(roots);
        files.insert(path.to_owned(), (stamp, Arc::clone(&roots)));
        Ok(roots)
    }
}

fn refused(why: &io::Error) -> Failure {
    let tls = why.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    Failure::Answer(match tls {
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("the certificate is not valid: {}", quoted(&why.to_string()))
        }
        Some(why) => format!("no TLS: {}", quoted(&why.to_string())),
        None => format!("{} during the TLS handshake", sentence(why)),
    })
}

/// Takes every certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
