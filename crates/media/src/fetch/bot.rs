//! Telegram's way to a file: `getFile` tells a path, and the file lies under it. The bot's token stands in both urls, so no
//! url ever leaves this module in an error or a log.

use super::{
    Content, Goal, Inner, Tries,
    download::Announced,
    problem::{Failure, Kind},
};
use http::StatusCode;
use serde_json::Value;
use std::time::{Duration, Instant};
use url::Url;

/// Longest file id; Telegram's have some 80 characters.
const ID_BYTES_MAX: usize = 256;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

impl Inner {
    pub(super) async fn by_bot(&self, id: &str, token: &str, goal: Goal) -> Result<(Content, Option<String>), Failure> {
        let mut tries = Tries::new(&self.config);
        let (path, bytes) = loop {
            match self.file_path(id, token).await {
                Err(failure) if tries.again(&failure).await => {}
                outcome => break outcome?,
            }
        };
        if bytes.is_some_and(|bytes| bytes > self.config.bytes_max) {
            return Err(Failure::new(Kind::TooLarge, "Telegram says that the file is larger than what is taken"));
        }
        if path.starts_with('/') {
            let why = "the Bot API server runs in local mode and tells a path of its own disk; run it without --local";
            return Err(Failure::new(Kind::Final, why));
        }
        let bot = format!("bot{token}");
        let url = self.url(["file", bot.as_str()].into_iter().chain(path.split('/')))?;
        let announced = Announced { hashes: &[], bytes };
        self.download_persistently(url.as_str(), None, &announced, goal).await
    }

    /// `getFile`: the path and the size.
    async fn file_path(&self, id: &str, token: &str) -> Result<(String, Option<u64>), Failure> {
        if token.is_empty() {
            return Err(Failure::new(Kind::Refused, "the route has no bot token; set telegram.bot_token"));
        }
        if id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control) {
            return Err(Failure::new(Kind::Final, "the update's file id is not one that can be looked up"));
        }
        if !self.brake.allows(token, Instant::now()) {
            return Err(Failure::new(Kind::Braked, "too many look-ups failed within the hour; waiting"));
        }
        let bot = format!("bot{token}");
        let mut url = self.url([bot.as_str(), "getFile"])?;
        url.query_pairs_mut().append_pair("file_id", id);
        let response = self.get(&url, None).await?;
        let status = response.status();
        let body = self.read_small(response).await;
        let answer: Value = body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
        if status == StatusCode::OK && answer["ok"] == true {
            let path = answer["result"]["file_path"].as_str().filter(|path| !path.is_empty());
            let path =
                path.ok_or_else(|| Failure::new(Kind::Final, "Telegram's answer to getFile has no file_path"))?;
            return Ok((path.to_owned(), answer["result"]["file_size"].as_u64()));
        }
        if status.is_client_error() {
            self.brake.note_failure(token, Instant::now());
        }
        Err(failure_of(status, &answer))
    }

    fn url<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Result<Url, Failure> {
        let mut url = self.base_url.clone();
        url.path_segments_mut()
            .map_err(|()| Failure::new(Kind::Final, "telegram.api_url takes no path"))?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }
}

/// What Telegram's refusal of `getFile` means.
fn failure_of(status: StatusCode, answer: &Value) -> Failure {
    let said = format!("status {}", status.as_u16());
    let described = answer["description"].as_str().unwrap_or_default().to_ascii_lowercase();
    match status.as_u16() {
        _ if described.contains("too big") => {
            Failure::new(Kind::TooLarge, "Telegram gives bots no file of more than 20 MB")
        }
        429 => {
            let asked = answer["parameters"]["retry_after"].as_u64().map(Duration::from_secs);
            let wait = asked.map(|asked| asked.min(RETRY_AFTER_MAX));
            Failure::new(Kind::Passing(wait), format!("Telegram is busy ({said})"))
        }
        500.. => Failure::new(Kind::Passing(None), format!("Telegram is failing ({said})")),
        401 | 403 | 404 => {
            Failure::new(Kind::Refused, format!("Telegram refuses the token ({said}); check telegram.bot_token"))
        }
        _ => Failure::new(Kind::Gone, format!("Telegram does not know this file any more ({said})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn refusals_mean_what_telegram_says() {
        let check = |status: u16, answer: Value, expect: Kind| {
            let failure = failure_of(StatusCode::from_u16(status).unwrap(), &answer);
            assert_eq!(failure.kind, expect, "{status} {answer}");
        };
        check(400, json!({"ok": false, "description": "Bad Request: file is too big"}), Kind::TooLarge);
        check(400, json!({"ok": false, "description": "Bad Request: invalid file_id"}), Kind::Gone);
        check(401, json!({"ok": false}), Kind::Refused);
        check(429, json!({"parameters": {"retry_after": 7}}), Kind::Passing(Some(Duration::from_secs(7))));
        check(429, json!({"parameters": {"retry_after": 700}}), Kind::Passing(Some(RETRY_AFTER_MAX)));
        check(502, Value::Null, Kind::Passing(None));
    }
}
