//! A finding: a fact that a rule states about one part of a message.

use crate::words;
use serde::{Deserialize, Serialize};

words! {
    /// What kind of harm a finding speaks of. A closed list (SPEC 2): a rule names exactly one.
    Category {
        Malware = "malware",
        Executable = "executable",
        DisguisedFile = "disguised_file",
        Macro = "macro",
        ActiveContent = "active_content",
        Exploit = "exploit",
        Encrypted = "encrypted",
        ArchiveBomb = "archive_bomb",
        SuspiciousLink = "suspicious_link",
        PhishingLink = "phishing_link",
        LookalikeLink = "lookalike_link",
        HiddenLink = "hidden_link",
        Shortener = "shortener",
        ExecutableLink = "executable_link",
        UnofficialApp = "unofficial_app",
        CodeTheft = "code_theft",
        Impersonation = "impersonation",
        Scam = "scam",
        Spam = "spam",
        PaymentCard = "payment_card",
        PersonalId = "personal_id",
        Credential = "credential",
    }
}

words! {
    /// How much a finding matters. `high` and above make a verdict `malicious`, `medium` makes it `suspicious`.
    Severity { Info = "info", Low = "low", Medium = "medium", High = "high", Critical = "critical" }
}

words! {
    /// What a finding is about; policy treats the three differently. A link found inside a file stays a `link`.
    Subject { Text = "text", Link = "link", File = "file" }
}

/// A fact that a rule states. Serialises to the object of SPEC 6 (`where`, not `place`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule that speaks, `<inspector>/<name>`: `links/lookalike-brand`, `clamav/Win.Test.EICAR_HDB-1`.
    pub rule: String,
    pub category: Category,
    pub severity: Severity,
    /// JSON pointer within the message object (`/document`, `/text/body`); see [`crate::Part::place`].
    #[serde(rename = "where")]
    pub place: String,
    /// The way to the thing inside a file, as a person reads it: `invoice.zip › docs/a.lnk`. Empty: the part itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub inside: String,
    /// One short line in the operator's language.
    pub title: String,
    /// One sentence: why this matters. Empty where the title says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What was seen, cut to [`Finding::EVIDENCE_CHARS_MAX`]; never a secret itself (a card is shown as `**** 4242`).
    pub evidence: String,
    pub subject: Subject,
    /// Byte range within the part's text that the finding speaks of; defanging and redacting need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<(usize, usize)>,
    /// A rule in shadow mode is counted and shown to operators, but decides nothing and is not sent to the backend.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
}

impl Finding {
    /// Evidence is for a person's glance and for an HTTP header, not a copy of the content.
    pub const EVIDENCE_CHARS_MAX: usize = 160;

    /// `text` cut at [`Self::EVIDENCE_CHARS_MAX`] characters, without control or direction-changing characters.
    pub fn evidence_of(text: &str) -> String {
        let mut out = String::new();
        for (count, c) in text.chars().enumerate() {
            if count == Self::EVIDENCE_CHARS_MAX - 1 {
                out.push('…');
                break;
            }
            let unsafe_to_show = c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
            if unsafe_to_show {
                out.extend(c.escape_unicode());
            } else {
                out.push(c);
            }
        }
        out
    }
}
