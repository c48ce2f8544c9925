//! The text rules as they ship: every sample, and what a reader of this repository may rely on.

#![allow(clippy::unwrap_used)]

use guarita_inspect::texts::{TextContext, inspect_text, run_samples};
use guarita_message::{Category, Severity, TextRole, Verdict};
use guarita_rules::{Language, RuleFile, RuleSet};
use std::{path::Path, sync::OnceLock, time::Instant};

fn rules() -> &'static RuleSet {
    static RULES: OnceLock<RuleSet> = OnceLock::new();
    RULES.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
        let mut files = Vec::new();
        read(&root, &root.join("texts"), &mut files);
        RuleSet::compile(files, Language::English).unwrap_or_else(|error| panic!("{error}"))
    })
}

fn read(root: &Path, folder: &Path, files: &mut Vec<RuleFile>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
            files.push(RuleFile { path: name, bytes: std::fs::read(&path).unwrap() });
        }
    }
}

fn found(text: &str) -> Vec<(String, Option<(usize, usize)>)> {
    let inspection = inspect_text(text, "/text/body", &TextContext::default(), rules());
    inspection.findings.into_iter().map(|finding| (finding.rule, finding.span)).collect()
}

#[test]
fn every_sample_comes_out_as_it_says() {
    let failures = run_samples(rules());
    let shown: Vec<String> = failures
        .iter()
        .map(|one| {
            format!(
                "{}:{} {} should {}: {}",
                one.file,
                one.line,
                one.rule,
                if one.expected_hit { "hit" } else { "miss" },
                one.sample
            )
        })
        .collect();
    assert!(failures.is_empty(), "{}", shown.join("\n"));
}

#[test]
fn every_rule_has_a_hit_a_miss_and_speaks_three_languages() {
    for rule in rules().all() {
        assert!(rule.samples.iter().any(|sample| sample.hit.is_some()), "{} has no hit", rule.id);
        assert!(rule.samples.iter().any(|sample| sample.miss.is_some()), "{} has no near miss", rule.id);
        for line in [&rule.title, &rule.why] {
            for language in [Language::English, Language::Portuguese, Language::Spanish] {
                assert!(!line.get(language).is_empty(), "{}", rule.id);
            }
            assert!(!line.pt.is_empty() && !line.es.is_empty(), "{} speaks English only", rule.id);
        }
    }
}

#[test]
fn a_card_keeps_the_message_clean_and_names_its_span() {
    let text = "pode cobrar no 4111 1111 1111 1111, validade 12/28, cvv 123";
    let seen = inspect_text(text, "/text/body", &TextContext::default(), rules());
    assert_eq!(seen.verdict(), Verdict::Clean);
    let spans: Vec<&str> = seen
        .findings
        .iter()
        .filter(|finding| finding.category == Category::PaymentCard)
        .map(|finding| {
            let (start, end) = finding.span.expect("a card has a span");
            &text[start..end]
        })
        .collect();
    assert_eq!(spans, ["4111 1111 1111 1111", "123"]);
    assert!(seen.findings.iter().any(|finding| finding.evidence == "**** 1111"), "{:?}", seen.findings);
}

#[test]
fn evidence_never_holds_a_secret() {
    let text = "Segue a nota fiscal em anexo, senha: gato4321. Cartão 4111 1111 1111 1111 cvv 987, cpf 529.982.247-25";
    let seen = inspect_text(text, "/text/body", &TextContext::default(), rules());
    assert!(seen.findings.len() >= 4, "{:?}", seen.findings);
    for finding in &seen.findings {
        for secret in ["gato4321", "4111 1111", "987", "529.982", "982.247"] {
            assert!(!finding.evidence.contains(secret), "{finding:?}");
        }
        assert!(finding.evidence.chars().count() <= guarita_message::Finding::EVIDENCE_CHARS_MAX);
    }
}

#[test]
fn code_theft_is_suspicious_and_not_more() {
    let text = "Oi, sem querer mandei um código de 6 dígitos pro seu número por SMS, pode me passar por favor?";
    let seen = inspect_text(text, "/text/body", &TextContext::default(), rules());
    let finding = seen.findings.iter().find(|finding| finding.rule == "texts/code-theft").expect("code theft is found");
    assert_eq!((finding.category, finding.severity), (Category::CodeTheft, Severity::Medium));
    assert_eq!(seen.verdict(), Verdict::Suspicious);
    assert!(seen.score >= 0.5);
}

