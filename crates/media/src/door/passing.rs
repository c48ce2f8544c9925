//! Calls that pass on to Graph as they came, and its answers as they come. Bodies stream both ways; only those that may
//! ask for media behind our back are read first.

use super::{
    Door,
    answers::{bad_request, graph_error, plain},
    calls::{BodyReading, Call, form_reaches_further, words_of_body},
    count, not_now,
    streams::BoundedBody,
};
use crate::connect::{Body, HttpClient};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::timeout;

/// Headers that speak of one connection, not of the call.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

impl Door {
    pub(super) async fn pass_on(&self, call: Call, path: &str, request: Request<Incoming>) -> Response<Body> {
        let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.config.body_bytes_max) {
            return too_large();
        }
        let (parts, body) = request.into_parts();
        let body: Body = match call.reading {
            BodyReading::Nothing => self.bounded(body, self.config.body_bytes_max),
            reading => match self.read_first(reading, &parts.headers, body).await {
                Ok(read) => Full::new(read).map_err(|never| match never {}).boxed_unsync(),
                Err(refusal) => {
                    count("refused");
                    return refusal;
                }
            },
        };
        let asked = format!("{}{path}", self.graph);
        count("pass");
        let request = Request::from_parts(parts, body);
        self.send_on(&self.client, &asked, &self.graph_host, request, unreachable_graph).await
    }

    /// Passes a call on as it came, its body streamed.
    pub(super) async fn pass_to(
        &self,
        client: &HttpClient,
        asked: &str,
        host: &str,
        request: Request<Incoming>,
        unreachable: fn(StatusCode) -> Response<Body>,
    ) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = self.bounded(body, self.config.body_bytes_max);
        self.send_on(client, asked, host, Request::from_parts(parts, body), unreachable).await
    }

    async fn send_on(
        &self,
        client: &HttpClient,
        asked: &str,
        host: &str,
        request: Request<Body>,
        unreachable: fn(StatusCode) -> Response<Body>,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let query = parts.uri.query().map_or(String::new(), |query| format!("?{query}"));
        let Ok(uri) = format!("{asked}{query}").parse::<Uri>() else {
            return bad_request("The url is not understood");
        };
        parts.uri = uri;
        parts.version = Version::HTTP_11;
        remove_hop_by_hop(&mut parts.headers);
        // We take the body at once; and the client's own name for this door means nothing to who is asked.
        parts.headers.remove(header::EXPECT);
        let Ok(host) = HeaderValue::from_str(host) else { return not_now() };
        parts.headers.insert(header::HOST, host);
        let asked = client.request(Request::from_parts(parts, body));
        match timeout(Duration::from_millis(self.config.upstream_timeout_ms), asked).await {
            Ok(Ok(answer)) => self.pass_back(answer),
            Ok(Err(e)) => {
                let cause = crate::connect::refusal_in(&e).map(ToString::to_string);
                tracing::warn!(
                    cause = cause.as_deref().unwrap_or("the connection failed"),
                    "a call that passes through did not reach its end"
                );
                unreachable(StatusCode::BAD_GATEWAY)
            }
            Err(_) => {
                tracing::warn!("a call that passes through got no answer in time");
                unreachable(StatusCode::GATEWAY_TIMEOUT)
            }
        }
    }

    fn pass_back(&self, answer: Response<Incoming>) -> Response<Body> {
        let (mut parts, body) = answer.into_parts();
        remove_hop_by_hop(&mut parts.headers);
        parts.version = Version::HTTP_11;
        // What Meta sends is streamed, not kept: no bound on its length.
        Response::from_parts(parts, self.bounded(body, u64::MAX))
    }

    pub(super) fn bounded(&self, body: Incoming, bytes_max: u64) -> Body {
        BoundedBody::new(body, Duration::from_millis(self.config.idle_timeout_ms), bytes_max).boxed_unsync()
    }

    /// Reads a body whole and refuses it if it mentions a known id where that would be a look-up.
    #[allow(clippy::result_large_err)] // the refusal is the answer
    async fn read_first(
        &self,
        reading: BodyReading,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<Bytes, Response<Body>> {
        if headers.contains_key(header::CONTENT_ENCODING) {
            return Err(bad_request("A batch or form call may not be compressed here"));
        }
        let mut body = self.bounded(body, u64::MAX);
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(plain(StatusCode::REQUEST_TIMEOUT, "")) };
            let Some(bytes) = frame.data_ref() else { continue };
            if read.len() + bytes.len() > self.config.batch_bytes_max {
                return Err(too_large());
            }
            read.extend_from_slice(bytes);
        }
        let read = Bytes::from(read);
        if reading == BodyReading::Form && !form_reaches_further(&read) {
            return Ok(read);
        }
        let Some(words) = words_of_body(&read) else { return Err(bad_request("The batch has too many parts")) };
        match self.mentions_known(&words).await {
            Ok(None) => Ok(read),
            Ok(Some(_)) => Err(graph_error(
                StatusCode::NOT_FOUND,
                100,
                Some(33),
                "GraphMethodException",
                "Received media is looked up one id at a time here: GET /{version}/{media-id}. Batch calls that mention \
                 it are refused by the gateway.",
            )),
            Err(_) => Err(not_now()),
        }
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // A `Connection: content-length` would change where the body ends.
        .filter(|name| *name != header::CONTENT_LENGTH && *name != header::AUTHORIZATION && *name != header::HOST)
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

fn too_large() -> Response<Body> {
    graph_error(StatusCode::PAYLOAD_TOO_LARGE, 100, None, "GraphMethodException", "The request is too large")
}

fn unreachable_graph(status: StatusCode) -> Response<Body> {
    graph_error(status, 2, None, "OAuthException", "Graph cannot be reached through the gateway at the moment")
}
