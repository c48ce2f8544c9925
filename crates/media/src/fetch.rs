//! Fetches one attachment from Meta: looks the id up at Graph, downloads, bounds, checks the digest.
//!
//! A url in the webhook is tried first; when Meta no longer knows it, the id is looked up anew. Failures come back as a
//! [`FetchProblem`], which names the gap it makes and whether trying again can help. It must not know what the bytes are
//! for, and puts neither token, id nor url into anything it returns or logs.

mod bot;
mod brake;
mod download;
mod lookup;
mod problem;
mod sink;

use crate::{
    BlobStore, BuildError, FetchConfig, GraphConfig, TelegramConfig,
    addresses::Reach,
    connect::{self, HttpClient},
};
use brake::Brake;
use bytes::Bytes;
use download::Announced;
use guarita_message::{ContentHash, GapReason, MediaRef};
pub use problem::FetchProblem;
use problem::{Failure, Kind};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};
use url::Url;

/// Who asks. Requests without one are refused by Meta.
const USER_AGENT: &str = concat!("guarita/", env!("CARGO_PKG_VERSION"));

/// An attachment that is now in the blob store.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    pub hash: ContentHash,
    pub bytes: u64,
    /// What Meta said it is: in the look-up, else with the download. Not to be trusted.
    pub content_type: Option<String>,
}

/// An attachment that may not be stored. Holds its share of the memory bound until dropped.
pub struct FetchedInMemory {
    pub hash: ContentHash,
    pub content: Bytes,
    pub content_type: Option<String>,
    _share: OwnedSemaphorePermit,
}

impl FetchedInMemory {
    /// For whoever stands in for a [`Fetcher`].
    pub fn holding(hash: ContentHash, content: Bytes, share: OwnedSemaphorePermit) -> Self {
        FetchedInMemory { hash, content, content_type: None, _share: share }
    }
}

/// Fetches attachments. Clones share connections, bounds and the brake.
#[derive(Clone)]
pub struct Fetcher {
    inner: Arc<Inner>,
    /// The same for Telegram: its own hosts and failures, the same bounds.
    bots: Option<Arc<Inner>>,
}

struct Inner {
    config: FetchConfig,
    base_url: Url,
    version: String,
    reach: Arc<Reach>,
    client: HttpClient,
    blobs: Arc<dyn BlobStore>,
    turns: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    brake: Brake,
    /// Asks Telegram's way.
    of_bots: bool,
}

impl Fetcher {
    pub fn new(config: &GraphConfig, blobs: Arc<dyn BlobStore>) -> Result<Self, BuildError> {
        let base_url = base_url(config)?;
        let reach = Arc::new(Reach::new(&config.media_hosts, &base_url).map_err(BuildError::Config)?);
        let fetch = config.fetch.clone();
        Ok(Fetcher {
            inner: Arc::new(Inner {
                base_url,
                version: config.version.clone(),
                client: connect::client(reach.clone(), Duration::from_millis(fetch.connect_timeout_ms))?,
                reach,
                blobs,
                turns: Arc::new(Semaphore::new(fetch.concurrent_max.max(1))),
                memory: Arc::new(Semaphore::new(sink::shares(
                    fetch.in_memory_total_bytes_max.max(fetch.in_memory_bytes_max),
                ) as usize)),
                brake: Brake::new(fetch.lookup_failures_max),
                config: fetch,
                of_bots: false,
            }),
            bots: None,
        })
    }

    /// Fetches from Telegram too.
    pub fn with_telegram(self, config: &TelegramConfig) -> Result<Self, BuildError> {
        let (base_url, graph) = (config.parsed()?, &self.inner);
        let host = base_url.host_str().unwrap_or_default();
        // The host, with its port if that is not the usual one: then it may be a private one, named on purpose.
        let named = base_url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let reach = Arc::new(Reach::new(&[named], &base_url).map_err(BuildError::Config)?);
        let bots = Inner {
            client: connect::client(reach.clone(), Duration::from_millis(graph.config.connect_timeout_ms))?,
            base_url,
            version: String::new(),
            reach,
            blobs: graph.blobs.clone(),
            turns: graph.turns.clone(),
            memory: graph.memory.clone(),
            brake: Brake::new(graph.config.lookup_failures_max),
            config: graph.config.clone(),
            of_bots: true,
        };
        Ok(Fetcher { bots: Some(Arc::new(bots)), ..self })
    }

