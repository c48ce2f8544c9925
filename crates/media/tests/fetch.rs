//! Fetching from peers that misbehave, each named after how. Every one of them ends in content that was announced or in a
//! problem that names its gap; none hangs, none gets the token that should not.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod peers;

use guarita_media::{BlobStore, DiskBlobs, FetchProblem, Fetched, Fetcher, GraphConfig, MediaKeys};
use guarita_message::{ContentHash, GapReason, MediaRef};
use peers::{Asked, Peer, Step, answer};
use sha2::{Digest, Sha256};
use std::{
    io::Read,
    sync::Arc,
    time::{Duration, Instant},
};

const TOKEN: &str = "EAAsecrettoken";
const CONTENT: &[u8] = b"%PDF-1.7 the content of an attachment";

fn hash(bytes: &[u8]) -> ContentHash {
    ContentHash(Sha256::digest(bytes).into())
}

struct House {
    _folder: tempfile::TempDir,
    blobs: Arc<dyn BlobStore>,
    fetcher: Fetcher,
}

/// A fetcher whose Graph is `graph` and that may fetch from loopback.
fn house(graph: &Peer, adjust: impl FnOnce(&mut GraphConfig)) -> House {
    let folder = tempfile::tempdir().unwrap();
    let blobs: Arc<dyn BlobStore> = Arc::new(DiskBlobs::open(folder.path(), &MediaKeys::derive(&[1; 32])).unwrap());
    let mut config =
        GraphConfig { base_url: graph.url(""), media_hosts: vec!["127.0.0.1".into()], ..GraphConfig::default() };
    config.fetch.retry_wait_ms = 2;
    config.fetch.head_timeout_ms = 5_000;
    config.fetch.idle_timeout_ms = 5_000;
    adjust(&mut config);
    House { fetcher: Fetcher::new(&config, blobs.clone()).unwrap(), blobs, _folder: folder }
}

impl House {
    async fn fetch(&self, media: &MediaRef) -> Result<Fetched, FetchProblem> {
        self.fetcher.fetch(media, "106540352242922", TOKEN, Instant::now() + Duration::from_secs(20)).await
    }

    fn stored(&self, hash: &ContentHash) -> Vec<u8> {
        let mut out = Vec::new();
        self.blobs.open(hash).unwrap().read_to_end(&mut out).unwrap();
        out
    }

    /// Blobs in the store, finished or not.
    fn files(&self) -> usize {
        let folders = std::fs::read_dir(self._folder.path()).unwrap();
        folders.map(|f| std::fs::read_dir(f.unwrap().path()).unwrap().count()).sum()
    }
}

fn by_id() -> MediaRef {
    MediaRef { id: Some("1003383421387256".into()), ..MediaRef::default() }
}

fn by_url(url: String) -> MediaRef {
    MediaRef { url: Some(url), ..MediaRef::default() }
}

fn lookup_answer(url: &str, more: &str) -> Vec<Step> {
    let body = format!(
        r#"{{"messaging_product":"whatsapp","url":"{url}","mime_type":"application/pdf"{more},"id":"1003383421387256"}}"#
    );
    answer("200 OK", &[("Content-Type", "application/json")], body)
}

fn host_of(asked: &Asked) -> String {
    asked.header("host").unwrap().to_owned()
}

