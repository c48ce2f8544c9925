//! clamd's answers, read strictly. Pure: bytes in, a word out. Only the two exact forms say that the file was looked at;
//! whatever else comes is a gap, with the reason that fits best.

use guarita_message::GapReason;

/// Longest answer that is read; clamd's are far shorter.
pub(crate) const REPLY_BYTES_MAX: usize = 4096;
/// Longest signature name that is believed.
const NAME_BYTES_MAX: usize = 512;

/// What clamd said of one stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Ok,
    /// A signature's name, printable ASCII without spaces.
    Found(String),
    /// Anything else; the detail is ours, never a copy of unchecked bytes.
    NotLookedAt(GapReason, String),
}

/// Reads the whole answer of a connection, from its first byte to its end.
pub(crate) fn read_reply(bytes: &[u8]) -> Reply {
    let Some((&0, body)) = bytes.split_last() else {
        let what = if bytes.is_empty() { "clamd closed the connection without an answer" } else { "half an answer" };
        return Reply::NotLookedAt(GapReason::Crashed, format!("{what}; clamd may have ended, a retry can help"));
    };
    if body == b"stream: OK" {
        return Reply::Ok;
    }
    let found = body.strip_prefix(b"stream: ").and_then(|rest| rest.strip_suffix(b" FOUND"));
    if let Some(name) = found.and_then(read_name) {
        return Reply::Found(name);
    }
    read_error(body)
}

fn read_name(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() || bytes.len() > NAME_BYTES_MAX || !bytes.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    Some(without_extended_info(text).to_owned())
}

/// Debian's clamd.conf sets `ExtendedDetectionInfo`: the name is followed by `(md5:bytes)`.
fn without_extended_info(name: &str) -> &str {
    let split = name.strip_suffix(')').and_then(|n| n.rsplit_once('('));
    match split.and_then(|(name, info)| Some((name, info.split_once(':')?))) {
        Some((name, (hash, bytes)))
            if !name.is_empty()
                && matches!(hash.len(), 32 | 40 | 64)
                && hash.bytes().all(|b| b.is_ascii_hexdigit())
                && !bytes.is_empty()
                && bytes.bytes().all(|b| b.is_ascii_digit()) =>
        {
            name
        }
        _ => name,
    }
}

fn read_error(body: &[u8]) -> Reply {
    let is = |part: &str| body.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()));
    let (reason, detail) = if body.contains(&0) || !body.iter().all(|b| matches!(b, b' '..=b'~' | b'\n')) {
        (GapReason::Crashed, "the answer is not clamd's; check clamav.address")
    } else if is("INSTREAM size limit exceeded") || is("stream size limit exceeded") {
        (GapReason::TooLarge, "larger than clamd's StreamMaxLength; raise it to clamav.file_bytes_max")
    } else if is("timed out") || is("time limit") || is("timeout") {
        (GapReason::Timeout, "clamd ran out of time; a retry can help")
    } else if is("UNKNOWN COMMAND") {
        (GapReason::ScannerUnavailable, "it does not know INSTREAM; check clamav.address")
    } else if is("max") && (is("size") || is("recursion") || is("files")) {
        (GapReason::Limits, "clamd reached one of its limits")
    } else if is("memory") {
        (GapReason::Crashed, "clamd is out of memory; give the machine more, then a retry can help")
    } else if is("temporary file") || is("cli_gentempfd") || is("create") || is("write") {
        (GapReason::Crashed, "clamd cannot write its temporary file; free its disk, then a retry can help")
    } else if is("format") || is("malformed") || is("can't parse") {
        (GapReason::Corrupt, "clamd cannot read this file")
    } else if body.ends_with(b" ERROR") {
        (GapReason::Crashed, "clamd failed on this file; a retry can help")
    } else {
        (GapReason::Crashed, "the answer is neither OK nor FOUND; check clamav.address")
    };
    Reply::NotLookedAt(reason, detail.to_owned())
}

/// What VERSION says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EngineVersion {
    pub engine: String,
    /// Number of the daily database; `0`: none.
    pub database: String,
    /// When the daily database was built, seconds since 1970; clamd's own time zone is taken for UTC.
    pub built: Option<u64>,
}

impl std::fmt::Display for EngineVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.engine, self.database)
    }
}

/// `ClamAV 1.4.6/27800/Sat Nov 21 08:25:03 2026` or, without a database, `ClamAV 1.4.6`.
pub(crate) fn read_version(bytes: &[u8]) -> Option<EngineVersion> {
    let text = std::str::from_utf8(bytes.strip_suffix(b"\0")?).ok()?.strip_prefix("ClamAV ")?;
    let mut fields = text.splitn(3, '/');
    let engine = fields.next().filter(|e| {
        (1..=64).contains(&e.len()) && e.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+~".contains(&b))
    })?;
    let database = fields.next().unwrap_or("0");
    if database.is_empty() || database.len() > 10 || !database.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let built = fields.next().and_then(seconds_of_ctime);
    Some(EngineVersion { engine: engine.to_owned(), database: database.to_owned(), built })
}

