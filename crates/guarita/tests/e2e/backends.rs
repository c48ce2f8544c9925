//! Backends that hang, reset, answer half, too early, twice, elsewhere: raw answers on a raw socket. The first attempt of
//! each message is answered so; every later one with a plain 200.

use crate::rig::{Rig, ana};
use guarita_testkit::payload::{self, Customer};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Name, what the first attempt is answered, and how many attempts there must be.
const ANSWERS: &[(&str, &[u8], usize)] = &[
    ("hangs", b"", 2),
    ("resets", b"", 2),
    ("half-head", b"HTTP/1.1 200 O", 2),
    ("garbage", b"SSH-2.0-OpenSSH_9.2\r\n", 2),
    // The head is the answer; the rest of a body says nothing more.
    ("half-body", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc", 1),
    (
        "early-hints",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        1,
    ),
    ("no-content", b"HTTP/1.1 204 No Content\r\n\r\n", 1),
    ("not-modified", b"HTTP/1.1 304 Not Modified\r\n\r\n", 2),
    ("redirects", b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://ELSEWHERE/\r\ncontent-length: 0\r\n\r\n", 2),
    // What follows the first answer is nobody's: it must not count for the next delivery of that connection.
    ("twice", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", 1),
    ("endless-head", b"HTTP/1.1 200 OK\r\nx: ", 2),
];

type Attempts = Arc<Mutex<HashMap<String, Vec<String>>>>;

async fn answer(stream: &mut TcpStream, attempts: &Attempts, elsewhere: &str) -> std::io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let header = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let name = body.split("wamid.").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned();
    let attempt = {
        let mut attempts = attempts.lock().expect("no holder of this lock panics");
        let of_this = attempts.entry(name.clone()).or_default();
        of_this.push(header("x-guarita-delivery"));
        of_this.len()
    };
    if attempt > 1 {
        stream.write_all(OK).await?;
        return Ok(true);
    }
    let (_, bytes, _) = ANSWERS.iter().find(|(known, ..)| *known == name).expect("only these are sent");
    let bytes = String::from_utf8_lossy(bytes).replace("ELSEWHERE", elsewhere);
    match name.as_str() {
        "hangs" => tokio::time::sleep(Duration::from_secs(30)).await,
        "resets" => stream.set_zero_linger()?,
        "endless-head" => {
            stream.write_all(bytes.as_bytes()).await?;
            while stream.write_all(&[b'x'; 1024]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        _ => stream.write_all(bytes.as_bytes()).await?,
    }
    Ok(matches!(name.as_str(), "no-content" | "not-modified" | "twice" | "redirects" | "early-hints"))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_backend_answers_each_message_arrives_under_one_delivery_id() {
    let (attempts, visits) = (Attempts::default(), Arc::new(AtomicUsize::new(0)));
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere_at = elsewhere.local_addr().unwrap().to_string();
    let counted = visits.clone();
    tokio::spawn(async move {
        while elsewhere.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", backend.local_addr().unwrap());
    let seen = attempts.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = backend.accept().await {
            let (seen, elsewhere) = (seen.clone(), elsewhere_at.clone());
            tokio::spawn(async move { while let Ok(true) = answer(&mut stream, &seen, &elsewhere).await {} });
        }
    });
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
        ("GUARITA__BACKEND__URL", &url),
        ("GUARITA__BACKEND__RESPONSE_SECONDS_MAX", "1"),
    ])
    .await;
    for (at, (name, ..)) in ANSWERS.iter().enumerate() {
        let customer = Customer::new("C", &format!("55119000001{at:02}"));
        rig.deliver(&payload::whatsapp(&customer, &format!("wamid.{name}"), 1, payload::text("oi"))).await;
    }
    let enough = |attempts: &HashMap<String, Vec<String>>| {
        ANSWERS.iter().all(|(name, _, times)| attempts.get(*name).is_some_and(|ids| ids.len() >= *times))
    };
    let end = Instant::now() + Duration::from_secs(60);
    while !enough(&attempts.lock().unwrap()) {
        assert!(Instant::now() < end, "{:?}\n{}", attempts.lock().unwrap(), rig.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What was accepted is not sent again.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for (name, _, times) in ANSWERS {
        let ids = attempts.lock().unwrap()[*name].clone();
        assert_eq!(ids.len(), *times, "{name}: {ids:?}");
        assert!(ids.iter().all(|id| !id.is_empty() && *id == ids[0]), "{name} came under several ids: {ids:?}");
    }
    assert_eq!(visits.load(Ordering::Relaxed), 0, "a redirect was followed: customers' messages went elsewhere");
}

/// A first refusal after an outage is a deployment in progress, and no reason to give up.
#[tokio::test(flavor = "multi_thread")]
async fn three_refusals_are_meant_whatever_failed_before() {
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    rig.backend.answer_with(500);
    rig.deliver(&payload::whatsapp(&ana(), "wamid.R1", 1, payload::text("oi"))).await;
    assert!(rig.backend.wait_until(20, |all| all.len() >= 2).await, "{}", rig.log());
    rig.backend.answer_with(404);
    assert!(rig.backend.wait_until(30, |all| all.len() >= 3).await, "{}", rig.log());
    rig.backend.answer_with(200);
    assert!(rig.backend.wait_until(30, |all| all.len() >= 4).await, "it was given up at the first 404\n{}", rig.log());
}
