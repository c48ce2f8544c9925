//! Peers on a real socket: each answers what its script says, step by step, and closes. What it was asked is kept.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses its share

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

pub enum Step {
    Send(Vec<u8>),
    Wait(u64),
    /// The same bytes so many times.
    Repeat(Vec<u8>, usize),
    /// The same bytes until the other side closes.
    Endless(Vec<u8>),
    /// Silence until the other side closes.
    Hold,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET /v23.0/1?x=y`
    pub line: String,
    pub head: String,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

pub struct Peer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Peer {
    /// `script`: what to answer to the n-th request (from 0).
    pub async fn start(script: impl Fn(usize, &Asked) -> Vec<Step> + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (script, seen) = (Arc::new(script), asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (script, seen) = (script.clone(), seen.clone());
                tokio::spawn(async move {
                    let Some(asked) = read_request(&mut stream).await else { return };
                    let number = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(asked.clone());
                        seen.len() - 1
                    };
                    play(&mut stream, script(number, &asked)).await;
                });
            }
        });
        Peer { address, asked }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Asked> {
    let mut raw = Vec::new();
    let end = loop {
        if let Some(end) = raw.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(raw[..end].to_vec()).unwrap();
    let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let mut asked = Asked { line, head, body: raw[end + 4..].to_vec() };
    if let Some(length) = asked.header("content-length").map(|l| l.parse::<usize>().unwrap()) {
        while asked.body.len() < length {
            if stream.read_buf(&mut asked.body).await.ok()? == 0 {
                return None;
            }
        }
    } else if asked.header("transfer-encoding").is_some() {
        while !asked.body.ends_with(b"0\r\n\r\n") {
            if stream.read_buf(&mut asked.body).await.ok()? == 0 {
                return None;
            }
        }
    }
    Some(asked)
}

async fn play(stream: &mut TcpStream, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Step::Repeat(bytes, times) => {
                for _ in 0..times {
                    if stream.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            }
            Step::Wait(ms) => sleep(Duration::from_millis(ms)).await,
            Step::Endless(bytes) => while stream.write_all(&bytes).await.is_ok() {},
            Step::Hold => {
                let mut rest = [0; 64];
                while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
            }
        }
    }
    let _ = stream.shutdown().await;
}

/// A whole answer.
pub fn answer(status: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<Step> {
    let body = body.as_ref();
    let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !headers.iter().any(|(name, _)| matches!(*name, "Content-Length" | "Transfer-Encoding")) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    vec![Step::Send([head.as_bytes(), b"\r\n", body].concat())]
}