    /// Fetches a bot's file into the blob store; `token` is the bot's.
    pub async fn fetch_of_bot(
        &self,
        media: &MediaRef,
        token: &str,
        deadline: Instant,
    ) -> Result<Fetched, FetchProblem> {
        let unset = || FetchProblem::new(GapReason::FetchFailed, false, "no Bot API is configured");
        match self.bots.as_ref().ok_or_else(unset)?.run(media, "", token, deadline, Goal::Stored).await? {
            (Content::Stored(stored), content_type) => {
                Ok(Fetched { hash: stored.hash, bytes: stored.bytes, content_type })
            }
            (Content::Memory { .. }, _) => unreachable!("a fetch into the store gives a stored content"),
        }
    }

    /// Fetches into the blob store. `account` is the number or page it was sent to, `token` that of its route (empty:
    /// none). Tries again by itself while `deadline` allows.
    pub async fn fetch(
        &self,
        media: &MediaRef,
        account: &str,
        token: &str,
        deadline: Instant,
    ) -> Result<Fetched, FetchProblem> {
        if media.never_store {
            return Err(FetchProblem::new(
                GapReason::FetchFailed,
                false,
                "content that may not be stored was to be stored",
            ));
        }
        match self.inner.run(media, account, token, deadline, Goal::Stored).await? {
            (Content::Stored(stored), content_type) => {
                Ok(Fetched { hash: stored.hash, bytes: stored.bytes, content_type })
            }
            (Content::Memory { .. }, _) => unreachable!("a fetch into the store gives a stored content"),
        }
    }

