//! The default policy against its samples (`rules/policy/samples`), and an operator's lines before it.

use guarita_message::{
    Action, Category, Channel, ConversationKey, Direction, FileClass, FileReport, Finding, Gap, GapReason, Inspection,
    Lane, MediaRef, Message, Part, PartBody, Severity, Subject, TextRole, Verdict,
};
use guarita_policy::{Circumstances, OnDeadline, Policy, decide, explain};
use serde::Deserialize;

const DEFAULT: &str = include_str!("../../../rules/policy/default.toml");
const SAMPLES: &str = include_str!("../../../rules/policy/samples/default.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Samples {
    sample: Vec<Sample>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    what: String,
    finding: Option<Seen>,
    gap: Option<Missed>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    scanned_by: Vec<String>,
    #[serde(default)]
    deadline_passed: bool,
    verdict: Verdict,
    action: Action,
    #[serde(default)]
    withheld: Vec<String>,
    #[serde(default)]
    not_served: Vec<String>,
    #[serde(default)]
    quarantine: bool,
    #[serde(default)]
    hold: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    rule: String,
    category: Category,
    severity: Severity,
    subject: Subject,
    r#where: String,
    #[serde(default)]
    inside: String,
    span: Option<(usize, usize)>,
    #[serde(default)]
    shadow: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Missed {
    reason: GapReason,
    class: FileClass,
    r#where: String,
    scanner: String,
}

fn message(text: &str) -> Message {
    let part = |place: &str, body| Part { pointer: format!("/m{place}"), place: place.into(), body };
    Message {
        channel: Channel::Whatsapp,
        direction: Direction::Inbound,
        lane: Lane::Message,
        id: "wamid.X".into(),
        kind: "document".into(),
        pointer: "/m".into(),
        account: "106540352242922".into(),
        senders: vec!["BR.1".into(), "5511987654321".into()],
        conversation: ConversationKey("c".into()),
        dedupe: None,
        timestamp: 1,
        forwarded: false,
        frequently_forwarded: false,
        parts: vec![
            part("/text/body", PartBody::Text { text: text.into(), role: TextRole::Body }),
            part("/document", PartBody::File(MediaRef::default())),
        ],
    }
}

fn finding(seen: &Seen) -> Finding {
    Finding {
        rule: seen.rule.clone(),
        category: seen.category,
        severity: seen.severity,
        place: seen.r#where.clone(),
        inside: seen.inside.clone(),
        title: "t".into(),
        why: String::new(),
        evidence: "e".into(),
        subject: seen.subject,
        span: seen.span,
        shadow: seen.shadow,
    }
}

fn inspection(sample: &Sample) -> Inspection {
    let gap = sample.gap.as_ref().map(|gap| Gap {
        reason: gap.reason,
        place: gap.r#where.clone(),
        inside: String::new(),
        scanner: gap.scanner.clone(),
        detail: String::new(),
        class: gap.class,
    });
    let file = FileReport {
        place: "/document".into(),
        name: "a.bin".into(),
        true_type: String::new(),
        declared_type: String::new(),
        bytes: 1,
        sha256: None,
        scanned_by: sample.scanned_by.clone(),
    };
    Inspection {
        findings: sample.finding.iter().map(finding).collect(),
        gaps: gap.into_iter().collect(),
        files: vec![file],
        ..Inspection::default()
    }
}

#[test]
fn the_default_policy_does_what_its_samples_say() {
    let policy = Policy::read(&[("default.toml", DEFAULT)], OnDeadline::Withhold).unwrap();
    let samples: Samples = toml::from_str(SAMPLES).unwrap();
    for sample in &samples.sample {
        let now = Circumstances { deadline_passed: sample.deadline_passed };
        let decision = decide(&message(&sample.text), &inspection(sample), &policy, now);
        let got = (
            decision.verdict,
            decision.action,
            &decision.withheld,
            &decision.not_served,
            decision.quarantine,
            decision.hold,
        );
        let want =
            (sample.verdict, sample.action, &sample.withheld, &sample.not_served, sample.quarantine, sample.hold);
        assert_eq!(got, want, "{}\n{}", sample.what, explain(&decision));
    }
}

/// Every line of the default policy is the one that decides in some sample.
#[test]
fn no_line_without_a_sample() {
    let policy = Policy::read(&[("default.toml", DEFAULT)], OnDeadline::Withhold).unwrap();
    let samples: Samples = toml::from_str(SAMPLES).unwrap();
    let mut spoke = std::collections::BTreeSet::new();
    for sample in &samples.sample {
        let decision = decide(&message(&sample.text), &inspection(sample), &policy, Circumstances::default());
        spoke.extend(decision.because.into_iter().map(|because| because.line));
    }
    let silent: Vec<_> =
        policy.lines.iter().filter(|line| !spoke.contains(&line.name)).map(|line| &line.name).collect();
    assert!(silent.len() <= 2, "lines without a sample: {silent:?}");
    for name in silent {
        assert!(["noted-file", "redirect-not-followed"].contains(&name.as_str()), "line {name} has no sample");
    }
}

#[test]
fn an_operators_line_comes_first() {
    let own = "[[line]]\nname = \"partner\"\nfinding = { rule = \"files/office-macro*\" }\nsender = \"55119*\"\naction = \"pass\"\n";
    let policy = Policy::read(&[("own.toml", own), ("default.toml", DEFAULT)], OnDeadline::Withhold).unwrap();
    let seen = Seen {
        rule: "files/office-macro-autorun".into(),
        category: Category::Macro,
        severity: Severity::High,
        subject: Subject::File,
        r#where: "/document".into(),
        inside: String::new(),
        span: None,
        shadow: false,
    };
    let inspection = Inspection { findings: vec![finding(&seen)], ..Inspection::default() };
    let partner = decide(&message(""), &inspection, &policy, Circumstances::default());
    assert_eq!((partner.action, partner.because[0].line.as_str()), (Action::Pass, "partner"));
    let mut stranger = message("");
    stranger.senders = vec!["5521000000000".into()];
    assert_eq!(decide(&stranger, &inspection, &policy, Circumstances::default()).action, Action::Withhold);
}

#[test]
fn overlapping_edits_become_one_that_does_both() {
    let policy = Policy::read(&[("default.toml", DEFAULT)], OnDeadline::Withhold).unwrap();
    let text = "https://x.example/4111111111111111";
    let mut link = finding(&Seen {
        rule: "links/x".into(),
        category: Category::PhishingLink,
        severity: Severity::High,
        subject: Subject::Link,
        r#where: "/text/body".into(),
        inside: String::new(),
        span: Some((0, text.len())),
        shadow: false,
    });
    let mut card = link.clone();
    card.rule = "texts/card-number".into();
    card.category = Category::PaymentCard;
    card.subject = Subject::Text;
    card.span = Some((18, 34));
    link.why = "w".into();
    let inspection = Inspection { findings: vec![link, card], ..Inspection::default() };
    let decision = decide(&message(text), &inspection, &policy, Circumstances::default());
    assert_eq!(decision.edits.len(), 1);
    let edit = &decision.edits[0];
    assert_eq!((edit.start, edit.end, edit.action), (0, text.len(), Action::Redact));
    assert_eq!(edit.replacement, "hxxps://x[.]example/************1111", "neither the link nor the card is left");
}
