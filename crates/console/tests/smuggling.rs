//! Requests whose length can be read in two ways, and bodies that hold a second request: one answer for one request, so
//! that a proxy in front and this door never disagree about where the next one begins.

mod common;

use common::{Console, console};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Duration, timeout},
};

/// What would show that a hidden request was taken for one: `/healthz` answers to anybody.
const HIDDEN: &str = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";

/// Status lines of everything that is answered within half a second of silence.
async fn answers(console: &Console, sent: &[u8]) -> Vec<u16> {
    let mut stream = TcpStream::connect(console.base.trim_start_matches("http://")).await.expect("it listens");
    // The door may close before it has read all.
    let _ = stream.write_all(sent).await;
    let mut seen = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(Ok(count @ 1..)) = timeout(Duration::from_millis(500), stream.read(&mut buffer)).await {
        seen.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8_lossy(&seen).into_owned();
    text.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_request_is_never_answered() {
    let console = console().await;
    assert_eq!(answers(&console, format!("{HIDDEN}{HIDDEN}").as_bytes()).await, [200, 200], "the test sees both");
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    for head in [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked", chunked.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}", chunked.len()),
        "Content-Length: 0\r\nContent-Length: 5".into(),
        "Content-Length: 5\r\nContent-Length: 0".into(),
        "Content-Length: 0, 5".into(),
        "Content-Length: +0".into(),
        "Content-Length: 0x0".into(),
        "Content-Length: -1".into(),
        "Content-Length: 99999999999999999999".into(),
        "Content-Length : 0".into(),
        "Transfer-Encoding: xchunked".into(),
        "Transfer-Encoding: chunked, identity".into(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".into(),
        "Transfer-Encoding:\r\n chunked".into(),
        "X: a\r\n b".into(),
    ] {
        for body in [chunked.clone(), HIDDEN.to_owned()] {
            let request = format!("POST /login HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n{body}");
            let seen = answers(&console, request.as_bytes()).await;
            assert!(!seen.contains(&200), "{head}: {seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_no_request_of_its_own() {
    let console = console().await;
    let (cookie, csrf) = console.session("admin").await;
    let filling = HIDDEN.repeat(300_000 / HIDDEN.len());
    let body = format!("csrf={csrf}&text={filling}");
    let head = format!(
        "POST /rules/try HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    );
    let seen = answers(&console, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
    assert_eq!(seen, [413]);
    let seen = answers(&console, format!("{head}Content-Length: 4000000000\r\n\r\n{body}").as_bytes()).await;
    assert_eq!(seen, [413], "it does not wait for what was announced");
    let chunks: String = (0..40).map(|_| format!("2000\r\n{}\r\n", "a".repeat(0x2000))).collect();
    let request = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n{HIDDEN}");
    assert_eq!(answers(&console, request.as_bytes()).await, [413]);
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(200_000));
    assert!(answers(&console, long.as_bytes()).await.iter().all(|status| *status >= 400));
    let many: String = (0..200).map(|n| format!("X-{n}: a\r\n")).collect();
    assert_eq!(answers(&console, format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes()).await, [431]);
}
