//! A desk full of things, in memory: for tests of pages and API. No gateway runs behind it; what one would answer is
//! made up, and what is asked of it is remembered.

use crate::{
    Config,
    actor::Role,
    desk::{Desk, Exception, Parts},
    gateway::{
        Answer, BackendInfo, Check, FileToShow, Gateway, Readiness, RuleHits, RuleInfo, Rules, Setting, Snapshot, Tried,
    },
    store::Store,
};
use guarita_media::{BlobStore, DiskBlobs, MediaIndex, MediaKeys, MediaState, StoredMedia};
use guarita_message::{
    Action, Because, Category, Channel, ContentHash, ConversationKey, Decision, DeliveryId, FileReport, Finding,
    GapReason, Inspection, Lane, Language, Member, Preview, Severity, Shown, Subject, Verdict,
};
use guarita_spool::{Appended, Decided, Finish, MemorySpool, NewEntry, Spool};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};

/// What a made-up gateway was asked to do.
#[derive(Default)]
pub struct StandInGateway {
    pub exceptions: Mutex<Vec<Exception>>,
    pub asked: Mutex<Vec<&'static str>>,
}

impl StandInGateway {
    fn note(&self, what: &'static str) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

fn tried(verdict: Verdict, findings: Vec<Finding>) -> Tried {
    let inspection = Inspection { findings, ..Inspection::default() };
    Tried { verdict: verdict.to_string(), score: inspection.suspicion(), inspection }
}

impl Gateway for StandInGateway {
    fn readiness(&self) -> Answer<'_, Readiness> {
        let check = |name: &str, ok, warning, detail: &str, mend: &str| Check {
            name: name.into(),
            ok,
            warning,
            detail: detail.into(),
            mend: mend.into(),
        };
        Box::pin(std::future::ready(Readiness::of(vec![
            check("clamav", true, false, "clamav 1.4.6 database 27800", ""),
            check("signatures", false, true, "9 days old", "run freshclam"),
            check("spool", true, false, "writable", ""),
        ])))
    }
    fn metrics(&self) -> Answer<'_, String> {
        let text = "guarita_ack_seconds_bucket{le=\"0.001\"} 950\nguarita_ack_seconds_bucket{le=\"0.01\"} 1000\n\
            guarita_ack_seconds_bucket{le=\"+Inf\"} 1000\n\
            guarita_end_to_end_seconds_bucket{le=\"0.05\"} 700\nguarita_end_to_end_seconds_bucket{le=\"0.5\"} 1000\n\
            guarita_end_to_end_seconds_bucket{le=\"+Inf\"} 1000\n\
            guarita_scan_seconds_bucket{scanner=\"clamav\",le=\"0.05\"} 30\n\
            guarita_scan_seconds_bucket{scanner=\"clamav\",le=\"+Inf\"} 30\nguarita_scan_seconds_count{scanner=\"clamav\"} 30\n";
        Box::pin(std::future::ready(text.to_owned()))
    }
    fn snapshot(&self) -> Snapshot {
        Snapshot {
            scanner: "clamav 1.4.6/27800".into(),
            scanner_ready: true,
            signature_age_seconds: Some(9 * 86_400),
            rules_version: "3f2c9a10".into(),
            uptime_seconds: 86_400,
        }
    }
    fn rules(&self, language: Option<Language>) -> Rules {
        let title = match language {
            Some(Language::Portuguese) => "Título de",
            Some(Language::Spanish) => "Título en español de",
            _ => "Title of",
        };
        let rule = |id: &str, category: &str, severity: &str, shadow, hits| RuleInfo {
            id: id.into(),
            category: category.into(),
            severity: severity.into(),
            title: format!("{title} {id}"),
            why: "Why this matters.".into(),
            shadow,
            written: "links/hosts.toml:12".into(),
            hits,
            last_hit_ms: (hits > 0).then_some(1_763_800_000_000),
        };
        Rules {
            version: "3f2c9a10".into(),
            rules: vec![
                rule("links/lookalike-brand", "lookalike_link", "high", false, 12),
                rule("links/shortener", "shortener", "low", true, 40),
                rule("texts/code-theft", "code_theft", "medium", false, 0),
            ],
            outside: vec![RuleHits {
                rule: "clamav/Win.Test.EICAR_HDB-1".into(),
                hits: 3,
                last_hit_ms: 1_763_800_000_000,
            }],
        }
    }
    fn try_text(&self, text: String) -> Answer<'_, Result<Tried, String>> {
        self.note("try_text");
        let bad = text.contains("http");
        let finding = finding("links/lookalike-brand", Category::LookalikeLink, Severity::High, "/text/body", &text);
        let result = if bad { tried(Verdict::Malicious, vec![finding]) } else { tried(Verdict::Clean, Vec::new()) };
        Box::pin(std::future::ready(Ok(result)))
    }
    fn try_url(&self, url: String) -> Answer<'_, Result<Tried, String>> {
        self.try_text(url)
    }
    fn try_file(&self, _name: String, _bytes: Vec<u8>) -> Answer<'_, Result<Tried, String>> {
        self.note("try_file");
        Box::pin(std::future::ready(Ok(tried(Verdict::Clean, Vec::new()))))
    }
    /// By the name's ending: a picture, a list, or text with everything a hostile sender would write.
    fn preview(&self, file: FileToShow) -> Answer<'_, Preview> {
        self.note("preview");
        let member = |name: &str, depth, closed: Option<GapReason>| Member {
            name: name.into(),
            depth,
            true_type: if closed.is_none() { "application/x-ms-shortcut".into() } else { String::new() },
            bytes: 1_204,
            closed,
        };
        let shown = match file.name.rsplit('.').next() {
            Some("png" | "jpg") => {
                let pixel = |at: u32| [(at % 320 * 255 / 320) as u8, (at / 320) as u8, 140];
                Shown::Picture { width: 320, height: 200, pixels: (0..320 * 200).flat_map(pixel).collect() }
            }
            Some("zip") => Shown::Members {
                members: vec![
                    member("Fatura_2026-11.pdf.lnk", 0, None),
                    member("anexos/mais.zip", 0, None),
                    member(NASTY, 1, None),
                    member("senha.docx", 0, Some(GapReason::Encrypted)),
                ],
                cut: true,
            },
            Some("pdf") => {
                Shown::Text { text: format!("Fatura de novembro\n{NASTY}\nTotal: R$ 1.204,00\n"), cut: false }
            }
            _ => Shown::Nothing { why: GapReason::Unsupported },
        };
        Box::pin(std::future::ready(Preview { true_type: "application/octet-stream".into(), shown }))
    }
    fn backends(&self) -> Vec<BackendInfo> {
        let info = |route: &str, messages: &str| BackendInfo {
            route: route.into(),
            host: "127.0.0.1:3000".into(),
            messages: messages.into(),
            others: "closed".into(),
        };
        vec![info("default", "closed"), info("loja", "open")]
    }
    fn settings(&self) -> Vec<Setting> {
        let setting = |key: &str, value: &str, secret, changed| Setting {
            key: key.into(),
            value: value.into(),
            meaning: format!("what {key} means"),
            secret,
            changed,
        };
        vec![
            setting("backend.url", "http://127.0.0.1:3000/webhook", false, true),
            setting("receive.app_secret", "(set)", true, true),
            setting("storage.retention_days", "7", false, false),
        ]
    }
    fn apply_exceptions(&self, all: Vec<Exception>) -> Answer<'_, ()> {
        *self.exceptions.lock().unwrap_or_else(PoisonError::into_inner) = all;
        Box::pin(std::future::ready(()))
    }
    fn reload(&self) -> Answer<'_, Result<String, String>> {
        self.note("reload");
        Box::pin(std::future::ready(Ok("3 rules, version 3f2c9a10".into())))
    }
    fn rescan(&self) -> Answer<'_, Result<String, String>> {
        self.note("rescan");
        Box::pin(std::future::ready(Ok("12 files will be looked at".into())))
    }
    fn test_alert(&self) -> Answer<'_, Result<String, String>> {
        self.note("test_alert");
        Box::pin(std::future::ready(Err("no alert target is configured".into())))
    }
}

