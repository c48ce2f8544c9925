//! [`SandboxedFiles`]: the inspector that has the locked worker look into files.
//!
//! It never looks at a file's bytes itself. What a worker answers is read as hostile: a worker may have been taken over by
//! the file it looked at. Whatever kept it from answering is a gap.

use guarita_inspect::{FileInspector, FileUnderScan, Pending};
use guarita_message::{FileClass, FileReport, Finding, Gap, GapReason, Inspection};
use guarita_sandbox::{Outcome, Pool, Status};
use serde::Serialize;
use std::sync::{PoisonError, RwLock};

/// Names gaps and metrics.
pub const FILES: &str = "files";

/// What of a job's header is sent at most.
const NAME_CHARS_MAX: usize = 1024;
const TYPE_CHARS_MAX: usize = 200;
const PASSWORDS_MAX: usize = 64;
const PASSWORD_CHARS_MAX: usize = 128;
/// What of a report is taken at most.
const FINDINGS_MAX: usize = 200;
const GAPS_MAX: usize = 50;
const FOUND_MAX: usize = 400;
const LINE_CHARS_MAX: usize = 600;
const INSIDE_CHARS_MAX: usize = 2000;

/// Files looked at by the pool of locked workers.
pub struct SandboxedFiles {
    pool: Pool,
    rules_version: RwLock<String>,
}

/// What the worker is told of a file; `guarita_file_worker::Job` on the other side.
#[derive(Serialize)]
pub(crate) struct Header {
    name: String,
    declared_type: String,
    passwords: Vec<String>,
    wanted: &'static str,
}

impl Header {
    pub(crate) fn of(name: &str, declared_type: &str, passwords: &[String]) -> Header {
        Header {
            name: cut(name, NAME_CHARS_MAX),
            declared_type: cut(declared_type, TYPE_CHARS_MAX),
            passwords: passwords.iter().take(PASSWORDS_MAX).map(|word| cut(word, PASSWORD_CHARS_MAX)).collect(),
            wanted: "report",
        }
    }

    pub(crate) fn wanting_preview(self) -> Header {
        Header { wanted: "preview", ..self }
    }
}

impl SandboxedFiles {
    /// `rules_version` is the version of the rules that the pool's workers were set up with.
    pub fn new(pool: Pool, rules_version: impl Into<String>) -> Self {
        SandboxedFiles { pool, rules_version: RwLock::new(rules_version.into()) }
    }

    /// New rules: every worker is replaced before its next file.
    pub fn replace_rules(&self, setup: Vec<u8>, rules_version: impl Into<String>) {
        self.pool.replace_setup(setup);
        *self.rules_version.write().unwrap_or_else(PoisonError::into_inner) = rules_version.into();
    }

    /// Workers and the locks they hold, for `doctor` and `/readyz`.
    pub fn status(&self) -> Status {
        self.pool.status()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    fn rules_version(&self) -> String {
        self.rules_version.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn look(&self, file: &FileUnderScan) -> Inspection {
        let began = std::time::Instant::now();
        let version = self.rules_version();
        let header = Header::of(&file.name, &file.declared_type, &file.passwords);
        let header = serde_json::to_vec(&header).expect("strings always serialise");
        let content = file.content.clone();
        let outcome = self.pool.look(header, Box::new(move || content.open())).await;
        metrics::histogram!("guarita_scan_seconds", "scanner" => FILES).record(began.elapsed().as_secs_f64());
        match outcome {
            Outcome::Answer(answer) => read_answer(&answer, file, &version),
            Outcome::TimedOut => {
                unseen(file, GapReason::Timeout, "the file worker took too long; the same file will again")
            }
            Outcome::Crashed(how) => unseen(file, GapReason::Crashed, &format!("the file worker: {how}")),
            Outcome::TooLarge => unseen(file, GapReason::TooLarge, "larger than sandbox.input_bytes_max"),
            Outcome::InputFailed(error) => {
                let detail = format!("our copy of the file could not be read ({}); a retry may help", error.kind());
                unseen(file, GapReason::ScannerUnavailable, &detail)
            }
            Outcome::Unavailable(why) => {
                let detail = format!("no file worker could be started ({why}); a retry may help");
                unseen(file, GapReason::ScannerUnavailable, &detail)
            }
        }
    }
}

impl FileInspector for SandboxedFiles {
    fn name(&self) -> &'static str {
        FILES
    }

    fn version(&self) -> Option<String> {
        Some(format!("guarita rules {}", self.rules_version()))
    }

    fn inspect<'a>(&'a self, file: &'a FileUnderScan) -> Pending<'a, Inspection> {
        Box::pin(self.look(file))
    }
}

/// Reads what a worker answered of `file`; nonsense is a gap.
pub fn read_answer(answer: &[u8], file: &FileUnderScan, version: &str) -> Inspection {
    match serde_json::from_slice::<Inspection>(answer) {
        Ok(report) => accept(report, file, version),
        Err(_) => unseen(file, GapReason::Crashed, "the file worker's report makes no sense"),
    }
}

/// Takes from a report what a report may hold, and puts in what only the gateway knows.
fn accept(mut report: Inspection, file: &FileUnderScan, version: &str) -> Inspection {
    let place = &file.place;
    report.findings.truncate(FINDINGS_MAX);
    for finding in &mut report.findings {
        finding.place.clone_from(place);
        finding.span = None;
        finding.rule = cut(&finding.rule, LINE_CHARS_MAX);
        finding.title = cut(&finding.title, LINE_CHARS_MAX);
        finding.why = cut(&finding.why, LINE_CHARS_MAX);
        finding.inside = cut(&finding.inside, INSIDE_CHARS_MAX);
        finding.evidence = Finding::evidence_of(&finding.evidence);
    }
    report.gaps.truncate(GAPS_MAX);
    for gap in &mut report.gaps {
        gap.place.clone_from(place);
        gap.scanner = FILES.to_owned();
        gap.detail = cut(&gap.detail, LINE_CHARS_MAX);
        gap.inside = cut(&gap.inside, INSIDE_CHARS_MAX);
    }
    report.found.truncate(FOUND_MAX);
    for found in &mut report.found {
        found.place.clone_from(place);
        found.inside = cut(&found.inside, INSIDE_CHARS_MAX);
    }
    let true_type = report.files.first().map(|seen| seen.true_type.as_str()).filter(|seen| is_media_type(seen));
    let true_type = true_type.unwrap_or("application/octet-stream").to_owned();
    report.files =
        vec![FileReport { true_type, scanned_by: vec![format!("guarita rules {version}")], ..unseen_file(file) }];
    report.score = if report.score.is_finite() { report.score.clamp(0.0, 1.0) } else { 0.0 };
    report
}

/// The file as it was announced, looked at by nobody.
fn unseen_file(file: &FileUnderScan) -> FileReport {
    FileReport {
        place: file.place.clone(),
        name: file.name.clone(),
        true_type: String::new(),
        declared_type: file.declared_type.clone(),
        bytes: file.content.bytes(),
        sha256: Some(file.hash),
        scanned_by: Vec::new(),
    }
}

fn unseen(file: &FileUnderScan, reason: GapReason, detail: &str) -> Inspection {
    let gap = Gap {
        reason,
        place: file.place.clone(),
        inside: String::new(),
        scanner: FILES.to_owned(),
        detail: detail.to_owned(),
        class: class_of(&file.declared_type),
    };
    Inspection { files: vec![unseen_file(file)], ..Inspection::with_gap(gap) }
}

/// All that is known of a file nobody could look at.
fn class_of(declared: &str) -> FileClass {
    match declared.split('/').next() {
        Some("image") => FileClass::Image,
        Some("audio") => FileClass::Audio,
        Some("video") => FileClass::Video,
        _ => FileClass::Other,
    }
}

pub(crate) fn is_media_type(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'/' | b'.' | b'-' | b'+');
    text.len() <= 120 && text.contains('/') && text.bytes().all(allowed)
}

