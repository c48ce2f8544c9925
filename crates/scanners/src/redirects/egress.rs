//! One request to a stranger's server: resolved here, every address checked, one connection, a bounded head, a bounded
//! page, no cookie, no referrer, no second look at the name. It must not know why it asks.

use super::RedirectsConfig;
use crate::REDIRECTS;
use guarita_message::{GapReason, is_public};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// Addresses of one name tried before giving up.
const ADDRESSES_MAX: usize = 3;
/// Head of an answer, in bytes and in fields.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const HEADERS_MAX: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Get,
}

/// What of an answer says where it leads.
pub(super) struct Answer {
    pub status: u16,
    pub location: Option<String>,
    pub refresh: Option<String>,
    html: bool,
    /// The beginning of the page; empty after HEAD and for what is no page.
    pub page: Vec<u8>,
}

impl Answer {
    pub(super) fn is_page(&self) -> bool {
        self.html && (200..300).contains(&self.status)
    }
}

/// Why a link's end is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Miss {
    #[error("what a link leads to is no address")]
    NoUrl,
    #[error("a link leads to a private address, where nobody is asked")]
    Private,
    #[error("a link leads to an odd port, where nobody is asked")]
    OddPort,
    #[error("a link's host does not resolve")]
    NotResolved,
    #[error("a link's host does not take a connection")]
    NotConnected,
    #[error("a link's host has no certificate that holds")]
    Tls,
    #[error("a link's host hung up, or does not speak HTTP")]
    Protocol,
    #[error("a link's host takes longer than redirects.request_seconds_max")]
    Slow,
    #[error("a link's host refuses to say where it leads (status {0})")]
    Refused(u16),
    #[error("a link leads back to where it came from")]
    Circle,
    #[error("a link goes on after redirects.hops_max redirects")]
    TooManyHops,
}

impl Miss {
    pub(super) fn reason(&self) -> GapReason {
        match self {
            Miss::Slow => GapReason::Timeout,
            Miss::TooManyHops | Miss::Circle => GapReason::Limits,
            _ => GapReason::FetchFailed,
        }
    }

    /// Whether the server was reached, and only its answer was of no use.
    pub(super) fn is_of_the_answer(&self) -> bool {
        matches!(self, Miss::Protocol | Miss::Slow)
    }
}

pub(super) struct Egress {
    tls: TlsConnector,
    from: Option<IpAddr>,
    request_max: Duration,
    page_bytes_max: usize,
    user_agent: String,
}

impl Egress {
    pub(super) fn new(from: Option<IpAddr>, config: &RedirectsConfig) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            tracing::warn!(
                "no certificate authorities found: https links will not be followed; install ca-certificates"
            );
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("finds no TLS to use ({error})"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A ticket would tell one visit from the next.
        tls.resumption = rustls::client::Resumption::disabled();
        Ok(Egress {
            tls: TlsConnector::from(Arc::new(tls)),
            from,
            request_max: Duration::from_secs(config.request_seconds_max),
            page_bytes_max: config.page_bytes_max,
            user_agent: config.user_agent.clone(),
        })
    }

    /// One request and its answer, within `request_seconds_max`.
    pub(super) async fn ask(&self, method: Method, url: &Url, may_be_private: bool) -> Result<Answer, Miss> {
        timeout(self.request_max, self.ask_in_time(method, url, may_be_private)).await.unwrap_or(Err(Miss::Slow))
    }

    async fn ask_in_time(&self, method: Method, url: &Url, may_be_private: bool) -> Result<Answer, Miss> {
        let stream = self.connect(url, may_be_private).await?;
        if url.scheme() != "https" {
            return self.talk(stream, method, url).await;
        }
        let name = match url.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(|_| Miss::NoUrl)?,
            Some(Host::Ipv4(ip)) => ServerName::from(IpAddr::from(ip)),
            Some(Host::Ipv6(ip)) => ServerName::from(IpAddr::from(ip)),
            None => return Err(Miss::NoUrl),
        };
        let stream = self.tls.connect(name, stream).await.map_err(|_| Miss::Tls)?;
        self.talk(stream, method, url).await
    }

    async fn connect(&self, url: &Url, may_be_private: bool) -> Result<TcpStream, Miss> {
        let port = url.port_or_known_default().ok_or(Miss::NoUrl)?;
        let found: Vec<SocketAddr> = match url.host().ok_or(Miss::NoUrl)? {
            Host::Ipv4(ip) => vec![SocketAddr::new(ip.into(), port)],
            Host::Ipv6(ip) => vec![SocketAddr::new(ip.into(), port)],
            Host::Domain(name) => tokio::net::lookup_host((name, port)).await.map_err(|_| Miss::NotResolved)?.collect(),
        };
        let allowed = found.into_iter().filter(|address| may_be_private || is_public(address.ip()));
        let mut last = Miss::Private;
        for address in allowed.take(ADDRESSES_MAX) {
            match self.open(address).await {
                Ok(stream) => return Ok(stream),
                Err(_) => last = Miss::NotConnected,
            }
        }
        Err(last)
    }

    async fn open(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        socket.connect(address).await
    }

    async fn talk<S>(&self, stream: S, method: Method, url: &Url) -> Result<Answer, Miss>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Miss::Protocol)?;
        // Dropped with this future, and the connection with it.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let request = hyper::Request::builder()
            .method(if method == Method::Head { hyper::Method::HEAD } else { hyper::Method::GET })
            .uri(&url[url::Position::BeforePath..url::Position::AfterQuery])
            .header(header::HOST, host)
            .header(header::USER_AGENT, &self.user_agent)
            .header(header::ACCEPT, "text/html,*/*;q=0.5")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|_| Miss::NoUrl)?;
        let response = sender.send_request(request).await.map_err(|_| Miss::Protocol)?;
        let field = |name: header::HeaderName| {
            let value = response.headers().get(name)?;
            // Servers write UTF-8 into what should be ASCII, and browsers take it.
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let kind = field(header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        let mut answer = Answer {
            status: response.status().as_u16(),
            location: field(header::LOCATION),
            refresh: field(header::REFRESH),
            html: kind.is_empty() || kind.contains("html"),
            page: Vec::new(),
        };
        if method == Method::Get && answer.is_page() {
            let mut body = response.into_body();
            while answer.page.len() < self.page_bytes_max
                && let Some(Ok(frame)) = body.frame().await
            {
                let data = frame.into_data().unwrap_or_default();
                let room = self.page_bytes_max - answer.page.len();
                answer.page.extend_from_slice(&data[..data.len().min(room)]);
            }
        }
        tracing::trace!(scanner = REDIRECTS, status = answer.status, "a link's host answered");
        Ok(answer)
    }
}
