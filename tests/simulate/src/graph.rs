//! Graph and the scanners, which are slow, away, crash, and lie.

use crate::{
    shelf::Shelf,
    truth::Said,
    world::{Fault, Who, World},
};
use guarita_inspect::{FileInspector, FileUnderScan};
use guarita_media::{Fetch, FetchProblem, Fetched, FetchedInMemory};
use guarita_message::{
    Category, ContentHash, FileClass, FileReport, Finding, Gap, GapReason, Inspection, MediaRef, Severity, Subject,
};
use sha2::{Digest, Sha256};
use std::{future::Future, io::Read, pin::Pin, sync::Arc, time::Instant};
use tokio::sync::Semaphore;

/// Names of the two, as metrics and gaps know them.
pub const INSPECTORS: [&str; 2] = ["clamav", "files"];

/// How the ids of forwarded files begin; one more digit chooses the content.
pub const FORWARDED: &str = "78";
/// From this version of the signatures on a `late` content is known as a virus.
const LATE: u64 = 3;

/// What a media id's content is: its first word says what the scanners see in it.
pub fn content_of(id: &str, version: u32) -> Vec<u8> {
    // A forwarded file: the same content under many ids.
    let content = if id.starts_with(FORWARDED) { &id[..FORWARDED.len() + 1] } else { id };
    let number: u64 = content.bytes().fold(0, |sum, byte| sum * 31 + u64::from(byte));
    let kinds = ["clean", "clean", "clean", "virus", "odd", "archive", "broken", "statement", "late", "late"];
    format!("{} {content} {version}", kinds[(number % 10) as usize]).into_bytes()
}

pub fn hash_of(bytes: &[u8]) -> ContentHash {
    ContentHash(Sha256::digest(bytes).into())
}

impl Shelf {
    async fn get(&self, media: &MediaRef, deadline: Instant) -> Result<Vec<u8>, FetchProblem> {
        let fault = tokio::time::timeout_at(deadline.into(), self.world.before(Who::Fetch));
        let Ok(fault) = fault.await else {
            return Err(FetchProblem::new(GapReason::FetchFailed, true, "Meta did not give the file in time"));
        };
        let id = media.id.clone().or_else(|| media.url.clone()).unwrap_or_default();
        match fault {
            Some(Fault::Fails | Fault::FailsAfterwards) => {
                let (reason, retry) = self.world.chance(|chance| {
                    *chance.pick(&[
                        (GapReason::FetchFailed, true),
                        (GapReason::FetchFailed, false),
                        (GapReason::Expired, false),
                        (GapReason::TooLarge, false),
                    ])
                });
                Err(FetchProblem::new(reason, retry, "simulated"))
            }
            fault => {
                // Where the webhook names no digest, Graph may give another content each time it is asked.
                let version = match (fault, media.declared_hash) {
                    (Some(Fault::Lies), None) => self.world.chance(|chance| chance.within(1..4)) as u32,
                    _ => 0,
                };
                let bytes = content_of(&id, version);
                self.world.lock().truth.contents.entry(id).or_default().insert(hash_of(&bytes));
                self.put(hash_of(&bytes), bytes.clone());
                self.world.after(fault).await;
                Ok(bytes)
            }
        }
    }
}

type Fetching<'a, T> = Pin<Box<dyn Future<Output = Result<T, FetchProblem>> + Send + 'a>>;

impl Fetch for Shelf {
    fn fetch<'a>(&'a self, media: &'a MediaRef, _: &'a str, _: &'a str, deadline: Instant) -> Fetching<'a, Fetched> {
        Box::pin(async move {
            let bytes = self.get(media, deadline).await?;
            Ok(Fetched { hash: hash_of(&bytes), bytes: bytes.len() as u64, content_type: None })
        })
    }

    fn fetch_in_memory<'a>(
        &'a self,
        media: &'a MediaRef,
        _: &'a str,
        _: &'a str,
        deadline: Instant,
    ) -> Fetching<'a, FetchedInMemory> {
        Box::pin(async move {
            let bytes = self.get(media, deadline).await?;
            let share = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("nobody else knows this semaphore");
            Ok(FetchedInMemory::holding(hash_of(&bytes), bytes.into(), share))
        })
    }
}

/// A scanner that knows the truth and does not always say it.
pub struct Scanner {
    pub name: &'static str,
    pub who: Who,
    pub world: World,
}