/// A Graph that answers look-ups with a url of its own, and downloads with what `download` says.
async fn graph(more: &'static str, download: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static) -> Peer {
    let downloads = std::sync::atomic::AtomicUsize::new(0);
    Peer::start(move |_, asked| {
        if asked.line.starts_with("GET /v23.0/") {
            lookup_answer(&format!("http://{}/file?mid=1&hash=x", host_of(asked)), more)
        } else {
            download(downloads.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
        }
    })
    .await
}

fn ok() -> Vec<Step> {
    answer("200 OK", &[("Content-Type", "application/pdf")], CONTENT)
}

/// Fetches by id from a Graph whose downloads go so; the problem, and how many downloads there were.
async fn problem_of(download: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static) -> (FetchProblem, usize) {
    let graph = graph("", download).await;
    let house = house(&graph, |_| {});
    let problem = house.fetch(&by_id()).await.unwrap_err();
    assert!(!problem.detail.contains("1003383421387256") && !problem.detail.contains(TOKEN), "{problem}");
    // A writer that was given up removes its file on a thread of its own.
    for _ in 0..100 {
        if house.files() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(house.files(), 0, "nothing is kept of a failed download");
    (problem, graph.asked().iter().filter(|a| a.line.contains("/file")).count())
}

fn check(problem: &FetchProblem, reason: GapReason, retry_can_help: bool, detail: &str) {
    assert_eq!((problem.reason, problem.retry_can_help), (reason, retry_can_help), "{problem}");
    assert!(problem.detail.contains(detail), "{problem}");
}

#[tokio::test]
async fn an_honest_graph() {
    let graph = graph(r#","file_size":"37""#, |_| ok()).await;
    let house = house(&graph, |_| {});
    let fetched = house.fetch(&by_id()).await.unwrap();
    assert_eq!(fetched, Fetched { hash: hash(CONTENT), bytes: 37, content_type: Some("application/pdf".into()) });
    assert_eq!(house.stored(&fetched.hash), CONTENT);
    let asked = graph.asked();
    assert_eq!(asked[0].line, "GET /v23.0/1003383421387256?phone_number_id=106540352242922");
    assert_eq!(asked[1].line, "GET /file?mid=1&hash=x");
    for asked in asked {
        assert_eq!(asked.header("authorization"), Some("Bearer EAAsecrettoken"));
        assert!(asked.header("user-agent").unwrap().starts_with("guarita/"));
        assert_eq!(asked.header("accept-encoding"), Some("identity"));
    }
}

#[tokio::test]
async fn a_url_in_the_webhook_is_used_at_once() {
    let graph = Peer::start(|_, _| ok()).await;
    let house = house(&graph, |_| {});
    let media = MediaRef { url: Some(graph.url("/direct")), declared_hash: Some(hash(CONTENT)), ..by_id() };
    house.fetch(&media).await.unwrap();
    let asked = graph.asked();
    assert_eq!((asked.len(), asked[0].line.as_str()), (1, "GET /direct"));
    assert_eq!(asked[0].header("authorization"), Some("Bearer EAAsecrettoken"));
}

#[tokio::test]
async fn expired_url_is_looked_up_anew() {
    let graph = Peer::start(|_, asked| match asked.line.as_str() {
        "GET /old" => answer("404 Not Found", &[], ""),
        "GET /new" => ok(),
        _ => lookup_answer(&format!("http://{}/new", host_of(asked)), ""),
    })
    .await;
    let house = house(&graph, |_| {});
    house.fetch(&MediaRef { url: Some(graph.url("/old")), ..by_id() }).await.unwrap();
    let lines: Vec<_> = graph.asked().into_iter().map(|a| a.line).collect();
    assert_eq!(lines, ["GET /old", "GET /v23.0/1003383421387256?phone_number_id=106540352242922", "GET /new"]);
}

#[tokio::test]
async fn a_url_of_a_look_up_that_expired_is_looked_up_once_more() {
    let graph = graph("", |n| if n == 0 { answer("404 Not Found", &[], "") } else { ok() }).await;
    house(&graph, |_| {}).fetch(&by_id()).await.unwrap();
    assert_eq!(graph.asked().len(), 4);
    let (problem, downloads) = problem_of(|_| answer("404 Not Found", &[], "")).await;
    check(&problem, GapReason::Expired, false, "404");
    assert_eq!(downloads, 2);
}

#[tokio::test]
async fn a_webhook_url_elsewhere_is_not_fetched_but_looked_up() {
    let elsewhere = Peer::start(|_, _| ok()).await;
    let graph = graph("", |_| ok()).await;
    let port = graph.address.port();
    let house = house(&graph, |c| c.media_hosts = vec![format!("127.0.0.1:{port}")]);
    house.fetch(&MediaRef { url: Some(elsewhere.url("/x")), ..by_id() }).await.unwrap();
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn bare_urls_get_no_token() {
    let cdn = Peer::start(|_, _| ok()).await;
    let house = house(&cdn, |_| {});
    let fetched = house.fetch(&by_url(cdn.url("/ig?asset_id=1"))).await.unwrap();
    assert_eq!(fetched.content_type.as_deref(), Some("application/pdf"));
    assert_eq!(cdn.asked()[0].header("authorization"), None);
    let gone = Peer::start(|_, _| answer("403 Forbidden", &[], "")).await;
    let problem = house.fetch(&by_url(gone.url("/x"))).await.unwrap_err();
    check(&problem, GapReason::Expired, false, "403");
    assert_eq!(gone.asked().len(), 1);
}

#[tokio::test]
async fn hosts_outside_the_list_are_never_asked() {
    let graph = Peer::start(|_, _| ok()).await;
    let port = graph.address.port();
    let house = house(&graph, |c| c.media_hosts = vec!["lookaside.fbsbx.com".into(), "*.fbcdn.net".into()]);
    for url in [
        graph.url("/x"),
        format!("http://localhost:{port}/x"),
        format!("http://[::ffff:127.0.0.1]:{port}/x"),
        format!("http://2130706433:{port}/x"),
        "https://fbcdn.net/x".into(),
        "https://lookaside.fbsbx.com.evil.example/x".into(),
        "http://lookaside.fbsbx.com/x".into(),
        "file:///etc/passwd".into(),
        "not a url".into(),
        String::new(),
    ] {
        let problem = house.fetch(&by_url(url.clone())).await.unwrap_err();
        check(&problem, GapReason::FetchFailed, false, "");
    }
    assert!(graph.asked().is_empty());
}

#[tokio::test]
async fn redirects_within_the_list_are_followed_and_bounded() {
    let hops = |hops: usize| {
        graph("", move |n| if n < hops { answer("302 Found", &[("Location", "/file?next")], "") } else { ok() })
    };
    let fine = hops(3).await;
    house(&fine, |_| {}).fetch(&by_id()).await.unwrap();
    let many = hops(4).await;
    let problem = house(&many, |_| {}).fetch(&by_id()).await.unwrap_err();
    check(&problem, GapReason::FetchFailed, false, "redirected too often");
    let (problem, _) = problem_of(|_| answer("302 Found", &[], "")).await;
    check(&problem, GapReason::FetchFailed, false, "nowhere");
}

#[tokio::test]
async fn redirects_to_private_are_refused_and_get_no_token() {
    let inside = Peer::start(|_, _| ok()).await;
    let target = inside.url("/latest/meta-data");
    let graph = graph("", move |_| answer("302 Found", &[("Location", &target)], "")).await;
    let port = graph.address.port();
    let house = house(&graph, |c| c.media_hosts = vec![format!("127.0.0.1:{port}")]);
    let problem = house.fetch(&by_id()).await.unwrap_err();
    check(&problem, GapReason::FetchFailed, false, "media_hosts");
    assert!(inside.asked().is_empty());
}

#[tokio::test]
async fn wrong_digest_is_tried_once_more() {
    let sent_once_wrong = graph("", |n| if n == 0 { answer("200 OK", &[], "other") } else { ok() }).await;
    let media = MediaRef { declared_hash: Some(hash(CONTENT)), ..by_id() };
    house(&sent_once_wrong, |_| {}).fetch(&media).await.unwrap();

    let wrong = graph("", |_| answer("200 OK", &[], "other")).await;
    let house_of_wrong = house(&wrong, |_| {});
    let problem = house_of_wrong.fetch(&media).await.unwrap_err();
    check(&problem, GapReason::FetchFailed, true, "digest");
    assert_eq!(wrong.asked().len(), 4);

    // The look-up's own digest counts too.
    let announced =
        graph(r#","sha256":"0000000000000000000000000000000000000000000000000000000000000000""#, |_| ok()).await;
    let problem = house(&announced, |_| {}).fetch(&by_id()).await.unwrap_err();
    check(&problem, GapReason::FetchFailed, true, "digest");
}

#[tokio::test]
async fn endless_body_is_cut_at_the_bound() {
    for head in ["", "Transfer-Encoding: chunked\r\n"] {
        let graph = graph("", move |_| {
            let piece =
                if head.is_empty() { vec![7; 65536] } else { [&b"10000\r\n"[..], &[7; 65536], b"\r\n"].concat() };
            vec![Step::Send(format!("HTTP/1.1 200 OK\r\n{head}\r\n").into_bytes()), Step::Endless(piece)]
        })
        .await;
        let house = house(&graph, |c| c.fetch.bytes_max = 1 << 20);
        let problem = house.fetch(&by_id()).await.unwrap_err();
        check(&problem, GapReason::TooLarge, false, "1048576");
    }
}

#[tokio::test]
async fn too_large_by_announcement_is_not_downloaded() {
    let large = graph(r#","file_size":999999999"#, |_| ok()).await;
    let problem = house(&large, |_| {}).fetch(&by_id()).await.unwrap_err();
    check(&problem, GapReason::TooLarge, false, "");
    assert_eq!(large.asked().len(), 1);
    let (problem, _) = problem_of(|_| answer("200 OK", &[("Content-Length", "999999999")], "x")).await;
    check(&problem, GapReason::TooLarge, false, "");
}

#[tokio::test]
async fn lying_length_is_a_body_that_broke_off() {
    let (problem, downloads) = problem_of(|_| answer("200 OK", &[("Content-Length", "100")], CONTENT)).await;
    check(&problem, GapReason::FetchFailed, true, "broke off");
    assert_eq!(downloads, 4, "the network may be at fault: tried again");
    // Without any length only the look-up's size tells that bytes are missing.
    let cut = graph(r#","file_size":"38""#, |_| vec![Step::Send([b"HTTP/1.1 200 OK\r\n\r\n", CONTENT].concat())]).await;
    let problem = house(&cut, |_| {}).fetch(&by_id()).await.unwrap_err();
    check(&problem, GapReason::FetchFailed, true, "broke off");
    // More bytes than announced are not read.
    let longer = graph("", |_| answer("200 OK", &[("Content-Length", "4")], CONTENT)).await;
    assert_eq!(house(&longer, |_| {}).fetch(&by_id()).await.unwrap().hash, hash(&CONTENT[..4]));
}

#[tokio::test]
async fn chunks_that_break_off_are_no_file() {
    let broken = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec();
    let (problem, _) = problem_of(move |_| vec![Step::Send(broken.clone())]).await;
    check(&problem, GapReason::FetchFailed, true, "broke off");
}

#[tokio::test]
async fn gzip_is_refused() {
    for encoding in ["gzip", "br", "identity, gzip"] {
        let (problem, downloads) =
            problem_of(move |_| answer("200 OK", &[("Content-Encoding", encoding)], CONTENT)).await;
        check(&problem, GapReason::FetchFailed, false, "compressed");
        assert_eq!(downloads, 1);
    }
    let plain = graph("", |_| answer("200 OK", &[("Content-Encoding", "identity")], CONTENT)).await;
    house(&plain, |_| {}).fetch(&by_id()).await.unwrap();
}

#[tokio::test]
async fn slow_graph_meets_the_time_outs() {
    let began = Instant::now();
    for (said, expect) in [("", "did not answer"), ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "stalled")] {
        let graph = graph("", move |_| vec![Step::Send(said.into()), Step::Hold]).await;
        let house = house(&graph, |c| {
            c.fetch.head_timeout_ms = 300;
            c.fetch.idle_timeout_ms = 300;
        });
        let problem = house.fetch(&by_id()).await.unwrap_err();
        check(&problem, GapReason::FetchFailed, true, expect);
    }
    assert!(began.elapsed() < Duration::from_secs(15));
}

/// A byte now and then keeps the idle time-out quiet; the deadline ends it.
#[tokio::test]
async fn dripping_graph_meets_the_deadline() {
    let graph = graph("", |_| {
        let mut steps = vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec())];
        for _ in 0..1000 {
            steps.extend([Step::Send(b"x".to_vec()), Step::Wait(50)]);
        }
        steps
    })
    .await;
    let house = house(&graph, |_| {});
    let began = Instant::now();
    let problem = house.fetcher.fetch(&by_id(), "", TOKEN, began + Duration::from_millis(600)).await.unwrap_err();
    check(&problem, GapReason::FetchFailed, true, "in time");
    assert!(began.elapsed() < Duration::from_secs(2));
    let past = house.fetcher.fetch(&by_id(), "", TOKEN, began).await.unwrap_err();
    check(&past, GapReason::FetchFailed, true, "in time");
}

#[tokio::test]
async fn passing_failures_are_tried_again_final_ones_are_not() {
    let recovering = graph("", |n| match n {
        0 => answer("503 Service Unavailable", &[], ""),
        1 => answer("429 Too Many Requests", &[("Retry-After", "0")], ""),
        2 => vec![], // closes without a word
        _ => ok(),
    })
    .await;
    house(&recovering, |_| {}).fetch(&by_id()).await.unwrap();
    for (status, downloads_expected) in [
        ("400 Bad Request", 1),
        ("418 Teapot", 1),
        ("206 Partial Content", 1),
        ("204 No Content", 1),
        ("403 Forbidden", 2),
        ("500 Oh", 4),
    ] {
        let (problem, downloads) = problem_of(move |_| answer(status, &[], "")).await;
        assert_eq!(downloads, downloads_expected, "{status} {problem}");
    }
}

#[tokio::test]
async fn look_ups_that_fail_say_why() {
    let fails = |status: &'static str, body: &'static str| async move {
        let graph = Peer::start(move |_, _| answer(status, &[], body)).await;
        let problem = house(&graph, |_| {}).fetch(&by_id()).await.unwrap_err();
        (problem, graph.asked().len())
    };
    let (problem, asked) = fails("401 Unauthorized", r#"{"error":{"code":190,"message":"secret"}}"#).await;
    check(&problem, GapReason::FetchFailed, false, "access_token");
    assert_eq!(asked, 1);
    let (problem, asked) = fails("400 Bad Request", r#"{"error":{"code":100,"error_subcode":33}}"#).await;
    check(&problem, GapReason::Expired, false, "does not know");
    assert_eq!(asked, 1);
    let (problem, asked) = fails("500 Oops", "").await;
    check(&problem, GapReason::FetchFailed, true, "busy");
    assert_eq!(asked, 4);
    let (problem, _) = fails("200 OK", r#"{"id":"1"}"#).await;
    check(&problem, GapReason::FetchFailed, false, "no url");
    let (problem, _) = fails("200 OK", "<html>").await;
    check(&problem, GapReason::FetchFailed, true, "not JSON");
    // A redirected look-up would carry the token away.
    let graph =
        Peer::start(|_, asked| answer("302 Found", &[("Location", &format!("http://{}/x", host_of(asked)))], "")).await;
    let problem = house(&graph, |_| {}).fetch(&by_id()).await.unwrap_err();
    check(&problem, GapReason::FetchFailed, false, "302");
    assert_eq!(graph.asked().len(), 1);
}

#[tokio::test]
async fn an_endless_look_up_is_cut() {
    let graph =
        Peer::start(|_, _| vec![Step::Send(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), Step::Endless(vec![b' '; 4096])])
            .await;
    let problem = house(&graph, |_| {}).fetch(&by_id()).await.unwrap_err();
    check(&problem, GapReason::FetchFailed, false, "too long");
}

#[tokio::test]
async fn an_endless_head_is_cut() {
    let (problem, _) =
        problem_of(|_| vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::Endless(b"X-A: b\r\n".to_vec())]).await;
    check(&problem, GapReason::FetchFailed, true, "connection failed");
}

#[tokio::test]
async fn failing_look_ups_stop_before_meta_blocks() {
    let graph = Peer::start(|_, _| answer("404 Not Found", &[], "")).await;
    let house = house(&graph, |c| c.fetch.lookup_failures_max = 5);
    for _ in 0..5 {
        check(&house.fetch(&by_id()).await.unwrap_err(), GapReason::Expired, false, "");
    }
    // A hold of some seconds cannot outwait an hour: the message goes on without its file.
    check(&house.fetch(&by_id()).await.unwrap_err(), GapReason::FetchFailed, false, "within the hour");
    assert_eq!(graph.asked().len(), 5);
    let other = house.fetcher.fetch(&by_id(), "", "another token", Instant::now() + Duration::from_secs(20)).await;
    check(&other.unwrap_err(), GapReason::Expired, false, "");
}

#[tokio::test]
async fn strange_ids_stay_inside_their_segment() {
    let graph = Peer::start(|_, _| answer("404 Not Found", &[], "")).await;
    let house = house(&graph, |_| {});
    for (id, line) in [
        ("../me", Some("GET /v23.0/..%2Fme?phone_number_id=106540352242922")),
        ("1?access_token=x", Some("GET /v23.0/1%3Faccess_token=x?phone_number_id=106540352242922")),
        ("..", None),
        ("%2e%2e", Some("GET /v23.0/%252e%252e?phone_number_id=106540352242922")),
        ("a\r\nb", None),
        ("", None),
    ] {
        let before = graph.asked().len();
        house.fetch(&MediaRef { id: Some(id.into()), ..MediaRef::default() }).await.unwrap_err();
        let asked = graph.asked().get(before).map(|a| a.line.clone());
        assert_eq!(asked.as_deref(), line, "{id:?}");
    }
}

#[tokio::test]
async fn what_may_not_be_stored_stays_in_memory() {
    let cdn = Peer::start(|_, _| ok()).await;
    let house = house(&cdn, |c| c.fetch.in_memory_bytes_max = 64);
    let story = MediaRef { never_store: true, ..by_url(cdn.url("/story")) };
    let deadline = || Instant::now() + Duration::from_secs(20);
    let fetched = house.fetcher.fetch_in_memory(&story, "", TOKEN, deadline()).await.unwrap();
    assert_eq!((&fetched.content[..], fetched.hash), (CONTENT, hash(CONTENT)));
    assert_eq!(house.files(), 0);
    check(&house.fetch(&story).await.unwrap_err(), GapReason::FetchFailed, false, "may not be stored");
    assert_eq!(house.files(), 0);
    let large = Peer::start(|_, _| answer("200 OK", &[], [7; 65])).await;
    let story = MediaRef { never_store: true, ..by_url(large.url("/story")) };
    let problem = house.fetcher.fetch_in_memory(&story, "", TOKEN, deadline()).await.err().unwrap();
    check(&problem, GapReason::TooLarge, false, "");
}

/// Two contents that together exceed the memory bound wait for each other.
#[tokio::test]
async fn memory_is_shared_and_given_back() {
    let cdn = Peer::start(|_, _| answer("200 OK", &[], vec![7; 100_000])).await;
    let house = house(&cdn, |c| {
        c.fetch.in_memory_bytes_max = 128 * 1024;
        c.fetch.in_memory_total_bytes_max = 128 * 1024;
    });
    let media = by_url(cdn.url("/a"));
    let fetch = |ms| house.fetcher.fetch_in_memory(&media, "", "", Instant::now() + Duration::from_millis(ms));
    let first = fetch(5000).await.unwrap();
    check(&fetch(200).await.err().unwrap(), GapReason::FetchFailed, true, "in time");
    drop(first);
    fetch(5000).await.unwrap();
}

#[tokio::test]
async fn fetches_wait_for_their_turn() {
    let cdn = Peer::start(|_, _| [vec![Step::Wait(100)], ok()].into_iter().flatten().collect()).await;
    let house = house(&cdn, |c| c.fetch.concurrent_max = 1);
    let media = by_url(cdn.url("/a"));
    let began = Instant::now();
    let (a, b, c) = tokio::join!(house.fetch(&media), house.fetch(&media), house.fetch(&media));
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_dead_graph_is_a_gap_that_may_close() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let graph = Peer::start(|_, _| ok()).await;
    let house = house(&graph, |c| c.base_url = format!("http://{address}"));
    check(&house.fetch(&by_id()).await.unwrap_err(), GapReason::FetchFailed, true, "cannot connect");
}
