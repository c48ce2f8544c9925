//! The steps on the wire: one look-up, one download with its redirects. Every answer is bounded in size and time.

use super::{
    Content, Goal, Inner, USER_AGENT,
    lookup::{LookedUp, failure_of},
    problem::{Failure, Kind},
    sink::Sink,
};
use crate::connect::BodyError;
use bytes::Bytes;
use guarita_message::ContentHash;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as _, Incoming};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use url::Url;

/// Longest wait Meta can ask for with `Retry-After`; the deadline is usually earlier.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// Longest media id; Meta's have 15 to 20 digits.
const ID_BYTES_MAX: usize = 256;

/// What a download is held against.
pub(super) struct Announced<'a> {
    pub(super) hashes: &'a [ContentHash],
    pub(super) bytes: Option<u64>,
}

impl Inner {
    /// `GET {base_url}/{version}/{id}`.
    pub(super) async fn look_up(&self, id: &str, account: &str, token: &str) -> Result<LookedUp, Failure> {
        if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) || id.chars().all(|c| c == '.')
        {
            return Err(Failure::new(Kind::Final, "the delivery's media id is not one that can be looked up"));
        }
        if !self.brake.allows(token, Instant::now()) {
            return Err(Failure::new(
                Kind::Braked,
                "too many look-ups failed within the hour; waiting, so that Meta does not block this account",
            ));
        }
        let mut url = self.base_url.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::new(Kind::Final, "graph.base_url takes no path"))?
            .pop_if_empty()
            .extend([self.version.as_str(), id]);
        if !account.is_empty() {
            url.query_pairs_mut().append_pair("phone_number_id", account);
        }
        let response = self.get(&url, Some(token)).await?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let body = self.read_small(response).await;
        if status == StatusCode::OK {
            return LookedUp::parse(&body?);
        }
        if status.is_client_error() {
            self.brake.note_failure(token, Instant::now());
        }
        let mut failure = failure_of(status, &body.unwrap_or_default());
        if let Kind::Passing(wait) = &mut failure.kind {
            *wait = retry_after;
        }
        Err(failure)
    }

    /// Downloads from a media host. `token`: for urls that belong to an id; bare urls get none.
    pub(super) async fn download(
        &self,
        url: &str,
        token: Option<&str>,
        announced: &Announced<'_>,
        goal: Goal,
    ) -> Result<(Content, Option<String>), Failure> {
        let mut url = Url::parse(url).map_err(|_| Failure::new(Kind::Final, "the attachment's url is not a url"))?;
        for _ in 0..=self.config.redirects_max {
            if !self.reach.may_fetch(&url) {
                return Err(Failure::new(Kind::Final, not_a_media_host(&url)));
            }
            let response = self.get(&url, token).await?;
            let Some(next) = redirect(&url, &response)? else {
                return self.take(response, announced, goal).await;
            };
            url = next;
        }
        Err(Failure::new(Kind::Final, "the download was redirected too often"))
    }

    pub(super) async fn get(&self, url: &Url, token: Option<&str>) -> Result<Response<Incoming>, Failure> {
        let mut plain = url.clone();
        plain.set_fragment(None);
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(plain.as_str())
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .header(header::ACCEPT_ENCODING, "identity");
        if let Some(token) = token.filter(|t| !t.is_empty()) {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| Failure::new(Kind::Refused, "the access token has characters no token has"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request =
            request.body(body).map_err(|_| Failure::new(Kind::Final, "the attachment's url cannot be requested"))?;
        match timeout(Duration::from_millis(self.config.head_timeout_ms), self.client.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(e)) => Err(Failure::of_client(&e)),
            Err(_) => Err(Failure::new(Kind::Passing(None), "Meta did not answer in time")),
        }
    }

    /// Reads an answer to a look-up.
    pub(super) async fn read_small(&self, response: Response<Incoming>) -> Result<Vec<u8>, Failure> {
        refuse_encoded(response.headers())?;
        let (mut body, mut read) = (response.into_body(), Vec::new());
        while let Some(bytes) = self.next_piece(&mut body).await? {
            if read.len() + bytes.len() > self.config.lookup_bytes_max {
                return Err(Failure::new(Kind::Final, "Graph's answer to the look-up is too long"));
            }
            read.extend_from_slice(&bytes);
        }
        Ok(read)
    }

    /// Takes the body of a download.
    async fn take(
        &self,
        response: Response<Incoming>,
        announced: &Announced<'_>,
        goal: Goal,
    ) -> Result<(Content, Option<String>), Failure> {
        refuse_status(&response)?;
        refuse_encoded(response.headers())?;
        let bytes_max = match goal {
            Goal::Stored => self.config.bytes_max,
            Goal::Memory => self.config.in_memory_bytes_max,
        };
        let too_large = || {
            Failure::new(Kind::TooLarge, format!("the attachment has more than the {bytes_max} bytes that are taken"))
        };
        let ends_with_connection = !response.headers().contains_key(header::CONTENT_LENGTH)
            && !response.headers().contains_key(header::TRANSFER_ENCODING);
        let content_type =
            response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(|v| v.to_owned());
        let mut body = response.into_body();
        let length = body.size_hint().exact();
        if length.is_some_and(|length| length > bytes_max) {
            return Err(too_large());
        }
        let mut sink = Sink::open(goal, &self.blobs, &self.memory, length.unwrap_or(bytes_max)).await?;
        let mut taken = 0;
        while let Some(bytes) = self.next_piece(&mut body).await? {
            taken += bytes.len() as u64;
            if taken > bytes_max {
                return Err(too_large());
            }
            sink.push(bytes).await?;
        }
        let cut_short = length.is_some_and(|length| length != taken)
            || (ends_with_connection && announced.bytes.is_some_and(|bytes| bytes > taken));
        if cut_short {
            return Err(Failure::new(Kind::Passing(None), "the file broke off"));
        }
        Ok((sink.finish(announced.hashes).await?, content_type))
    }

    async fn next_piece(&self, body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
        let idle = Duration::from_millis(self.config.idle_timeout_ms);
        loop {
            match timeout(idle, body.frame()).await {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_trailers) => continue,
                },
                Ok(Some(Err(e))) => return Err(Failure::of_body(&BodyError::from(e))),
                Ok(None) => return Ok(None),
                Err(_) => return Err(Failure::new(Kind::Passing(None), "the download stalled")),
            }
        }
    }
}

