//! Graph that is slow, endless, compressed, cut short or silent: raw answers on a raw socket.

use crate::rig::{Rig, TOKEN, ana};
use guarita_testkit::{Media, MetaStandIn, payload, samples};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// How a download is answered; the last digit of the media id chooses. `gate`: what drips ends once it opens.
async fn answer(
    mut stream: TcpStream,
    address: String,
    content: Vec<u8>,
    gate: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 * 1024 {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    if let Some(id) = path.strip_prefix("/v23.0/").map(|rest| rest.split('?').next().unwrap_or_default().to_owned()) {
        let body = format!(r#"{{"url":"http://{address}/file/{id}","id":"{id}","messaging_product":"whatsapp"}}"#);
        let text = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        return stream.write_all(text.as_bytes()).await;
    }
    let ok =
        |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-type: application/pdf\r\ncontent-length: {length}\r\n\r\n");
    match path.chars().last() {
        // Drips until the gate opens.
        Some('1') => {
            stream.write_all(ok(content.len()).as_bytes()).await?;
            let mut sent = 0;
            while !*gate.borrow() && sent + 1 < content.len() {
                stream.write_all(&content[sent..=sent]).await?;
                sent += 1;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            stream.write_all(&content[sent..]).await?;
        }
        // Endless, in chunks.
        Some('2') => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        // Less than it promised.
        Some('3') => {
            stream.write_all(ok(content.len() + 1000).as_bytes()).await?;
            stream.write_all(&content).await?;
        }
        // Packed, though nobody asked for that: the bytes are not those of the digest.
        Some('4') => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 20\r\n\r\n").await?;
            stream.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await?;
        }
        // A head, and then nothing.
        Some('5') => {
            stream.write_all(ok(content.len()).as_bytes()).await?;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        // Not even a head.
        Some('6') => tokio::time::sleep(Duration::from_secs(60)).await,
        // A redirect into the machine's own network.
        _ => {
            let text =
                "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/meta-data/\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(text.as_bytes()).await?;
        }
    }
    stream.shutdown().await
}

async fn crooked_graph(content: Vec<u8>, gate: watch::Receiver<bool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("it is bound").to_string();
    let own = address.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, own.clone(), content.clone(), gate.clone()));
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_graph_does_the_message_ends_and_nobody_else_waits() {
    let file = Media::new(samples::pdf("um"), "application/pdf");
    let (open, gate) = watch::channel(false);
    let address = crooked_graph(file.bytes.to_vec(), gate).await;
    let base = format!("http://{address}");
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[
        ("GUARITA__GRAPH__BASE_URL", &base),
        ("GUARITA__GRAPH__MEDIA_HOSTS", &address),
        ("GUARITA__GRAPH__FETCH__HEAD_TIMEOUT_MS", "1000"),
        ("GUARITA__GRAPH__FETCH__IDLE_TIMEOUT_MS", "1000"),
        ("GUARITA__GRAPH__FETCH__BYTES_MAX", "8000000"),
        ("GUARITA__POLICY__SCAN_DEADLINE_SECONDS", "12"),
        ("GUARITA__POLICY__FETCH_PATIENCE_SECONDS", "1"),
        ("GUARITA__POLICY__ON_DEADLINE", "pass"),
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
    ])
    .await;
    let cases = [
        ("9700001", "slow", None),
        ("9700002", "endless", Some("too_large")),
        ("9700003", "cut short", Some("fetch_failed")),
        ("9700004", "packed", Some("fetch_failed")),
        ("9700005", "silent after the head", Some("fetch_failed")),
        ("9700006", "silent", Some("fetch_failed")),
        ("9700007", "redirects inwards", Some("fetch_failed")),
    ];
    for (number, (id, _, _)) in cases.iter().enumerate() {
        let customer = payload::Customer::new("Ana", &format!("55119000010{number:02}"));
        let content = payload::media("document", id, &file, None, Some("um.pdf"), None);
        rig.deliver(&payload::whatsapp(&customer, &format!("wamid.{id}"), 1, content)).await;
    }
    // Somebody else's text passes while all of them are being fetched.
    rig.deliver(&payload::whatsapp(&ana(), "wamid.TEXT", 1, payload::text("oi"))).await;
    rig.arrived("wamid.TEXT").await;
    let fetched = rig.backend.received().iter().any(|one| one.message()["id"] == "wamid.9700001");
    assert!(!fetched, "the slow one was no slow one");
    open.send(true).expect("the stand-in listens");
    for (id, how, gap) in cases {
        let got = rig.arrived(&format!("wamid.{id}")).await;
        let message = got.message();
        let gaps = message["guarita"]["gaps"].to_string();
        let (status, _, _) = MetaStandIn::get(&format!("{}/v23.0/{id}", rig.door()), Some(TOKEN)).await.unwrap();
        match gap {
            // No clamd here, and `on_deadline = "pass"`: what was fetched is served, as unscanned.
            None => assert_eq!(status, 200, "{how}: {message}\n{}", rig.log()),
            Some(reason) => {
                assert!(gaps.contains(reason), "{how}: {gaps}\n{}", rig.log());
                assert_eq!(status, 404, "{how}: what was not fetched whole must not be served");
            }
        }
        assert_eq!(message["guarita"]["verdict"], "unscanned", "{how}: {message}");
        assert!(!String::from_utf8_lossy(&got.body).contains("169.254"), "{how}");
    }
}