/// `Sat Nov 21 08:25:03 2026` as seconds since 1970.
fn seconds_of_ctime(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_ascii_whitespace().skip(1);
    let (month, day, time, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|m| *m == month)? as u64 + 1;
    let day: u64 = day.parse().ok().filter(|d| (1..=31).contains(d))?;
    let year: u64 = year.parse().ok().filter(|y| (1970..3000).contains(y))?;
    let mut clock = time.splitn(3, ':').map(|part| part.parse::<u64>().ok().filter(|n| *n <= 60));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    // Days from the civil calendar, with years that start in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era_day = (y / 400) * 146_097 + (y % 400) * 365 + (y % 400) / 4 - (y % 400) / 100 + (153 * m + 2) / 5 + day - 1;
    Some((era_day.checked_sub(719_468)?) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expect: &str) {
        let shown = match read_reply(bytes) {
            Reply::Ok => "ok".to_owned(),
            Reply::Found(name) => format!("found {name}"),
            Reply::NotLookedAt(reason, _) => reason.to_string(),
        };
        assert_eq!(shown, expect, "{:?}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn only_exact_answers_count() {
        check(b"stream: OK\0", "ok");
        check(b"stream: Win.Test.EICAR_HDB-1 FOUND\0", "found Win.Test.EICAR_HDB-1");
        check(b"stream: My.Sig.UNOFFICIAL FOUND\0", "found My.Sig.UNOFFICIAL");
        check(
            b"stream: Win.Test.EICAR_HDB-1(44d88612fea8a8f36de82e1278abb02f:68) FOUND\0",
            "found Win.Test.EICAR_HDB-1",
        );
        check(b"stream: Odd(name) FOUND\0", "found Odd(name)");
        for not_exact in [
            &b""[..],
            b"\0",
            b"stream: OK",
            b"stream: OK\n",
            b"stream: OK\n\0",
            b" stream: OK\0",
            b"stream: OK \0",
            b"stream: ok\0",
            b"Stream: OK\0",
            b"OK\0",
            b"stream: OK\0stream: OK\0",
            b"stream: OK\0stream: X FOUND\0",
            b"stream: X FOUND\0stream: OK\0",
            b"stream:  FOUND\0",
            b"stream: FOUND\0",
            b"stream: a b FOUND\0",
            b"stream: a\0b FOUND\0",
            b"stream: \xff\xfe FOUND\0",
            b"stream: X FOUND",
            b"stream: X FOU",
            b"1: stream: OK\0",
            b"PONG\0",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"stream: Can't allocate memory ERROR\0",
            b"stream: lstat() failed ERROR\0",
        ] {
            check(not_exact, "crashed");
        }
        let long_name = [b"stream: ".as_slice(), &[b'a'; NAME_BYTES_MAX + 1], b" FOUND\0"].concat();
        check(&long_name, "crashed");
        check(b"INSTREAM size limit exceeded. ERROR\0", "too_large");
        check(b"COMMAND READ TIMED OUT\0", "timeout");
        check(b"stream: Time limit reached ERROR\0", "timeout");
        check(b"UNKNOWN COMMAND\0", "scanner_unavailable");
        check(b"stream: Max scan size exceeded ERROR\0", "limits");
    }

    #[test]
    fn no_change_of_a_single_byte_stays_ok() {
        let exact = b"stream: OK\0";
        for end in 0..exact.len() {
            assert_ne!(read_reply(&exact[..end]), Reply::Ok);
            for byte in 0..=255 {
                let mut changed = exact.to_vec();
                changed[end] = byte;
                assert_eq!(read_reply(&changed) == Reply::Ok, changed == exact);
                changed.insert(end, byte);
                assert_ne!(read_reply(&changed), Reply::Ok);
            }
        }
    }

    #[test]
    fn details_never_carry_the_peers_bytes() {
        let Reply::NotLookedAt(_, detail) = read_reply(b"secret token 123 ERROR\0") else { panic!() };
        assert!(!detail.contains("secret"));
    }

    #[test]
    fn versions() {
        let full = read_version(b"ClamAV 1.4.6/27800/Sat Nov 21 08:25:03 2026\0").unwrap();
        assert_eq!((full.to_string().as_str(), full.built), ("1.4.6/27800", Some(1_795_249_503)));
        assert_eq!(read_version(b"ClamAV 1.4.6\0").unwrap().to_string(), "1.4.6/0");
        assert_eq!(read_version(b"ClamAV 1.5.0-beta/27800/nonsense\0").unwrap().built, None);
        for wrong in [&b"ClamAV 1.4.6"[..], b"ClamAV \0", b"PONG\0", b"ClamAV 1/abc\0", b"ClamAV a b\0", b""] {
            assert_eq!(read_version(wrong), None);
        }
    }
}
