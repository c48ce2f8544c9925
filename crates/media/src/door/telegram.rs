//! The Bot API beside Graph: a bot changes its base url to this door and nothing else. `getFile` and the files behind it are
//! answered here, only with what was scanned; every other call passes on to Telegram, streamed.
//!
//! The bot's token stands in every path: no path, and no error that could hold one, is ever logged. Only tokens of routes are
//! known here, so the door is no open way to Telegram.

use super::{Door, answers::plain, count, names::plain_name, now_ms};
use crate::{
    BuildError, MediaState, StoredMedia, TelegramConfig,
    addresses::Reach,
    connect::{self, Body, HttpClient},
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// Largest body of a `getFile`.
const GET_FILE_BYTES_MAX: usize = 64 * 1024;
/// How long a path that `getFile` told works; Telegram's own works an hour at least.
const PATH_SECONDS: u64 = 3600;

/// Looks at a file that no update brought here (a smaller size of a picture, a profile photo): the route's name and the
/// file's id in, what was decided out. `None`: nothing is known of it.
pub type Looker = Arc<dyn Fn(String, String) -> Pin<Box<dyn Future<Output = Option<MediaState>> + Send>> + Send + Sync>;

/// What the door needs to speak Telegram.
pub(super) struct Telegram {
    client: HttpClient,
    /// `telegram.api_url` without a slash at its end.
    api: String,
    host: String,
    keep_webhook: bool,
    /// Digest of each bot's token, and its route.
    bots: RwLock<HashMap<[u8; 32], String>>,
    looker: RwLock<Option<Looker>>,
}

impl Telegram {
    pub(super) fn new(config: &TelegramConfig, connect_timeout: Duration) -> Result<Self, BuildError> {
        let url = config.parsed()?;
        let reach = Arc::new(Reach::new(&[], &url).map_err(BuildError::Config)?);
        let origin = url.origin().ascii_serialization();
        Ok(Telegram {
            client: connect::client(reach, connect_timeout)?,
            api: format!("{origin}{}", url.path().trim_end_matches('/')),
            host: origin.split_once("://").map_or("", |(_, host)| host).to_owned(),
            keep_webhook: config.keep_webhook,
            bots: RwLock::default(),
            looker: RwLock::default(),
        })
    }

    pub(super) fn replace_bots(&self, bots: &[(String, String)]) {
        let bots = bots.iter().map(|(token, route)| (Sha256::digest(token).into(), route.clone())).collect();
        *self.bots.write().unwrap_or_else(PoisonError::into_inner) = bots;
    }

    pub(super) fn set_looker(&self, looker: Looker) {
        *self.looker.write().unwrap_or_else(PoisonError::into_inner) = Some(looker);
    }

    fn route_of(&self, token: &str) -> Option<String> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        self.bots.read().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()
    }

    fn has_bots(&self) -> bool {
        !self.bots.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// A path of the Bot API, taken apart.
struct BotPath<'p> {
    token: String,
    is_file: bool,
    rest: &'p str,
}

impl<'p> BotPath<'p> {
    /// `None`: not a path of the Bot API in its only spelling.
    fn of(path: &'p str) -> Option<Self> {
        let (is_file, path) =
            path.strip_prefix("/file/bot").map_or((false, path.strip_prefix("/bot")), |p| (true, Some(p)));
        let (token, rest) = path?.split_once('/')?;
        let token = token.replace("%3A", ":").replace("%3a", ":");
        let (id, secret) = token.split_once(':')?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let is_token = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) && secret.chars().all(fits);
        is_token.then_some(BotPath { token, is_file, rest })
    }
}

impl Door {
    /// Speaks the Bot API too.
    pub fn with_telegram(mut self, config: &TelegramConfig, connect_timeout_ms: u64) -> Result<Self, BuildError> {
        self.telegram = Some(Telegram::new(config, Duration::from_millis(connect_timeout_ms))?);
        Ok(self)
    }

    /// Puts other bots in force: each one's token and route.
    pub fn replace_bots(&self, bots: &[(String, String)]) {
        if let Some(telegram) = &self.telegram {
            telegram.replace_bots(bots);
        }
    }

