//! Mail by SMTP: as much of RFC 5321 as one short message needs. STARTTLS is never optional where it is configured: a
//! server that does not offer it, or a network that hides it, gets nothing. What the server said in the clear before TLS
//! is forgotten, and so is anything it sent ahead.

use crate::{ConfigError, MailConfig, MailTls, Millis, time::rfc2822, tls};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls_pki_types::ServerName;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Longest time for the whole of one message.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Longest line and most lines of one answer.
const LINE_BYTES_MAX: u64 = 2048;
const LINES_MAX: usize = 100;
const RECIPIENTS_MAX: usize = 50;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Who is at fault, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    #[error("the mail server is not reached: {0}; check alerts.mail.server")]
    Connection(io::Error),
    #[error("the mail server did not take the message within {} s", WAIT_MAX.as_secs())]
    Late,
    #[error(
        "the mail server offers no STARTTLS: set alerts.mail.tls = \"implicit\", or \"off\" for a relay on this machine"
    )]
    NoTls,
    #[error("TLS with the mail server failed: {0}; check the name in alerts.mail.server, or set alerts.mail.ca")]
    Tls(io::Error),
    #[error("the mail server refuses the log-in ({0}): check alerts.mail.user and alerts.mail.password")]
    Login(u16),
    #[error("the mail server offers neither PLAIN nor LOGIN for the log-in")]
    NoLogin,
    #[error("the mail server answered {code} to {step}")]
    Refused { step: &'static str, code: u16 },
    #[error("the mail server does not speak SMTP")]
    Nonsense,
}

/// Sends mails, each over a connection of its own.
pub(crate) struct Mailer {
    config: MailConfig,
    host: String,
    tls: Option<TlsConnector>,
}

/// Host and port of `alerts.mail.server`.
fn server(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
}

/// An address that can stand between angle brackets and in a header, whatever the operator wrote.
fn is_address(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | ',' | ';' | '"' | '(' | ')' | '\\');
    text.len() <= 254
        && text.chars().all(plain)
        && text.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

/// For `Config::check`; an empty server means off.
pub(crate) fn check(config: &MailConfig) -> Result<(), ConfigError> {
    if config.server.is_empty() {
        return Ok(());
    }
    if server(&config.server).is_none() {
        return Err(ConfigError::new(
            "alerts.mail.server",
            "must name host and port",
            "server = \"smtp.example.com:587\"",
        ));
    }
    if !is_address(&config.from) {
        return Err(ConfigError::new("alerts.mail.from", "is no mail address", "from = \"guarita@example.com\""));
    }
    let fits = !config.to.is_empty() && config.to.len() <= RECIPIENTS_MAX && config.to.iter().all(|to| is_address(to));
    if !fits {
        return Err(ConfigError::new("alerts.mail.to", "must be 1 to 50 mail addresses", "to = [\"ops@example.com\"]"));
    }
    if config.tls == MailTls::Off && !config.password.is_empty() {
        let problem = "is `off`, and a password would go over the network in the clear";
        return Err(ConfigError::new("alerts.mail.tls", problem, "tls = \"starttls\", or no password"));
    }
    Ok(())
}

impl Mailer {
    pub(crate) fn new(config: &MailConfig) -> Result<Self, String> {
        let (host, _) = server(&config.server).ok_or("alerts.mail.server must name host and port")?;
        let tls = match config.tls {
            MailTls::Off => None,
            _ => Some(TlsConnector::from(Arc::new(tls::client(&config.ca)?))),
        };
        Ok(Mailer { config: config.clone(), host, tls })
    }

    pub(crate) async fn send(&self, subject: &str, text: &str, at: Millis) -> Result<(), MailError> {
        timeout(WAIT_MAX, self.send_now(subject, text, at)).await.map_err(|_| MailError::Late)?
    }

    async fn send_now(&self, subject: &str, text: &str, at: Millis) -> Result<(), MailError> {
        let (host, port) = server(&self.config.server).ok_or(MailError::Nonsense)?;
        let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(MailError::Connection)?;
        let mut talk = match (&self.tls, self.config.tls) {
            (Some(tls), MailTls::Implicit) => Talk::new(self.secure(tls, Box::new(tcp)).await?),
            _ => Talk::new(Box::new(tcp)),
        };
        talk.expect("the connection", 220).await?;
        let mut offers = talk.greet().await?;
        if let (Some(tls), MailTls::Starttls) = (&self.tls, self.config.tls) {
            if !offers.iter().any(|offer| offer == "STARTTLS") {
                return Err(MailError::NoTls);
            }
            talk.ask("STARTTLS", "STARTTLS", 220).await?;
            // Whatever came in the clear behind the answer is dropped with the reader's buffer.
            talk = Talk::new(self.secure(tls, talk.stream.into_inner()).await?);
            offers = talk.greet().await?;
        }
        if !self.config.user.is_empty() {
            self.log_in(&mut talk, &offers).await?;
        }
        talk.ask("MAIL FROM", &format!("MAIL FROM:<{}>", self.config.from), 250).await?;
        for to in &self.config.to {
            talk.ask("RCPT TO", &format!("RCPT TO:<{to}>"), 250).await?;
        }
        talk.ask("DATA", "DATA", 354).await?;
        let message = self.message(subject, text, at);
        talk.ask("the message", &format!("{message}\r\n."), 250).await?;
        // It is theirs now; whether they say goodbye does not matter.
        let _ = talk.ask("QUIT", "QUIT", 221).await;
        Ok(())
    }

