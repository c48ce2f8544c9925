//! The public door behind TLS of its own, with and without Meta's client certificates. Real certificates, real handshakes.
#![allow(clippy::unwrap_used, reason = "certificates made here, of values written here")]

use crate::rig::{APP_SECRET, Rig, ana};
use guarita_testkit::payload;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::{path::Path, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    },
};

/// What Meta's client certificate is named.
const META: &str = "client.webhooks.fbclientcerts.com";

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, both as PEM files need them.
fn issued(
    by: &Issuer,
    common_name: &str,
    names: &[&str],
    usage: ExtendedKeyUsagePurpose,
) -> (rcgen::Certificate, KeyPair) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.extended_key_usages.push(usage);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, by).unwrap(), key)
}

/// The door's own files and its configuration through the environment.
fn environment(folder: &Path, server_ca: &Issuer, client_ca: Option<&Issuer>) -> Vec<(&'static str, String)> {
    let (cert, key) = issued(server_ca, "localhost", &["localhost"], ExtendedKeyUsagePurpose::ServerAuth);
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let mut environment = vec![
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere".to_owned()),
        ("GUARITA__RECEIVE__TLS__CERT", write("cert.pem", cert.pem())),
        ("GUARITA__RECEIVE__TLS__KEY", write("key.pem", key.serialize_pem())),
    ];
    if let Some(ca) = client_ca {
        environment.push(("GUARITA__RECEIVE__TLS__CLIENT_CA", write("client-ca.pem", ca.pem())));
    }
    environment
}

/// Posts a signed delivery over TLS; the status, or `None` if the door ended the connection.
async fn post(rig: &Rig, server_ca: &Issuer, client: Option<&(rcgen::Certificate, KeyPair)>, id: &str) -> Option<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(server_ca.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let chain: Vec<CertificateDer<'static>> = vec![cert.der().clone()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into())).unwrap()
        }
    };
    let socket = tokio::net::TcpStream::connect(("127.0.0.1", rig.public)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.ok()?;
    let body = payload::whatsapp(&ana(), id, 1, payload::text("oi")).to_string();
    let signature = guarita_webhook::sign(APP_SECRET.as_bytes(), body.as_bytes());
    let request = format!(
        "POST /webhook HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-hub-signature-256: {signature}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // With TLS 1.3 a refused client certificate shows only at the first read.
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer).await;
    if read.is_err() && answer.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split(' ').nth(1).and_then(|status| status.parse().ok())
}

async fn start(environment: &[(&'static str, String)]) -> Rig {
    let mut rig = Rig::prepare(None).await;
    let borrowed: Vec<(&str, &str)> = environment.iter().map(|(key, value)| (*key, value.as_str())).collect();
    rig.launch(&borrowed).await;
    rig
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_alone_asks_no_certificate_of_the_client() {
    let folder = tempfile::tempdir().unwrap();
    let ours = issuer("our server's CA");
    let rig = start(&environment(folder.path(), &ours, None)).await;
    assert_eq!(post(&rig, &ours, None, "wamid.TLS1").await, Some(200), "{}", rig.log());
    rig.arrived("wamid.TLS1").await;
    // No plain text on a port that speaks TLS.
    assert!(guarita_testkit::MetaStandIn::deliver(&rig.webhook(), APP_SECRET, b"{}").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_metas_client_certificate_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, metas, another) = (issuer("our server's CA"), issuer("Meta's CA"), issuer("some other CA"));
    let rig = start(&environment(folder.path(), &ours, Some(&metas))).await;
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let by_common_name = issued(&metas, META, &[], client.clone());
    let by_alternative_name = issued(&metas, "somebody", &[META], client.clone());
    let another_customer = issued(&metas, "client.example.com", &["client.example.com"], client.clone());
    let another_ca = issued(&another, META, &[META], client);
    let for_servers = issued(&metas, META, &[META], ExtendedKeyUsagePurpose::ServerAuth);
    for (who, certificate, expected) in [
        ("Meta, by common name", Some(&by_common_name), Some(200)),
        ("Meta, by alternative name", Some(&by_alternative_name), Some(200)),
        ("nobody", None, None),
        ("another customer of the CA", Some(&another_customer), None),
        ("the right name from another CA", Some(&another_ca), None),
        ("a certificate for servers", Some(&for_servers), None),
    ] {
        let id = format!("wamid.{}", who.replace([' ', ',', '\''], ""));
        assert_eq!(post(&rig, &ours, certificate, &id).await, expected, "{who}\n{}", rig.log());
        if expected.is_some() {
            rig.arrived(&id).await;
        }
    }
    assert_eq!(rig.backend.received().len(), 2, "something came in that should not");
    let (_, metrics) = rig.console_get("/metrics").await;
    assert!(metrics.contains("guarita_received_total{outcome=\"tls\"} 4"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_fit_is_told_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let ours = issuer("our server's CA");
    let environment = environment(folder.path(), &ours, None);
    let (_, stranger) = issued(&ours, "another", &["another"], ExtendedKeyUsagePurpose::ServerAuth);
    std::fs::write(folder.path().join("key.pem"), stranger.serialize_pem()).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_guarita"));
    command.args(["run"]).current_dir(folder.path());
    for (key, value) in [
        ("GUARITA__RECEIVE__APP_SECRET", "a"),
        ("GUARITA__RECEIVE__VERIFY_TOKEN", "b"),
        ("GUARITA__GRAPH__ACCESS_TOKEN", "c"),
        ("GUARITA__BACKEND__URL", "http://127.0.0.1:1/"),
        ("GUARITA__RECEIVE__LISTEN", "127.0.0.1:0"),
        ("GUARITA__CONSOLE__LISTEN", "127.0.0.1:0"),
        ("GUARITA__MEDIA__LISTEN", "127.0.0.1:0"),
    ] {
        command.env(key, value);
    }
    for (key, value) in &environment {
        command.env(key, value);
    }
    let out = command.output().unwrap();
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && told.contains("receive.tls"), "{told}");
    assert!(told.contains("cert and key belong together"), "{told}");
}
