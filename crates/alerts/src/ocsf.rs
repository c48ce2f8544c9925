//! Findings as OCSF Detection Findings (class 2004, schema 1.3, profile `security_control`), one JSON object each. Pure.
//!
//! Without `personal` an object holds ids, hashes, rule names and words of the lexicon: no evidence, no file name, no
//! message id (WhatsApp's hold the customer's number).

use crate::{Millis, alert::message_link};
use guarita_message::{Channel, FileReport, Finding, Severity, Subject};
use serde_json::{Value, json};

const SCHEMA: &str = "1.3.0";

/// One decided message with what was found in it.
#[derive(Clone, Copy, Debug)]
pub struct Detection<'a> {
    pub delivery: &'a str,
    /// The channel's own id of the message; written only with `personal`.
    pub message: &'a str,
    pub channel: Channel,
    pub route: &'a str,
    pub received: Millis,
    pub decided: Millis,
    pub findings: &'a [Finding],
    pub files: &'a [FileReport],
    /// Places of the parts that were withheld.
    pub withheld: &'a [String],
    pub quarantined: bool,
}

/// An object for each finding that is not in shadow mode.
pub fn detections(seen: &Detection<'_>, console: &str, personal: bool) -> Vec<Value> {
    let findings = seen.findings.iter().filter(|finding| !finding.shadow).enumerate();
    findings.map(|(number, finding)| detection(seen, finding, number, console, personal)).collect()
}

fn detection(seen: &Detection<'_>, finding: &Finding, number: usize, console: &str, personal: bool) -> Value {
    let withheld = seen.withheld.contains(&finding.place);
    let (action_id, action, disposition_id, disposition) = match (withheld, seen.quarantined) {
        (true, true) => (2, "Denied", 3, "Quarantined"),
        (true, false) => (2, "Denied", 2, "Blocked"),
        (false, _) => (1, "Allowed", 1, "Allowed"),
    };
    let (severity_id, severity) = severity(finding.severity);
    let uid = format!("{}-{number}", seen.delivery);
    let mut info = json!({
        "uid": uid, "title": finding.title, "types": [finding.category], "created_time": seen.decided,
        "first_seen_time": seen.received,
        "analytic": {"type_id": 1, "type": "Rule", "name": finding.rule, "uid": finding.rule},
    });
    if !finding.why.is_empty() {
        info["desc"] = json!(finding.why);
    }
    if !console.is_empty() {
        info["src_url"] = json!(message_link(console, seen.delivery));
    }
    let mut object = json!({
        "class_uid": 2004, "class_name": "Detection Finding", "category_uid": 2, "category_name": "Findings",
        "activity_id": 1, "activity_name": "Create", "type_uid": 200_401, "type_name": "Detection Finding: Create",
        "time": seen.decided, "severity_id": severity_id, "severity": severity, "status_id": 1, "status": "New",
        "action_id": action_id, "action": action, "disposition_id": disposition_id, "disposition": disposition,
        "is_alert": finding.severity >= Severity::High,
        "message": finding.title,
        "finding_info": info,
        "metadata": {
            "version": SCHEMA, "uid": uid, "profiles": ["security_control"], "original_time": seen.received.to_string(),
            "product": {"name": "Guarita", "vendor_name": "Guarita", "version": env!("CARGO_PKG_VERSION")},
        },
        "evidences": [evidence(seen, finding, personal)],
        "resources": [{"type": "message", "uid": seen.delivery, "data": {"channel": seen.channel, "route": seen.route}}],
    });
    if personal {
        object["resources"][0]["name"] = json!(seen.message);
    }
    if finding.subject == Subject::File && finding.category == guarita_message::Category::Malware {
        object["malware"] = json!([{"classification_ids": [0], "classifications": ["Unknown"], "name": finding.rule}]);
    }
    object
}

fn evidence(seen: &Detection<'_>, finding: &Finding, personal: bool) -> Value {
    let mut data = json!({"where": finding.place, "subject": finding.subject});
    if personal {
        data["evidence"] = json!(finding.evidence);
        data["inside"] = json!(finding.inside);
    }
    let mut evidence = json!({"data": data});
    let file = seen.files.iter().find(|file| file.place == finding.place);
    if let (Subject::File, Some(file)) = (finding.subject, file) {
        let hash = file.sha256.map(|hash| hash.to_string());
        // A file must have a name; a customer's name for it is theirs.
        let name = if personal { file.name.clone() } else { hash.clone().unwrap_or_else(|| "unknown".into()) };
        let mut object = json!({"name": name, "type_id": 1, "type": "Regular File", "size": file.bytes});
        if !file.true_type.is_empty() {
            object["mime_type"] = json!(file.true_type);
        }
        if let Some(hash) = hash {
            object["hashes"] = json!([{"algorithm_id": 3, "algorithm": "SHA-256", "value": hash}]);
        }
        evidence["file"] = object;
    }
    evidence
}

