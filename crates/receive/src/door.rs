//! What each request is answered with.

use crate::{
    Config, Unmatched,
    limits::{Counts, Unwanted},
    table::{App, PathTable, Placed, Table, bare, scoped},
};
use bytes::{Bytes, BytesMut};
use guarita_message::{Channel, ConversationKey, DedupeKey, held_route};
use guarita_spool::{Appended, NewEntry, Spool, SpoolError};
use guarita_webhook::{SplitBy, Unit};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::Semaphore;

/// Milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The door itself; cheap to share.
pub struct Door {
    pub(crate) config: Config,
    table: RwLock<Arc<Table>>,
    spool: Arc<dyn Spool>,
    counts: Arc<Counts>,
    /// Counts KiB of bodies held in memory.
    memory: Arc<Semaphore>,
    now_ms: Clock,
}

/// A body larger than this is hashed and parsed off the event loop, so that it delays nobody's 200.
const BLOCKING_BYTES_MIN: usize = 64 * 1024;
/// Room for a body before any of it came; it grows with what really comes. Who announces megabytes and sends a byte a second
/// holds no more than this.
const BUFFER_BYTES_FIRST: usize = 4 * 1024;
/// A refused body is read to its end up to this, so that the sender sees the answer and not a reset.
const DRAIN_BYTES_MAX: usize = 32 * 1024 * 1024;

impl Door {
    pub fn new(config: Config, table: Table, spool: Arc<dyn Spool>) -> Self {
        let memory = Arc::new(Semaphore::new((config.in_flight_bytes_max / 1024).clamp(1, Semaphore::MAX_PERMITS)));
        Door {
            config,
            table: RwLock::new(Arc::new(table)),
            spool,
            counts: Arc::default(),
            memory,
            now_ms: Arc::new(now_ms),
        }
    }

    /// Tells the time from another clock.
    pub fn with_clock(self, now_ms: Clock) -> Self {
        Door { now_ms, ..self }
    }

