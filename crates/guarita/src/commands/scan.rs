//! `guarita scan`: the gateway's inspectors on local input, for people (a readable page) and programs (`--json`,
//! `--ndjson`). Uses no network.

use crate::{
    config::{Settings, exit_code},
    engine::{Engine, Wanted},
    look::{look_at_file, look_at_words},
};
use clap::Args;
use futures_util::{StreamExt as _, stream};
use guarita_inspect::{Content, FileUnderScan};
use guarita_message::{ContentHash, Inspection, PartBody, Severity, TextRole, Verdict};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Args, Debug)]
pub struct ScanArgs {
    /// Files and folders to look at.
    pub paths: Vec<PathBuf>,
    /// A text to look at.
    #[arg(long)]
    pub text: Vec<String>,
    /// A link to look at.
    #[arg(long)]
    pub url: Vec<String>,
    /// One JSON object an input, one a line.
    #[arg(long)]
    pub json: bool,
    /// Read inputs as JSON lines from standard input, write an answer line for each, in order.
    #[arg(long)]
    pub ndjson: bool,
    /// Leave ClamAV out.
    #[arg(long)]
    pub no_clamav: bool,
    /// Leave allow and deny lists out.
    #[arg(long)]
    pub no_lists: bool,
    /// A password to try on encrypted archives.
    #[arg(long)]
    pub password: Vec<String>,
}

/// Up to so many inputs are listed whole on a terminal; of more, clean ones are only counted.
const LISTED_WHOLE_MAX: usize = 40;
const BAR_CHARS: usize = 24;
/// Wrong use (SPEC 3).
pub const WRONG_USE: u8 = 64;
/// Lines taken together from standard input.
const LINES_MAX: usize = 512;
/// Longest input line.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One thing to look at.
#[derive(Clone, Debug)]
enum Input {
    Text(String),
    Url(String),
    File { path: PathBuf, name: String, mime: String },
}

pub async fn scan(args: ScanArgs, settings: Settings) -> u8 {
    let none = args.paths.is_empty() && args.text.is_empty() && args.url.is_empty();
    if args.ndjson != none {
        eprintln!("guarita scan: give files, --text or --url, or --ndjson with lines on standard input (see --help)");
        return WRONG_USE;
    }
    let wanted =
        Wanted { files: args.ndjson || !args.paths.is_empty(), clamav: !args.no_clamav, lists: !args.no_lists };
    let engine = match Engine::start(&settings, wanted).await {
        Ok(engine) => engine,
        Err(error) => {
            eprintln!("guarita scan: {error}");
            return WRONG_USE;
        }
    };
    let code = if args.ndjson { scan_lines(&engine).await } else { scan_inputs(&args, &engine).await };
    engine.stop().await;
    code
}

// ---- for people ---------------------------------------------------------------------------------------------------

