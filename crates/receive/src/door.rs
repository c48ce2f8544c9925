//! What each request is answered with.

use crate::Config;
use bytes::{Bytes, BytesMut};
use guarita_message::Channel;
use guarita_spool::{Appended, NewEntry, Spool, SpoolError};
use guarita_webhook::{SplitBy, Unit};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::Semaphore;

/// One path of the door, with the secrets of the app that posts to it.
#[derive(Clone)]
pub struct Route {
    pub path: String,
    pub verify_token: String,
    pub app_secret: String,
    pub split: SplitBy,
    pub route_of: RouteOf,
}

/// Which route (name) a unit belongs to; `None`: no route wants it.
pub type RouteOf = Arc<dyn Fn(&Unit) -> Option<String> + Send + Sync>;

/// Milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The door itself; cheap to share.
pub struct Door {
    pub(crate) config: Config,
    routes: HashMap<String, Route>,
    spool: Arc<dyn Spool>,
    /// Counts KiB of bodies held in memory.
    memory: Arc<Semaphore>,
    now_ms: Clock,
}

/// A body larger than this is hashed and parsed off the event loop, so that it delays nobody's 200.
const BLOCKING_BYTES_MIN: usize = 64 * 1024;
/// A refused body is read to its end up to this, so that the sender sees the answer and not a reset.
const DRAIN_BYTES_MAX: usize = 32 * 1024 * 1024;

impl Door {
    pub fn new(config: Config, routes: Vec<Route>, spool: Arc<dyn Spool>) -> Self {
        let memory = Arc::new(Semaphore::new((config.in_flight_bytes_max / 1024).clamp(1, Semaphore::MAX_PERMITS)));
        let routes = routes.into_iter().map(|route| (route.path.clone(), route)).collect();
        Door { config, routes, spool, memory, now_ms: Arc::new(now_ms) }
    }

    /// Tells the time from another clock.
    pub fn with_clock(self, now_ms: Clock) -> Self {
        Door { now_ms, ..self }
    }

    /// Never fails: every fault has its status. Nothing but 200 has stored anything.
    pub async fn answer<B: Body<Data = Bytes> + Unpin>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        let start = Instant::now();
        let Some(route) = self.routes.get(request.uri().path()) else {
            return count(Refused::NotFound.answer(), "not_found");
        };
        match *request.method() {
            Method::GET => self.answer_handshake(route, request.uri().query().unwrap_or_default()),
            Method::POST => match self.take(route, request).await {
                Ok(outcome) => {
                    metrics::histogram!("guarita_ack_seconds").record(start.elapsed().as_secs_f64());
                    count(Response::new(Full::default()), outcome)
                }
                Err(refused) => count(refused.answer(), refused.outcome()),
            },
            _ => {
                let mut response = status(StatusCode::METHOD_NOT_ALLOWED);
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
                count(response, "method")
            }
        }
    }

    fn answer_handshake(&self, route: &Route, query: &str) -> Response<Full<Bytes>> {
        match guarita_webhook::answer_challenge(query, &route.verify_token) {
            Ok(challenge) => {
                let mut response = Response::new(Full::from(challenge));
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                count(response, "handshake")
            }
            Err(_) => count(status(StatusCode::FORBIDDEN), "handshake_refused"),
        }
    }

    /// Checks, splits and stores one delivery. The order of checks is the order of their cost.
    async fn take<B: Body<Data = Bytes> + Unpin>(
        &self,
        route: &Route,
        request: Request<B>,
    ) -> Result<&'static str, Refused> {
        let (head, body) = request.into_parts();
        let is_json =
            head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
                value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
            });
        if !is_json || head.headers.contains_key(header::CONTENT_ENCODING) {
            drain(body).await;
            return Err(Refused::MediaType);
        }
        if body.size_hint().lower() > self.config.body_bytes_max as u64 {
            drain(body).await;
            return Err(Refused::TooLarge);
        }
        let signature =
            head.headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()).map(str::to_owned);
        if signature.is_none() {
            drain(body).await;
            return Err(Refused::Signature);
        }
        let limit = Duration::from_secs(self.config.body_seconds_max);
        let held = tokio::time::timeout(limit, self.read_bounded(body)).await.map_err(|_| Refused::TooSlow)??;
        let bytes = held.bytes.clone();
        let checked = if bytes.len() >= BLOCKING_BYTES_MIN {
            let route = route.clone();
            let joined = tokio::task::spawn_blocking(move || check(&route, &bytes, signature.as_deref())).await;
            joined.map_err(|_| Refused::Internal)??
        } else {
            check(route, &bytes, signature.as_deref())?
        };
        let outcome = match checked {
            Checked::NoRoute => "no_route",
            Checked::Entries(entries) => self.store(entries).await?,
        };
        drop(held);
        Ok(outcome)
    }

    async fn read_bounded(&self, mut body: impl Body<Data = Bytes> + Unpin) -> Result<Held, Refused> {
        let mut buffer = BytesMut::with_capacity((body.size_hint().lower() as usize).min(64 * 1024));
        let mut permits = None::<tokio::sync::OwnedSemaphorePermit>;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refused::Broken)?;
            let Ok(data) = frame.into_data() else { continue };
            if buffer.len() + data.len() > self.config.body_bytes_max {
                drop(data);
                drain(body).await;
                return Err(Refused::TooLarge);
            }
            // By what the body holds in all, so that a body of tiny chunks takes no more of the bound than its size.
            let wanted = (buffer.len() + data.len()).div_ceil(1024);
            let held = permits.as_ref().map_or(0, |permits| permits.num_permits());
            if wanted > held {
                let more = u32::try_from(wanted - held).unwrap_or(u32::MAX);
                let more = self.memory.clone().try_acquire_many_owned(more).map_err(|_| Refused::Overloaded)?;
                match &mut permits {
                    Some(permits) => permits.merge(more),
                    None => permits = Some(more),
                }
            }
            buffer.extend_from_slice(&data);
        }
        Ok(Held { bytes: buffer.freeze(), _permits: permits })
    }

    /// Appends; where some updates of a unit were seen before, cuts those out and appends the rest.
    async fn store(&self, mut entries: Vec<NewEntry>) -> Result<&'static str, Refused> {
        let limit = Duration::from_secs(self.config.append_seconds_max);
        let mut stored = false;
        // Each round either stores an entry or shortens it, so the number of updates bounds the rounds.
        while !entries.is_empty() {
            let spare = entries.iter().map(|entry| (entry.dedupe.len() > 1).then(|| entry.clone())).collect::<Vec<_>>();
            let append = self.spool.append((self.now_ms)(), entries);
            let results = match tokio::time::timeout(limit, append).await {
                Ok(results) => results.map_err(Refused::of_spool)?,
                Err(_) => return Err(Refused::SpoolFull),
            };
            entries = Vec::new();
            for (result, spare) in results.into_iter().zip(spare) {
                match (result, spare) {
                    (Appended::Stored(_), _) => stored = true,
                    (Appended::PartlySeen(seen), Some(mut entry)) => {
                        if let Some(rest) = guarita_webhook::without(&entry.body, &seen) {
                            entry.body = rest;
                            entry.dedupe.retain(|key| !seen.contains(key));
                            if !entry.dedupe.is_empty() {
                                entries.push(entry);
                            }
                        }
                    }
                    (Appended::Duplicate | Appended::PartlySeen(_), _) => {}
                }
            }
        }
        Ok(if stored { "accepted" } else { "duplicate" })
    }
}

