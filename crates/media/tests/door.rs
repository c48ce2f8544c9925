//! The media door over raw HTTP, with a Graph on a socket behind it: Graph's own words, bytes as scanned, and no spelling
//! of a call that leads around.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod peers;

use guarita_media::{
    BlobStore, DiskBlobs, Door, DoorConfig, GraphConfig, MediaIndex, MediaKeys, MediaState, StoredMedia,
};
use peers::{Peer, Step, answer};
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};

const SERVED: &str = "1003383421387256";
const WITHHELD: &str = "2003383421387257";
const PENDING: &str = "3003383421387258";
const NOT_SERVED: &str = "4003383421387259";
const CONTENT: &[u8] = b"0123456789 the bytes that were scanned";
const BEARER: &str = "Authorization: Bearer EAAbackend\r\n";

struct House {
    _folder: tempfile::TempDir,
    address: SocketAddr,
    index: MediaIndex,
    blobs: Arc<dyn BlobStore>,
    door: Arc<Door>,
    graph: Peer,
    _stop: oneshot::Sender<()>,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn stored(blobs: &dyn BlobStore, content: &[u8]) -> StoredMedia {
    let mut writer = blobs.writer().unwrap();
    writer.write_all(content).unwrap();
    let stored = writer.finish().unwrap();
    StoredMedia {
        hash: stored.hash,
        bytes: stored.bytes,
        mime_type: "application/pdf".into(),
        name: Some("conta\r\nde março\u{202e}.pdf".into()),
    }
}

async fn house() -> House {
    house_with(|_| {}, Peer::start(|_, _| answer("200 OK", &[("X-Graph", "real")], "from graph")).await).await
}

async fn house_with(adjust: impl FnOnce(&mut DoorConfig), graph: Peer) -> House {
    let folder = tempfile::tempdir().unwrap();
    let keys = MediaKeys::derive(&[1; 32]);
    let blobs: Arc<dyn BlobStore> = Arc::new(DiskBlobs::open(folder.path().join("blobs"), &keys).unwrap());
    let index = MediaIndex::open(&folder.path().join("media.sqlite"), &keys).unwrap();
    let content = stored(&*blobs, CONTENT);
    let states = [
        (SERVED, MediaState::Served(content.clone())),
        (WITHHELD, MediaState::Withheld(Some(content.clone()))),
        (PENDING, MediaState::Pending(Some(content))),
        (NOT_SERVED, MediaState::NotServed(None)),
    ];
    index.decide(1, states.map(|(id, state)| (index.key(id), state)).to_vec()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = DoorConfig {
        public_url: format!("http://{address}"),
        tokens: vec!["EAAbackend".into()],
        ..DoorConfig::default()
    };
    adjust(&mut config);
    let graph_config =
        GraphConfig { base_url: graph.url(""), access_token: "EAAgraph".into(), ..GraphConfig::default() };
    let routes = ["EAAroute".to_owned()];
    let door = Arc::new(Door::new(&config, &graph_config, &routes, index.clone(), blobs.clone(), &keys).unwrap());
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(door.clone().serve(listener, async {
        let _ = stopped.await;
    }));
    House { _folder: folder, address, index, blobs, door, graph, _stop: stop }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl House {
    /// Sends raw bytes, reads until the door closes.
    async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut raw = Vec::new();
        timeout(Duration::from_secs(20), stream.read_to_end(&mut raw)).await.unwrap().unwrap();
        if raw.starts_with(b"HTTP/1.1 100") {
            raw.drain(..raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4);
        }
        let end = raw.windows(4).position(|w| w == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8(raw[..end].to_vec()).unwrap();
        Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), body: raw[end + 4..].to_vec(), head }
    }

    async fn call(&self, line: &str, headers: &str, body: &[u8]) -> Answer {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{line} HTTP/1.1\r\nHost: door\r\nConnection: close\r\n{headers}{length}\r\n");
        self.raw(&[head.as_bytes(), body].concat()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(&format!("GET {path}"), BEARER, b"").await
    }

    async fn url_of(&self, id: &str) -> String {
        let answer = self.get(&format!("/v23.0/{id}")).await;
        let url = answer.json()["url"].as_str().unwrap().to_owned();
        url.strip_prefix(&format!("http://{}", self.address)).unwrap().to_owned()
    }

    async fn set(&self, id: &str, state: MediaState) {
        self.index.decide(2, vec![(self.index.key(id), state)]).await.unwrap();
    }
}

fn check_no_such_object(answer: &Answer, what: &str) {
    assert_eq!(answer.status, 404, "{what}");
    let error = &answer.json()["error"];
    assert_eq!((error["code"].as_u64(), error["error_subcode"].as_u64()), (Some(100), Some(33)), "{what}");
}

#[tokio::test]
async fn a_served_id_is_looked_up_as_at_graph() {
    let house = house().await;
    for path in ["/v23.0/1003383421387256", "/v13.0/1003383421387256?phone_number_id=1", "/1003383421387256"] {
        let answer = house.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").unwrap().starts_with("application/json"));
        let json = answer.json();
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["messaging_product", "url", "mime_type", "sha256", "file_size", "id"]);
        assert_eq!(json["id"], SERVED);
        assert_eq!(json["mime_type"], "application/pdf");
        assert_eq!(json["file_size"], 38);
        let hash = house.index.lookup(house.index.key(SERVED)).await.unwrap().unwrap().content().unwrap().hash;
        assert_eq!(json["sha256"], hash.to_string());
    }
    assert!(house.graph.asked().is_empty(), "Meta is not asked");
}

#[tokio::test]
async fn every_token_that_should_work_works_and_no_other() {
    let house = house().await;
    let path = format!("GET /v23.0/{SERVED}");
    for token in ["EAAbackend", "EAAgraph", "EAAroute"] {
        assert_eq!(house.call(&path, &format!("Authorization: Bearer {token}\r\n"), b"").await.status, 200);
        assert_eq!(house.call(&path, &format!("authorization: bearer  {token} \r\n"), b"").await.status, 200);
        assert_eq!(house.call(&format!("{path}?access_token={token}"), "", b"").await.status, 200);
    }
    for headers in [
        "",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer EAAbacken\r\n",
        "Authorization: EAAbackend\r\n",
        "Authorization: Basic EAAbackend\r\n",
    ] {
        for id in [SERVED, WITHHELD] {
            let answer = house.call(&format!("GET /v23.0/{id}"), headers, b"").await;
            assert_eq!(answer.status, 401, "{headers}");
            assert_eq!(answer.json()["error"]["code"], 190);
            assert_eq!(answer.json()["error"]["type"], "OAuthException");
        }
    }
    assert!(house.graph.asked().is_empty());
}

#[tokio::test]
async fn what_is_not_served_does_not_exist() {
    let house = house().await;
    for id in [WITHHELD, PENDING, NOT_SERVED] {
        check_no_such_object(&house.get(&format!("/v23.0/{id}")).await, id);
    }
    assert!(house.graph.asked().is_empty());
}

#[tokio::test]
async fn a_content_whose_retention_is_over_does_not_exist() {
    let house = house().await;
    let url = house.url_of(SERVED).await;
    let hash = house.index.lookup(house.index.key(SERVED)).await.unwrap().unwrap().content().unwrap().hash;
    house.blobs.delete(&hash).unwrap();
    check_no_such_object(&house.get(&format!("/v23.0/{SERVED}")).await, "look-up");
    assert_eq!(house.get(&url).await.status, 404);
}

#[tokio::test]
async fn the_download_needs_no_token_and_carries_safe_headers() {
    let house = house().await;
    let url = house.url_of(SERVED).await;
    for headers in ["", "Authorization: Bearer whatever\r\n"] {
        let answer = house.call(&format!("GET {url}"), headers, b"").await;
        assert_eq!((answer.status, &answer.body[..]), (200, CONTENT));
        assert_eq!(answer.header("content-type"), Some("application/pdf"));
        assert_eq!(answer.header("content-length"), Some("38"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        assert_eq!(answer.header("cache-control"), Some("private, no-store"));
        assert_eq!(
            answer.header("content-disposition"),
            Some("attachment; filename=\"contade mar_o.pdf\"; filename*=UTF-8''contade%20mar%C3%A7o.pdf")
        );
    }
    let head = house.call(&format!("HEAD {url}"), "", b"").await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, Some("38")));
    assert_eq!(house.call(&format!("POST {url}"), "", b"x").await.status, 405);
}

#[tokio::test]
async fn ranges_of_a_download() {
    let house = house().await;
    let url = house.url_of(SERVED).await;
    let get = async |range: &str| house.call(&format!("GET {url}"), &format!("Range: {range}\r\n"), b"").await;
    let part = get("bytes=2-5").await;
    assert_eq!((part.status, &part.body[..]), (206, &b"2345"[..]));
    assert_eq!(part.header("content-range"), Some("bytes 2-5/38"));
    assert_eq!(part.header("content-length"), Some("4"));
    assert_eq!(&get("bytes=-7").await.body[..], b"scanned");
    let beyond = get("bytes=38-").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */38")));
    assert_eq!(get("bytes=0-1,4-5").await.status, 200);
}

#[tokio::test]
async fn large_content_comes_whole() {
    let house = house().await;
    let content: Vec<u8> = (0..3_000_001u32).map(|i| (i * 31 + i / 257) as u8).collect();
    house.set("77", MediaState::Served(stored(&*house.blobs, &content))).await;
    let url = house.url_of("77").await;
    assert!(house.get(&url).await.body == content);
    let part = house.call(&format!("GET {url}"), "Range: bytes=1000000-2000000\r\n", b"").await;
    assert!(part.body == content[1_000_000..=2_000_000]);
}

#[tokio::test]
async fn empty_content_is_served_too() {
    let house = house().await;
    house.set("78", MediaState::Served(stored(&*house.blobs, b""))).await;
    let answer = house.get(&house.url_of("78").await).await;
    assert_eq!((answer.status, answer.body.len(), answer.header("content-length")), (200, 0, Some("0")));
}

#[tokio::test]
async fn a_revoked_file_is_gone_even_for_urls_given_out() {
    let house = house().await;
    let url = house.url_of(SERVED).await;
    let hash = house.index.lookup(house.index.key(SERVED)).await.unwrap().unwrap().content().unwrap().hash;
    assert_eq!(house.index.revoke(3, hash).await.unwrap(), 1);
    assert_eq!(house.get(&url).await.status, 404);
    check_no_such_object(&house.get(&format!("/v23.0/{SERVED}")).await, "revoked");
    house.index.release(4, house.index.key(SERVED)).await.unwrap();
    assert_eq!(house.get(&url).await.status, 200);
}

#[tokio::test]
async fn urls_end_and_cannot_be_made_up() {
    let house = house_with(|c| c.webhook_url_seconds = 60, Peer::start(|_, _| vec![]).await).await;
    let base = format!("http://{}", house.address);
    let path = |url: String| url.strip_prefix(&base).unwrap().to_owned();
    let fresh = path(house.door.webhook_url(SERVED, now()));
    assert_eq!(house.get(&fresh).await.status, 200);
    assert_eq!(house.get(&path(house.door.webhook_url(SERVED, now() - 61_000))).await.status, 404);
    assert_eq!(house.get(&path(house.door.webhook_url(WITHHELD, now()))).await.status, 404);
    for wrong in [
        fresh.replace(SERVED, WITHHELD),
        format!("{fresh}0"),
        fresh[..fresh.len() - 2].to_owned(),
        "/guarita/media/".into(),
        "/guarita".into(),
        "/guarita/anything".into(),
        "/Guarita/media/1/2.3".into(),
        "/%67uarita/media/1/2.3".into(),
    ] {
        assert_eq!(house.get(&wrong).await.status, 404, "{wrong}");
    }
    assert!(house.graph.asked().is_empty(), "our own paths never reach Graph");
}

#[tokio::test]
async fn a_damaged_file_is_never_served_as_if_whole() {
    let house = house().await;
    let content = vec![7; 400_000];
    let media = stored(&*house.blobs, &content);
    let name = media.hash.to_string();
    house.set("79", MediaState::Served(media)).await;
    let url = house.url_of("79").await;
    let file = house._folder.path().join("blobs").join(&name[..2]).join(&name);
    let mut raw = std::fs::read(&file).unwrap();
    let middle = raw.len() / 2;
    raw[middle] ^= 1;
    std::fs::write(&file, raw).unwrap();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(format!("GET {url} HTTP/1.1\r\nHost: d\r\n\r\n").as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut got)).await.expect("the door closes");
    assert!(got.len() < content.len(), "the answer breaks off: a client sees that bytes are missing");
}