async fn scan_inputs(args: &ScanArgs, engine: &Engine) -> u8 {
    let mut inputs: Vec<(String, Input)> = Vec::new();
    for path in &args.paths {
        // What a person names is looked at, also through a link; inside a folder links are not followed.
        let named = std::fs::metadata(path).and_then(|kind| match kind.is_dir() {
            true => collect(path, &mut inputs),
            false => {
                inputs.push(file_input(path));
                Ok(())
            }
        });
        if let Err(error) = named {
            eprintln!("guarita scan: {}: {error}", path.display());
            return WRONG_USE;
        }
    }
    inputs.extend(args.text.iter().map(|text| (format!("text: {}", short(text)), Input::Text(text.clone()))));
    inputs.extend(args.url.iter().map(|url| (url.clone(), Input::Url(url.clone()))));
    let total = inputs.len();
    let progress = !args.json && total > 1 && io::stderr().is_terminal();
    let mut worst = Verdict::Clean;
    let mut counts = [0usize; 4];
    let looked = stream::iter(inputs.into_iter().map(|(shown, input)| async move {
        let seen = look(engine, &input, &args.password).await;
        (shown, input, seen)
    }));
    let mut looked = looked.buffered(engine.files_at_once());
    let mut done = 0;
    if progress {
        eprint!("{}", bar(0, total, &counts));
    }
    while let Some((shown, input, seen)) = looked.next().await {
        done += 1;
        let (verdict, text) = match seen {
            Ok(inspection) => {
                let verdict = inspection.verdict();
                let text = if args.json {
                    let mut answer = answer(&inspection);
                    answer["input"] = json!(shown);
                    answer.to_string()
                } else {
                    page(&shown, &input, &inspection)
                };
                (verdict, text)
            }
            Err(error) if args.json => (Verdict::Unscanned, json!({"input": shown, "error": error}).to_string()),
            Err(error) => (Verdict::Unscanned, format!("unscanned   {shown}\n            {error}")),
        };
        worst = worst.max(verdict);
        counts[verdict as usize] += 1;
        if progress {
            eprint!("\r\x1b[K");
        }
        // Of many, only those that somebody should read about are listed; the last line counts the others.
        let listed = !io::stdout().is_terminal() || total <= LISTED_WHOLE_MAX || verdict != Verdict::Clean || args.json;
        if listed && !say(&text) {
            break;
        }
        if progress && done < total {
            eprint!("\r\x1b[K{}", bar(done, total, &counts));
        }
    }
    if !args.json && total > 1 {
        let [clean, suspicious, unscanned, malicious] = counts;
        say(&format!(
            "\n{total} inputs: {malicious} malicious, {suspicious} suspicious, {unscanned} unscanned, {clean} clean"
        ));
    }
    exit_code(worst)
}

/// `path`, or every file below it; links are not followed.
fn collect(path: &Path, inputs: &mut Vec<(String, Input)>) -> io::Result<()> {
    let kind = std::fs::symlink_metadata(path)?;
    if kind.is_dir() {
        let mut entries = std::fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        return entries.iter().try_for_each(|entry| collect(&entry.path(), inputs));
    }
    if kind.is_file() {
        inputs.push(file_input(path));
    }
    Ok(())
}

fn file_input(path: &Path) -> (String, Input) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (path.display().to_string(), Input::File { path: path.to_owned(), name, mime: String::new() })
}

fn page(shown: &str, input: &Input, inspection: &Inspection) -> String {
    let colour = io::stdout().is_terminal();
    let paint = |code: &str, text: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() };
    let verdict = inspection.verdict();
    let code = match verdict {
        Verdict::Clean => "32",
        Verdict::Suspicious => "33",
        Verdict::Unscanned => "35",
        Verdict::Malicious => "1;31",
    };
    let mut text = format!("{}  {}", paint(code, &format!("{verdict:<10}")), printable(shown));
    if let (Input::File { .. }, Some(report)) = (input, inspection.files.first()) {
        text.push_str(&format!("  {}", paint("2", &format!("{}, {}", report.true_type, size(report.bytes)))));
    }
    let mut findings: Vec<_> = inspection.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for finding in findings.iter().filter(|finding| finding.severity > Severity::Info || findings.len() <= 4) {
        let shadow = if finding.shadow { " (shadow)" } else { "" };
        text.push_str(&format!("\n            {:<8} {}{shadow}", finding.severity, paint("1", &finding.title)));
        if !finding.inside.is_empty() {
            text.push_str(&format!("\n                     in    {}", printable(&finding.inside)));
        }
        text.push_str(&format!("\n                     seen  {}", printable(&finding.evidence)));
        if !finding.why.is_empty() {
            text.push_str(&format!("\n                     why   {}", finding.why));
        }
        text.push_str(&format!("\n                     rule  {}", paint("2", &finding.rule)));
    }
    for gap in &inspection.gaps {
        let inside = if gap.inside.is_empty() { String::new() } else { format!(" in {}", printable(&gap.inside)) };
        text.push_str(&format!("\n            gap      {}{inside} ({}): {}", gap.reason, gap.scanner, gap.detail));
    }
    text
}

fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hidden = c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
            if hidden { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}

fn short(text: &str) -> String {
    let mut line: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > 60 {
        line.push('…');
    }
    line
}

