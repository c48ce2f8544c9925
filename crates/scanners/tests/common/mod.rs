//! What the tests of this crate share: contents, files to scan, clamds that misbehave. Knows no test.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test may fail so")]

pub mod fake;

use guarita_inspect::{Content, FileInspector, FileUnderScan};
use guarita_message::{ContentHash, Inspection};
use guarita_scanners::Config;
use std::{
    io::{self, Cursor, Read},
    sync::Arc,
};

/// Bytes in memory.
pub struct Bytes(pub Vec<u8>);

impl Content for Bytes {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.0.clone())))
    }
}

/// Many zeros that are nowhere.
pub struct Zeros(pub u64);

impl Content for Zeros {
    fn bytes(&self) -> u64 {
        self.0
    }
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::repeat(0).take(self.0)))
    }
}

/// A store that announces `announced` bytes and then does something else.
pub struct LyingStore {
    pub announced: u64,
    pub holds: u64,
    pub fails: bool,
}

impl Content for LyingStore {
    fn bytes(&self) -> u64 {
        self.announced
    }
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        if self.fails {
            return Err(io::Error::other("the disk is gone"));
        }
        Ok(Box::new(io::repeat(b'x').take(self.holds)))
    }
}

pub fn file_of(content: impl Content + 'static) -> FileUnderScan {
    FileUnderScan {
        place: "/document".into(),
        name: "fatura.pdf".into(),
        declared_type: "application/pdf".into(),
        hash: ContentHash([7; 32]),
        content: Arc::new(content),
        passwords: vec![],
    }
}

pub fn file(bytes: &[u8]) -> FileUnderScan {
    file_of(Bytes(bytes.to_vec()))
}

/// Short waits, and nothing beyond this machine.
pub fn config() -> Config {
    let mut config = Config { scan_seconds_max: 1, queue_seconds_max: 1, connect_seconds_max: 1, ..Config::default() };
    config.recheck_seconds_max = 1;
    config.freshclam.enabled = false;
    config
}

/// An inspection in one line: `ok`, `found <rule> <severity>`, `gap <reason> <class>`. Checks what holds for each.
pub fn told(inspection: &Inspection) -> String {
    assert_eq!(inspection.files.len(), 1, "one report a file");
    let report = &inspection.files[0];
    assert_eq!((report.place.as_str(), report.name.as_str()), ("/document", "fatura.pdf"));
    match (inspection.findings.as_slice(), inspection.gaps.as_slice()) {
        ([], []) => {
            assert_eq!(report.scanned_by.len(), 1, "clean only if somebody looked");
            "ok".into()
        }
        ([finding], []) => {
            assert_eq!(report.scanned_by.len(), 1);
            assert_eq!(finding.place, "/document");
            format!("found {} {}", finding.rule, finding.severity)
        }
        ([], [gap]) => {
            assert_eq!((gap.place.as_str(), gap.scanner.as_str()), ("/document", "clamav"));
            assert!(!gap.detail.is_empty(), "a gap says why");
            format!("gap {} {}", gap.reason, gap.class)
        }
        _ => panic!("one answer a file: {inspection:?}"),
    }
}

pub async fn scan(inspector: &impl FileInspector, bytes: &[u8]) -> String {
    told(&inspector.inspect(&file(bytes)).await)
}

pub fn eicar() -> Vec<u8> {
    guarita_scanners::eicar()
}