#[tokio::test]
async fn no_spelling_leads_around_the_booth() {
    let house = house().await;
    for id in [WITHHELD, PENDING] {
        let first = format!("%{:02x}{}", id.as_bytes()[0], &id[1..]);
        let twice = first.replace('%', "%25");
        for line in [
            format!("GET /v23.0/{id}/"),
            format!("GET /v23.0//{id}"),
            format!("GET //v23.0/{id}"),
            format!("GET /v23.0/{id}."),
            format!("GET /v23.0/{id};a=b"),
            format!("GET /v23.0/{id}%20"),
            format!("GET /v23.0/%20{id}"),
            format!("GET /v23.0/0{id}"),
            format!("GET /v23.0/{first}"),
            format!("GET /v23.0/{twice}"),
            format!("GET /v23.0%2f{id}"),
            format!("GET /V23.0/{id}"),
            format!("GET /{id}"),
            format!("GET /v23.0/{id}?fields=url"),
            format!("GET /v23.0/{id}/preview"),
            format!("GET /v23.0/?ids={id}"),
            format!("GET /?ids=1,{id}"),
            format!("GET /?ids=1%2C{id}"),
            format!("GET /?id={id}"),
            format!("GET /v23.0/?ids={twice}"),
            format!("GET /v23.0/?batch=[{{\"relative_url\":\"{first}\"}}]").replace(['{', '}', '"'], "%22"),
            format!("GET http://graph.facebook.com/v23.0/{id}"),
            format!("HEAD /v23.0/{id}"),
            format!("POST /v23.0/{id}"),
            format!("POST /v23.0/{id}?method=get"),
            format!("DELETE /v23.0/{id}?method=get"),
            format!("OPTIONS /v23.0/{id}"),
        ] {
            let answer = house.call(&line, BEARER, b"").await;
            assert_eq!(answer.status, 404, "{line}");
        }
        for line in [
            format!("GET /v23.0/../v23.0/{id}"),
            format!("GET /v23.0/./{id}"),
            format!("GET /v23.0/%2e%2e/{id}"),
            format!("GET /v23.0/x%5c..%5c{id}"),
            format!("GET /v23.0/{id}%00"),
            format!("GET /v23.0/{id}%0a"),
            format!("TRACE /v23.0/{id}"),
        ] {
            assert_eq!(house.call(&line, BEARER, b"").await.status, 400, "{line}");
        }
        let header = format!("{BEARER}X-HTTP-Method-Override: GET\r\n");
        assert_eq!(house.call(&format!("DELETE /v23.0/{id}"), &header, b"").await.status, 404);
    }
    assert!(house.graph.asked().is_empty(), "{:?}", house.graph.asked());
}

