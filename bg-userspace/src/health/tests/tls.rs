//! TLS: whom is trusted, and servers that do not shake hands.

use super::grpc;
use super::servers::{Does, Hears, Server};
use super::{HERE, SOON, ask_at, check, patience};
use crate::health::spec::{Ask, Http, Tls, Verify};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A certificate that signs itself, and its key.
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
}

/// Makes one for these names; none, visibly, without the `openssl` command.
fn identity(directory: &Path, name: &str, names: &str) -> Option<Identity> {
    let (certificate, key) = (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", &format!("/CN={name}"), "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-addext", &format!("subjectAltName={names}")])
        .args([Path::new("-keyout"), &key, Path::new("-out"), &certificate])
        .output();
    match made {
        Ok(made) => {
            assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
            Some(Identity { certificate, key })
        }
        Err(why) => {
            println!("SKIP probes over TLS: no openssl command to make a certificate with: {why}");
            None
        }
    }
}

/// A server that speaks TLS and answers `blue` once to each connection.
async fn server(identity: &Identity) -> SocketAddr {
    let acceptor = acceptor(identity, b"http/1.1");
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nblue").await;
                let _ = stream.shutdown().await;
            });
        }
    });
    at
}

fn acceptor(identity: &Identity, alpn: &[u8]) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_file(&identity.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

fn http(host: Option<&str>, name: Option<&str>, verify: &Verify) -> Ask {
    let tls = Tls { name: name.map(ToOwned::to_owned), verify: verify.clone() };
    Ask::Http(Http {
        path: "/".to_owned(),
        host: host.map(ToOwned::to_owned),
        status: vec![(200, 200)],
        body: Some("{colour}".to_owned()),
        tls: Some(tls),
    })
}

#[tokio::test]
async fn a_certificate_must_be_of_whom_is_asked_and_signed_by_whom_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let Some(shop) = identity(directory.path(), "shop", "DNS:blue.shop.test,IP:127.0.0.1") else { return };
    let Some(other) = identity(directory.path(), "other", "DNS:blue.shop.test") else { return };
    let at = server(&shop).await;
    let file = |path: &Path| Verify::File(path.to_owned());
    let (ours, theirs) = (file(&shop.certificate), file(&other.certificate));
    let broken = directory.path().join("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let missing = directory.path().join("missing.pem");
    let invalid = "the certificate is not valid: ";
    let unreadable = "the authorities in ";
    for (row, ask, expected) in [
        ("by address", http(None, None, &ours), Ok(())),
        ("by Host", http(Some("blue.shop.test:443"), None, &ours), Ok(())),
        ("by a name with a colour", http(None, Some("{colour}.shop.test"), &ours), Ok(())),
        ("the name goes before Host", http(Some("x.test"), Some("blue.shop.test"), &ours), Ok(())),
        (
            "another name",
            http(Some("x.test"), None, &ours),
            Err("the certificate is not valid: certificate not valid for name"),
        ),
        ("another authority", http(None, None, &theirs), Err(invalid)),
        ("the system's authorities", http(None, None, &Verify::System), Err("the")),
        ("anything, and any name", http(Some("x.test"), None, &Verify::Nothing), Ok(())),
        (
            "no name",
            http(Some("x y"), None, &Verify::Nothing),
            Err("\"x y\" is no name that a certificate could have"),
        ),
        ("a file that is missing", http(None, None, &file(&missing)), Err(unreadable)),
        ("a file without certificates", http(None, None, &file(&shop.key)), Err(unreadable)),
        ("a broken file", http(None, None, &file(&broken)), Err(unreadable)),
        ("no file", http(None, None, &file(Path::new("/dev/zero"))), Err(unreadable)),
    ] {
        check(row, &ask_at(at, ask, SOON).await, expected);
    }
}

#[tokio::test]
async fn authorities_that_were_replaced_are_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let Some(old) = identity(directory.path(), "old", "IP:127.0.0.1") else { return };
    let Some(new) = identity(directory.path(), "new", "IP:127.0.0.1") else { return };
    let at = server(&new).await;
    let trusted = directory.path().join("trusted.pem");
    std::fs::copy(&old.certificate, &trusted).unwrap();
    let means = super::Means::new(None, Arc::new(super::NobodyKnows));
    let ask = http(None, None, &Verify::File(trusted.clone()));
    let question = super::Question::of(&super::shop(vec![super::probe("p", at.port(), ask)]), None).remove(0);
    let good = async || {
        let (_, finding, _) = means.ask(&question).await.unwrap();
        matches!(finding, super::Finding::Good { .. })
    };
    assert!(!good().await, "the old authority did not sign it");
    std::fs::copy(&new.certificate, directory.path().join("next.pem")).unwrap();
    std::fs::rename(directory.path().join("next.pem"), &trusted).unwrap();
    assert!(good().await, "the new authority did");
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_told_and_left_in_time() {
    let tls = http(None, None, &Verify::Nothing);
    // The header of a handshake record of 16 KiB, of which nothing follows (RFC 8446 section 5.1).
    let begun = vec![22, 3, 3, 0x40, 0];
    let server_hello_for_ever = [vec![22, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff], vec![0; 0x4000 - 4]].concat();
    for (row, does, expected) in [
        ("silence", Does::Stalls(vec![]), "no TLS handshake within 300ms"),
        ("a record begun", Does::Stalls(begun.clone()), "no TLS handshake within 300ms"),
        ("drops", Does::Drips(begun, 0), "no TLS handshake within 300ms"),
        ("closes", Does::Says(vec![]), "connection closed by the other side during the TLS handshake"),
        ("plain HTTP", Does::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), "no TLS: "),
        ("an alert", Does::Says(vec![21, 3, 3, 0, 2, 2, 40]), "no TLS: "),
        ("a handshake for ever", Does::Floods(vec![], server_hello_for_ever), "no TLS: "),
    ] {
        let server = Server::start(Hears::Anything, does).await;
        let expected = Err(expected);
        check(row, &ask_at(server.at, tls.clone(), patience(expected)).await, expected);
    }
}

#[tokio::test]
async fn grpc_over_tls_wants_http2() {
    let directory = tempfile::tempdir().unwrap();
    let Some(shop) = identity(directory.path(), "shop", "IP:127.0.0.1") else { return };
    let verify = Verify::File(shop.certificate.clone());
    let ask = Ask::Grpc { service: "shop".to_owned(), tls: Some(Tls { name: None, verify }) };
    let old = server(&shop).await;
    check("HTTP/1.1 alone", &ask_at(old, ask.clone(), SOON).await, Err("no TLS: "));
    let new = grpc::server(grpc::says(1), Some(acceptor(&shop, b"h2"))).await;
    check("HTTP/2", &ask_at(new, ask, SOON).await, Ok(()));
}
