//! The decision itself.

use crate::{
    defang::{defang, redact},
    table::{Does, Line, OnDeadline, OnFinding, OnGap, Policy},
};
use guarita_message::{
    Action, Because, Decision, Finding, Gap, Inspection, Message, Part, PartBody, Subject, TextEdit,
};
use std::fmt::Write as _;

/// What decides besides the message itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances {
    /// `policy.scan_deadline_seconds` after receipt: nothing is held any longer.
    pub deadline_passed: bool,
}

/// Decides what happens to `message`. The same arguments give the same decision.
///
/// Whatever no line speaks of is treated with caution: a finding is annotated, a gap in a file withholds the file.
pub fn decide(message: &Message, inspection: &Inspection, policy: &Policy, now: Circumstances) -> Decision {
    let mut decision = Decision {
        verdict: inspection.verdict(),
        action: Action::Pass,
        edits: Vec::new(),
        withheld: Vec::new(),
        not_served: Vec::new(),
        quarantine: false,
        hold: false,
        because: Vec::new(),
    };
    for finding in inspection.findings.iter().filter(|finding| !finding.shadow) {
        let line = policy.lines.iter().find(|line| {
            line.finding.as_ref().is_some_and(|on| finding_fits(on, finding)) && message_fits(line, message)
        });
        let does = line.map_or(&[Does::Annotate][..], |line| line.action.as_slice());
        let name = line.map_or("(no line: annotate)", |line| line.name.as_str());
        decision.quarantine |= line.is_some_and(|line| line.quarantine);
        for does in does {
            apply_to_finding(&mut decision, message, finding, *does, name);
        }
    }
    for gap in &inspection.gaps {
        let line = policy.lines.iter().find(|line| {
            line.gap.as_ref().is_some_and(|on| gap_fits(on, gap, inspection)) && message_fits(line, message)
        });
        let does = line.map_or(&[Does::Withhold][..], |line| line.action.as_slice());
        let name = line.map_or("(no line: withhold)", |line| line.name.as_str());
        decision.quarantine |= line.is_some_and(|line| line.quarantine);
        for does in does {
            apply_to_gap(&mut decision, message, gap, *does, name, policy.on_deadline, now);
        }
    }
    // What is withheld anyway gains nothing from waiting.
    if decision.hold && held_places(inspection, policy, message).all(|place| decision.withheld.contains(&place)) {
        decision.hold = false;
    }
    tidy_edits(&mut decision.edits, message);
    let mut seen = std::collections::HashSet::new();
    decision
        .because
        .retain(|reason| seen.insert((reason.line.clone(), reason.cause.clone(), reason.place.clone(), reason.action)));
    decision.withheld.sort();
    decision.withheld.dedup();
    decision.not_served.sort();
    decision.not_served.dedup();
    decision
}

/// One line a reason, for people.
pub fn explain(decision: &Decision) -> String {
    let mut text = format!("verdict {}, action {}", decision.verdict, decision.action);
    if decision.hold {
        text.push_str(", held: looking again until the scan deadline");
    }
    for because in &decision.because {
        let _ = write!(text, "\n  {} {}: line `{}` for {}", because.action, because.place, because.line, because.cause);
    }
    text
}

fn message_fits(line: &Line, message: &Message) -> bool {
    line.account.fits_glob(&message.account)
        && (line.sender.as_slice().is_empty() || message.senders.iter().any(|name| line.sender.fits_glob(name)))
}

fn finding_fits(on: &OnFinding, finding: &Finding) -> bool {
    on.subject.fits(&finding.subject)
        && on.category.fits(&finding.category)
        && on.severity.fits(&finding.severity)
        && on.rule.fits_glob(&finding.rule)
        && on.place.fits_glob(&finding.place)
}

fn gap_fits(on: &OnGap, gap: &Gap, inspection: &Inspection) -> bool {
    let wanted = on.scanned_by.as_slice();
    let looked = || {
        inspection
            .files
            .iter()
            .filter(|file| file.place == gap.place)
            .flat_map(|file| &file.scanned_by)
            .any(|by| wanted.iter().any(|name| by.starts_with(name.as_str())))
    };
    on.reason.fits(&gap.reason)
        && on.class.fits(&gap.class)
        && on.scanner.fits_glob(&gap.scanner)
        && on.place.fits_glob(&gap.place)
        && (wanted.is_empty() || looked())
}

fn apply_to_finding(decision: &mut Decision, message: &Message, finding: &Finding, does: Does, line: &str) {
    let action = match does {
        Does::Pass => Action::Pass,
        Does::Annotate | Does::Hold | Does::NotServe => Action::Annotate,
        Does::Defang => match edit(message, finding, Action::Defang) {
            Some(edit) => {
                decision.edits.push(edit);
                Action::Defang
            }
            None => Action::Annotate, // a link inside a file: there is no text of the message to change
        },
        Does::Redact => match edit(message, finding, Action::Redact) {
            Some(edit) => {
                decision.edits.push(edit);
                Action::Redact
            }
            None => Action::Annotate,
        },
        Does::Withhold => {
            decision.withheld.push(finding.place.clone());
            Action::Withhold
        }
    };
    because(decision, line, &finding.rule, &finding.place, action);
}