    /// Puts other routes in force; requests under way end with the ones they began with.
    pub fn replace(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// The routes in force.
    pub fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Never fails: every fault has its status. Nothing but 200 has stored anything.
    pub async fn answer<B: Body<Data = Bytes> + Unpin>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        let start = Instant::now();
        let table = self.table();
        let Some(path) = table.path(request.uri().path()) else {
            return count(Refused::NotFound.answer(), "not_found");
        };
        match *request.method() {
            Method::GET => answer_handshake(path, request.uri().query().unwrap_or_default()),
            Method::POST => match self.take(&table, request).await {
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

    /// Checks, splits and stores one delivery. The order of checks is the order of their cost.
    async fn take<B: Body<Data = Bytes> + Unpin>(
        &self,
        table: &Arc<Table>,
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
        let Some(claim) = Claim::of(&head.headers) else {
            drain(body).await;
            return Err(Refused::Signature);
        };
        let path = head.uri.path().to_owned();
        // A token can be told before anything is read.
        if let Claim::Token(token) = &claim
            && table.path(&path).and_then(|path| path.bot(token)).is_none()
        {
            drain(body).await;
            return Err(Refused::Signature);
        }
        let limit = Duration::from_secs(self.config.body_seconds_max);
        let held = tokio::time::timeout(limit, self.read_bounded(body)).await.map_err(|_| Refused::TooSlow)??;
        let bytes = held.bytes.clone();
        let desk = Desk { unmatched: self.config.unmatched, counts: self.counts.clone(), now_ms: (self.now_ms)() };
        let checked = if bytes.len() >= BLOCKING_BYTES_MIN {
            let table = table.clone();
            let work = move || table.path(&path).map(|path| desk.check(path, &bytes, &claim));
            tokio::task::spawn_blocking(work).await.map_err(|_| Refused::Internal)?
        } else {
            table.path(&path).map(|path| desk.check(path, &bytes, &claim))
        };
        let Checked { entries, unwanted } = checked.ok_or(Refused::Internal)??;
        let outcome = match (entries.is_empty(), unwanted) {
            (true, Some(outcome)) => outcome,
            _ => self.store(entries).await?,
        };
        drop(held);
        Ok(outcome)
    }

    async fn read_bounded(&self, mut body: impl Body<Data = Bytes> + Unpin) -> Result<Held, Refused> {
        let mut buffer = BytesMut::with_capacity((body.size_hint().lower() as usize).min(BUFFER_BYTES_FIRST));
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
                        let bare_keys: Vec<_> = seen.iter().map(|key| DedupeKey(bare(&key.0).to_owned())).collect();
                        if let Some(rest) = guarita_webhook::without(&entry.body, &bare_keys) {
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

/// What a delivery shows to prove itself.
enum Claim {
    Signature(String),
    Token(String),
}

impl Claim {
    fn of(headers: &HeaderMap) -> Option<Claim> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let signature = text("x-hub-signature-256").map(Claim::Signature);
        signature.or_else(|| text("x-telegram-bot-api-secret-token").map(Claim::Token))
    }
}

struct Checked {
    entries: Vec<NewEntry>,
    /// What became of units that are not stored, if there were any.
    unwanted: Option<&'static str>,
}

/// What checking a body takes beside the routes.
struct Desk {
    unmatched: Unmatched,
    counts: Arc<Counts>,
    now_ms: u64,
}

impl Desk {
    /// The proof binds the app; the app's routes alone are asked.
    fn check(&self, path: &PathTable, bytes: &[u8], claim: &Claim) -> Result<Checked, Refused> {
        let app = match claim {
            Claim::Token(token) => path.bot(token),
            Claim::Signature(signature) => path
                .apps
                .iter()
                .find(|(secret, _)| {
                    guarita_webhook::verify_signature(secret.as_bytes(), bytes, Some(signature)).is_ok()
                })
                .map(|(_, app)| app),
        };
        let app = app.ok_or(Refused::Signature)?;
        let mut checked = Checked { entries: Vec::new(), unwanted: None };
        let (by_message, by_conversation) = app.splits();
        // Routes that differ in how they split get a cut each; every update goes to exactly one of them.
        for by in [SplitBy::Message, SplitBy::Conversation] {
            let wanted = if by == SplitBy::Message { by_message } else { by_conversation };
            if !wanted {
                continue;
            }
            for unit in guarita_webhook::split(bytes, by).map_err(|_| Refused::NotJson)? {
                // Whoever knows a bot's token may speak for the bot alone.
                let speaks = matches!(claim, Claim::Signature(_)) || unit.channel == Some(Channel::Telegram);
                match app.find(&unit).filter(|_| speaks) {
                    Some(route) if route.split == by => self.enter(route, unit, &mut checked),
                    Some(_) => {}
                    // Told once, not in both cuts.
                    None if by == SplitBy::Conversation && by_message => {}
                    None => self.turn_away(app, unit, &mut checked),
                }
            }
        }
        Ok(checked)
    }

    fn enter(&self, route: &Arc<Placed>, unit: Unit, checked: &mut Checked) {
        let stopped = self.counts.ask(&route.entries[0], &route.limits, &unit, self.now_ms);
        if let Some(stopped) = stopped {
            metrics::counter!("guarita_limited_total", "reason" => stopped.reason).increment(unit.dedupe.len() as u64);
            if stopped.then == Unwanted::Drop {
                checked.unwanted = Some("limited");
                return;
            }
        }
        for name in &route.entries {
            let stored = stopped.map_or_else(|| name.clone(), |stopped| held_route(name, stopped.reason));
            let mut entry = entry(&unit, stored, route.scoped.then_some(name));
            if entry.account.is_empty() {
                entry.account.clone_from(&route.account);
            }
            checked.entries.push(entry);
        }
    }

    /// No route wants it. Never silently.
    fn turn_away(&self, app: &App, unit: Unit, checked: &mut Checked) {
        let parks = self.unmatched == Unmatched::Park;
        let action = if parks { "parked" } else { "refused" };
        metrics::counter!("guarita_unmatched_total", "action" => action).increment(unit.dedupe.len() as u64);
        tracing::warn!(
            object = unit.object.chars().take(40).collect::<String>(),
            action,
            "an update came that no route wants; `guarita check-config` shows what goes where"
        );
        if parks {
            let name = app.parked();
            checked.entries.push(entry(&unit, name.clone(), Some(&name)));
        } else {
            checked.unwanted = Some("no_route");
        }
    }
}

fn entry(unit: &Unit, stored: String, scope: Option<&String>) -> NewEntry {
    let key = |key: &str| scope.map_or_else(|| key.to_owned(), |scope| scoped(scope, key));
    NewEntry {
        route: stored,
        channel: unit.channel.unwrap_or(Channel::Whatsapp),
        account: unit.account.clone(),
        lane: unit.lane,
        conversation: ConversationKey(key(&unit.conversation.0)),
        dedupe: unit.dedupe.iter().map(|one| DedupeKey(key(&one.0))).collect(),
        senders: unit.senders.clone(),
        body: unit.body.clone(),
    }
}

fn answer_handshake(path: &PathTable, query: &str) -> Response<Full<Bytes>> {
    // Every token is compared, whichever fits.
    let answers = path.verify_tokens.iter().map(|token| guarita_webhook::answer_challenge(query, token));
    match answers.fold(None, |known, answer| known.or(answer.ok())) {
        Some(challenge) => {
            let mut response = Response::new(Full::from(challenge));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            count(response, "handshake")
        }
        None => count(status(StatusCode::FORBIDDEN), "handshake_refused"),
    }
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