/// How far it is, and what there was; stays below what is listed.
fn bar(done: usize, total: usize, counts: &[usize; 4]) -> String {
    let filled = done * BAR_CHARS / total.max(1);
    let [_, suspicious, unscanned, malicious] = counts;
    let mut text = format!("[{}{}] {done}/{total}", "#".repeat(filled), " ".repeat(BAR_CHARS - filled));
    for (count, what, colour) in
        [(malicious, "malicious", "31"), (suspicious, "suspicious", "33"), (unscanned, "unscanned", "35")]
    {
        if *count > 0 {
            text.push_str(&format!("  \x1b[{colour}m{count} {what}\x1b[0m"));
        }
    }
    text
}

/// A number of bytes as people say it.
fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} KB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// Prints a line; `false` when nobody reads any more.
fn say(text: &str) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

// ---- for programs -------------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: serde_json::Value,
    url: Option<String>,
    text: Option<String>,
    file: Option<PathBuf>,
    name: Option<String>,
    mime: Option<String>,
}

async fn scan_lines(engine: &Engine) -> u8 {
    let (lines, mut coming) = tokio::sync::mpsc::channel::<Vec<u8>>(LINES_MAX);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Ok(Some(line)) = next_line(&mut input) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let mut worst = Verdict::Clean;
    let mut batch = Vec::new();
    loop {
        if coming.recv_many(&mut batch, LINES_MAX).await == 0 {
            return exit_code(worst);
        }
        let inputs: Vec<_> = batch
            .drain(..)
            .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
            .map(|line| read_line(&line))
            .collect();
        let answers = answer_batch(engine, inputs).await;
        let mut text = String::new();
        for (verdict, line) in answers {
            worst = worst.max(verdict);
            text.push_str(&line);
            text.push('\n');
        }
        let mut out = io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return exit_code(worst);
        }
    }
}

type Read1 = (serde_json::Value, Result<Input, String>);

/// The next line; one that is too long comes cut, and the rest of it is read away.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if input.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let mut ended = line.ends_with(b"\n") || line.len() <= LINE_BYTES_MAX;
    while !ended {
        let rest = input.fill_buf()?;
        let end = rest.iter().position(|byte| *byte == b'\n');
        ended = end.is_some() || rest.is_empty();
        let read = end.map_or(rest.len(), |end| end + 1);
        input.consume(read);
    }
    Ok(Some(line))
}

fn read_line(line: &[u8]) -> Read1 {
    let bad = |why: &dyn std::fmt::Display| {
        let problem = format!("not a line of the form {{\"id\", \"url\" | \"text\" | \"file\"}}: {why}");
        (id_of(line), Err(problem))
    };
    if line.len() > LINE_BYTES_MAX {
        return bad(&format!("it is longer than {LINE_BYTES_MAX} bytes"));
    }
    let parsed: Line = match serde_json::from_slice(line) {
        Ok(parsed) => parsed,
        // Half of a pair: JSON allows it, our strings do not, and a text must not stay unseen for that.
        Err(error) => match serde_json::from_slice(&without_lone_surrogates(line)) {
            Ok(parsed) => parsed,
            Err(_) => return bad(&error),
        },
    };
    let input = match (parsed.url, parsed.text, parsed.file) {
        (Some(url), None, None) => Ok(Input::Url(url)),
        (None, Some(text), None) => Ok(Input::Text(text)),
        (None, None, Some(path)) => {
            let own = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = parsed.name.unwrap_or_else(own);
            Ok(Input::File { path, name, mime: parsed.mime.unwrap_or_default() })
        }
        _ => Err("give exactly one of url, text, file".to_owned()),
    };
    (parsed.id, input)
}

/// The id of a line that is no JSON as a whole: whatever stands behind the first `"id":`.
fn id_of(line: &[u8]) -> serde_json::Value {
    const KEY: &[u8] = b"\"id\"";
    let rest =
        line.windows(KEY.len()).position(|window| window == KEY).map(|at| line[at + KEY.len()..].trim_ascii_start());
    let value = rest.and_then(|rest| rest.strip_prefix(b":")).unwrap_or_default();
    let mut values = serde_json::Deserializer::from_slice(value).into_iter::<serde_json::Value>();
    values.next().and_then(Result::ok).unwrap_or_default()
}