/// A body and the share of the memory bound that it holds.
struct Held {
    bytes: Bytes,
    _permits: Option<tokio::sync::OwnedSemaphorePermit>,
}

enum Checked {
    Entries(Vec<NewEntry>),
    NoRoute,
}

fn check(route: &Route, bytes: &[u8], signature: Option<&str>) -> Result<Checked, Refused> {
    guarita_webhook::verify_signature(route.app_secret.as_bytes(), bytes, signature).map_err(|_| Refused::Signature)?;
    let units = guarita_webhook::split(bytes, route.split).map_err(|_| Refused::NotJson)?;
    let mut entries = Vec::with_capacity(units.len());
    for unit in units {
        let Some(name) = (route.route_of)(&unit) else { continue };
        entries.push(NewEntry {
            route: name,
            channel: unit.channel.unwrap_or(Channel::Whatsapp),
            account: unit.account,
            lane: unit.lane,
            conversation: unit.conversation,
            dedupe: unit.dedupe,
            senders: unit.senders,
            body: unit.body,
        });
    }
    Ok(if entries.is_empty() { Checked::NoRoute } else { Checked::Entries(entries) })
}

/// Why a POST was not taken. Each is answered so that Meta tries again, but for what a retry cannot mend.
#[derive(Clone, Copy, Debug)]
enum Refused {
    NotFound,
    MediaType,
    TooLarge,
    TooSlow,
    Signature,
    NotJson,
    Broken,
    Overloaded,
    SpoolFull,
    Internal,
}

impl Refused {
    fn of_spool(error: SpoolError) -> Self {
        tracing::error!(error = %error, "a delivery was not stored; Meta will send it again");
        Refused::SpoolFull
    }

    fn outcome(self) -> &'static str {
        match self {
            Refused::NotFound => "not_found",
            Refused::MediaType => "media_type",
            Refused::TooLarge => "too_large",
            Refused::TooSlow => "too_slow",
            Refused::Signature => "signature",
            Refused::NotJson => "not_json",
            Refused::Broken => "broken",
            Refused::Overloaded => "overloaded",
            Refused::SpoolFull => "spool",
            Refused::Internal => "internal",
        }
    }

    fn answer(self) -> Response<Full<Bytes>> {
        status(match self {
            Refused::NotFound => StatusCode::NOT_FOUND,
            Refused::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refused::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refused::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refused::Signature => StatusCode::UNAUTHORIZED,
            Refused::NotJson | Refused::Broken => StatusCode::BAD_REQUEST,
            Refused::Overloaded | Refused::SpoolFull | Refused::Internal => StatusCode::SERVICE_UNAVAILABLE,
        })
    }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn count(response: Response<Full<Bytes>>, outcome: &'static str) -> Response<Full<Bytes>> {
    metrics::counter!("guarita_received_total", "outcome" => outcome).increment(1);
    response
}

async fn drain(mut body: impl Body<Data = Bytes> + Unpin) {
    let mut left = DRAIN_BYTES_MAX;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // The sender of a refused body gets two seconds to finish; then the connection is reset.
    let _ = tokio::time::timeout(Duration::from_secs(2), reading).await;
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