/// A seeded desk with what tests need to reach behind it.
pub struct Seeded {
    pub desk: Arc<Desk>,
    pub spool: Arc<MemorySpool>,
    pub gateway: Arc<StandInGateway>,
    pub index: MediaIndex,
    /// Ids by what they are: `clean`, `link`, `virus`, `nasty` (hostile names and texts), `dead`, `waiting`.
    pub ids: Vec<(&'static str, DeliveryId)>,
    /// SHA-256 of the virus' bytes.
    pub virus: ContentHash,
    _folder: tempfile::TempDir,
}

/// Passwords of the seeded accounts: the role's name, then this.
pub const PASSWORD: &str = "-longa-e-boa-2026";

impl Seeded {
    pub fn id(&self, what: &str) -> String {
        let found = self.ids.iter().find(|(name, _)| *name == what);
        found.map(|(_, id)| id.to_string()).unwrap_or_default()
    }

    /// Accounts `viewer`, `reviewer` and `admin`, without a second step.
    pub async fn add_people(&self) -> Result<(), crate::people::LogInError> {
        for (name, role) in [("viewer", Role::Viewer), ("reviewer", Role::Reviewer), ("admin", Role::Admin)] {
            let password = format!("{}{PASSWORD}", &name[..name.len() - 1]);
            self.desk.people().add_for_test(name, role, &password).await?;
        }
        Ok(())
    }

