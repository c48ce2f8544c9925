//! What a text says: scams, theft of codes, lures; and what customers should not send.
//!
//! Pure: a text, what is known of the message around it, and rules go in, an [`Inspection`] comes out. It follows no
//! link, opens no file and decides nothing. [`words`] reads the text as a person would, [`signals`] adds up what the
//! rules listen for, [`learned`] scores how much it reads like known scams, [`sensitive`] finds numbers and secrets.

mod fold;
mod learned;
mod sensitive;
mod signals;
mod words;

pub use learned::{Feature, training_features};

use guarita_message::{Finding, Inspection, Subject, TextRole};
use guarita_rules::{RuleSet, texts::TextRules, texts::WordKind};
use words::Words;

/// What is known of the message that a text stands in.
#[derive(Clone, Copy, Debug)]
pub struct TextContext {
    pub role: TextRole,
    pub forwarded: bool,
    pub frequently_forwarded: bool,
    /// The first message that this sender ever wrote, as far as we know.
    pub first_contact: bool,
    pub has_link: bool,
    pub has_attachment: bool,
}

impl Default for TextContext {
    /// A plain text message of which nothing else is known.
    fn default() -> Self {
        TextContext {
            role: TextRole::Body,
            forwarded: false,
            frequently_forwarded: false,
            first_contact: false,
            has_link: false,
            has_attachment: false,
        }
    }
}

/// Looks at one text of a message; `place` goes into the findings as it is.
pub fn inspect_text(text: &str, place: &str, context: &TextContext, rules: &RuleSet) -> Inspection {
    let mut inspection = Inspection::default();
    if text.is_empty() {
        return inspection;
    }
    let words = Words::of(text);
    let secrets = sensitive::find(text, &words);
    if is_speech(context.role) {
        judge(text, place, context, &words, &secrets, rules, &mut inspection);
    }
    for secret in secrets {
        let mut finding = rules.finding(secret.rule, Subject::Text, place, &secret.evidence);
        finding.span = Some(secret.span);
        inspection.findings.push(finding);
    }
    inspection.score = inspection.suspicion();
    inspection
}

/// Whether a person or an advertisement speaks to the reader here; names, places and chosen buttons do not.
fn is_speech(role: TextRole) -> bool {
    matches!(role, TextRole::Body | TextRole::Caption | TextRole::Referral | TextRole::Answer)
}

fn judge(
    text: &str,
    place: &str,
    context: &TextContext,
    words: &Words,
    secrets: &[sensitive::Sensitive],
    rules: &RuleSet,
    inspection: &mut Inspection,
) {
    let around = signals::Around {
        forwarded: context.forwarded,
        frequently_forwarded: context.frequently_forwarded,
        first_contact: context.first_contact,
        link: context.has_link || words.list.iter().any(|word| word.is(WordKind::Link)),
        attachment: context.has_attachment || words.list.iter().any(|word| word.is(WordKind::File)),
    };
    let heard = signals::listen(words, &rules.texts);
    let spoken = signals::add_up(words, &heard, around, &rules.texts);
    let scored =
        rules.texts.model.as_ref().and_then(|model| learned::score(words, &heard, &spoken, &rules.texts, model));
    let threshold = rules.texts.model_threshold;
    let (agrees, doubts) =
        scored.as_ref().map_or((false, false), |one| (one.score >= threshold, one.score < rules.texts.doubt));
    let mut score = 0f32;
    for one in &spoken {
        let rule = &rules.texts.rules[one.rule];
        let silent = doubts && !rule.sure;
        if !silent {
            // At its threshold a rule is as sure as not; twice that is all but certain.
            score = score.max(1.0 / (1.0 + (-4.0 * (one.strength - 1.0)).exp()));
        }
        // A rule that comes near its threshold gives the reason where the scorer finds the text suspicious as a whole.
        if (one.strength >= 0.999 && !silent) || (agrees && one.strength >= signals::SUPPORTED) {
            let evidence = evidence(text, &one.spans, secrets);
            inspection.findings.push(rules.finding(&rule.id, Subject::Text, place, &evidence));
        }
    }
    if let Some(scored) = scored {
        score = score.max(half_at(scored.score, threshold));
        // Who asks, warns or speaks of his own affairs is not accused for his words alone.
        let lowered =
            heard.iter().zip(&rules.texts.signals).any(|(span, signal)| span.is_some() && signal.weight < 0.0);
        let certain = scored.score >= if lowered { rules.texts.lowered.max(threshold) } else { threshold };
        if certain && inspection.findings.is_empty() {
            let evidence = evidence(text, &scored.reasons, secrets);
            inspection.findings.push(rules.finding(TextRules::LEARNED, Subject::Text, place, &evidence));
        }
    }
    inspection.score = score;
}

/// Bends a score so that `threshold` becomes one half and the order stays.
fn half_at(score: f32, threshold: f32) -> f32 {
    if !(threshold > 0.0 && threshold < 1.0) {
        return score * 0.5;
    }
    if score < threshold { 0.5 * score / threshold } else { 0.5 + 0.5 * (score - threshold) / (1.0 - threshold) }
}

/// The words that made a rule speak, as they were written, without what is secret in them.
fn evidence(text: &str, spans: &[(usize, usize)], secrets: &[sensitive::Sensitive]) -> String {
    let mut out = String::new();
    let mut done = 0;
    for (start, end) in spans {
        let start = (*start).max(done);
        if start >= *end {
            continue;
        }
        if !out.is_empty() {
            out.push_str(if text[done..start].trim().is_empty() { " " } else { " … " });
        }
        let mut at = start;
        for secret in secrets.iter().filter(|secret| secret.span.0 < *end && start < secret.span.1) {
            out.push_str(text.get(at..secret.span.0.max(at)).unwrap_or_default());
            out.push_str("****");
            at = at.max(secret.span.1);
        }
        out.push_str(text.get(at..*end).unwrap_or_default());
        done = *end;
        if out.len() > 4 * Finding::EVIDENCE_CHARS_MAX {
            break;
        }
    }
    out.replace(['\n', '\r'], " ")
}

/// A sample in a rule file that does not come out as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleFailure {
    pub rule: String,
    pub file: String,
    pub line: usize,
    pub sample: String,
    /// The rule should have spoken and did not; else the other way round.
    pub expected_hit: bool,
}

/// Runs the samples of every text rule; what comes back is to be mended.
pub fn run_samples(rules: &RuleSet) -> Vec<SampleFailure> {
    let mut failures = Vec::new();
    for rule in rules.all().into_iter().filter(|rule| rule.id.starts_with("texts/")) {
        let mut check = |sample: &str, expected_hit: bool| {
            let found = inspect_text(sample, "/text/body", &TextContext::default(), rules);
            if found.findings.iter().any(|finding| finding.rule == rule.id) != expected_hit {
                let (file, line) = (rule.file.clone(), rule.line);
                failures.push(SampleFailure {
                    rule: rule.id.clone(),
                    file,
                    line,
                    sample: sample.to_owned(),
                    expected_hit,
                });
            }
        };
        for sample in &rule.samples {
            if let Some(hit) = &sample.hit {
                check(hit, true);
            }
            if let Some(miss) = &sample.miss {
                check(miss, false);
            }
        }
    }
    failures
}
