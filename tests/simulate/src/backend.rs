//! A backend that refuses, hangs, takes what it says it did not, and redirects; and what is checked of every delivery.

use crate::{
    graph::INSPECTORS,
    shelf::Shelf,
    truth::tags_in,
    world::{Fault, State, Who, World},
};
use bytes::Bytes;
use guarita_deliver::{Answer, Broken, Sending, Transport};
use guarita_media::MediaState;
use guarita_message::DeliveryId;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use std::time::Duration;

pub const SECRET: &str = "simulated-backend-secret";

pub struct Misbehaving {
    pub world: World,
    pub shelf: Shelf,
}

impl Transport for Misbehaving {
    fn send(&self, request: Request<Full<Bytes>>) -> Sending<'_> {
        Box::pin(async move {
            let fault = self.world.before(Who::Backend).await;
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("a full body does not fail").to_bytes();
            let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let id = DeliveryId(header("x-guarita-delivery").to_owned());
            if fault == Some(Fault::Fails) {
                let how = self.world.chance(|chance| chance.within(0..10)) as usize;
                self.arrives(&mut self.world.lock(), &id, &body, &head.headers, false);
                if how == 1 {
                    std::future::pending::<()>().await;
                }
                let status = [0, 0, 500, 500, 429, 503, 408, 302, 404, 400][how];
                if status == 0 {
                    return Err(Broken::Connect);
                }
                if let Some(entry) = self.world.lock().truth.entries.get_mut(&id).filter(|_| how >= 7) {
                    entry.refusals += 1;
                }
                return Ok(answer(status));
            }
            self.arrives(&mut self.world.lock(), &id, &body, &head.headers, true);
            self.world.after(fault).await;
            match fault {
                // It has it, and says otherwise, or nothing.
                Some(Fault::FailsAfterwards) if self.world.chance(|chance| chance.happens(500)) => {
                    std::future::pending::<()>().await;
                    Err(Broken::Connection)
                }
                Some(Fault::FailsAfterwards) => Err(Broken::Connection),
                Some(Fault::Lies) => Ok(answer(500)),
                _ => Ok(answer(self.world.chance(|chance| *chance.pick(&[200, 200, 202, 204])))),
            }
        })
    }
}

fn answer(status: u16) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::OK),
        retry_after: (status == 429).then(|| Duration::from_secs(3)),
        rest: Box::pin(async {}),
    }
}

impl Misbehaving {
    /// Every promise about what reaches the backend.
    fn arrives(&self, state: &mut State, id: &DeliveryId, body: &Bytes, headers: &http::HeaderMap, takes: bool) {
        let tags = tags_in(body);
        state.note(|| format!("the backend gets {tags:?}, takes: {takes}"));
        state.truth.deliveries += 1;
        let signature = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
        if guarita_webhook::verify_signature(SECRET.as_bytes(), body, signature).is_err() {
            return state.broken(format!("{id} is signed wrongly"));
        }
        let Some(entry) = state.truth.entries.get_mut(id) else {
            return state.broken(format!("{id} reached the backend and was never stored"));
        };
        let again = entry.taken;
        entry.attempts += 1;
        if entry.decided.as_deref() != Some(&body[..]) {
            let what = if entry.decided.is_some() { "other bytes than were decided" } else { "undecided" };
            let broken = format!("{id} (updates {tags:?}) reached the backend: {what}");
            return state.broken(broken);
        }
        if let Some(end) = entry.end {
            return state.broken(format!("{id} (updates {tags:?}) reached the backend after it ended as {end:?}"));
        }
        let (released, signatures) = (entry.released, entry.signatures);
        entry.taken |= takes;
        state.truth.repeats += u64::from(again && takes);
        if takes {
            state.truth.taken.extend(&tags);
        }
        if let Some(early) = state.truth.overtaken_by(id).cloned() {
            return state.broken(format!("{id} (updates {tags:?}) overtook {early} of its conversation"));
        }
        for tag in &tags {
            if state.truth.entry_of.get(tag) != Some(id) {
                return state.broken(format!("update {tag} reached the backend under a second delivery id, {id}"));
            }
        }
        if let Err(broken) = self.files(state, body, released, signatures) {
            state.broken(format!("{id} (updates {tags:?}): {broken}"));
        }
    }

    /// No file that was not looked at is called clean or served, and none that is withheld is named.
    fn files(&self, state: &State, body: &[u8], released: bool, signatures: u64) -> Result<(), String> {
        let json: Value = serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
        let mut messages = Vec::new();
        collect_messages(&json, &mut messages);
        for message in messages {
            let seen = &message["guarita"];
            let Some(verdict) = seen["verdict"].as_str() else { return Err("a message without its annotation".into()) };
            let gaps = seen["gaps"].as_array().map_or(0, Vec::len);
            if verdict == "clean" && gaps > 0 {
                return Err("a gap, and the verdict is clean".into());
            }
            for file in seen["files"].as_array().into_iter().flatten().filter(|_| verdict == "clean") {
                let hash = file["sha256"].as_str().and_then(|hash| hash.parse().ok());
                if !hash.is_some_and(|hash| state.truth.is_clean(&hash, &INSPECTORS, signatures)) {
                    return Err(format!("clean, and not every scanner called {} so", file["where"]));
                }
            }
            let kind = message["type"].as_str().unwrap_or_default();
            let files = seen["files"].as_array().map_or(0, Vec::len);
            if matches!(kind, "image" | "document") && files == 0 {
                return Err("a file goes on, and nothing says that it was looked at".into());
            }
            let Some(media) = message[kind]["id"].as_str() else { continue };
            let Some(served) = self.shelf.state(media) else {
                return Err(format!("media id {media} goes on, and is unknown: the door would ask Graph for it"));
            };
            if let MediaState::Served(content) = served
                && !released
                && !state.truth.may_be_served(&content.hash, &INSPECTORS, signatures)
            {
                return Err(format!("media id {media} is served, and the scanners did not allow it"));
            }
            if message[kind]["url"].as_str().is_some_and(|url| url.contains("graph.example")) {
                return Err(format!("media id {media} goes on with Meta's own url"));
            }
        }
        Ok(())
    }
}

fn collect_messages<'a>(json: &'a Value, into: &mut Vec<&'a Value>) {
    let entries = json["entry"].as_array().into_iter().flatten();
    let changes = entries.flat_map(|entry| entry["changes"].as_array().into_iter().flatten());
    into.extend(changes.flat_map(|change| change["value"]["messages"].as_array().into_iter().flatten()));
}