/// `\ud83d` without its other half becomes `\ufffd`.
fn without_lone_surrogates(line: &[u8]) -> Vec<u8> {
    let unit = |at: usize| -> Option<u32> {
        let escape = line.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
    };
    let mut out = Vec::with_capacity(line.len());
    let mut at = 0;
    while at < line.len() {
        let length = match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                out.extend_from_slice(b"\\ufffd");
                at += 6;
                continue;
            }
            Some(_) => 6,
            None if line[at] == b'\\' => 2,
            None => 1,
        };
        let end = line.len().min(at + length);
        out.extend_from_slice(&line[at..end]);
        at = end;
    }
    out
}

/// Answers in order; texts and links spread over the cores, files over the workers.
async fn answer_batch(engine: &Engine, inputs: Vec<Read1>) -> Vec<(Verdict, String)> {
    let mut answers: Vec<Option<(Verdict, String)>> = inputs.iter().map(|_| None).collect();
    let (mut words, mut files) = (Vec::new(), Vec::new());
    for (at, (id, input)) in inputs.into_iter().enumerate() {
        match input {
            Ok(input @ Input::File { .. }) => files.push((at, id, input)),
            input => words.push((at, id, input)),
        }
    }
    let share = words.len().div_ceil(std::thread::available_parallelism().map_or(2, std::num::NonZero::get)).max(1);
    let mut shares = Vec::new();
    while !words.is_empty() {
        let rest = words.split_off(share.min(words.len()));
        let (mine, brains) = (std::mem::replace(&mut words, rest), engine.brains.clone());
        shares.push(tokio::task::spawn_blocking(move || {
            let look = |(at, id, input): (usize, serde_json::Value, Result<Input, String>)| {
                let seen = input.and_then(|input| {
                    let look = std::panic::AssertUnwindSafe(|| look_at_one(&brains, &input));
                    std::panic::catch_unwind(look)
                        .map_err(|_| "our own inspection crashed; please report this input".to_owned())
                });
                (at, line_of(id, seen))
            };
            mine.into_iter().map(look).collect::<Vec<_>>()
        }));
    }
    let looked = stream::iter(
        files.into_iter().map(|(at, id, input)| async move { (at, line_of(id, look(engine, &input, &[]).await)) }),
    );
    let mut looked = looked.buffer_unordered(engine.files_at_once());
    while let Some((at, line)) = looked.next().await {
        answers[at] = Some(line);
    }
    for share in shares {
        for (at, line) in share.await.unwrap_or_default() {
            answers[at] = Some(line);
        }
    }
    answers.into_iter().flatten().collect()
}

/// One answer line.
fn line_of(id: serde_json::Value, seen: Result<Inspection, String>) -> (Verdict, String) {
    match seen {
        Ok(inspection) => {
            let mut answer = answer(&inspection);
            answer["id"] = id;
            (inspection.verdict(), answer.to_string())
        }
        Err(error) => (Verdict::Unscanned, json!({"id": id, "error": error}).to_string()),
    }
}

fn answer(inspection: &Inspection) -> serde_json::Value {
    let findings: Vec<_> = inspection
        .findings
        .iter()
        .map(|finding| {
            let mut object = json!({
                "rule": finding.rule, "category": finding.category, "severity": finding.severity,
                "where": finding.place, "title": finding.title, "evidence": finding.evidence,
            });
            for (key, value) in [("inside", &finding.inside), ("why", &finding.why)] {
                if !value.is_empty() {
                    object[key] = json!(value);
                }
            }
            if let Some((start, end)) = finding.span {
                object["span"] = json!([start, end]);
            }
            if finding.shadow {
                object["shadow"] = json!(true);
            }
            object
        })
        .collect();
    let mut value = json!({
        "id": null, "verdict": inspection.verdict(),
        "score": (f64::from(inspection.suspicion()) * 1e6).round() / 1e6,
        "findings": findings, "gaps": inspection.gaps,
    });
    if let Some(report) = inspection.files.first() {
        value["type"] = json!(report.true_type);
        value["files"] = json!(inspection.files);
    }
    value
}