fn redirect(from: &Url, response: &Response<Incoming>) -> Result<Option<Url>, Failure> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
    match to.and_then(|to| from.join(to).ok()) {
        Some(url) => Ok(Some(url)),
        None => Err(Failure::new(Kind::Final, "the download was redirected to nowhere")),
    }
}

fn refuse_status(response: &Response<Incoming>) -> Result<(), Failure> {
    let status = response.status().as_u16();
    Err(match status {
        200 => return Ok(()),
        404 | 410 => Failure::new(Kind::Gone, format!("Meta no longer has the file (status {status})")),
        401 | 403 => Failure::new(Kind::Refused, format!("Meta refuses the download (status {status})")),
        408 | 429 | 500.. => Failure::new(
            Kind::Passing(retry_after(response.headers())),
            format!("Meta is busy or failing (status {status})"),
        ),
        _ => Failure::new(Kind::Final, format!("Meta refuses the download (status {status})")),
    })
}

/// We ask for the bytes as they are; a compressed answer would let a small body become a large one.
fn refuse_encoded(headers: &HeaderMap) -> Result<(), Failure> {
    let plain = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|value| value.as_bytes().is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if plain {
        Ok(())
    } else {
        Err(Failure::new(Kind::Final, "Meta sent the file compressed, which was not asked for"))
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn not_a_media_host(url: &Url) -> String {
    let host: String = url.host_str().unwrap_or("").chars().take(100).collect();
    format!("the attachment lies on `{}://{host}`, which graph.media_hosts does not name", url.scheme())
}
