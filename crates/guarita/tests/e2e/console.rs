//! The console's side of the road: a held file is released by a person and goes on as it came; the record of it stands; a
//! person's data is erased; people are made from the command line.

use crate::rig::{Rig, TOKEN, ana, has_clamd};
use guarita_testkit::{Media, MetaStandIn, payload, samples};
use serde_json::{Value, json};
use std::{io::Write as _, process::Stdio};

impl Rig {
    /// Runs a command of the same binary on the same configuration; exit code and standard output.
    fn command(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = self.binary();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary was just built");
        let mut stdin = child.stdin.take().expect("it is piped");
        // A command that reads nothing may have ended.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    pub fn token(&self, scopes: &str) -> String {
        let (code, out, err) = self.command(&["token", "add", "e2e", "--scopes", scopes], "");
        assert_eq!(code, 0, "{err}");
        out.trim().to_owned()
    }

    pub async fn api(&self, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (status, _, body) = self.api_bytes(token, method, path, body).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn api_bytes(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> (u16, http::HeaderMap, bytes::Bytes) {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.console)).await.expect("the console is open");
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("it speaks HTTP");
        tokio::spawn(connection);
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("host", format!("127.0.0.1:{}", self.console))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(http_body_util::Full::new(bytes::Bytes::from(body.to_string())))
            .expect("a test's request is well formed");
        let response = sender.send_request(request).await.expect("the console answers");
        let (head, body) = response.into_parts();
        let body = http_body_util::BodyExt::collect(body).await.expect("the body ends").to_bytes();
        (head.status.as_u16(), head.headers, body)
    }

    /// The only message that fits.
    async fn find(&self, token: &str, query: &str) -> String {
        let (status, found) = self.api(token, "GET", &format!("/messages?{query}"), &Value::Null).await;
        assert_eq!((status, found["items"].as_array().map(Vec::len)), (200, Some(1)), "{query}: {found}");
        found["items"][0]["id"].as_str().expect("a row has an id").to_owned()
    }
}

async fn send_virus(rig: &Rig, media: &str, message: &str) {
    let virus = Media::new(samples::eicar(), "application/pdf");
    rig.meta.put_media(media, virus.clone());
    let content = payload::media("document", media, &virus, None, Some("fatura.pdf"), Some("segue a fatura"));
    rig.deliver(&payload::whatsapp(&ana(), message, 1, content)).await;
}

async fn door_status(rig: &Rig, media: &str) -> u16 {
    MetaStandIn::get(&format!("{}/v23.0/{media}", rig.door()), Some(TOKEN)).await.expect("the door answers").0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_file_goes_on_as_it_came() {
    if !has_clamd() {
        return;
    }
    let rig = Rig::start(&[]).await;
    let (viewer, reviewer) = (rig.token("read"), rig.token("read,content,review"));
    send_virus(&rig, "920001", "wamid.R1").await;
    let withheld = rig.arrived("wamid.R1").await;
    assert_eq!((withheld.message()["type"].as_str(), door_status(&rig, "920001").await), (Some("text"), 404));
    let delivery = withheld.header("x-guarita-delivery").to_owned();

    // It is found by what was seen in it, and by the reference the backend got.
    let id = rig.find(&reviewer, "quarantine=true&terms=clamav/Win.Test.EICAR_HDB-1").await;
    assert_eq!(id, delivery);
    let (_, view) = rig.api(&viewer, "GET", &format!("/messages/{id}"), &Value::Null).await;
    assert_eq!(view["messages"][0]["files"][0]["media"], "withheld");
    assert_eq!((&view["may_release"], &view["may_open"]), (&json!(false), &json!(false)));
    assert!(!view.to_string().contains("5511987654321") && !view.to_string().contains("Ana Souza"), "{view}");

    // A viewer must not; a reviewer must say why.
    let release = format!("/messages/{id}/release");
    assert_eq!(rig.api(&viewer, "POST", &release, &json!({"reason": "let it go"})).await.0, 403);
    assert_eq!(rig.api(&reviewer, "POST", &release, &json!({"reason": ""})).await.0, 422);
    assert_eq!(rig.backend.received().len(), 1, "nothing went on");
    let (status, problem) = rig.api(&reviewer, "POST", &release, &json!({"reason": "our own test file"})).await;
    assert_eq!(status, 204, "{problem}");

    // The backend gets the message as it came, marked; the door serves the very bytes.
    let is_released = |all: &[guarita_testkit::Received]| all.iter().any(|one| one.message()["type"] == "document");
    assert!(rig.backend.wait_until(30, is_released).await, "{}", rig.log());
    let released = rig.backend.received().into_iter().find(|one| one.message()["type"] == "document").unwrap();
    assert!(released.signature_fits);
    assert_eq!(released.header("x-guarita-released"), "token%3Ae2e");
    assert_eq!(released.header("x-guarita-delivery"), delivery);
    let message = released.message();
    assert_eq!(
        (&message["document"]["id"], &message["document"]["caption"]),
        (&json!("920001"), &json!("segue a fatura"))
    );
    assert_eq!(message["guarita"]["released"], true);
    let (status, _, found) = MetaStandIn::get(&format!("{}/v23.0/920001", rig.door()), Some(TOKEN)).await.unwrap();
    assert_eq!(status, 200);
    let found: Value = serde_json::from_slice(&found).unwrap();
    let (_, _, bytes) = MetaStandIn::get(found["url"].as_str().unwrap(), None).await.unwrap();
    assert_eq!(&bytes[..], &samples::eicar()[..]);

    // Once is enough; and the record has it, whole.
    assert_eq!(rig.api(&reviewer, "POST", &release, &json!({"reason": "once more"})).await.0, 409);
    let (code, out, err) = rig.command(&["audit", "verify"], "");
    assert_eq!(code, 0, "{out}{err}");
    let (_, export, _) = rig.command(&["audit", "export"], "");
    let rows: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let released: Vec<_> = rows.iter().filter(|row| row["action"] == "released").collect();
    assert_eq!(released.len(), 1);
    assert_eq!((&released[0]["target"], &released[0]["reason"]), (&json!(id), &json!("our own test file")));

    // The file itself, as something one can carry.
    let hash = Media::new(samples::eicar(), "").sha256_hex();
    let because = json!({"reason": "for the analyst"});
    let (status, headers, zip) =
        rig.api_bytes(&reviewer, "POST", &format!("/messages/{id}/files/{hash}"), &because).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "application/zip"));
    assert!(zip.starts_with(b"PK") && !zip.windows(16).any(|window| window == &samples::eicar()[..16]));
    assert_eq!(headers["cache-control"], "no-store");

    let log = rig.whole_log();
    for secret in [reviewer.as_str(), viewer.as_str(), "our own test file", "fatura"] {
        assert!(!log.contains(secret), "{secret} in the log");
    }
}

