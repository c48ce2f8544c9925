//! Load and where it ends: a generator over kept-alive connections, and a sink that counts POSTs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinSet,
};

/// Answers 200 to everything and counts it.
pub struct Sink {
    port: u16,
    count: Arc<AtomicUsize>,
}

impl Sink {
    pub async fn start() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let port = listener.local_addr().expect("it is bound").port();
        let count = Arc::new(AtomicUsize::new(0));
        let shared = count.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(swallow(stream, shared.clone()));
            }
        });
        Sink { port, count }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("http://{}/webhook", self.address())
    }

    pub fn reset(&self) {
        self.count.store(0, Ordering::Relaxed);
    }

    pub async fn wait_for(&self, count: usize, longest: Duration) {
        let end = Instant::now() + longest;
        while self.count.load(Ordering::Relaxed) < count {
            assert!(Instant::now() < end, "{} of {count} arrived", self.count.load(Ordering::Relaxed));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn swallow(mut stream: TcpStream, count: Arc<AtomicUsize>) {
    let (mut buffer, mut filled) = (vec![0u8; 64 * 1024], 0);
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(read) if read > 0 => filled += read,
            _ => return,
        }
        let mut start = 0;
        while let Some(length) = message_length(&buffer[start..filled]) {
            if start + length > filled {
                break;
            }
            start += length;
            count.fetch_add(1, Ordering::Relaxed);
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                return;
            }
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        if filled == buffer.len() {
            buffer.resize(filled * 2, 0);
        }
    }
}

/// Head and body of the HTTP message at the start of `bytes`, once the head is there.
fn message_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some(head + length.unwrap_or(0))
}

/// Sends everything as fast as it is answered; returns how many answers were 200.
pub async fn blast(address: &str, requests: Vec<Vec<u8>>, connections: usize) -> usize {
    let requests = Arc::new(Mutex::new(requests.into_iter()));
    let mut work = JoinSet::new();
    for _ in 0..connections {
        let (requests, address) = (requests.clone(), address.to_owned());
        work.spawn(async move {
            let mut stream = connect(&address).await;
            let mut ok = 0;
            loop {
                let next = requests.lock().await.next();
                let Some(request) = next else { return ok };
                let mut answered = exchange(&mut stream, &request).await;
                if !answered {
                    // Some close after an answer: the next needs a connection of its own.
                    stream = connect(&address).await;
                    answered = exchange(&mut stream, &request).await;
                }
                ok += usize::from(answered);
            }
        });
    }
    let mut ok = 0;
    while let Some(done) = work.join_next().await {
        ok += done.expect("the generator does not panic");
    }
    ok
}

/// How late the runtime's timer may fire by itself.
const TIMER_SLACK: Duration = Duration::from_millis(2);

pub struct Steady {
    pub ok: u32,
    /// Milliseconds from the moment a request was due, so that a stall counts for all it delayed.
    waits: Vec<f64>,
}

impl Steady {
    pub fn quantile(&self, q: f64) -> f64 {
        self.waits[((self.waits.len() - 1) as f64 * q) as usize]
    }
}

/// Sends at `rate` a second, whether or not earlier ones were answered (as long as a connection is free).
pub async fn steady(address: &str, requests: Vec<Vec<u8>>, rate: u32, connections: usize) -> Steady {
    let begin = Instant::now() + Duration::from_millis(50);
    let mut lanes: Vec<Vec<(Instant, Vec<u8>)>> = (0..connections).map(|_| Vec::new()).collect();
    for (number, request) in requests.into_iter().enumerate() {
        let due = begin + Duration::from_secs_f64(number as f64 / f64::from(rate));
        lanes[number % connections].push((due, request));
    }
    let mut work = JoinSet::new();
    for lane in lanes {
        let address = address.to_owned();
        work.spawn(async move {
            let mut stream = connect(&address).await;
            let (mut ok, mut waits) = (0, Vec::with_capacity(lane.len()));
            for (due, request) in lane {
                tokio::time::sleep_until(due.into()).await;
                let sent = Instant::now();
                ok += u32::from(exchange(&mut stream, &request).await);
                // A timer fires up to a millisecond or two late: that is not the gateway's doing. More is: the answer
                // before it kept the connection busy.
                let late = sent.saturating_duration_since(due).saturating_sub(TIMER_SLACK);
                waits.push((sent.elapsed() + late).as_secs_f64() * 1000.0);
            }
            (ok, waits)
        });
    }
    let mut all = Steady { ok: 0, waits: Vec::new() };
    while let Some(done) = work.join_next().await {
        let (ok, waits) = done.expect("the generator does not panic");
        all.ok += ok;
        all.waits.extend(waits);
    }
    all.waits.sort_by(f64::total_cmp);
    all
}

async fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let _ = stream.set_nodelay(true);
    stream
}

async fn exchange(stream: &mut TcpStream, request: &[u8]) -> bool {
    if stream.write_all(request).await.is_err() {
        return false;
    }
    let (mut buffer, mut filled) = ([0u8; 16 * 1024], 0);
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(read) if read > 0 => filled += read,
            _ => return false,
        }
        if filled == buffer.len() {
            return false;
        }
        if message_length(&buffer[..filled]).is_some_and(|length| length <= filled) {
            return buffer.starts_with(b"HTTP/1.1 200");
        }
    }
}
