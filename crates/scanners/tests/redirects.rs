//! Links followed against real servers on loopback that misbehave in every way a stranger's server may.
#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use guarita_inspect::links::{Elsewhere, Followed, LinkFollower};
use guarita_message::GapReason;
use guarita_scanners::{Follow, Redirects, RedirectsConfig};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A server whose answers depend on the path, and what it was asked.
struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let heard = requests.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, port, heard.clone()));
            }
        });
        Server { port, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// `HEAD /a` and so on, in order.
    fn asked(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|head| head.lines().next().unwrap().replace(" HTTP/1.1", "")).collect()
    }
}

async fn answer(mut stream: TcpStream, port: u16, requests: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    requests.lock().unwrap().push(head.clone());
    let (method, path) = head.split_once(' ').unwrap();
    let path = path.split(' ').next().unwrap();
    let to = |target: &str| format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
    let page = |html: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{}",
            html.len(),
            if method == "HEAD" { "" } else { html }
        )
    };
    let text = match path {
        "/a" => to("/b"),
        "/b" => to("https://198.51.100.7/pay?x=1"),
        "/cookie" => {
            "HTTP/1.1 302 Found\r\nSet-Cookie: id=1; Path=/\r\nLocation: /plain\r\nContent-Length: 0\r\n\r\n".into()
        }
        "/plain" => "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok".into(),
        "/loop" => to("/loop2"),
        "/loop2" => to("/loop"),
        "/inside" => to("http://10.0.0.1/admin"),
        "/localhost" => to("http://localhost/"),
        "/port" => to("http://198.51.100.7:22/"),
        "/app" => to("intent://pay#Intent;package=evil;end"),
        "/script" => to("javascript:alert(1)"),
        "/password" => to(&format!("http://user:secret@127.0.0.1:{port}/plain")),
        "/nohead" if method == "HEAD" => "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n".into(),
        "/nohead" => to("https://198.51.100.7/got"),
        "/hangsup" if method == "HEAD" => return,
        "/hangsup" => to("https://198.51.100.7/got"),
        "/meta" => page("<meta http-equiv=refresh content=\"0;url='https://198.51.100.7/meta'\">"),
        "/header" => {
            "HTTP/1.1 200 OK\r\nRefresh: 0; url=https://198.51.100.7/refresh\r\nContent-Length: 0\r\n\r\n".into()
        }
        "/bio" => page(
            "<a href='/own'>x</a><a href='https://198.51.100.7/1'>1</a><a href='https://198.51.100.7/1'>again</a><a href='https://198.51.100.8/2'>2</a>",
        ),
        "/gone" => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
        "/noise" => "SSH-2.0-OpenSSH_9.2\r\n".into(),
        "/silent" => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            return;
        }
        "/bighead" => format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(200_000)),
        "/drip" | "/endless" => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n").await;
            if method == "HEAD" {
                return;
            }
            let (some, wait) = if path == "/drip" { (&b" "[..], 50) } else { (&[b' '; 65536][..], 0) };
            while stream.write_all(some).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            return;
        }
        many if many.starts_with("/hop") => {
            let number: usize = many[4..].parse().unwrap();
            to(&format!("/hop{}", number + 1))
        }
        _ => page("nothing here"),
    };
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn config(own: &[String]) -> RedirectsConfig {
    RedirectsConfig {
        enabled: true,
        follow: vec![Follow::Shorteners],
        own_hosts: own.to_vec(),
        hops_max: 5,
        page_bytes_max: 65536,
        page_links_max: 16,
        links_max: 8,
        seconds_max: 4,
        request_seconds_max: 1,
        concurrent_max: 8,
        cache_entries_max: 0,
        cache_minutes: 60,
        from_address: String::new(),
        user_agent: "test".into(),
    }
}

/// Only this server is reached: what lies at public addresses is never asked in these tests, as nothing answers there.
fn follower(server: &Server) -> Redirects {
    Redirects::new(config(&[format!("127.0.0.1:{}", server.port)])).unwrap()
}

async fn check(path: &str, links: &[&str], gap: Option<GapReason>) {
    let server = Server::start().await;
    let followed = follower(&server).follow(&server.url(path)).await;
    let own = server.url("");
    let seen: Vec<String> = followed.links.iter().map(|link| link.replace(&own, "")).collect();
    assert_eq!(seen, links, "{path}");
    assert_eq!(followed.gap.as_ref().map(|gap| gap.0), gap, "{path}: {:?}", followed.gap);
    if let Some((_, detail)) = followed.gap {
        assert!(!detail.contains("127.0.0.1") && !detail.contains(path), "a gap's detail holds no part of a link");
    }
}

#[tokio::test]
async fn what_sends_on_is_followed() {
    check("/plain", &[], None).await;
    check("/cookie", &["/plain"], None).await;
    check("/app", &["intent://pay#Intent;package=evil;end"], None).await;
    check("/script", &["javascript:alert(1)"], None).await;
    check("/password", &["/plain"], None).await;
    check("/bio", &["https://198.51.100.7/1", "https://198.51.100.8/2"], None).await;
}