    /// Fetches into memory, for content that may not be stored.
    pub async fn fetch_in_memory(
        &self,
        media: &MediaRef,
        account: &str,
        token: &str,
        deadline: Instant,
    ) -> Result<FetchedInMemory, FetchProblem> {
        match self.inner.run(media, account, token, deadline, Goal::Memory).await? {
            (Content::Memory { hash, content, share }, content_type) => {
                Ok(FetchedInMemory { hash, content, content_type, _share: share })
            }
            (Content::Stored(_), _) => unreachable!("a fetch into memory gives a content in memory"),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Goal {
    Stored,
    Memory,
}

enum Content {
    Stored(crate::StoredBlob),
    Memory { hash: ContentHash, content: Bytes, share: OwnedSemaphorePermit },
}

impl Inner {
    async fn run(
        &self,
        media: &MediaRef,
        account: &str,
        token: &str,
        deadline: Instant,
        goal: Goal,
    ) -> Result<(Content, Option<String>), FetchProblem> {
        let own_end = Instant::now() + Duration::from_millis(self.config.total_timeout_ms);
        let work = async {
            let Ok(_turn) = self.turns.acquire().await else {
                return Err(Failure::new(Kind::Ours, "fetching has stopped"));
            };
            match self.by_any_way(media, account, token, goal).await {
                Err(failure) if failure.kind == Kind::Digest => self.by_any_way(media, account, token, goal).await,
                outcome => outcome,
            }
        };
        match timeout_at(own_end.min(deadline).into(), work).await {
            Ok(outcome) => outcome.map_err(FetchProblem::from),
            Err(_) => Err(FetchProblem::new(GapReason::FetchFailed, true, "Meta did not give the file in time")),
        }
    }

    /// By the webhook's own url; if that does not work and there is an id, by a look-up; if that url is gone already, by
    /// one more.
    async fn by_any_way(
        &self,
        media: &MediaRef,
        account: &str,
        token: &str,
        goal: Goal,
    ) -> Result<(Content, Option<String>), Failure> {
        if self.of_bots {
            return self.by_bot(media.id.as_deref().unwrap_or_default(), token, goal).await;
        }
        let mut announced: Vec<ContentHash> = media.declared_hash.into_iter().collect();
        if let Some(url) = &media.url {
            // A url that belongs to an id is WhatsApp's and wants the token; a bare one is a public address.
            let own_token = media.id.is_some().then_some(token);
            let held = Announced { hashes: &announced, bytes: None };
            match self.download_persistently(url, own_token, &held, goal).await {
                Err(f) if media.id.is_none() => return Err(as_expired(f)),
                Err(f) if matches!(f.kind, Kind::TooLarge | Kind::Ours) => return Err(f),
                Err(_) => {}
                Ok(done) => return Ok(done),
            }
        }
        let Some(id) = &media.id else {
            return Err(Failure::new(Kind::Final, "the delivery names neither an id nor a url for the attachment"));
        };
        let mut looked_up = self.look_up_persistently(id, account, token).await?;
        announced.extend(looked_up.hash);
        let mut again = true;
        loop {
            if looked_up.bytes.is_some_and(|bytes| bytes > self.config.bytes_max) {
                return Err(Failure::new(
                    Kind::TooLarge,
                    "Graph says that the attachment is larger than what is taken",
                ));
            }
            let held = Announced { hashes: &announced, bytes: looked_up.bytes };
            match self.download_persistently(&looked_up.url, Some(token), &held, goal).await {
                Ok((content, content_type)) => return Ok((content, looked_up.mime_type.or(content_type))),
                Err(f) if again && matches!(f.kind, Kind::Gone | Kind::Refused) => {
                    again = false;
                    looked_up = self.look_up_persistently(id, account, token).await?;
                }
                Err(f) => return Err(f),
            }
        }
    }

    async fn look_up_persistently(&self, id: &str, account: &str, token: &str) -> Result<lookup::LookedUp, Failure> {
        let mut tries = Tries::new(&self.config);
        loop {
            match self.look_up(id, account, token).await {
                Err(failure) if tries.again(&failure).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn download_persistently(
        &self,
        url: &str,
        token: Option<&str>,
        announced: &Announced<'_>,
        goal: Goal,
    ) -> Result<(Content, Option<String>), Failure> {
        let mut tries = Tries::new(&self.config);
        loop {
            match self.download(url, token, announced, goal).await {
                Err(failure) if tries.again(&failure).await => {}
                outcome => return outcome,
            }
        }
    }
}

/// A signed public url answers 403 once its time is over.
fn as_expired(failure: Failure) -> Failure {
    match failure.kind {
        Kind::Refused => Failure { kind: Kind::Gone, ..failure },
        _ => failure,
    }
}

/// Counts the tries at one step and waits between them: each wait about twice the one before, jittered.
struct Tries {
    left: u32,
    wait: Duration,
    wait_max: Duration,
}

impl Tries {
    fn new(config: &FetchConfig) -> Self {
        Tries {
            left: config.attempts_max.saturating_sub(1),
            wait: Duration::from_millis(config.retry_wait_ms),
            wait_max: Duration::from_millis(config.retry_wait_max_ms),
        }
    }

    /// Waits and says `true` if the step should be tried again.
    async fn again(&mut self, failure: &Failure) -> bool {
        let Kind::Passing(asked) = failure.kind else { return false };
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let jitter = crate::keys::random::<1>().map_or(0.5, |[byte]| f64::from(byte) / 255.0);
        let own = self.wait.min(self.wait_max).mul_f64(0.5 + jitter);
        tokio::time::sleep(asked.map_or(own, |asked| asked.max(own))).await;
        self.wait = self.wait.saturating_mul(2);
        true
    }
}

pub(crate) fn base_url(config: &GraphConfig) -> Result<Url, BuildError> {
    let wrong = || BuildError::Config("graph.base_url must be an http or https url".into());
    let url = Url::parse(&config.base_url).map_err(|_| wrong())?;
    if url.cannot_be_a_base() { Err(wrong()) } else { Ok(url) }
}
