//! A large document costs no memory on its way: fetched, stored, served. Alone in its process, so that the number is its
//! own.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod peers;

use guarita_media::{
    BlobStore, DiskBlobs, Door, DoorConfig, Fetcher, GraphConfig, MediaIndex, MediaKeys, MediaState, StoredMedia,
};
use guarita_message::MediaRef;
use peers::{Peer, Step};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const PIECE: usize = 64 * 1024;
const PIECES: usize = 1600;
const GROWTH_BYTES_MAX: u64 = 16 << 20;

/// The most this process ever had in memory.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test]
async fn a_hundred_megabytes_pass_through() {
    let cdn = Peer::start(|_, _| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PIECE * PIECES);
        vec![Step::Send(head.into_bytes()), Step::Repeat(vec![7; PIECE], PIECES)]
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let keys = MediaKeys::derive(&[1; 32]);
    let blobs: Arc<dyn BlobStore> = Arc::new(DiskBlobs::open(folder.path().join("blobs"), &keys).unwrap());
    let index = MediaIndex::open(&folder.path().join("media.sqlite"), &keys).unwrap();
    let graph = GraphConfig { base_url: cdn.url(""), media_hosts: vec!["127.0.0.1".into()], ..GraphConfig::default() };
    let fetcher = Fetcher::new(&graph, blobs.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = DoorConfig { public_url: format!("http://{address}"), ..DoorConfig::default() };
    let door = Arc::new(Door::new(&config, &graph, &[], index.clone(), blobs, &keys).unwrap());
    tokio::spawn(door.clone().serve(listener, std::future::pending()));

    let before = peak();
    let began = Instant::now();
    let media = MediaRef { url: Some(cdn.url("/large")), ..MediaRef::default() };
    let fetched = fetcher.fetch(&media, "", "", began + Duration::from_secs(110)).await.unwrap();
    assert_eq!(fetched.bytes, (PIECE * PIECES) as u64);
    let fetching = began.elapsed();

    let content = StoredMedia { hash: fetched.hash, bytes: fetched.bytes, mime_type: "a/b".into(), name: None };
    index.decide(1, vec![(index.key("1"), MediaState::Served(content))]).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let url = door.webhook_url("1", now);
    let path = url.strip_prefix(&format!("http://{address}")).unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut out, mut read) = (vec![0; PIECE], 0);
    let began = Instant::now();
    loop {
        match stream.read(&mut out).await.unwrap() {
            0 => break,
            n => read += n,
        }
    }
    let grown = peak() - before;
    eprintln!("100 MiB: fetched in {fetching:?}, served in {:?}, {} KiB more memory", began.elapsed(), grown >> 10);
    assert!(read > PIECE * PIECES);
    assert!(grown < GROWTH_BYTES_MAX, "{} KiB", grown >> 10);
}