// ---- looking --------------------------------------------------------------------------------------------------------

async fn look(engine: &Engine, input: &Input, passwords: &[String]) -> Result<Inspection, String> {
    let Input::File { path, name, mime } = input else { return Ok(look_at_one(&engine.brains, input)) };
    let (hash, bytes) = {
        let path = path.clone();
        let hashed = tokio::task::spawn_blocking(move || hash_file(&path)).await;
        hashed.map_err(|_| "hashing crashed".to_owned())?.map_err(|error| format!("cannot be read: {error}"))?
    };
    let file = FileUnderScan {
        place: "/file".to_owned(),
        name: name.clone(),
        declared_type: mime.clone(),
        hash,
        content: Arc::new(LocalFile { path: path.clone(), bytes }),
        passwords: passwords.to_vec(),
    };
    look_at_file(&engine.file_inspectors, engine.brains.clone(), &file).await
}

fn look_at_one(brains: &guarita_pipeline::Brains, input: &Input) -> Inspection {
    match input {
        Input::Text(text) => look_at_words(brains, PartBody::Text { text: text.clone(), role: TextRole::Body }),
        Input::Url(url) => look_at_words(brains, PartBody::Link { url: url.clone() }),
        Input::File { .. } => Inspection::default(),
    }
}

fn hash_file(path: &Path) -> io::Result<(ContentHash, u64)> {
    // Asked before it is opened: opening a pipe waits for whoever writes it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut file = File::open(path)?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 64 * 1024]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((ContentHash(hash.finalize().into()), bytes));
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}

struct LocalFile {
    path: PathBuf,
    bytes: u64,
}

impl Content for LocalFile {
    fn bytes(&self) -> u64 {
        self.bytes
    }
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(&self.path)?.take(self.bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(text: &[u8]) -> Vec<Vec<u8>> {
        let mut input = io::BufReader::with_capacity(64, text);
        std::iter::from_fn(|| next_line(&mut input).expect("memory can be read")).collect()
    }

    #[test]
    fn a_line_gets_one_answer_however_long_it_is() {
        let long = format!("{{\"id\": 7, \"text\": \"{}\"}}\n{{\"id\": 8}}", "x".repeat(LINE_BYTES_MAX * 2));
        let lines = lines_of(long.as_bytes());
        assert_eq!((lines.len(), &lines[1][..]), (2, &b"{\"id\": 8}"[..]));
        let (id, read) = read_line(&lines[0]);
        assert_eq!(id, json!(7));
        assert!(read.is_err_and(|error| error.contains("longer than")));
        let most = "y".repeat(LINE_BYTES_MAX);
        assert_eq!(lines_of(format!("{most}\nz").as_bytes()).len(), 2);
    }

    #[test]
    fn a_bad_line_keeps_its_id() {
        for (line, id) in [
            (&b"{\"id\": \"a\", \"text\": \"unended"[..], json!("a")),
            (b"{\"text\": \"\xff\", \"id\" : 12 }", json!(12)),
            (b"{\"id\": {\"x\": 1}, \"url\": 5}", json!({"x": 1})),
            (b"{\"id\"", json!(null)),
            (b"nonsense", json!(null)),
            (b"[]", json!(null)),
        ] {
            let (found, read) = read_line(line);
            assert_eq!(found, id, "{}", String::from_utf8_lossy(line));
            assert!(read.is_err());
        }
    }

    #[test]
    fn half_a_pair_hides_no_text() {
        let text = |line: &str| match read_line(line.as_bytes()) {
            (_, Ok(Input::Text(text))) => text,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(text(r#"{"text":"a\ud83d b"}"#), "a\u{fffd} b");
        assert_eq!(text(r#"{"text":"\ude00\ud83d\ude00\ud83d"}"#), "\u{fffd}😀\u{fffd}");
        assert_eq!(text(r#"{"text":"\\ud83d \ud83d"}"#), "\\ud83d \u{fffd}");
    }
}