/// The end is known and judged; that nobody could be asked there is a gap (documentation addresses are not public).
#[tokio::test]
async fn an_end_that_is_not_asked_is_known_and_a_gap() {
    let gap = Some(GapReason::FetchFailed);
    check("/a", &["/b", "https://198.51.100.7/pay?x=1"], gap).await;
    check("/nohead", &["https://198.51.100.7/got"], gap).await;
    check("/hangsup", &["https://198.51.100.7/got"], gap).await;
    check("/meta", &["https://198.51.100.7/meta"], gap).await;
    check("/header", &["https://198.51.100.7/refresh"], gap).await;
    check("/inside", &["http://10.0.0.1/admin"], gap).await;
    check("/localhost", &["http://localhost/"], gap).await;
    check("/port", &["http://198.51.100.7:22/"], gap).await;
}

#[tokio::test]
async fn what_cannot_be_resolved_is_a_gap() {
    check("/gone", &[], Some(GapReason::FetchFailed)).await;
    check("/noise", &[], Some(GapReason::FetchFailed)).await;
    check("/bighead", &[], Some(GapReason::FetchFailed)).await;
    check("/loop", &["/loop2", "/loop"], Some(GapReason::Limits)).await;
    check("/hop1", &["/hop2", "/hop3", "/hop4", "/hop5", "/hop6", "/hop7"], Some(GapReason::Limits)).await;
}

#[tokio::test]
async fn slow_servers_hold_nobody_up() {
    let start = Instant::now();
    check("/silent", &[], Some(GapReason::Timeout)).await;
    check("/drip", &[], Some(GapReason::Timeout)).await;
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_endless_page_is_read_to_its_bound() {
    let start = Instant::now();
    check("/endless", &[], None).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

/// Neither the sender's own link nor a name that leads inside is asked, unless the operator named it.
#[tokio::test]
async fn nobody_inside_is_asked() {
    let server = Server::start().await;
    let follower = Redirects::new(config(&[])).unwrap();
    for url in [
        server.url("/a"),
        "http://localhost/".into(),
        "http://[::1]/".into(),
        "http://[::ffff:127.0.0.1]/".into(),
        "http://0x7f.1/".into(),
        "http://169.254.169.254/latest/meta-data".into(),
        "http://10.1.2.3/".into(),
    ] {
        let followed = follower.follow(&url).await;
        assert_eq!(followed.gap.map(|gap| gap.0), Some(GapReason::FetchFailed), "{url}");
        assert!(followed.links.is_empty());
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn no_cookie_and_no_referrer_go_out() {
    let server = Server::start().await;
    follower(&server).follow(&server.url("/cookie")).await;
    assert_eq!(server.asked(), ["HEAD /cookie", "HEAD /plain"]);
    for head in server.requests.lock().unwrap().iter() {
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("cookie:") && !head.contains("referer:") && !head.contains("authorization:"), "{head}");
        assert!(
            head.contains("user-agent: test\r\n") && head.contains(&format!("host: 127.0.0.1:{}\r\n", server.port))
        );
    }
}

#[tokio::test]
async fn what_is_known_is_not_asked_again() {
    let server = Server::start().await;
    let own = [format!("127.0.0.1:{}", server.port)];
    let follower = Redirects::new(RedirectsConfig { cache_entries_max: 2, ..config(&own) }).unwrap();
    let first = follower.follow(&server.url("/cookie")).await;
    assert_eq!(first, follower.follow(&server.url("/cookie")).await);
    assert_eq!(server.asked().len(), 2);
    // The bound pushes the oldest out.
    follower.follow(&server.url("/plain")).await;
    follower.follow(&server.url("/app")).await;
    follower.follow(&server.url("/cookie")).await;
    assert_eq!(server.asked().iter().filter(|asked| *asked == "HEAD /cookie").count(), 2);
}

#[tokio::test]
async fn only_so_many_are_asked_at_one_time() {
    static OPEN: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                MOST.fetch_max(OPEN.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
                OPEN.fetch_sub(1, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            });
        }
    });
    let own = [format!("127.0.0.1:{port}")];
    let follower = Redirects::new(RedirectsConfig { concurrent_max: 2, ..config(&own) }).unwrap();
    let urls: Vec<String> = (0..8).map(|number| format!("http://127.0.0.1:{port}/{number}")).collect();
    let all: Vec<Followed> = futures_util::future::join_all(urls.iter().map(|url| follower.follow(url))).await;
    assert!(all.iter().all(|followed| followed.gap.is_none()));
    assert!(MOST.load(Ordering::SeqCst) <= 2);
}

#[test]
fn what_is_asked_is_what_the_operator_wants() {
    let config = RedirectsConfig { follow: vec![Follow::Shorteners], ..config(&["go.example.com".into()]) };
    let follower = Redirects::new(config).unwrap();
    assert!(follower.follows("https://bit.ly/x", Some(Elsewhere::Shortener)));
    assert!(!follower.follows("https://linktr.ee/x", Some(Elsewhere::LinkInBio)));
    assert!(!follower.follows("https://example.com/", None));
    assert!(follower.follows("https://go.example.com/x", None));
    assert!(!follower.follows("https://go.example.com:8443/x", None));
}

#[test]
fn mistakes_name_their_key() {
    let wrong = |config: RedirectsConfig| Redirects::new(config).map(drop).unwrap_err().to_string();
    assert_eq!(wrong(RedirectsConfig { hops_max: 0, ..config(&[]) }), "`redirects.hops_max` must not be 0");
    assert!(wrong(config(&["http://a.example/".into()])).starts_with("`redirects.own_hosts` holds"));
    assert!(wrong(RedirectsConfig { from_address: "eth0".into(), ..config(&[]) }).contains("from_address"));
    assert!(wrong(RedirectsConfig { user_agent: "é".into(), ..config(&[]) }).contains("user_agent"));
}