    /// Who looks at files that no update brought here. Without one they are answered as if they did not exist.
    pub fn set_looker(&self, looker: Looker) {
        if let Some(telegram) = &self.telegram {
            telegram.set_looker(looker);
        }
    }

    /// Whether `path` is a bot's.
    pub(super) fn bot_of(&self, path: &str) -> Option<&Telegram> {
        self.telegram.as_ref().filter(|telegram| telegram.has_bots() && BotPath::of(path).is_some())
    }

    pub(super) async fn answer_bot(
        &self,
        telegram: &Telegram,
        path: &str,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let Some(bot) = BotPath::of(path) else { return no_such_file() };
        let Some(route) = telegram.route_of(&bot.token) else {
            count("bot_refused");
            return error(StatusCode::UNAUTHORIZED, "Unauthorized");
        };
        if bot.is_file {
            count("bot_download");
            let id = self.links.id_of_file_path(bot.rest, now_ms() / 1000);
            return match id {
                Some(id) => self.send_content(&id, &request, no_such_file).await,
                None => no_such_file(),
            };
        }
        // Telegram takes a method's name in any case, and nothing else beside it.
        if bot.rest.is_empty() || !bot.rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            count("bot_refused");
            return error(StatusCode::NOT_FOUND, "Not Found");
        }
        match bot.rest.to_ascii_lowercase().as_str() {
            "getfile" => {
                count("bot_lookup");
                self.answer_get_file(telegram, route, request).await
            }
            "setwebhook" | "deletewebhook" if telegram.keep_webhook => {
                count("bot_webhook");
                let said = "Webhook is kept by the gateway in front of this bot";
                super::answers::json(StatusCode::OK, &json!({"ok": true, "result": true, "description": said}))
            }
            _ => {
                count("bot_pass");
                let asked = format!("{}/bot{}/{}", telegram.api, bot.token, bot.rest);
                self.pass_to(&telegram.client, &asked, &telegram.host, request, unreachable).await
            }
        }
    }

    async fn answer_get_file(&self, telegram: &Telegram, route: String, request: Request<Incoming>) -> Response<Body> {
        let Some(id) = self.file_id_of(request).await else {
            return error(StatusCode::BAD_REQUEST, "Bad Request: invalid file_id");
        };
        let state = match self.index.lookup(self.index.key(&id)).await {
            Err(e) => {
                tracing::error!(%e, "media index");
                return unreachable(StatusCode::SERVICE_UNAVAILABLE);
            }
            Ok(Some(state)) => Some(state),
            Ok(None) => {
                let looker = telegram.looker.read().unwrap_or_else(PoisonError::into_inner).clone();
                match looker {
                    Some(looker) => looker(route, id.clone()).await,
                    None => None,
                }
            }
        };
        let Some(MediaState::Served(content)) = state else { return no_such_file() };
        if !self.is_here(&content).await {
            return no_such_file();
        }
        let Some(path) = self.links.file_path(&id, now_ms() / 1000 + PATH_SECONDS, &shown_name(&content)) else {
            return no_such_file();
        };
        let unique = format!("g{}", &content.hash.to_string()[..20]);
        let file = json!({"file_id": id, "file_unique_id": unique, "file_size": content.bytes, "file_path": path});
        super::answers::json(StatusCode::OK, &json!({"ok": true, "result": file}))
    }

    /// The one file id that a `getFile` names, wherever it stands.
    async fn file_id_of(&self, request: Request<Incoming>) -> Option<String> {
        let (parts, body) = request.into_parts();
        if !matches!(parts.method, Method::GET | Method::POST) {
            return None;
        }
        let mut found: BTreeSet<String> = named(parts.uri.query().unwrap_or_default().as_bytes());
        if parts.method == Method::POST {
            let body = self.read_small(body).await?;
            found.extend(ids_in_body(&parts.headers, &body)?);
        }
        let mut found = found.into_iter().filter(|id| !id.is_empty());
        found.next().filter(|_| found.next().is_none())
    }

    async fn read_small(&self, body: Incoming) -> Option<Vec<u8>> {
        let mut body = self.bounded(body, GET_FILE_BYTES_MAX as u64);
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            if let Some(bytes) = frame.ok()?.data_ref() {
                read.extend_from_slice(bytes);
            }
            if read.len() > GET_FILE_BYTES_MAX {
                return None;
            }
        }
        Some(read)
    }
}