/// The exception that a release may leave behind lets the same file through the next time, and ends when it is removed.
#[tokio::test(flavor = "multi_thread")]
async fn an_exception_by_hash_lets_the_same_file_through() {
    if !has_clamd() {
        return;
    }
    let rig = Rig::start(&[]).await;
    let (reviewer, admin) = (rig.token("read,content,review"), rig.token("read,content,review,admin"));
    send_virus(&rig, "930001", "wamid.X1").await;
    let id = rig.arrived("wamid.X1").await.header("x-guarita-delivery").to_owned();
    let release = json!({"reason": "our own test file", "exception": true, "exception_days": 1});
    let path = format!("/messages/{id}/release");
    assert_eq!(rig.api(&reviewer, "POST", &path, &release).await.0, 403, "malware by hash is an admin's to except");
    assert_eq!(rig.api(&admin, "POST", &path, &release).await.0, 204);
    let (_, exceptions) = rig.api(&admin, "GET", "/exceptions", &Value::Null).await;
    assert_eq!((&exceptions[0]["kind"], &exceptions[0]["covers_malware"]), (&json!("hash"), &json!(true)));

    send_virus(&rig, "930002", "wamid.X2").await;
    let passed = rig.arrived("wamid.X2").await.message();
    assert_eq!((passed["type"].as_str(), passed["guarita"]["verdict"].as_str()), (Some("document"), Some("clean")));
    assert_eq!(door_status(&rig, "930002").await, 200);

    let remove = format!("/exceptions/{}/remove", exceptions[0]["id"]);
    assert_eq!(rig.api(&admin, "POST", &remove, &json!({"reason": "it was a test"})).await.0, 204);
    send_virus(&rig, "930003", "wamid.X3").await;
    assert_eq!(rig.arrived("wamid.X3").await.message()["type"], "text");

    // A rule's exception never speaks for malware; a domain's lets a link alone; a sender's speaks of texts and links only.
    let add = async |kind: &str, value: &str| {
        let body = json!({"side": "allow", "kind": kind, "value": value, "reason": "we know it"});
        let (status, added) = rig.api(&admin, "POST", "/exceptions", &body).await;
        assert_eq!(status, 200, "{added}");
    };
    add("rule", "clamav/*").await;
    add("sender", "5511987654321").await;
    send_virus(&rig, "930004", "wamid.X4").await;
    assert_eq!(rig.arrived("wamid.X4").await.message()["type"], "text");
    let link = "pague em https://correios-taxa-pagamento.top/x";
    rig.deliver(&payload::whatsapp(&ana(), "wamid.X5", 5, payload::text(link))).await;
    assert_eq!(rig.arrived("wamid.X5").await.message()["text"]["body"], link, "this sender is trusted");
    let other = guarita_testkit::payload::Customer::new("Eva", "5511900000009");
    rig.deliver(&payload::whatsapp(&other, "wamid.X6", 6, payload::text(link))).await;
    assert!(rig.arrived("wamid.X6").await.message()["text"]["body"].as_str().unwrap().contains("hxxps"));
    add("domain", "correios-taxa-pagamento.top").await;
    rig.deliver(&payload::whatsapp(&other, "wamid.X7", 7, payload::text(link))).await;
    assert_eq!(rig.arrived("wamid.X7").await.message()["text"]["body"], link);
    let deny = json!({"side": "deny", "kind": "hash", "value": Media::new(samples::png(), "").sha256_hex(), "reason": "x y z"});
    assert_eq!(rig.api(&admin, "POST", "/exceptions", &deny).await.0, 200);
    let picture = Media::new(samples::png(), "image/png");
    rig.meta.put_media("930005", picture.clone());
    let content = payload::media("image", "930005", &picture, None, None, None);
    rig.deliver(&payload::whatsapp(&other, "wamid.X8", 8, content)).await;
    let denied = rig.arrived("wamid.X8").await.message();
    assert_eq!((denied["type"].as_str(), door_status(&rig, "930005").await), (Some("text"), 404), "{denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_forgotten() {
    if !has_clamd() {
        return;
    }
    let mut rig = Rig::start(&[]).await;
    let admin = rig.token("read,content,review,admin");
    send_virus(&rig, "940001", "wamid.E1").await;
    rig.arrived("wamid.E1").await;
    let other = payload::Customer::new("Eva", "5511900000009");
    rig.deliver(&payload::whatsapp(&other, "wamid.E2", 2, payload::text("bom dia"))).await;
    rig.arrived("wamid.E2").await;
    let id = rig.find(&admin, "sender=5511987654321").await;
    // The record of a delivery is written right after the backend's answer.
    let delivered = async || {
        rig.api(&admin, "GET", &format!("/messages/{id}"), &Value::Null).await.1["record"]["state"] == "delivered"
    };
    while !delivered().await {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let arguments = ["erase", "--sender", "5511987654321", "--reason", "asked by mail"];
    let (code, out, err) = rig.command(&arguments, "");
    assert_eq!((code, out.trim()), (0, "1 messages and 1 files erased"), "{err}");
    let (_, found) = rig.api(&admin, "GET", "/messages?sender=5511987654321", &Value::Null).await;
    assert_eq!(found["items"], json!([]));
    let (_, view) = rig.api(&admin, "GET", &format!("/messages/{id}"), &Value::Null).await;
    assert_eq!((&view["has_content"], &view["messages"]), (&json!(false), &json!([])), "{view}");
    rig.find(&admin, "sender=5511900000009").await;
    let (_, export, _) = rig.command(&["audit", "export"], "");
    assert!(export.contains("erased_sender") && export.contains("local:") && !export.contains("5511987654321"));

    // Without a gateway the command does it by itself.
    rig.kill();
    let arguments = ["erase", "--sender", "5511900000009", "--reason", "asked by mail"];
    let (code, out, err) = rig.command(&arguments, "");
    assert_eq!((code, out.trim()), (0, "1 messages and 0 files erased"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_made_from_the_command_line() {
    let mut rig = Rig::prepare(None).await;
    // Before the first start, too.
    let (code, out, err) =
        rig.command(&["user", "add", "ana", "--role", "admin", "--password-stdin"], "cavalo bateria grampo\n");
    assert_eq!((code, out.trim()), (0, "ana, admin"), "{err}");
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    let (code, link, err) = rig.command(&["user", "add", "bea", "--role", "reviewer"], "");
    assert!(code == 0 && link.contains("/setup/"), "{link}{err}");
    let (_, list, _) = rig.command(&["user", "list"], "");
    assert!(list.contains("ana") && list.contains("no password yet"), "{list}");
    for wrong in [
        &["user", "add", "ana"][..],
        &["user", "disable", "ana"],
        &["user", "reset", "nobody"],
        &["user", "add", "a b"],
    ] {
        let (code, _, err) = rig.command(wrong, "");
        assert!(code == 1 && err.starts_with("guarita user: "), "{wrong:?}: {err}");
    }
    let (_, tokens, _) = rig.command(&["token", "list"], "");
    assert!(tokens.is_empty());
    let token = rig.token("read");
    assert_eq!(rig.api(&token, "GET", "/me", &Value::Null).await.1, json!({"name": "token:e2e", "scopes": ["read"]}));
    let (code, ..) = rig.command(&["token", "remove", "1"], "");
    assert_eq!((code, rig.api(&token, "GET", "/me", &Value::Null).await.0), (0, 401));
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["control.sock", "console.sqlite", "key"] {
        let mode = std::fs::metadata(rig.storage().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}