fn severity(severity: Severity) -> (u8, &'static str) {
    match severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guarita_message::{Category, ContentHash};

    /// What OCSF 1.3 requires of the class and of each object used here (`requirement: required`, and the value that each
    /// `*_id` may have). `[]` in a path stands for every element.
    const REQUIRED: &[&str] = &[
        "activity_id",
        "category_uid",
        "class_uid",
        "finding_info",
        "finding_info.uid",
        "finding_info.title",
        "finding_info.analytic.type_id",
        "metadata",
        "metadata.product",
        "metadata.product.name",
        "metadata.product.vendor_name",
        "metadata.version",
        "severity_id",
        "time",
        "type_uid",
        "evidences[].data",
    ];
    const REQUIRED_OF_FILES: &[&str] = &[
        "evidences[].file.name",
        "evidences[].file.type_id",
        "evidences[].file.hashes[].algorithm_id",
        "evidences[].file.hashes[].value",
        "malware[].classification_ids[]",
    ];

    fn has(value: &Value, path: &str) -> bool {
        let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
        let (name, each) = head.strip_suffix("[]").map_or((head, false), |name| (name, true));
        let go_on = |value: &Value| rest.map_or(!value.is_null(), |rest| has(value, rest));
        match each {
            true => value[name].as_array().is_some_and(|all| !all.is_empty() && all.iter().all(go_on)),
            false => go_on(&value[name]),
        }
    }

    fn finding(subject: Subject, category: Category, severity: Severity) -> Finding {
        Finding {
            rule: "clamav/Win.Test.EICAR_HDB-1".into(),
            category,
            severity,
            place: "/document".into(),
            inside: "fatura da Ana.zip › a.exe".into(),
            title: "Known malware".into(),
            why: "It harms.".into(),
            evidence: "+55 11 98765-4321".into(),
            subject,
            span: None,
            shadow: false,
        }
    }

    #[test]
    fn what_the_schema_requires_is_there_and_nothing_personal() {
        let hash = ContentHash([7; 32]);
        let files = [FileReport {
            place: "/document".into(),
            name: "fatura da Ana.zip".into(),
            true_type: "application/zip".into(),
            declared_type: "application/zip".into(),
            bytes: 12,
            sha256: Some(hash),
            scanned_by: Vec::new(),
        }];
        let mut shadow = finding(Subject::Text, Category::Scam, Severity::High);
        shadow.shadow = true;
        let findings = [
            finding(Subject::File, Category::Malware, Severity::Critical),
            finding(Subject::Text, Category::Scam, Severity::Medium),
            shadow,
        ];
        let withheld = ["/document".to_owned()];
        let seen = Detection {
            delivery: "01ABC",
            message: "wamid.5511987654321",
            channel: Channel::Whatsapp,
            route: "default",
            received: 1,
            decided: 2,
            findings: &findings,
            files: &files,
            withheld: &withheld,
            quarantined: true,
        };
        for personal in [false, true] {
            let objects = detections(&seen, "https://console.example", personal);
            assert_eq!(objects.len(), 2, "a finding in shadow mode is nobody's alarm");
            for object in &objects {
                for path in REQUIRED {
                    assert!(has(object, path), "{path} is missing in {object}");
                }
                let number = |key: &str| object[key].as_u64().unwrap();
                assert_eq!(number("class_uid"), number("category_uid") * 1000 + 4);
                assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"));
                assert!((0..=6).contains(&number("severity_id")));
                let text = object.to_string();
                for private in ["wamid", "Ana", "98765", "a.exe"] {
                    assert!(personal || !text.contains(private), "{private} in {text}");
                }
            }
            for path in REQUIRED_OF_FILES {
                assert!(has(&objects[0], path), "{path} is missing in {}", objects[0]);
            }
            assert_eq!(objects[0]["disposition"], "Quarantined");
            assert_eq!(objects[0]["finding_info"]["src_url"], "https://console.example/messages/01ABC");
            assert_eq!(objects[0]["finding_info"]["uid"], "01ABC-0");
            assert_eq!(objects[1]["evidences"][0].get("file"), None);
            let name = if personal { "fatura da Ana.zip".to_owned() } else { hash.to_string() };
            assert_eq!(objects[0]["evidences"][0]["file"]["name"], name);
        }
    }
}
