//! What a signature's name means: a finding, or a gap where clamd says that it did not look. Pure.
//!
//! clamd tells limits and encryption as if they were malware (`Heuristics.Limits.Exceeded.*`, `Heuristics.Encrypted.*`);
//! they are neither clean nor malware. It reports one name a file, and real malware before heuristics
//! (`HeuristicScanPrecedence` off), so a gap here never hides a signature that matched.

use crate::{CLAMAV, titles::Titles};
use guarita_message::{Category, FileClass, Finding, Gap, GapReason, Severity, Subject};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Judged {
    Finding(Box<Finding>),
    Gap(Gap),
}

pub(crate) fn judge(name: &str, place: &str, titles: &Titles) -> Judged {
    let name = without_unofficial(name);
    if let Some((reason, class, detail)) = as_gap(name) {
        return Judged::Gap(gap(place, reason, class, detail));
    }
    let (category, severity, title) = meaning(name, titles);
    Judged::Finding(Box::new(Finding {
        rule: format!("{CLAMAV}/{name}"),
        category,
        severity,
        place: place.to_owned(),
        inside: String::new(),
        title: title.to_owned(),
        why: String::new(),
        evidence: Finding::evidence_of(name),
        subject: Subject::File,
        span: None,
        shadow: false,
    }))
}

pub(crate) fn gap(place: &str, reason: GapReason, class: FileClass, detail: &str) -> Gap {
    Gap {
        reason,
        place: place.to_owned(),
        inside: String::new(),
        scanner: CLAMAV.to_owned(),
        detail: detail.to_owned(),
        class,
    }
}

/// Our own test signatures read like the official ones; every other name stays as it came.
fn without_unofficial(name: &str) -> &str {
    match name.strip_suffix(".UNOFFICIAL") {
        Some(ours) if crate::test_set::NAMES.contains(&ours) => ours,
        _ => name,
    }
}

fn as_gap(name: &str) -> Option<(GapReason, FileClass, &'static str)> {
    let rest = name.strip_prefix("Heuristics.")?;
    if let Some(kind) = rest.strip_prefix("Encrypted.") {
        let document = kind.starts_with("PDF") || kind.starts_with("Doc") || kind.starts_with("OLE");
        let class = if document { FileClass::Document } else { FileClass::Archive };
        return Some((GapReason::Encrypted, class, "clamd cannot open it without its password"));
    }
    let detail = match rest {
        "Limits.Exceeded.MaxFileSize" => "something in it is larger than clamd's MaxFileSize",
        "Limits.Exceeded.MaxScanSize" => "it unpacks to more than clamd's MaxScanSize",
        "Limits.Exceeded.MaxRecursion" => "it is nested deeper than clamd's MaxRecursion",
        "Limits.Exceeded.MaxFiles" => "it holds more files than clamd's MaxFiles",
        "Limits.Exceeded.MaxScanTime" => "clamd did not finish within its MaxScanTime",
        "XZ.DicSizeLimit" => "its XZ dictionary is larger than clamd allows",
        _ if rest.starts_with("Limits.Exceeded") => "clamd reached one of its limits",
        _ => return None,
    };
    Some((GapReason::Limits, FileClass::Other, detail))
}

