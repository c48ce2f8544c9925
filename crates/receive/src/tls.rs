//! TLS of the public door, with Meta's client certificates when asked for.

use crate::TlsConfig;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use std::{path::Path, sync::Arc};
use tokio_rustls::TlsAcceptor;

/// The operator's files are at fault; a retry cannot help.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("receive.tls: cannot read {what} from {path}: {why}; give a PEM file that this user may read")]
    File { what: &'static str, path: String, why: String },
    #[error("receive.tls: {0}; check that cert and key belong together")]
    Unfit(String),
}

/// Reads the files and checks that they fit.
pub fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let certs = certificates("cert", &config.cert)?;
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(|error| file("key", &config.key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Unfit(error.to_string()))?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for cert in certificates("client_ca", path)? {
                roots.add(cert).map_err(|error| file("client_ca", path, error))?;
            }
            let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| file("client_ca", path, error))?;
            builder.with_client_cert_verifier(Arc::new(NamedClient { chain, name: config.client_name.clone() }))
        }
    };
    let mut server = builder.with_single_cert(certs, key).map_err(|error| TlsError::Unfit(error.to_string()))?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| file(what, path, error))?;
    let certs = read.collect::<Result<Vec<_>, _>>().map_err(|error| file(what, path, error))?;
    if certs.is_empty() {
        return Err(file(what, path, "no certificate in it"));
    }
    Ok(certs)
}

fn file(what: &'static str, path: &Path, why: impl ToString) -> TlsError {
    TlsError::File { what, path: path.display().to_string(), why: why.to_string() }
}

/// A chain to the CA is not enough: other customers of that CA have one, too.
#[derive(Debug)]
struct NamedClient {
    chain: Arc<dyn ClientCertVerifier>,
    name: String,
}

impl NamedClient {
    fn is_named(&self, cert: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(cert) else { return false };
        let common = parsed.subject().iter_common_name().filter_map(|cn| cn.as_str().ok()).any(|cn| cn == self.name);
        let alternative = parsed.subject_alternative_name().ok().flatten().is_some_and(|names| {
            names
                .value
                .general_names
                .iter()
                .any(|name| matches!(name, x509_parser::extensions::GeneralName::DNSName(dns) if *dns == self.name))
        });
        common || alternative
    }
}

impl ClientCertVerifier for NamedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        if !self.is_named(end_entity) {
            return Err(Error::InvalidCertificate(rustls::CertificateError::NotValidForName));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
