//! Every refusal of the public door, and that none of them stores anything.

use crate::rig::{APP_SECRET, Rig, VERIFY, ana};
use guarita_testkit::payload;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// One raw exchange: what is written, and the head of the answer, or nothing if the gateway just closes.
async fn exchange(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the door is open");
    let _ = stream.write_all(request).await;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut buffer)).await {
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
        if answer.windows(4).any(|four| four == b"\r\n\r\n") {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

fn post(headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut request = b"POST /webhook HTTP/1.1\r\nhost: guarita\r\n".to_vec();
    for (name, value) in headers {
        request.extend(format!("{name}: {value}\r\n").bytes());
    }
    request.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
    request.extend(body);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_and_not_stored() {
    // Without a clamd the gateway is not ready, and its public door must work all the same.
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[
        ("GUARITA__RECEIVE__BODY_SECONDS_MAX", "1"),
        ("GUARITA__RECEIVE__HEADER_SECONDS_MAX", "1"),
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
    ])
    .await;
    let body = payload::whatsapp(&ana(), "wamid.R1", 1, payload::text("oi")).to_string().into_bytes();
    let right = guarita_webhook::sign(APP_SECRET.as_bytes(), &body);
    let wrong = guarita_webhook::sign(b"another secret", &body);
    let json = ("content-type", "application/json");
    let bad_json = b"{\"object\": ".to_vec();
    let bad_json_signed = guarita_webhook::sign(APP_SECRET.as_bytes(), &bad_json);
    let huge = vec![b' '; 4_194_305];
    let huge_signed = guarita_webhook::sign(APP_SECRET.as_bytes(), &huge);
    let mut altered = body.clone();
    *altered.last_mut().expect("it is not empty") = b' ';
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no signature", post(&[json], &body), "401"),
        ("wrong signature", post(&[json, ("x-hub-signature-256", &wrong)], &body), "401"),
        ("signature of another body", post(&[json, ("x-hub-signature-256", &right)], &altered), "401"),
        ("sha1 alone", post(&[json, ("x-hub-signature", "sha1=00")], &body), "401"),
        ("garbage signature", post(&[json, ("x-hub-signature-256", "sha256=zz")], &body), "401"),
        ("media type", post(&[("content-type", "text/plain"), ("x-hub-signature-256", &right)], &body), "415"),
        ("no media type", post(&[("x-hub-signature-256", &right)], &body), "415"),
        ("not JSON", post(&[json, ("x-hub-signature-256", &bad_json_signed)], &bad_json), "400"),
        ("too large", post(&[json, ("x-hub-signature-256", &huge_signed)], &huge), "413"),
        ("another path", b"POST /other HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_vec(), "404"),
        ("another method", b"PUT /webhook HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_vec(), "405"),
        (
            "handshake, wrong token",
            b"GET /webhook?hub.mode=subscribe&hub.verify_token=x&hub.challenge=1 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
            "403",
        ),
        (
            "handshake, wrong mode",
            format!("GET /webhook?hub.mode=x&hub.verify_token={VERIFY}&hub.challenge=1 HTTP/1.1\r\nhost: x\r\n\r\n")
                .into_bytes(),
            "403",
        ),
        ("handshake, nothing", b"GET /webhook HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), "403"),
    ];
    for (name, request, expect) in cases {
        let answer = exchange(rig.public, &request).await;
        assert_eq!(status(&answer), expect, "{name}: {answer}");
    }
    // Too slow: the headers promise more than ever comes.
    let mut slow = post(&[json, ("x-hub-signature-256", &right)], &body);
    slow.truncate(slow.len() - 10);
    assert_eq!(status(&exchange(rig.public, &slow).await), "408");
    assert_eq!(status(&exchange(rig.public, b"POST /webhook HTTP/1.1\r\nhost: gua").await), "408");
    // Who connects and says nothing is owed no answer: one could be taken for that of the next request.
    assert_eq!(exchange(rig.public, b"").await, "");
    // A chunked body that grows past the bound, without a length to see it by.
    let mut chunked = format!("POST /webhook HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-hub-signature-256: {right}\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..70 {
        chunked.extend(b"10000\r\n");
        chunked.extend(vec![b' '; 0x10000]);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    assert_eq!(status(&exchange(rig.public, &chunked).await), "413");

    let (_, metrics) = rig.console_get("/metrics").await;
    for line in metrics.lines().filter(|line| line.starts_with("guarita_spool_entries")) {
        assert!(line.ends_with(" 0"), "something was stored: {line}");
    }
    assert!(metrics.contains("guarita_received_total{outcome=\"signature\"}"), "{metrics}");

    // And the right ones are taken, with the handshake's challenge as text.
    let answer = exchange(
        rig.public,
        &post(
            &[
                ("content-type", "Application/JSON; charset=utf-8"),
                ("x-hub-signature-256", &right.to_uppercase().replace("SHA256", "sha256")),
            ],
            &body,
        ),
    )
    .await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert!(answer.to_lowercase().contains("content-length: 0"), "{answer}");
    let request = format!(
        "GET /webhook?hub.mode=subscribe&hub.verify_token={VERIFY}&hub.challenge=1158201444 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    );
    let answer = exchange(rig.public, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("text/plain"), "{answer}");
    rig.arrived("wamid.R1").await;
}