fn meaning<'t>(name: &str, titles: &'t Titles) -> (Category, Severity, &'t str) {
    if name.starts_with("PUA.") {
        return (Category::Malware, Severity::Medium, &titles.unwanted);
    }
    let Some(rest) = name.strip_prefix("Heuristics.") else {
        return (Category::Malware, Severity::Critical, &titles.malware);
    };
    let starts = |words: &[&str]| words.iter().any(|word| rest.starts_with(word));
    if starts(&["Trojan.", "Worm.", "W32."]) {
        // Old file infectors that are recognised by code, not by a signature.
        (Category::Malware, Severity::Critical, &titles.malware)
    } else if starts(&["Exploit."]) {
        (Category::Exploit, Severity::High, &titles.exploit)
    } else if starts(&["Zip.OverlappingFiles"]) {
        (Category::ArchiveBomb, Severity::High, &titles.bomb)
    } else if starts(&["Phishing.", "Safebrowsing."]) {
        (Category::PhishingLink, Severity::Medium, &titles.phishing)
    } else if starts(&["OLE2.ContainsMacros"]) {
        (Category::Macro, Severity::Medium, &titles.macros)
    } else if starts(&["PDF."]) {
        (Category::ActiveContent, Severity::Medium, &titles.active_content)
    } else if starts(&["Structured.CreditCard"]) {
        (Category::PaymentCard, Severity::Medium, &titles.payment_card)
    } else if starts(&["Structured."]) {
        (Category::PersonalId, Severity::Medium, &titles.personal_id)
    } else if starts(&["Broken."]) {
        (Category::Exploit, Severity::Medium, &titles.broken)
    } else {
        (Category::Malware, Severity::Medium, &titles.heuristic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guarita_message::Language;

    #[track_caller]
    fn check(name: &str, expect: &str) {
        let shown = match judge(name, "/document", &Titles::of(Language::English)) {
            Judged::Finding(f) => {
                assert_eq!((f.place.as_str(), f.subject, f.span), ("/document", Subject::File, None));
                assert_eq!(f.rule.strip_prefix("clamav/"), Some(f.evidence.as_str()));
                format!("{} {} {} {}", f.rule, f.category, f.severity, f.title)
            }
            Judged::Gap(g) => {
                assert_eq!((g.place.as_str(), g.scanner.as_str()), ("/document", "clamav"));
                assert!(!g.detail.is_empty());
                format!("gap {} {}", g.reason, g.class)
            }
        };
        assert_eq!(shown, expect);
    }

    #[test]
    fn names_mean_what_they_say() {
        check("Win.Test.EICAR_HDB-1", "clamav/Win.Test.EICAR_HDB-1 malware critical Known malware");
        check("Win.Test.EICAR_HDB-1.UNOFFICIAL", "clamav/Win.Test.EICAR_HDB-1 malware critical Known malware");
        check("Clamav.Test.File-6.UNOFFICIAL", "clamav/Clamav.Test.File-6 malware critical Known malware");
        check("Acme.Sig.UNOFFICIAL", "clamav/Acme.Sig.UNOFFICIAL malware critical Known malware");
        check("Html.Phishing.Bank-1", "clamav/Html.Phishing.Bank-1 malware critical Known malware");
        check("PUA.Win.Packer.Upx-1", "clamav/PUA.Win.Packer.Upx-1 malware medium Possibly unwanted program");
        for (limit, reason) in [("MaxFileSize", "limits"), ("MaxRecursion", "limits"), ("Future", "limits")] {
            check(&format!("Heuristics.Limits.Exceeded.{limit}"), &format!("gap {reason} other"));
        }
        check("Heuristics.Limits.Exceeded", "gap limits other");
        check("Heuristics.XZ.DicSizeLimit", "gap limits other");
        for (kind, class) in [("Zip", "archive"), ("RAR", "archive"), ("7Zip", "archive"), ("EGG", "archive")] {
            check(&format!("Heuristics.Encrypted.{kind}"), &format!("gap encrypted {class}"));
        }
        check("Heuristics.Encrypted.PDF", "gap encrypted document");
        check("Heuristics.Encrypted.Doc", "gap encrypted document");
        let phishing = "Heuristics.Phishing.Email.SpoofedDomain";
        check(phishing, &format!("clamav/{phishing} phishing_link medium File with signs of phishing"));
        let macros = "Heuristics.OLE2.ContainsMacros.VBA";
        check(macros, &format!("clamav/{macros} macro medium Document with macros"));
        let overlap = "Heuristics.Zip.OverlappingFiles";
        check(overlap, &format!("clamav/{overlap} archive_bomb high Archive made to overwhelm whoever opens it"));
        let worm = "Heuristics.Worm.Mydoom.M.log";
        check(worm, &format!("clamav/{worm} malware critical Known malware"));
        let new = "Heuristics.Something.New";
        check(new, &format!("clamav/{new} malware medium Suspicious sign in the file"));
    }
}
