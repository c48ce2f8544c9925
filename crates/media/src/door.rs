//! The media door: what the backend takes for Graph.
//!
//! A look-up of a media id that Guarita knows is answered here, and so is its download; everything else passes through to
//! `graph.base_url`, streamed. Whatever mentions a known id in another way than a plain look-up (batch calls, `ids=`,
//! spellings of a path) is refused, so that no road leads around the booth. The states come from the index alone; the
//! door decides nothing, and writes no token, id or url into a log.

mod answers;
mod calls;
mod file;
mod links;
mod names;
mod passing;
mod streams;
mod telegram;

/// What the fuzz targets reach: the headers that the door reads and writes. Not part of the interface.
#[doc(hidden)]
pub mod fuzzing {
    use http::{HeaderMap, HeaderValue, header};

    /// A file's name as it goes into `Content-Disposition`.
    pub fn content_disposition(name: &str, mime_type: &str) -> String {
        super::names::content_disposition(Some(name), mime_type)
    }

    /// First and last byte that a `Range` header asks for, of a file of `bytes` bytes; `None`: all of it, or nothing.
    pub fn range(value: &[u8], bytes: u64) -> Option<(u64, u64)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_bytes(value).ok()?);
        super::file::range_asked(&headers, bytes)
    }
}

use crate::{
    BlobStore, BuildError, DoorConfig, GraphConfig, IndexError, MediaIndex, MediaKeys, MediaState, Millis, StoredMedia,
    addresses::Reach,
    connect::{self, Body, HttpClient},
    fetch::base_url,
};
use answers::{graph_error, no_such_object, not_authorized};
use calls::Call;
use http::{Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use links::Links;
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use streams::StallGuard;
pub use telegram::Looker;
use telegram::Telegram;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

/// The media door. Build one, share it in an `Arc`, `serve` it.
pub struct Door {
    config: DoorConfig,
    /// SHA-256 of each token that may look media up.
    tokens: RwLock<HashSet<[u8; 32]>>,
    links: Links,
    index: MediaIndex,
    blobs: Arc<dyn BlobStore>,
    client: HttpClient,
    /// `graph.base_url` without a slash at its end.
    graph: String,
    graph_host: String,
    telegram: Option<Telegram>,
}

impl Door {
    /// `route_tokens`: tokens of routes, which may look media up besides `media.tokens` and `graph.access_token`.
    pub fn new(
        config: &DoorConfig,
        graph: &GraphConfig,
        route_tokens: &[String],
        index: MediaIndex,
        blobs: Arc<dyn BlobStore>,
        keys: &MediaKeys,
    ) -> Result<Self, BuildError> {
        let base_url = base_url(graph)?;
        let reach = Arc::new(Reach::new(&graph.media_hosts, &base_url).map_err(BuildError::Config)?);
        let tokens = config.tokens.iter().chain(route_tokens).chain([&graph.access_token]);
        Ok(Door {
            tokens: RwLock::new(digests(tokens)),
            links: Links::new(keys, &config.public_url)?,
            client: connect::client(reach, Duration::from_millis(graph.fetch.connect_timeout_ms))?,
            graph: format!("{}{}", base_url.origin().ascii_serialization(), base_url.path().trim_end_matches('/')),
            graph_host: base_url.origin().ascii_serialization().split_once("://").map_or("", |(_, h)| h).to_owned(),
            config: config.clone(),
            telegram: None,
            index,
            blobs,
        })
    }

    /// Puts other tokens in force, all of them: `media.tokens`, `graph.access_token` and those of routes.
    pub fn replace_tokens(&self, tokens: &[String]) {
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = digests(tokens.iter());
    }

    /// The url that takes the place of Meta's own in a webhook's media object. It works for
    /// `media.webhook_url_seconds`, and only while the id may be served.
    pub fn webhook_url(&self, id: &str, now: Millis) -> String {
        self.links.url(id, now / 1000 + self.config.webhook_url_seconds)
    }

    /// Serves connections until `shutdown` is done; then lets open answers end, for `media.drain_ms` at most.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let turns = Arc::new(Semaphore::new(self.config.connections_max.max(1)));
        let (stop, stopping) = watch::channel(false);
        let accept_all = async {
            loop {
                let Ok(turn) = turns.clone().acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let (door, stopping) = (self.clone(), stopping.clone());
                        tokio::spawn(async move {
                            door.converse(stream, stopping).await;
                            drop(turn);
                        });
                    }
                    Err(e) => {
                        // Out of descriptors, or the peer left early: both pass.
                        tracing::warn!(kind = %e.kind(), "the media door cannot accept a connection");
                        sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept_all => {}
            () = shutdown => {}
        }
        drop((listener, stopping));
        // Connections see the change; the channel closes with the last of them.
        let _ = stop.send(true);
        let _ = timeout(Duration::from_millis(self.config.drain_ms), stop.closed()).await;
    }

    async fn converse(self: Arc<Self>, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
        let _ = stream.set_nodelay(true);
        let idle = Duration::from_millis(self.config.idle_timeout_ms);
        let door = self.clone();
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(self.config.head_timeout_ms))
            .max_buf_size(self.config.head_bytes_max.max(8192))
            .max_header_size(self.config.head_bytes_max)
            .serve_connection(
                TokioIo::new(StallGuard::new(stream, idle)),
                service_fn(move |request| {
                    let door = door.clone();
                    async move { Ok::<_, Infallible>(door.answer(request).await) }
                }),
            );
        let mut connection = std::pin::pin!(connection);
        // Errors here are the peer's (it left, or spoke no HTTP); there is nobody to tell.
        tokio::select! {
            _ = connection.as_mut() => {}
            _ = stopping.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = self.links.own_path(request.uri().path()).to_owned();
        if links::is_own(&path) {
            count("download");
            return self.answer_download(&path, &request).await;
        }
        if let Some(telegram) = self.bot_of(&path) {
            return self.answer_bot(telegram, &path, request).await;
        }
        let call = match Call::read(&request, &path) {
            Ok(call) => call,
            Err(refusal) => {
                count("refused");
                return refusal;
            }
        };
        match self.mentions_known(&call.path_words).await {
            Err(_) => return not_now(),
            // Deleting tells nothing of a content.
            Ok(Some(_)) if call.only_deletes => {}
            Ok(Some(known)) => {
                count("lookup");
                return self.answer_lookup(&call, known, &request).await;
            }
            Ok(None) => {}
        }
        match self.mentions_known(&call.query_words).await {
            Err(_) => return not_now(),
            Ok(Some(_)) => return self.refuse_mention(&call, &request),
            Ok(None) => {}
        }
        self.pass_on(call, &path, request).await
    }

    /// Which of these words is a media id that Guarita knows, if any: the first one, and its state.
    async fn mentions_known(&self, words: &[String]) -> Result<Option<(String, MediaState)>, IndexError> {
        if words.is_empty() {
            return Ok(None);
        }
        let keys = words.iter().map(|word| self.index.key(word)).collect();
        let states = self.index.lookup_all(keys).await.inspect_err(|e| tracing::error!(%e, "media index"))?;
        Ok(words.iter().zip(states).find_map(|(word, state)| state.map(|state| (word.clone(), state))))
    }

    /// A call that asks for a known id: Graph's look-up, if it is one and the id may be served.
    async fn answer_lookup(
        &self,
        call: &Call,
        (id, state): (String, MediaState),
        request: &Request<Incoming>,
    ) -> Response<Body> {
        if !self.is_authorized(call, request) {
            return not_authorized();
        }
        let plain = call.names_only(&id) && matches!(*request.method(), Method::GET | Method::HEAD);
        let MediaState::Served(content) = state else { return no_such_object(&id, request.method()) };
        if !plain || !self.is_here(&content).await {
            return no_such_object(&id, request.method());
        }
        let url = self.links.url(&id, now_ms() / 1000 + self.config.lookup_url_seconds);
        answers::json(
            StatusCode::OK,
            &serde_json::json!({
                "messaging_product": "whatsapp",
                "url": url,
                "mime_type": content.mime_type,
                "sha256": content.hash.to_string(),
                "file_size": content.bytes,
                "id": id,
            }),
        )
    }

    fn refuse_mention(&self, call: &Call, request: &Request<Incoming>) -> Response<Body> {
        count("refused");
        if !self.is_authorized(call, request) {
            return not_authorized();
        }
        graph_error(
            StatusCode::NOT_FOUND,
            100,
            Some(33),
            "GraphMethodException",
            "Received media is looked up one id at a time here: GET /{version}/{media-id}. Batch and ids= calls that \
             mention it are refused by the gateway.",
        )
    }

    /// Whether the content is still kept; its retention may be over while the id is remembered.
    pub(super) async fn is_here(&self, content: &StoredMedia) -> bool {
        let (blobs, hash) = (self.blobs.clone(), content.hash);
        matches!(tokio::task::spawn_blocking(move || blobs.bytes(&hash)).await, Ok(Ok(Some(_))))
    }

    /// By digest: what time tells of a digest tells nothing of the token, and a thousand tokens cost no more than one.
    fn is_authorized(&self, call: &Call, request: &Request<Incoming>) -> bool {
        let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let in_header = header.and_then(|value| {
            let (scheme, token) = value.trim().split_once(' ')?;
            (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("oauth")).then_some(token.trim())
        });
        let Some(token) = in_header.or(call.access_token.as_deref()) else { return false };
        let given: [u8; 32] = Sha256::digest(token).into();
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).contains(&given)
    }
}

fn digests<'t>(tokens: impl Iterator<Item = &'t String>) -> HashSet<[u8; 32]> {
    tokens.filter(|token| !token.is_empty()).map(|token| Sha256::digest(token).into()).collect()
}

fn not_now() -> Response<Body> {
    graph_error(StatusCode::SERVICE_UNAVAILABLE, 2, None, "OAuthException", "Service temporarily unavailable")
}

fn count(call: &'static str) {
    metrics::counter!("guarita_media_door_total", "call" => call).increment(1);
}

/// The door's clock; everything below takes the time as an argument.
fn now_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as Millis)
}