fn named(form: &[u8]) -> BTreeSet<String> {
    url::form_urlencoded::parse(form).filter(|(key, _)| key == "file_id").map(|(_, value)| value.into_owned()).collect()
}

/// Bots' libraries send JSON, a form or multipart, as they like. `None`: not understood.
fn ids_in_body(headers: &HeaderMap, body: &[u8]) -> Option<BTreeSet<String>> {
    if body.is_empty() {
        return Some(BTreeSet::new());
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => {
            let json: Value = serde_json::from_slice(body).ok()?;
            Some(json["file_id"].as_str().map(str::to_owned).into_iter().collect())
        }
        "application/x-www-form-urlencoded" => Some(named(body)),
        "multipart/form-data" => ids_in_multipart(kind, body),
        _ => None,
    }
}

fn ids_in_multipart(kind: &str, body: &[u8]) -> Option<BTreeSet<String>> {
    let boundary = kind.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?.trim_matches('"');
    let text = std::str::from_utf8(body).ok().filter(|_| !boundary.is_empty())?;
    let mut found = BTreeSet::new();
    for part in text.split(&format!("--{boundary}")) {
        let Some((head, value)) = part.split_once("\r\n\r\n") else { continue };
        if head.contains("name=\"file_id\"") || head.contains("name=file_id") {
            found.insert(value.trim_end_matches("\r\n").to_owned());
        }
    }
    Some(found)
}

/// Bots save a file under the last part of its path.
fn shown_name(content: &StoredMedia) -> String {
    let name = plain_name(content.name.as_deref(), &content.mime_type);
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' }).collect()
}

/// In Telegram's own words.
fn error(status: StatusCode, description: &str) -> Response<Body> {
    let code = status.as_u16();
    let mut response = plain(status, json!({"ok": false, "error_code": code, "description": description}).to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn no_such_file() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "Not Found")
}

fn unreachable(status: StatusCode) -> Response<Body> {
    error(status, "Telegram cannot be reached through the gateway at the moment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_are_a_bots() {
        let token = |path: &str| BotPath::of(path).map(|bot| format!("{} {} {}", bot.token, bot.is_file, bot.rest));
        assert_eq!(token("/bot1:a-B_c/getMe").as_deref(), Some("1:a-B_c false getMe"));
        assert_eq!(token("/bot1%3Aa/getMe").as_deref(), Some("1:a false getMe"));
        assert_eq!(token("/file/bot1:a/x/y.pdf").as_deref(), Some("1:a true x/y.pdf"));
        for path in
            ["/bot/getMe", "/bot1:a", "/botx:a/getMe", "/v23.0/bot1:a/x", "/bot1:a%2f/getMe", "/Bot1:a/getMe", "/"]
        {
            assert_eq!(token(path), None, "{path}");
        }
    }

    #[test]
    fn a_file_id_is_found_in_every_form() {
        let check = |kind: &str, body: &str, expect: Option<&[&str]>| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap())]);
            let expect = expect.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
            assert_eq!(ids_in_body(&headers, body.as_bytes()), expect, "{kind} {body}");
        };
        check("application/json", r#"{"file_id":"a-1"}"#, Some(&["a-1"]));
        check("application/json", r#"{"file_id":7}"#, Some(&[]));
        check("application/json", "{", None);
        check("application/x-www-form-urlencoded", "x=1&file%5Fid=a%2D1", Some(&["a-1"]));
        let part = "--b\r\nContent-Disposition: form-data; name=\"file_id\"\r\n\r\na-1\r\n--b--\r\n";
        check("multipart/form-data; boundary=b", part, Some(&["a-1"]));
        check("multipart/form-data", part, None);
        check("text/plain", "file_id=a", None);
        let two = format!("--b\r\nContent-Disposition: form-data; name=file_id\r\n\r\nb-2\r\n{part}");
        check("multipart/form-data; boundary=\"b\"", &two, Some(&["a-1", "b-2"]));
    }
}
