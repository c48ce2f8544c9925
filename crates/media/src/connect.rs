//! Connections to Meta: resolves names itself and checks every address it is about to use, so that no answer of a name
//! server (and no second answer) can lead inside. It must not know what is asked over the connection.

use crate::{addresses::Reach, is_public};
use bytes::Bytes;
use http::Uri;
use http_body_util::combinators::UnsyncBoxBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// Addresses of one name tried before giving up.
const ADDRESSES_MAX: usize = 4;
/// Idle connections kept a host.
const IDLE_PER_HOST_MAX: usize = 16;
const IDLE: Duration = Duration::from_secs(50);
/// Largest head of an answer; also bounds what a connection buffers.
const READ_BUFFER_BYTES_MAX: usize = 128 * 1024;

pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;
pub(crate) type HttpClient = Client<HttpsConnector<CheckedConnector>, Body>;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{0}")]
    Config(String),
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// A client that connects only where `reach` allows.
pub(crate) fn client(reach: Arc<Reach>, connect_timeout: Duration) -> Result<HttpClient, BuildError> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls()?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(CheckedConnector { reach, connect_timeout });
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .http1_max_buf_size(READ_BUFFER_BYTES_MAX)
        .build(connector))
}

fn tls() -> Result<ClientConfig, BuildError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("no certificate authorities found: https to Meta will fail; install ca-certificates");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| BuildError::Tls(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Why no connection was made. Found again under the client's own error by [`refusal_in`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectError {
    /// Only addresses that are not public, and nobody named them.
    PrivateAddress,
    NotResolved(String),
    TimedOut,
    NotConnected(io::ErrorKind),
    NoHost,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::PrivateAddress => f.write_str(
                "the host leads to a private address; name the address in graph.media_hosts if that is meant",
            ),
            ConnectError::NotResolved(why) => write!(f, "the host's name does not resolve ({why})"),
            ConnectError::TimedOut => f.write_str("connecting took too long"),
            ConnectError::NotConnected(kind) => write!(f, "cannot connect ({kind})"),
            ConnectError::NoHost => f.write_str("the url has no host"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Our own error somewhere under a client's error.
pub(crate) fn refusal_in<'a>(e: &'a (dyn std::error::Error + 'static)) -> Option<&'a ConnectError> {
    let mut next = Some(e);
    while let Some(e) = next {
        if let Some(found) = e.downcast_ref::<ConnectError>() {
            return Some(found);
        }
        // An `io::Error` hides what it wraps from `source`.
        if let Some(inner) = e.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = inner.downcast_ref::<ConnectError>()
        {
            return Some(found);
        }
        next = e.source();
    }
    None
}

/// Resolves, checks, connects. An address in the url's own host is checked like one from a name server.
#[derive(Clone)]
pub(crate) struct CheckedConnector {
    reach: Arc<Reach>,
    connect_timeout: Duration,
}

impl tower_service::Service<Uri> for CheckedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&uri).await.map(TokioIo::new) })
    }
}

impl CheckedConnector {
    async fn connect(&self, uri: &Uri) -> Result<TcpStream, ConnectError> {
        let https = uri.scheme_str() == Some("https");
        let host = uri.host().ok_or(ConnectError::NoHost)?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let may_be_private = self.reach.may_be_private(https, host, port);
        let allowed = |address: &SocketAddr| may_be_private || is_public(address.ip());
        let resolved = self.resolve(host, port).await?;
        let addresses: Vec<_> = resolved.into_iter().filter(allowed).take(ADDRESSES_MAX).collect();
        let mut last = ConnectError::PrivateAddress;
        for address in addresses {
            match timeout(self.connect_timeout, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Small requests, answers that are waited for.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(e)) => last = ConnectError::NotConnected(e.kind()),
                Err(_) => last = ConnectError::TimedOut,
            }
        }
        Err(last)
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        match timeout(self.connect_timeout, tokio::net::lookup_host((host, port))).await {
            Ok(Ok(found)) => Ok(found.collect()),
            Ok(Err(e)) => Err(ConnectError::NotResolved(e.kind().to_string())),
            Err(_) => Err(ConnectError::NotResolved("no answer in time".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What connecting to a url on a loopback listener says, where only these hosts are named.
    async fn check(media_hosts: &[&str], url: &str, expect: Result<(), ConnectError>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let hosts: Vec<String> = media_hosts.iter().map(|host| host.replace("PORT", &port)).collect();
        let reach = Reach::new(&hosts, &"https://graph.facebook.com".parse().unwrap()).unwrap();
        let connector = CheckedConnector { reach: Arc::new(reach), connect_timeout: Duration::from_secs(2) };
        let outcome = connector.connect(&url.replace("PORT", &port).parse().unwrap()).await;
        assert_eq!(outcome.map(drop), expect, "{media_hosts:?} {url}");
    }

    /// The check stands at the connection itself: whatever a name leads to, at whatever time, is looked at here.
    #[tokio::test]
    async fn names_and_addresses_that_lead_inside_are_refused() {
        let private = || Err(ConnectError::PrivateAddress);
        check(&[], "http://localhost:PORT/", private()).await;
        check(&["*.fbcdn.net"], "http://127.0.0.1:PORT/", private()).await;
        check(&[], "http://[::1]:PORT/", private()).await;
        check(&[], "http://[::ffff:127.0.0.1]:PORT/", private()).await;
        check(&[], "https://10.0.0.1/", private()).await;
        check(&[], "http://0.0.0.0:PORT/", private()).await;
        check(&["localhost:1"], "http://localhost:PORT/", private()).await;
        check(&["localhost"], "http://localhost:PORT/", Ok(())).await;
        check(&["127.0.0.1"], "http://127.0.0.1:PORT/", Ok(())).await;
        check(&["127.0.0.1:PORT"], "http://127.0.0.1:PORT/", Ok(())).await;
    }
}