fn apply_to_gap(
    decision: &mut Decision,
    message: &Message,
    gap: &Gap,
    does: Does,
    line: &str,
    on_deadline: OnDeadline,
    now: Circumstances,
) {
    let is_file = message.parts.iter().any(|part| part.place == gap.place && matches!(part.body, PartBody::File(_)));
    let action = match does {
        Does::Pass => Action::Pass,
        Does::Annotate | Does::Defang | Does::Redact => Action::Annotate,
        Does::NotServe => {
            decision.not_served.push(gap.place.clone());
            Action::Annotate
        }
        Does::Hold if !now.deadline_passed => {
            decision.hold = true;
            Action::Annotate
        }
        Does::Hold if on_deadline == OnDeadline::Pass => Action::Annotate,
        Does::Hold | Does::Withhold => {
            if is_file {
                decision.withheld.push(gap.place.clone());
                Action::Withhold
            } else {
                Action::Annotate
            }
        }
    };
    because(decision, line, &format!("gap:{}", gap.reason), &gap.place, action);
}

fn because(decision: &mut Decision, line: &str, cause: &str, place: &str, action: Action) {
    decision.action = decision.action.max(action);
    let reason = Because { line: line.to_owned(), cause: cause.to_owned(), place: place.to_owned(), action };
    decision.because.push(reason);
}

fn held_places<'a>(
    inspection: &'a Inspection,
    policy: &'a Policy,
    message: &'a Message,
) -> impl Iterator<Item = String> + 'a {
    inspection.gaps.iter().filter_map(move |gap| {
        let line = policy.lines.iter().find(|line| {
            line.gap.as_ref().is_some_and(|on| gap_fits(on, gap, inspection)) && message_fits(line, message)
        })?;
        line.action.as_slice().contains(&Does::Hold).then(|| gap.place.clone())
    })
}

/// The change of the message's own text that a finding asks for, if it lies in one.
fn edit(message: &Message, finding: &Finding, action: Action) -> Option<TextEdit> {
    if !finding.inside.is_empty() || finding.subject == Subject::File {
        return None;
    }
    let part =
        message.parts.iter().find(|part| part.place == finding.place && !matches!(part.body, PartBody::File(_)))?;
    let text = text_of(part)?;
    let (start, end) = finding.span.unwrap_or((0, text.len()));
    let seen = text.get(start..end)?;
    let replacement = match action {
        Action::Defang => defang(seen),
        _ => redact(finding.category, seen),
    };
    Some(TextEdit { pointer: part.pointer.clone(), start, end, replacement, action })
}

fn text_of(part: &Part) -> Option<&str> {
    match &part.body {
        PartBody::Text { text, .. } => Some(text),
        PartBody::Link { url } => Some(url),
        PartBody::File(_) => None,
    }
}

/// Sorts by place, and makes one edit of those that overlap: the redactions are made in the text of all of them together,
/// and if any of them was to be defanged, the result is. So a card number inside a link saves neither.
fn tidy_edits(edits: &mut Vec<TextEdit>, message: &Message) {
    edits.sort_by(|a, b| (&a.pointer, a.start, b.end).cmp(&(&b.pointer, b.start, a.end)));
    let mut groups: Vec<Vec<TextEdit>> = Vec::new();
    let mut end = 0;
    for edit in edits.drain(..) {
        match groups.last_mut() {
            Some(group) if group[0].pointer == edit.pointer && edit.start < end => {
                end = end.max(edit.end);
                group.push(edit);
            }
            _ => {
                end = edit.end;
                groups.push(vec![edit]);
            }
        }
    }
    edits.extend(groups.into_iter().map(|group| merge_edits(group, message)));
}

fn merge_edits(group: Vec<TextEdit>, message: &Message) -> TextEdit {
    let (start, end) = (group[0].start, group.iter().map(|edit| edit.end).max().unwrap_or(group[0].end));
    let part = message.parts.iter().find(|part| part.pointer == group[0].pointer);
    let text = part.and_then(text_of).and_then(|text| text.get(start..end));
    let (true, Some(text)) = (group.len() > 1, text) else {
        return group.into_iter().next().expect("a group is made with its first edit");
    };
    let mut out = String::new();
    let mut at = start;
    for edit in group.iter().filter(|edit| edit.action == Action::Redact) {
        if edit.start >= at {
            out.push_str(text.get(at - start..edit.start - start).unwrap_or_default());
            out.push_str(&edit.replacement);
            at = edit.end;
        } else if edit.end > at {
            // Two secrets overlap: what the second covers beyond the first is covered whole.
            out.extend(text.get(at - start..edit.end - start).unwrap_or_default().chars().map(|_| '*'));
            at = edit.end;
        }
    }
    out.push_str(text.get(at.min(end) - start..).unwrap_or_default());
    let is_link = group.iter().any(|edit| edit.action == Action::Defang);
    let action = group.iter().map(|edit| edit.action).max().unwrap_or(Action::Redact);
    let replacement = if is_link { defang(&out) } else { out };
    TextEdit { pointer: group[0].pointer.clone(), start, end, replacement, action }
}