#[test]
fn disguises_do_not_help() {
    for text in [
        "me manda o c\u{200b}ódi\u{200b}go de verificação que chegou aí",
        "me manda o соdigo de verifiсação que chegou aí", // Cyrillic с and о
        "me manda o 𝐜𝐨́𝐝𝐢𝐠𝐨 de verificação que chegou aí",
        "me manda o ｃｏｄｉｇｏ de verificação que chegou aí",
        "m3 m4nd4 0 c0d1g0 de verificação que chegou aí",
        "me mandaaaaa o códigoooooo de verificação que chegou aí",
        "me manda o c.ó.d.i.g.o de verificação que chegou aí",
        "ME MANDA O CÓDIGO DE VERIFICAÇÃO QUE CHEGOU AÍ",
        "vc me manda o cod de verificacao q chegou ai",
    ] {
        assert!(found(text).iter().any(|(rule, _)| rule == "texts/code-theft"), "{text}");
    }
}

#[test]
fn a_name_or_a_file_name_is_no_speech() {
    let text = "me manda o código de verificação que chegou por SMS";
    for role in [TextRole::Label, TextRole::FileName] {
        let context = TextContext { role, ..TextContext::default() };
        assert!(inspect_text(text, "/p", &context, rules()).findings.is_empty(), "{role}");
    }
    let context = TextContext { role: TextRole::FileName, ..TextContext::default() };
    let seen = inspect_text("4111 1111 1111 1111.pdf", "/p", &context, rules());
    assert_eq!(seen.findings.len(), 1, "a card is one wherever it stands");
}

#[test]
fn a_shadow_rule_is_seen_and_decides_nothing() {
    let rule = |shadow: bool| {
        format!(
            "[[rule]]\nid = \"texts/x\"\ncategory = \"scam\"\nseverity = \"medium\"\nshadow = {shadow}\ntitle = {{ en = \"X\" }}\nwhen = {{ threshold = 1.0 }}\n[[data.signal]]\nrule = \"x\"\nname = \"s\"\nweight = 1.0\nphrases = [\"abre te sesamo\"]\n"
        )
    };
    for (shadow, verdict) in [(true, Verdict::Clean), (false, Verdict::Suspicious)] {
        let file = RuleFile { path: "texts/x.toml".into(), bytes: rule(shadow).into_bytes() };
        let rules = RuleSet::compile(vec![file], Language::English).unwrap();
        let seen = inspect_text("abre-te, Sésamo", "/text/body", &TextContext::default(), &rules);
        assert_eq!(seen.findings.len(), 1);
        assert_eq!(seen.verdict(), verdict);
    }
}

#[test]
fn context_counts() {
    let source = "[[rule]]\nid = \"texts/x\"\ncategory = \"scam\"\nseverity = \"medium\"\ntitle = { en = \"X\" }\nwhen = { threshold = 1.0, context = { frequently_forwarded = 0.3 } }\n[[data.signal]]\nrule = \"x\"\nname = \"s\"\nweight = 0.7\nphrases = [\"repasse\"]\n";
    let file = RuleFile { path: "texts/x.toml".into(), bytes: source.as_bytes().to_vec() };
    let rules = RuleSet::compile(vec![file], Language::English).unwrap();
    let forwarded = TextContext { frequently_forwarded: true, ..TextContext::default() };
    assert!(inspect_text("repasse", "/t", &TextContext::default(), &rules).findings.is_empty());
    assert_eq!(inspect_text("repasse", "/t", &forwarded, &rules).findings.len(), 1);
    assert!(inspect_text("oi", "/t", &forwarded, &rules).findings.is_empty(), "context alone says nothing");
}

/// Bounds hostile text loosely, as tests run unoptimised and beside others; `measure_texts` prints real figures.
#[test]
fn hostile_texts_end_soon() {
    let much = |piece: &str| piece.repeat(200_000 / piece.len());
    for piece in [
        "a",
        "1",
        "4 ",
        "4111111111111111 ",
        "manda me passa o envia nao ",
        "a.b",
        "\u{200b}a",
        "𝐚𝐛𝐜 ",
        "-----BEGIN ",
        "c0d1g0 ",
        "[A",
    ] {
        let text = much(piece);
        let start = Instant::now();
        let seen = inspect_text(&text, "/text/body", &TextContext::default(), rules());
        assert!(start.elapsed().as_secs() < 10, "{piece}");
        assert!(seen.findings.len() < 1_000, "{piece}");
    }
}