#[tokio::test]
async fn batches_that_mention_received_media_are_refused() {
    let house = house().await;
    let form = "application/x-www-form-urlencoded";
    let multipart = "multipart/form-data; boundary=b";
    let batch = |id: &str| {
        let json = format!(r#"[{{"method":"GET","relative_url":"v23.0/{id}"}}]"#);
        let escaped = json.replace(id, &format!("\\u00{:02x}{}", id.as_bytes()[0], &id[1..]));
        [
            ("/", form, format!("batch={json}")),
            ("/", form, format!("batch={}", escaped.replace('\\', "%5C"))),
            ("/v23.0/", "application/json", format!(r#"{{"batch":{escaped}}}"#)),
            ("/", "application/json", serde_json::json!({"batch": escaped}).to_string()),
            ("/", multipart, format!("--b\r\nContent-Disposition: form-data; name=\"batch\"\r\n\r\n{json}\r\n--b--")),
            ("/", "text/plain", json.clone()),
            ("/v23.0/me", form, format!("method=get&ids={id}")),
            ("/v23.0/1/messages", form, format!("batch={json}")),
        ]
    };
    for id in [WITHHELD, PENDING, SERVED] {
        for (path, kind, body) in batch(id) {
            let headers = format!("{BEARER}Content-Type: {kind}\r\n");
            let answer = house.call(&format!("POST {path}"), &headers, body.as_bytes()).await;
            check_no_such_object(&answer, &body);
        }
    }
    let headers = format!("{BEARER}Content-Type: {form}\r\nContent-Encoding: gzip\r\n");
    assert_eq!(house.call("POST /", &headers, b"x").await.status, 400);
    assert_eq!(house.call("POST /", BEARER, &vec![b'x'; 1024 * 1024 + 1]).await.status, 413);
    assert!(house.graph.asked().is_empty());
    // Others pass, as they came.
    for (path, kind, body) in batch("5550000000000001") {
        let headers = format!("{BEARER}Content-Type: {kind}\r\n");
        assert_eq!(house.call(&format!("POST {path}"), &headers, body.as_bytes()).await.status, 200);
        assert_eq!(house.graph.asked().last().unwrap().body, body.as_bytes());
    }
}

#[tokio::test]
async fn every_other_call_passes_unchanged() {
    let house = house().await;
    let body =
        serde_json::json!({"messaging_product": "whatsapp", "type": "image", "image": {"id": SERVED}}).to_string();
    let headers = "Authorization: Bearer anything\r\nContent-Type: application/json\r\nX-Custom: a\r\n";
    let answer = house.call("POST /v23.0/106540352242922/messages?a=%20b&c", headers, body.as_bytes()).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"from graph"[..]));
    assert_eq!(answer.header("x-graph"), Some("real"));
    let asked = house.graph.asked().pop().unwrap();
    assert_eq!(asked.line, "POST /v23.0/106540352242922/messages?a=%20b&c");
    assert_eq!(asked.body, body.as_bytes());
    assert_eq!(asked.header("authorization"), Some("Bearer anything"));
    assert_eq!(asked.header("x-custom"), Some("a"));
    assert_eq!(asked.header("host"), Some(house.graph.address.to_string().as_str()));
    assert_eq!(asked.header("content-length"), Some(body.len().to_string().as_str()));

    // An id Guarita never saw: the bot's own upload.
    house.call("GET /v23.0/5550000000000001?phone_number_id=1", "Authorization: Bearer other\r\n", b"").await;
    let asked = house.graph.asked().pop().unwrap();
    assert_eq!(asked.line, "GET /v23.0/5550000000000001?phone_number_id=1");
    assert_eq!(asked.header("authorization"), Some("Bearer other"));

    house.call(&format!("DELETE /v23.0/{WITHHELD}"), BEARER, b"").await;
    assert_eq!(house.graph.asked().pop().unwrap().line, format!("DELETE /v23.0/{WITHHELD}"));
}

#[tokio::test]
async fn headers_of_one_connection_do_not_pass() {
    let graph = Peer::start(|_, _| {
        answer("200 OK", &[("Keep-Alive", "timeout=5"), ("Proxy-Authenticate", "x"), ("Set-Cookie", "a=b")], "x")
    })
    .await;
    let house = house_with(|_| {}, graph).await;
    let headers = "Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nUpgrade: websocket\r\nTE: trailers\r\nProxy-Authorization: y\r\nExpect: 100-continue\r\n";
    let answer = house.call("POST /v23.0/me/x", headers, b"body").await;
    let asked = house.graph.asked().pop().unwrap();
    for name in ["x-hop", "keep-alive", "upgrade", "te", "proxy-authorization", "expect"] {
        assert_eq!(asked.header(name), None, "{name}");
    }
    assert_eq!(asked.body, b"body");
    for name in ["keep-alive", "proxy-authenticate"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("set-cookie"), Some("a=b"));
}

#[tokio::test]
async fn errors_of_graph_come_back_as_they_are() {
    let graph =
        Peer::start(|_, _| answer("400 Bad Request", &[("WWW-Authenticate", "OAuth")], r#"{"error":{"code":131}}"#))
            .await;
    let house = house_with(|_| {}, graph).await;
    let error = house.get("/v23.0/me").await;
    assert_eq!((error.status, &error.body[..]), (400, &br#"{"error":{"code":131}}"#[..]));
    assert_eq!(error.header("www-authenticate"), Some("OAuth"));
    let redirecting = Peer::start(|_, _| answer("302 Found", &[("Location", "https://elsewhere.example/")], "")).await;
    let house = house_with(|_| {}, redirecting).await;
    assert_eq!(house.get("/v23.0/me/picture").await.header("location"), Some("https://elsewhere.example/"));
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let graph = Peer::start(|_, asked| {
        assert_eq!(asked.header("transfer-encoding"), Some("chunked"));
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec()),
            Step::Wait(400),
            Step::Send(b"4\r\nlast\r\n0\r\n\r\n".to_vec()),
        ]
    })
    .await;
    let house = house_with(|_| {}, graph).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = "POST /v23.0/1/media HTTP/1.1\r\nHost: d\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(b"3\r\none\r\n").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    let began = Instant::now();
    let mut got = Vec::new();
    while !got.windows(5).any(|w| w == b"first") {
        assert!(stream.read_buf(&mut got).await.unwrap() > 0);
    }
    assert!(began.elapsed() < Duration::from_millis(350), "the first part came before the last was sent");
    stream.read_to_end(&mut got).await.unwrap();
    assert!(got.windows(4).any(|w| w == b"last"));
    let body = house.graph.asked().pop().unwrap().body;
    assert!(body.windows(3).any(|w| w == b"one") && body.windows(3).any(|w| w == b"two"));
}

#[tokio::test]
async fn a_dead_or_silent_graph_is_an_error_in_its_own_words() {
    let silent = Peer::start(|_, _| vec![Step::Hold]).await;
    let house = house_with(|c| c.upstream_timeout_ms = 200, silent).await;
    let answer = house.get("/v23.0/me").await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_u64()), (504, Some(2)));
    let closing = Peer::start(|_, _| vec![]).await;
    let house = house_with(|_| {}, closing).await;
    let answer = house.get("/v23.0/me").await;
    assert_eq!((answer.status, answer.json()["error"]["is_transient"].as_bool()), (502, Some(true)));
}

#[tokio::test]
async fn too_much_is_refused() {
    let house = house_with(|c| c.body_bytes_max = 1000, Peer::start(|_, _| answer("200 OK", &[], "")).await).await;
    assert_eq!(house.call("POST /v23.0/1/media", BEARER, &[b'x'; 1001]).await.status, 413);
    assert!(house.graph.asked().is_empty());
    let large_head = format!("X-Large: {}\r\n", "x".repeat(70_000));
    assert_eq!(house.call("GET /v23.0/me", &large_head, b"").await.status, 431);
    let many_words: String = (0..300).map(|i| format!("/w{i}")).collect();
    assert_eq!(house.get(&many_words).await.status, 400);
}

#[tokio::test]
async fn who_says_nothing_is_sent_away() {
    let house = house_with(
        |c| {
            c.head_timeout_ms = 200;
            c.idle_timeout_ms = 200;
        },
        Peer::start(|_, _| answer("200 OK", &[], "")).await,
    )
    .await;
    for sent in [
        "",
        "GET /v23.0/me HT",
        "POST /v23.0/1/media HTTP/1.1\r\nHost: d\r\nContent-Length: 10\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 10\r\n\r\nhalf",
    ] {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let _ = timeout(Duration::from_secs(3), stream.read_to_end(&mut rest))
            .await
            .unwrap_or_else(|_| panic!("{sent:?} holds on"));
    }
}

#[tokio::test]
async fn who_takes_nothing_is_sent_away() {
    let house = house_with(|c| c.idle_timeout_ms = 200, Peer::start(|_, _| vec![]).await).await;
    let content = vec![7; 32 << 20];
    house.set("80", MediaState::Served(stored(&*house.blobs, &content))).await;
    let url = house.url_of("80").await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(format!("GET {url} HTTP/1.1\r\nHost: d\r\n\r\n").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut got = Vec::new();
    let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut got)).await.expect("the door let go");
    assert!(ended.is_err() || got.len() < content.len());
}