impl FileInspector for Scanner {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> Option<String> {
        Some(self.world.lock().signatures.to_string())
    }

    fn inspect<'a>(&'a self, file: &'a FileUnderScan) -> guarita_inspect::Pending<'a, Inspection> {
        Box::pin(async move {
            let given_up = GivenUp { scanner: self, hash: file.hash };
            let fault = self.world.before(self.who).await;
            std::mem::forget(given_up);
            let signatures = self.world.lock().signatures;
            let mut text = String::new();
            let read = file.content.open().and_then(|mut content| content.read_to_string(&mut text));
            let (said, inspection) = match fault {
                _ if read.is_err() => self.gap(file, GapReason::Corrupt, FileClass::Other),
                Some(Fault::Fails | Fault::FailsAfterwards) => {
                    let reasons = [GapReason::ScannerUnavailable, GapReason::Timeout, GapReason::Crashed];
                    let reason = self.world.chance(|chance| *chance.pick(&reasons));
                    self.gap(file, reason, FileClass::Other)
                }
                Some(Fault::Lies) if self.world.chance(|chance| chance.happens(200)) => {
                    self.world.lock().truth.panics += 1;
                    std::panic::panic_any(Simulated);
                }
                fault => self.truth(file, &text, signatures, fault == Some(Fault::Lies)),
            };
            let key = (file.hash, self.name);
            self.world.lock().truth.said.entry(key).or_default().insert((signatures, said));
            self.world.note(|| format!("{} says {said:?}", self.name));
            self.world.after(fault).await;
            inspection
        })
    }
}

/// A look that stalled until nobody waited for it any more: a gap, which the pipeline states in the scanner's place.
struct GivenUp<'a> {
    scanner: &'a Scanner,
    hash: ContentHash,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        let mut state = self.scanner.world.lock();
        let signatures = state.signatures;
        let said = state.truth.said.entry((self.hash, self.scanner.name)).or_default();
        said.insert((signatures, Said::GapThatMayClose));
    }
}

/// What a defect of ours panics with here; the panic hook knows it and is silent.
pub struct Simulated;

impl Scanner {
    fn gap(&self, file: &FileUnderScan, reason: GapReason, class: FileClass) -> (Said, Inspection) {
        let gap = Gap {
            reason,
            place: file.place.clone(),
            inside: String::new(),
            scanner: self.name.into(),
            detail: "simulated".into(),
            class,
        };
        let said = match (reason, class) {
            (GapReason::Corrupt, _) | (GapReason::Encrypted, FileClass::Document) => Said::GapToAnnotate,
            (GapReason::Encrypted, _) => Said::GapToWithhold,
            _ => Said::GapThatMayClose,
        };
        (said, Inspection::with_gap(gap))
    }

    fn truth(&self, file: &FileUnderScan, text: &str, signatures: u64, lies: bool) -> (Said, Inspection) {
        let report = FileReport {
            // A report about a file nobody asked for must change nothing.
            place: if lies { "/somewhere/else".into() } else { file.place.clone() },
            name: file.name.clone(),
            true_type: "text/plain".into(),
            declared_type: file.declared_type.clone(),
            bytes: file.content.bytes(),
            sha256: Some(file.hash),
            scanned_by: vec![format!("{} {signatures}", self.name)],
        };
        let mut inspection = Inspection { files: vec![report], ..Inspection::default() };
        let said = match (text.split(' ').next().unwrap_or_default(), self.name) {
            ("late", "clamav") if signatures < LATE => Said::Clean,
            ("virus" | "late", "clamav") | ("odd", "files") => {
                inspection.findings.push(Finding {
                    rule: format!("{}/simulated", self.name),
                    category: Category::Malware,
                    severity: Severity::Critical,
                    place: file.place.clone(),
                    inside: String::new(),
                    title: "Simulated".into(),
                    why: String::new(),
                    evidence: String::new(),
                    subject: Subject::File,
                    span: None,
                    shadow: false,
                });
                Said::Found
            }
            ("archive", "files") => return self.gap(file, GapReason::Encrypted, FileClass::Archive),
            ("statement", "files") => return self.gap(file, GapReason::Encrypted, FileClass::Document),
            ("broken", "files") => return self.gap(file, GapReason::Corrupt, FileClass::Other),
            _ => Said::Clean,
        };
        (said, inspection)
    }
}