    /// The password that [`Self::add_people`] gave.
    pub fn password_of(name: &str) -> String {
        format!("{}{PASSWORD}", &name[..name.len() - 1])
    }
}

/// A desk filled with one of each kind of message, received in the last hours.
pub async fn seeded(config: Config) -> Seeded {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let keys = MediaKeys::derive(&[3; 32]);
    let index = MediaIndex::open(&folder.path().join("media.sqlite"), &keys).expect("an empty folder takes an index");
    let blobs: Arc<dyn BlobStore> =
        Arc::new(DiskBlobs::open(folder.path().join("media"), &keys).expect("an empty folder takes blobs"));
    let spool = Arc::new(MemorySpool::new());
    let gateway = Arc::new(StandInGateway::default());
    let store = Store::in_memory(&[5; 32]).expect("memory takes a database");
    let desk = Arc::new(Desk::new(Parts {
        config,
        spool: spool.clone(),
        index: index.clone(),
        blobs: blobs.clone(),
        gateway: gateway.clone(),
        store,
    }));
    let mut writer = blobs.writer().expect("an empty folder takes a blob");
    writer.write_all(b"not a virus, but held as one").expect("it is small");
    let stored = writer.finish().expect("it is small");
    let virus = stored.hash;
    let content = StoredMedia {
        hash: virus,
        bytes: stored.bytes,
        mime_type: "application/pdf".into(),
        name: Some("fatura.pdf".into()),
    };
    let key = index.key("900001");
    index.decide(1, vec![(key, MediaState::Withheld(Some(content)))]).await.expect("the index is open");
    let mut seeded = Seeded { desk, spool, gateway, index, ids: Vec::new(), virus, _folder: folder };
    seeded.fill().await;
    seeded
}

fn finding(rule: &str, category: Category, severity: Severity, place: &str, evidence: &str) -> Finding {
    Finding {
        rule: rule.into(),
        category,
        severity,
        place: place.into(),
        inside: String::new(),
        title: format!("Title of {rule}"),
        why: "Why this matters.".into(),
        evidence: Finding::evidence_of(evidence),
        subject: if place == "/document" { Subject::File } else { Subject::Text },
        span: None,
        shadow: false,
    }
}

/// What a hostile sender would write everywhere they can.
pub const NASTY: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}\u{202e}";

impl Seeded {
    async fn fill(&mut self) {
        let text = |body: &str| json!({"type": "text", "text": {"body": body}});
        let document = |id: &str, name: &str| json!({"type": "document", "document": {"id": id, "filename": name, "mime_type": "application/pdf"}});
        let link = "pague em https://correios-taxa.example/x";
        self.put(
            "clean",
            "Ana Souza",
            "5511987654321",
            text("Bom dia! Entregam no sábado?"),
            Vec::new(),
            Outcome::Sent,
        )
        .await;
        let mut bad = finding("links/lookalike-brand", Category::LookalikeLink, Severity::High, "/text/body", link);
        bad.span = Some((9, link.len()));
        bad.subject = Subject::Link;
        self.put("link", "Ana Souza", "5511987654321", text(link), vec![bad], Outcome::Sent).await;
        let eicar = "clamav/Win.Test.EICAR_HDB-1";
        let found = finding(eicar, Category::Malware, Severity::Critical, "/document", "Win.Test.EICAR_HDB-1");
        self.put("virus", "Bruno Lima", "5521912345678", document("900001", "fatura.pdf"), vec![found], Outcome::Held)
            .await;
        let found = finding("texts/scam", Category::Scam, Severity::Medium, "/text/body", NASTY);
        self.put("nasty", NASTY, "5531900000001", text(NASTY), vec![found], Outcome::Sent).await;
        self.put("dead", "Carla", "5541900000002", text("alguém aí?"), Vec::new(), Outcome::Dead).await;
        self.put("waiting", "Davi", "5551900000003", text("oi"), Vec::new(), Outcome::Waiting).await;
    }