#[tokio::test]
async fn a_stop_lets_open_downloads_end() {
    let house = house().await;
    let content = vec![7; 8 << 20];
    house.set("81", MediaState::Served(stored(&*house.blobs, &content))).await;
    let url = house.url_of("81").await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(format!("GET {url} HTTP/1.1\r\nHost: d\r\n\r\n").as_bytes()).await.unwrap();
    let mut got = vec![0; 1000];
    stream.read_exact(&mut got).await.unwrap();
    let House { _stop: stop, address, _folder, .. } = house;
    stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.read_to_end(&mut got).await.unwrap();
    assert!(got.len() > content.len());
    assert!(TcpStream::connect(address).await.is_err(), "nobody is let in any more");
}

#[tokio::test]
async fn configuration_that_cannot_work_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let keys = MediaKeys::derive(&[1; 32]);
    let blobs: Arc<dyn BlobStore> = Arc::new(DiskBlobs::open(folder.path(), &keys).unwrap());
    let index = MediaIndex::open(&folder.path().join("media.sqlite"), &keys).unwrap();
    let build = |public_url: &str, base_url: &str, host: &str| {
        let config = DoorConfig { public_url: public_url.into(), ..DoorConfig::default() };
        let graph = GraphConfig { base_url: base_url.into(), media_hosts: vec![host.into()], ..GraphConfig::default() };
        Door::new(&config, &graph, &[], index.clone(), blobs.clone(), &keys).map(drop).map_err(|e| e.to_string())
    };
    assert!(build("http://d", "https://g.example", "a.example").is_ok());
    assert!(build("d", "https://g.example", "a.example").unwrap_err().contains("public_url"));
    assert!(build("http://d", "graph", "a.example").unwrap_err().contains("base_url"));
    assert!(build("http://d", "ftp://g.example", "a.example").unwrap_err().contains("base_url"));
    assert!(build("http://d", "https://g.example", "http://a").unwrap_err().contains("media_hosts"));
}

#[test]
fn secrets_do_not_show() {
    let graph = GraphConfig { access_token: "EAAsecret".into(), ..GraphConfig::default() };
    let door = DoorConfig { tokens: vec!["EAAsecret".into()], ..DoorConfig::default() };
    assert!(!format!("{graph:?}{door:?}{:?}", MediaKeys::derive(&[1; 32])).contains("EAAsecret"));
}