pub(crate) fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use guarita_inspect::Content;
    use guarita_message::{Category, ContentHash, Severity, Subject};
    use std::io::{self, Read};
    use std::sync::Arc;

    struct Bytes(&'static [u8]);

    impl Content for Bytes {
        fn bytes(&self) -> u64 {
            self.0.len() as u64
        }
        fn open(&self) -> io::Result<Box<dyn Read + Send>> {
            Ok(Box::new(self.0))
        }
    }

    fn file() -> FileUnderScan {
        FileUnderScan {
            place: "/document".to_owned(),
            name: "a.pdf".to_owned(),
            declared_type: "application/pdf".to_owned(),
            hash: ContentHash([7; 32]),
            content: Arc::new(Bytes(b"abc")),
            passwords: Vec::new(),
        }
    }

    fn finding(evidence: &str) -> Finding {
        Finding {
            rule: "files/program".to_owned(),
            category: Category::Executable,
            severity: Severity::High,
            place: "/text".to_owned(),
            inside: "x".repeat(10_000),
            title: "Program".to_owned(),
            why: String::new(),
            evidence: evidence.to_owned(),
            subject: Subject::File,
            span: Some((0, 9)),
            shadow: false,
        }
    }

    #[test]
    fn a_report_is_taken_within_bounds_and_at_our_place() {
        let lie = FileReport {
            true_type: "text/html\r\nX: y".to_owned(),
            place: "/image".to_owned(),
            ..unseen_file(&file())
        };
        let report = Inspection {
            findings: vec![finding("\u{202e}x"); 5000],
            files: vec![lie],
            score: f32::NAN,
            ..Inspection::default()
        };
        let taken = accept(report, &file(), "v1");
        assert_eq!(taken.findings.len(), FINDINGS_MAX);
        let first = &taken.findings[0];
        assert_eq!((first.place.as_str(), first.span, first.inside.len()), ("/document", None, INSIDE_CHARS_MAX));
        assert!(!first.evidence.contains('\u{202e}'));
        assert_eq!(taken.files.len(), 1);
        assert_eq!(taken.files[0].place, "/document");
        assert_eq!(taken.files[0].true_type, "application/octet-stream");
        assert_eq!(taken.files[0].scanned_by, ["guarita rules v1"]);
        assert_eq!(taken.score, 0.0);
    }

    #[tokio::test]
    async fn a_worker_that_never_stands_keeps_the_pool_from_starting() {
        let config = guarita_sandbox::Config { workers: 1, start_seconds: 1, ..guarita_sandbox::Config::default() };
        let started = Pool::start(config, vec!["/bin/true".into()], Vec::new()).await;
        assert!(matches!(started, Err(guarita_sandbox::SandboxError::Start(_))));
    }
}