    /// Adds one more message; for tests that need their own.
    pub async fn put(
        &mut self,
        what: &'static str,
        name: &str,
        phone: &str,
        content: serde_json::Value,
        findings: Vec<Finding>,
        outcome: Outcome,
    ) -> DeliveryId {
        let number = self.ids.len() as u64;
        let now = crate::desk::now_ms() - 3_600_000 + number * 15_000;
        let wamid = format!("wamid.SEED{number:04}");
        let mut message = json!({"from": phone, "id": wamid, "timestamp": "1763800000"});
        if let (Some(message), serde_json::Value::Object(content)) = (message.as_object_mut(), content.clone()) {
            message.extend(content);
        }
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages",
            "value": {"messaging_product": "whatsapp", "metadata": {"phone_number_id": "106540352242922"},
                "contacts": [{"profile": {"name": name}, "wa_id": phone}], "messages": [message]}}]}]});
        let new = NewEntry {
            route: "default".into(),
            channel: Channel::Whatsapp,
            account: "106540352242922".into(),
            lane: Lane::Message,
            conversation: ConversationKey(format!("whatsapp:106540352242922:{phone}")),
            dedupe: Vec::new(),
            senders: vec![phone.to_owned()],
            body: body.to_string().into_bytes(),
        };
        let stored = self.spool.append(now, vec![new]).await.expect("memory is not full");
        let Appended::Stored(id) = stored[0].clone() else { unreachable!("there are no keys to be seen before") };
        self.ids.push((what, id.clone()));
        if outcome == Outcome::Waiting {
            return id;
        }
        let claimed = self.spool.claim(now, 60_000, 1000).await.expect("memory does not fail");
        assert!(claimed.iter().any(|claimed| claimed.id == id), "what was just put is due");
        let decided = self.decided(&wamid, phone, &content, findings);
        self.spool.record_decided(now + 5, &id, decided).await.expect("it was just claimed");
        let finish = match outcome {
            Outcome::Dead => Finish::DeadLettered { error: "the backend answered 400 three times".into() },
            _ => Finish::Delivered,
        };
        self.spool.finish(now + 20, &id, finish).await.expect("it was just claimed");
        id
    }

    fn decided(&self, wamid: &str, phone: &str, content: &serde_json::Value, findings: Vec<Finding>) -> Decided {
        let kind = content["type"].as_str().unwrap_or_default().to_owned();
        let mut inspection = Inspection { findings, ..Inspection::default() };
        let media = content[&kind]["id"].as_str().map(|id| json!([{"where": format!("/{kind}"), "id": id}]));
        if media.is_some() {
            inspection.files.push(FileReport {
                place: format!("/{kind}"),
                name: content[&kind]["filename"].as_str().unwrap_or_default().into(),
                true_type: if kind == "image" { "image/jpeg" } else { "application/pdf" }.into(),
                declared_type: if kind == "image" { "image/jpeg" } else { "application/pdf" }.into(),
                bytes: 28,
                sha256: Some(self.virus),
                scanned_by: vec!["clamav 1.4.6/27800".into(), "guarita rules 3f2c".into()],
            });
        }
        let held = inspection.findings.iter().any(|finding| finding.severity == Severity::Critical);
        let verdict = inspection.verdict();
        let action = if held {
            Action::Withhold
        } else if inspection.findings.is_empty() {
            Action::Pass
        } else {
            Action::Annotate
        };
        let because = inspection.findings.iter().map(|finding| Because {
            line: "malicious-file".into(),
            cause: finding.rule.clone(),
            place: finding.place.clone(),
            action,
        });
        let decision = Decision {
            verdict,
            action,
            edits: Vec::new(),
            withheld: if held { vec![format!("/{kind}")] } else { Vec::new() },
            not_served: Vec::new(),
            quarantine: held,
            hold: false,
            because: because.collect(),
        };
        let mut terms: Vec<String> = Vec::new();
        for finding in &inspection.findings {
            terms.push(format!("rule:{}", finding.rule));
            terms.push(format!("severity:{}", finding.severity));
        }
        terms.extend(inspection.files.iter().filter_map(|file| Some(format!("sha256:{}", file.sha256?))));
        let file = inspection.files.first().map(|file| file.name.clone()).unwrap_or_default();
        let titles: Vec<&str> = inspection.findings.iter().map(|finding| finding.title.as_str()).collect();
        let summary = json!({"from": [phone], "kind": kind, "action": action, "findings": titles.len(),
            "titles": titles, "gaps": [], "file": file, "bytes": inspection.files.first().map_or(0, |file| file.bytes)});
        let report = json!({"version": 1, "messages": [{
            "id": wamid, "kind": kind, "pointer": "/entry/0/changes/0/value/messages/0", "channel": "whatsapp",
            "inspection": inspection, "decision": decision, "media": media.unwrap_or_else(|| json!([])),
        }]});
        Decided {
            verdict,
            body: held.then(|| b"{\"withheld\":true}".to_vec()),
            findings_header: None,
            report: report.to_string().into_bytes(),
            quarantine: held,
            terms,
            summary: summary.to_string().into_bytes(),
        }
    }
}

/// What becomes of a seeded message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Sent,
    Held,
    Dead,
    Waiting,
}
