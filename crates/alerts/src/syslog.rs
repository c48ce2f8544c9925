//! Syslog as RFC 5424 wants it, over UDP (RFC 5426), TCP with octet counting (RFC 6587) or a unix socket.

use crate::{ConfigError, Millis, time::rfc3339};
use std::{path::PathBuf, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket, UnixDatagram, UnixStream},
    sync::Mutex,
    time::timeout,
};

const WAIT_MAX: Duration = Duration::from_secs(5);
/// Largest message; what RFC 5424 says every receiver should take is 2048, collectors for JSON take far more.
const MESSAGE_BYTES_MAX: usize = 60 * 1024;

/// `udp:host:514`, `tcp:host:601`, `unix:/dev/log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Udp(String),
    Tcp(String),
    Unix(PathBuf),
}

impl Address {
    pub(crate) fn read(key: &'static str, text: &str) -> Result<Self, ConfigError> {
        let wrong = || {
            let mend = "udp:host:514, tcp:host:601 or unix:/dev/log; empty for off";
            ConfigError::new(key, format!("is no syslog address: `{text}`"), mend)
        };
        let host_and_port = |rest: &str| {
            let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
            port.parse::<u16>().map_err(|_| wrong())?;
            if host.is_empty() { Err(wrong()) } else { Ok(rest.to_owned()) }
        };
        match text.split_once(':') {
            Some(("udp", rest)) => host_and_port(rest).map(Address::Udp),
            Some(("tcp", rest)) => host_and_port(rest).map(Address::Tcp),
            Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(path.into())),
            _ => Err(wrong()),
        }
    }
}

/// Sends messages one at a time; keeps a TCP connection.
pub(crate) struct Sender {
    address: Address,
    facility: u8,
    host: String,
    tcp: Mutex<Option<TcpStream>>,
}

impl Sender {
    pub(crate) fn new(address: Address, facility: u8) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Sender { address, facility, host: header_word(&host, 255), tcp: Mutex::new(None) }
    }

    /// `kind`: MSGID. One line of `text`; control characters become spaces.
    pub(crate) async fn send(&self, severity: u8, at: Millis, kind: &str, text: &str) -> Result<(), String> {
        let message = format(self.facility, severity, at, &self.host, kind, text);
        match timeout(WAIT_MAX, self.send_message(message.as_bytes())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the syslog server did not take it in time".into()),
        }
    }

    async fn send_message(&self, message: &[u8]) -> std::io::Result<()> {
        match &self.address {
            Address::Udp(address) => {
                let target = tokio::net::lookup_host(address.as_str()).await?.next();
                let target =
                    target.ok_or_else(|| std::io::Error::other("the syslog server's name does not resolve"))?;
                let local = if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                UdpSocket::bind(local).await?.send_to(message, target).await.map(drop)
            }
            Address::Tcp(address) => {
                let framed = [format!("{} ", message.len()).as_bytes(), message].concat();
                let mut kept = self.tcp.lock().await;
                // A connection the server closed meanwhile is seen only by reading it.
                let usable = kept.take().filter(|stream| matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock));
                let mut stream = match usable {
                    Some(stream) => stream,
                    None => TcpStream::connect(address.as_str()).await?,
                };
                stream.write_all(&framed).await?;
                stream.flush().await?;
                *kept = Some(stream);
                Ok(())
            }
            Address::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                match socket.send_to(message, path).await {
                    Ok(_) => Ok(()),
                    // Some daemons listen on a stream socket.
                    Err(_) => {
                        let mut stream = UnixStream::connect(path).await?;
                        stream.write_all(message).await?;
                        stream.write_all(b"\n").await
                    }
                }
            }
        }
    }
}

/// `<PRI>1 TIME HOST guarita PID KIND - BOM text`
fn format(facility: u8, severity: u8, at: Millis, host: &str, kind: &str, text: &str) -> String {
    let pri = u32::from(facility) * 8 + u32::from(severity);
    let (time, pid, kind) = (rfc3339(at), std::process::id(), header_word(kind, 32));
    let mut message = format!("<{pri}>1 {time} {host} guarita {pid} {kind} - \u{feff}");
    message.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    message
}

/// A header's field: printable ASCII without spaces, `-` for nothing.
fn header_word(text: &str, chars_max: usize) -> String {
    let word: String = text.chars().filter(char::is_ascii_graphic).take(chars_max).collect();
    if word.is_empty() { "-".into() } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[test]
    fn a_message_is_one_line_with_a_header_of_seven_words() {
        let message = format(16, 4, 1_795_344_171_042, "host", "malware_held", "Retido\nlinha 2 \u{7}");
        let pid = std::process::id();
        assert_eq!(
            message,
            format!("<132>1 2026-11-22T10:42:51.042Z host guarita {pid} malware_held - \u{feff}Retido linha 2  ")
        );
        assert!(format(16, 4, 0, "h", "k", &"é".repeat(100_000)).len() <= MESSAGE_BYTES_MAX);
        assert_eq!(header_word("a b\u{e9}\n", 9), "ab");
        assert_eq!(header_word("", 9), "-");
    }

    #[test]
    fn addresses() {
        let read = |text| Address::read("k", text);
        assert_eq!(read("udp:[::1]:514"), Ok(Address::Udp("[::1]:514".into())));
        assert_eq!(read("tcp:log.example.com:601"), Ok(Address::Tcp("log.example.com:601".into())));
        assert_eq!(read("unix:/dev/log"), Ok(Address::Unix("/dev/log".into())));
        for wrong in ["", "udp:host", "tcp::601", "tcp:host:x", "unix:dev/log", "host:514", "tls:host:6514"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn over_udp_tcp_and_unix() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let sender = Sender::new(Address::Udp(server.local_addr().unwrap().to_string()), 16);
        sender.send(4, 0, "test", "oi").await.unwrap();
        let mut buffer = [0; 2000];
        let got = server.recv(&mut buffer).await.unwrap();
        assert!(String::from_utf8_lossy(&buffer[..got]).ends_with("\u{feff}oi"));

        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sender = Sender::new(Address::Tcp(server.local_addr().unwrap().to_string()), 16);
        sender.send(4, 0, "test", "um").await.unwrap();
        let (mut first, _) = server.accept().await.unwrap();
        sender.send(4, 0, "test", "dois").await.unwrap();
        let got = first.read(&mut buffer).await.unwrap();
        let text = String::from_utf8_lossy(&buffer[..got]).into_owned();
        let length: usize = text.split(' ').next().unwrap().parse().unwrap();
        assert!(text.as_bytes()[text.find(' ').unwrap() + 1..][..length].ends_with(b"um"), "{text}");
        drop(first);
        tokio::time::sleep(Duration::from_millis(50)).await;
        // The server restarted: the next one comes over a new connection.
        sender.send(4, 0, "test", "tres").await.unwrap();
        let (mut second, _) = server.accept().await.unwrap();
        let got = second.read(&mut buffer).await.unwrap();
        assert!(String::from_utf8_lossy(&buffer[..got]).ends_with("tres"));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        let sender = Sender::new(Address::Unix(path.clone()), 16);
        sender.send(4, 0, "test", "quatro").await.unwrap();
        let got = server.recv(&mut buffer).await.unwrap();
        assert!(String::from_utf8_lossy(&buffer[..got]).ends_with("quatro"));
        drop(server);
        assert!(sender.send(4, 0, "test", "cinco").await.is_err());
    }
}