    async fn secure(&self, tls: &TlsConnector, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, MailError> {
        let name = ServerName::try_from(self.host.clone()).map_err(|error| MailError::Tls(io::Error::other(error)))?;
        Ok(Box::new(tls.connect(name, stream).await.map_err(MailError::Tls)?))
    }

    async fn log_in(&self, talk: &mut Talk, offers: &[String]) -> Result<(), MailError> {
        let methods: Vec<&str> =
            offers.iter().filter_map(|offer| offer.strip_prefix("AUTH ")).flat_map(str::split_whitespace).collect();
        let (user, password) = (&self.config.user, &self.config.password);
        let refused = |error| match error {
            MailError::Refused { code, .. } => MailError::Login(code),
            other => other,
        };
        if methods.contains(&"PLAIN") {
            let word = STANDARD.encode(format!("\0{user}\0{password}"));
            talk.ask("AUTH", &format!("AUTH PLAIN {word}"), 235).await.map_err(refused)?;
        } else if methods.contains(&"LOGIN") {
            talk.ask("AUTH", "AUTH LOGIN", 334).await.map_err(refused)?;
            talk.ask("AUTH", &STANDARD.encode(user), 334).await.map_err(refused)?;
            talk.ask("AUTH", &STANDARD.encode(password), 235).await.map_err(refused)?;
        } else {
            return Err(MailError::NoLogin);
        }
        Ok(())
    }

    /// The text goes as base64, so no line of it can end the message or be too long.
    fn message(&self, subject: &str, text: &str, at: Millis) -> String {
        let mut id = [0; 12];
        let _ = getrandom::fill(&mut id); // if there is none, the mail has a dull id
        let domain = self.config.from.split_once('@').map_or("guarita", |(_, domain)| domain);
        let body = STANDARD.encode(text.replace('\n', "\r\n"));
        let lines: Vec<&str> = body.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        [
            format!("From: Guarita <{}>", self.config.from),
            format!("To: {}", self.config.to.join(",\r\n ")),
            format!("Subject: {}", encoded_words(subject)),
            format!("Date: {}", rfc2822(at)),
            format!("Message-ID: <{}@{domain}>", hex::encode(id)),
            "MIME-Version: 1.0".into(),
            "Content-Type: text/plain; charset=utf-8".into(),
            "Content-Transfer-Encoding: base64".into(),
            "Auto-Submitted: auto-generated".into(),
            String::new(),
            lines.join("\r\n"),
        ]
        .join("\r\n")
    }
}

/// What we call ourselves: this machine's whole name if it has one, else the address literal that RFC 5321 offers.
fn own_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let whole = name.contains('.') && name.len() <= 253 && name.chars().all(plain);
    if whole { name } else { "[127.0.0.1]".into() }
}

/// RFC 2047, in pieces that fit a line and end between characters.
fn encoded_words(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut piece = String::new();
    for c in text.chars().filter(|c| !c.is_control()).chain(['\0']) {
        if c == '\0' || piece.len() + c.len_utf8() > 42 {
            words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(&piece)));
            piece.clear();
        }
        piece.push(c);
    }
    words.join("\r\n ")
}

/// One conversation.
struct Talk {
    stream: BufReader<Box<dyn Stream>>,
}

impl Talk {
    fn new(stream: Box<dyn Stream>) -> Self {
        Talk { stream: BufReader::new(stream) }
    }

    /// What the server offers, in capitals.
    async fn greet(&mut self) -> Result<Vec<String>, MailError> {
        let offers = self.ask("EHLO", &format!("EHLO {}", own_name()), 250).await?;
        Ok(offers.into_iter().skip(1).map(|offer| offer.to_ascii_uppercase()).collect())
    }

    async fn ask(&mut self, step: &'static str, line: &str, wanted: u16) -> Result<Vec<String>, MailError> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.map_err(MailError::Connection)?;
        self.stream.flush().await.map_err(MailError::Connection)?;
        self.expect(step, wanted).await
    }

