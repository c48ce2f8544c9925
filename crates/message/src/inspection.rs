//! What inspectors report: findings, gaps, and which files were looked at by whom. Never a `Result`: what could not be
//! looked at is a [`Gap`], and policy says what a gap leads to.

use crate::{Category, ContentHash, Finding, Severity, words};
use serde::{Deserialize, Serialize};

words! {
    /// Why something could not be looked at (SPEC 2, closed list).
    GapReason {
        Encrypted = "encrypted",
        TooLarge = "too_large",
        Limits = "limits",
        Corrupt = "corrupt",
        Timeout = "timeout",
        Crashed = "crashed",
        ScannerUnavailable = "scanner_unavailable",
        FetchFailed = "fetch_failed",
        Expired = "expired",
        Unsupported = "unsupported",
    }
}

words! {
    /// Enough of a file's type for policy to tell an encrypted bank statement from an encrypted archive.
    FileClass { Archive = "archive", Document = "document", Image = "image", Audio = "audio", Video = "video", Executable = "executable", Other = "other" }
}

words! {
    /// The worst of what was seen; ordered, so that a message's verdict is the maximum. `unscanned` is worse than
    /// `suspicious`: what nobody looked at may be anything.
    Verdict { Clean = "clean", Suspicious = "suspicious", Unscanned = "unscanned", Malicious = "malicious" }
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    pub reason: GapReason,
    #[serde(rename = "where")]
    pub place: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub inside: String,
    /// Which inspector could not look (`clamav`, `files`, `fetch`, `redirects`).
    pub scanner: String,
    /// One line for the operator: who is at fault, whether a retry can help. No message content.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Class of the thing that could not be looked at (for `encrypted`: archive or document).
    pub class: FileClass,
}

/// One file as it was seen. Serialises to the object of SPEC 6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileReport {
    #[serde(rename = "where")]
    pub place: String,
    pub name: String,
    /// True type from content (`application/pdf`); `application/octet-stream` when unknown, empty when never seen.
    #[serde(rename = "type")]
    pub true_type: String,
    pub declared_type: String,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<ContentHash>,
    /// Who looked at it and with what: `clamav 1.4.6/27800`, `guarita rules 3f2c`. Empty: nobody.
    pub scanned_by: Vec<String>,
}

/// A text or link found inside a file, or behind a QR code: judged in the second round like those of the message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundPart {
    #[serde(rename = "where")]
    pub place: String,
    pub inside: String,
    #[serde(flatten)]
    pub what: FoundParts,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundParts {
    Link(String),
    Text(String),
}

/// What one or more inspectors saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    pub findings: Vec<Finding>,
    pub gaps: Vec<Gap>,
    pub files: Vec<FileReport>,
    /// For the second round; emptied once judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<FoundPart>,
    /// 0 to 1, orders inputs by suspicion (learned scores included); at least what the severities imply.
    #[serde(default)]
    pub score: f32,
}

impl Inspection {
    pub fn with_gap(gap: Gap) -> Self {
        Inspection { gaps: vec![gap], ..Inspection::default() }
    }

    /// Joins what another inspector saw. Reports of the same file at the same place become one: the first non-empty
    /// type wins, every scanner's name is kept.
    pub fn merge(&mut self, other: Inspection) {
        self.findings.extend(other.findings);
        self.gaps.extend(other.gaps);
        self.found.extend(other.found);
        self.score = self.score.max(other.score);
        for report in other.files {
            match self.files.iter_mut().find(|mine| mine.place == report.place && mine.sha256 == report.sha256) {
                Some(mine) => {
                    if mine.true_type.is_empty() || mine.true_type == "application/octet-stream" {
                        mine.true_type = report.true_type;
                    }
                    mine.scanned_by.extend(report.scanned_by);
                }
                None => self.files.push(report),
            }
        }
    }

    /// Verdict by severity and gaps alone; shadow findings do not count.
    pub fn verdict(&self) -> Verdict {
        let worst = self.findings.iter().filter(|f| !f.shadow).map(|f| f.severity).max();
        if worst >= Some(Severity::High) {
            Verdict::Malicious
        } else if !self.gaps.is_empty() {
            Verdict::Unscanned
        } else if worst >= Some(Severity::Medium) {
            Verdict::Suspicious
        } else {
            Verdict::Clean
        }
    }

    /// The learned score, raised to what the worst finding implies, so that scores and verdicts agree in order. A link to
    /// a program alone is the exception: it is stopped wherever it lies, and says little of fraud.
    pub fn suspicion(&self) -> f32 {
        let floor = self.findings.iter().filter(|f| !f.shadow).map(|f| match f.severity {
            Severity::High if f.category == Category::ExecutableLink => 0.4,
            Severity::Critical => 0.95,
            Severity::High => 0.85,
            Severity::Medium => 0.5,
            Severity::Low => 0.1,
            Severity::Info => 0.0,
        });
        floor.fold(self.score, f32::max).clamp(0.0, 1.0)
    }
}
