//! Clamds that misbehave, on real sockets. Each passes the self-test (unless that is its fault) and does what its name
//! says with any other file.

use guarita_scanners::{Address, eicar};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    task::JoinHandle,
    time::sleep,
};

#[derive(Clone, Debug)]
pub enum Manner {
    /// Reads the whole file, answers this, closes.
    Answering(Vec<u8>),
    /// The same, but keeps the connection open.
    NotHangingUp(Vec<u8>),
    /// Answers and closes after this many bytes of the stream.
    AnsweringEarly(usize, Vec<u8>),
    /// Reads everything, never answers.
    Stalling,
    /// Accepts and never reads.
    NeverReading,
    /// Closes after the first bytes of the stream.
    ClosingMidStream,
    /// Answers without end.
    Babbling,
    /// Says that EICAR is clean.
    FindingNothing,
    /// Says that everything is malware.
    FindingEverything,
    /// A web server.
    NotClamd,
}

impl Manner {
    pub fn answering(text: &[u8]) -> Self {
        Manner::Answering(text.to_vec())
    }
}

pub struct FakeClamd {
    pub address: Address,
    manner: Arc<Mutex<Manner>>,
    scans: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    server: JoinHandle<()>,
    path: Option<PathBuf>,
}

impl FakeClamd {
    pub fn on_unix(path: &Path, manner: Manner) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let state = State::new(manner);
        let shared = state.clone();
        let server = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                tasks.spawn(shared.clone().serve(socket));
            }
        });
        state.fake(Address::Unix(path.to_owned()), server, Some(path.to_owned()))
    }

    pub async fn on_tcp(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State::new(manner);
        let shared = state.clone();
        let server = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                tasks.spawn(shared.clone().serve(socket));
            }
        });
        state.fake(Address::Tcp("127.0.0.1".into(), port), server, None)
    }

    pub fn now(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Files it was asked about, self-tests not counted.
    pub fn scans(&self) -> usize {
        self.scans.load(Ordering::SeqCst)
    }

    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for FakeClamd {
    fn drop(&mut self) {
        self.server.abort();
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[derive(Clone)]
struct State {
    manner: Arc<Mutex<Manner>>,
    scans: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl State {
    fn new(manner: Manner) -> Self {
        State { manner: Arc::new(Mutex::new(manner)), scans: Arc::default(), open: Arc::default() }
    }

    fn fake(self, address: Address, server: JoinHandle<()>, path: Option<PathBuf>) -> FakeClamd {
        FakeClamd { address, manner: self.manner, scans: self.scans, open: self.open, server, path }
    }

    async fn serve(self, socket: impl AsyncRead + AsyncWrite + Unpin) {
        self.open.fetch_add(1, Ordering::SeqCst);
        let _ = self.talk(socket).await;
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    async fn talk(&self, mut socket: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
        let manner = self.manner.lock().unwrap().clone();
        if matches!(manner, Manner::NotClamd) {
            return socket.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
        }
        let mut command = Vec::new();
        loop {
            match socket.read_u8().await? {
                0 => break,
                byte => command.push(byte),
            }
        }
        match command.as_slice() {
            b"zVERSION" => socket.write_all(b"ClamAV 9.9.9/12345/Sat Nov 21 08:25:03 2026\0").await,
            b"zINSTREAM" => self.scan(&mut socket, manner).await,
            _ => socket.write_all(b"UNKNOWN COMMAND\0").await,
        }
    }

    async fn scan(&self, socket: &mut (impl AsyncRead + AsyncWrite + Unpin), manner: Manner) -> std::io::Result<()> {
        let first = read_chunk(socket).await?;
        let is_eicar = first == eicar();
        let is_clean_test = first.starts_with(b"guarita self-test");
        if is_eicar || is_clean_test {
            read_rest(socket).await?;
            let found = match manner {
                Manner::FindingNothing => false,
                Manner::FindingEverything => true,
                _ => is_eicar,
            };
            return socket.write_all(if found { b"stream: Eicar-Signature FOUND\0" } else { b"stream: OK\0" }).await;
        }
        self.scans.fetch_add(1, Ordering::SeqCst);
        match manner {
            Manner::Answering(answer) => {
                if !first.is_empty() {
                    read_rest(socket).await?;
                }
                socket.write_all(&answer).await
            }
            Manner::NotHangingUp(answer) => {
                read_rest(socket).await?;
                socket.write_all(&answer).await?;
                socket.flush().await?;
                sleep(Duration::from_secs(60)).await;
                Ok(())
            }
            Manner::AnsweringEarly(after, answer) => {
                let mut read = first.len();
                while read < after {
                    read += read_chunk(socket).await?.len();
                }
                socket.write_all(&answer).await
            }
            Manner::Stalling => {
                read_rest(socket).await?;
                let mut end = [0];
                let _ = socket.read(&mut end).await;
                Ok(())
            }
            Manner::NeverReading => {
                sleep(Duration::from_secs(60)).await;
                Ok(())
            }
            Manner::ClosingMidStream => Ok(()),
            Manner::Babbling => {
                read_rest(socket).await?;
                loop {
                    socket.write_all(&[b'A'; 4096]).await?;
                }
            }
            Manner::FindingNothing | Manner::FindingEverything | Manner::NotClamd => Ok(()),
        }
    }
}

async fn read_chunk(socket: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let length = socket.read_u32().await?;
    let mut chunk = vec![0; length as usize];
    socket.read_exact(&mut chunk).await?;
    Ok(chunk)
}

async fn read_rest(socket: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    while !read_chunk(socket).await?.is_empty() {}
    Ok(())
}