    async fn expect(&mut self, step: &'static str, wanted: u16) -> Result<Vec<String>, MailError> {
        let mut lines = Vec::new();
        while lines.len() < LINES_MAX {
            let mut line = Vec::new();
            let read = (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
            if read.map_err(MailError::Connection)? == 0 {
                return Err(MailError::Connection(io::ErrorKind::UnexpectedEof.into()));
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let code: u16 = line.get(..3).and_then(|code| code.parse().ok()).ok_or(MailError::Nonsense)?;
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return match code == wanted || (wanted == 250 && code == 251) {
                    true => Ok(lines),
                    false => Err(MailError::Refused { step, code }),
                };
            }
        }
        Err(MailError::Nonsense)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{path::PathBuf, sync::Mutex};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// How a server misbehaves, or does not.
    #[derive(Clone, Copy, PartialEq)]
    enum Manner {
        Well,
        HidesStarttls,
        /// Sends a line ahead of the TLS handshake that must not be taken for an answer after it.
        InjectsBeforeTls,
        RefusesLogin,
        OffersOnlyLogin,
        RefusesRecipient,
        TalksForever,
    }

    struct FakeServer {
        port: u16,
        said: Arc<Mutex<Vec<String>>>,
        ca: PathBuf,
        _folder: tempfile::TempDir,
    }

    async fn start(manner: Manner, implicit: bool) -> FakeServer {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, key.cert.pem()).unwrap();
        let private = rustls_pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = said.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, said) = (acceptor.clone(), said.clone());
                tokio::spawn(async move {
                    if implicit {
                        let Ok(tls) = acceptor.accept(tcp).await else { return };
                        serve(manner, BufReader::new(Box::new(tls) as Box<dyn Stream>), None, said).await;
                    } else {
                        serve(manner, BufReader::new(Box::new(tcp) as Box<dyn Stream>), Some(acceptor), said).await;
                    }
                });
            }
        });
        FakeServer { port, said: kept, ca, _folder: folder }
    }

    async fn serve(
        manner: Manner,
        mut stream: BufReader<Box<dyn Stream>>,
        mut acceptor: Option<TlsAcceptor>,
        said: Arc<Mutex<Vec<String>>>,
    ) {
        let note = |line: &str| said.lock().unwrap().push(line.to_owned());
        let mut greeting = true;
        let mut data = false;
        loop {
            let answer = if std::mem::take(&mut greeting) {
                "220 fake ESMTP".to_owned()
            } else {
                let mut line = String::new();
                if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
                    return;
                }
                let line = line.trim_end().to_owned();
                note(&line);
                if data {
                    if line != "." {
                        continue;
                    }
                    data = false;
                    "250 queued".to_owned()
                } else if line.starts_with("EHLO") {
                    let tls = match (&acceptor, manner) {
                        (Some(_), Manner::HidesStarttls) | (None, _) => "",
                        _ => "250-STARTTLS\r\n",
                    };
                    if manner == Manner::TalksForever {
                        "250-more\r\n".repeat(500)
                    } else {
                        let auth = if manner == Manner::OffersOnlyLogin { "LOGIN" } else { "PLAIN LOGIN" };
                        format!("250-fake\r\n{tls}250-8BITMIME\r\n250 AUTH {auth}")
                    }
                } else if line == "STARTTLS" {
                    let ahead = if manner == Manner::InjectsBeforeTls { "\r\n250 injected" } else { "" };
                    let _ = stream.write_all(format!("220 go ahead{ahead}\r\n").as_bytes()).await;
                    let _ = stream.flush().await;
                    let Some(acceptor) = acceptor.take() else { return };
                    let Ok(tls) = acceptor.accept(stream.into_inner()).await else { return };
                    note("-- TLS --");
                    stream = BufReader::new(Box::new(tls));
                    continue;
                } else if line.starts_with("AUTH PLAIN") {
                    if manner == Manner::RefusesLogin { "535 no".into() } else { "235 ok".into() }
                } else if line == "AUTH LOGIN" {
                    "334 VXNlcm5hbWU6".into()
                } else if line == STANDARD.encode("guarita") {
                    "334 UGFzc3dvcmQ6".into()
                } else if line == STANDARD.encode("hush-hush") {
                    "235 ok".into()
                } else if line.starts_with("RCPT") && manner == Manner::RefusesRecipient {
                    "550 nobody here".into()
                } else if line == "DATA" {
                    data = true;
                    "354 go on".into()
                } else if line == "QUIT" {
                    "221 bye".into()
                } else {
                    "250 ok".into()
                }
            };
            if stream.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }

    fn mailer(server: &FakeServer, tls: MailTls) -> Mailer {
        let with_login = tls != MailTls::Off;
        Mailer::new(&MailConfig {
            server: format!("localhost:{}", server.port),
            tls,
            ca: if with_login { server.ca.clone() } else { PathBuf::new() },
            user: if with_login { "guarita".into() } else { String::new() },
            password: if with_login { "hush-hush".into() } else { String::new() },
            from: "guarita@example.com".into(),
            to: vec!["ops@example.com".into(), "chefe@example.com".into()],
        })
        .unwrap()
    }

    #[tokio::test]
    async fn a_mail_arrives_whole_in_each_way() {
        for (tls, manner) in [
            (MailTls::Off, Manner::Well),
            (MailTls::Starttls, Manner::Well),
            (MailTls::Starttls, Manner::OffersOnlyLogin),
            (MailTls::Implicit, Manner::Well),
        ] {
            let server = start(manner, tls == MailTls::Implicit).await;
            let text = "Arquivo retido\n.\n.linha com ponto\nç";
            mailer(&server, tls).send("[Guarita] Arquivo malicioso retido × 7", text, 0).await.unwrap();
            let said = server.said.lock().unwrap().clone();
            let secure = said.iter().position(|line| line == "-- TLS --");
            let login = said.iter().position(|line| line.starts_with("AUTH"));
            if tls == MailTls::Starttls {
                assert!(secure.unwrap() < login.unwrap(), "the password waits for TLS: {said:?}");
            }
            for line in [
                "MAIL FROM:<guarita@example.com>",
                "RCPT TO:<ops@example.com>",
                "RCPT TO:<chefe@example.com>",
                "From: Guarita <guarita@example.com>",
                "Date: Thu, 01 Jan 1970 00:00:00 +0000",
            ] {
                assert!(said.iter().any(|said| said == line), "{line} in {said:?}");
            }
            let end = said.iter().position(|line| line == ".").unwrap();
            let begin = said.iter().position(String::is_empty).unwrap() + 1;
            let body = STANDARD.decode(said[begin..end].concat()).unwrap();
            assert_eq!(String::from_utf8(body).unwrap(), text.replace('\n', "\r\n"));
            let subject: String = said
                .iter()
                .skip_while(|line| !line.starts_with("Subject"))
                .take_while(|line| !line.starts_with("Date"))
                .flat_map(|line| line.split("?B?").nth(1).and_then(|rest| rest.split("?=").next()))
                .map(|word| String::from_utf8(STANDARD.decode(word).unwrap()).unwrap())
                .collect();
            assert_eq!(subject, "[Guarita] Arquivo malicioso retido × 7");
        }
    }

    #[tokio::test]
    async fn bad_servers_get_nothing_and_are_named() {
        for (manner, says, password_was_sent) in [
            (Manner::HidesStarttls, "offers no STARTTLS", false),
            (Manner::RefusesLogin, "refuses the log-in (535)", true),
            (Manner::RefusesRecipient, "answered 550 to RCPT TO", true),
            (Manner::TalksForever, "does not speak SMTP", false),
        ] {
            let server = start(manner, false).await;
            let error = mailer(&server, MailTls::Starttls).send("x", "y", 0).await.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("hush"), "{error}");
            let said = server.said.lock().unwrap().clone();
            assert_eq!(said.iter().any(|line| line.starts_with("AUTH")), password_was_sent, "{said:?}");
            assert!(!said.iter().any(|line| line == "DATA"), "{said:?}");
        }
    }

    #[tokio::test]
    async fn what_came_before_tls_is_no_answer_after_it() {
        let server = start(Manner::InjectsBeforeTls, false).await;
        // Either the handshake fails on the stray bytes, or they are dropped; they are never an answer.
        let _ = mailer(&server, MailTls::Starttls).send("x", "y", 0).await;
        let said = server.said.lock().unwrap().clone();
        let secure = said.iter().position(|line| line == "-- TLS --").unwrap_or(said.len());
        assert!(said[..secure].iter().all(|line| !line.starts_with("MAIL") && !line.starts_with("AUTH")), "{said:?}");
    }

    #[tokio::test]
    async fn a_certificate_of_somebody_else_is_refused() {
        let server = start(Manner::Well, true).await;
        let other = start(Manner::Well, true).await;
        let mut mailer = mailer(&server, MailTls::Implicit);
        mailer.tls = Some(TlsConnector::from(Arc::new(tls::client(&other.ca).unwrap())));
        assert!(matches!(mailer.send("x", "y", 0).await, Err(MailError::Tls(_))));
        assert!(server.said.lock().unwrap().is_empty());
    }
}
