//! What lies inside a sealed blob: how the received body and the decision are put into bytes and taken out again.
//! Knows no SQL and no key.

use crate::{Decided, SUMMARY_BYTES_MAX};
use guarita_message::{ConversationKey, Verdict};

/// The body as it came, behind the name of its conversation, which is nowhere else in clear.
pub(super) struct Received {
    pub conversation: ConversationKey,
    pub body: Vec<u8>,
}

impl Received {
    /// Length of the conversation's name, to be sealed before the name and the body.
    pub fn head(conversation: &ConversationKey) -> [u8; 4] {
        (conversation.0.len() as u32).to_be_bytes()
    }

    pub fn read(mut plain: Vec<u8>) -> Option<Received> {
        let length = u32::from_be_bytes(plain.get(..4)?.try_into().ok()?) as usize;
        let name = plain.get(4..length.checked_add(4)?)?.to_vec();
        plain.drain(..4 + length);
        Some(Received { conversation: ConversationKey(String::from_utf8(name).ok()?), body: plain })
    }
}

/// Body to send, header, report and summary: fields, each with its length; an absent one has the length [`ABSENT`]. What
/// was written before there were summaries ends after the report.
const ABSENT: u32 = u32::MAX;

/// Lengths of the fields, to be sealed before each of them.
pub(super) fn decision_lengths(decided: &Decided) -> [[u8; 4]; 4] {
    decision_fields(decided).map(|field| field.map_or(ABSENT, |field| field.len() as u32).to_be_bytes())
}

pub(super) fn decision_fields(decided: &Decided) -> [Option<&[u8]>; 4] {
    let header = decided.findings_header.as_ref().map(String::as_bytes);
    let summary = Some(&decided.summary[..]).filter(|summary| summary.len() <= SUMMARY_BYTES_MAX);
    [decided.body.as_deref(), header, Some(&decided.report), summary]
}

fn field(rest: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    let (length, tail) = rest.split_at_checked(4)?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if length == ABSENT {
        *rest = tail;
        return Some(None);
    }
    let (value, tail) = tail.split_at_checked(length as usize)?;
    *rest = tail;
    Some(Some(value.to_vec()))
}

pub(super) fn read_decision(plain: &[u8], verdict: Verdict, quarantine: bool) -> Option<Decided> {
    let rest = &mut &plain[..];
    let body = field(rest)?;
    let findings_header = field(rest)?.map(String::from_utf8).transpose().ok()?;
    let report = field(rest)?.unwrap_or_default();
    let summary = if rest.is_empty() { None } else { field(rest)? }.unwrap_or_default();
    Some(Decided { verdict, body, findings_header, report, quarantine, terms: Vec::new(), summary })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_comes_back_as_it_was() {
        for body in [None, Some(vec![]), Some(b"{}".to_vec())] {
            for findings_header in [None, Some(String::new()), Some("%5B%5D".to_owned())] {
                let (verdict, report, summary) = (Verdict::Clean, b"[1]".to_vec(), b"{}".to_vec());
                let (body, terms) = (body.clone(), Vec::new());
                let decided = Decided { verdict, body, findings_header, report, quarantine: true, terms, summary };
                let fields = decision_fields(&decided).map(Option::unwrap_or_default);
                let lengths = decision_lengths(&decided);
                let plain: Vec<u8> =
                    lengths.iter().zip(fields).flat_map(|(length, field)| [&length[..], field].concat()).collect();
                let decided = Some(decided);
                assert_eq!(read_decision(&plain, Verdict::Clean, true), decided);
                let without = plain.len() - 6;
                for cut in (0..plain.len()).filter(|cut| *cut != without) {
                    assert!(read_decision(&plain[..cut], Verdict::Clean, true).is_none());
                }
                // Older ones have no summary.
                let older = read_decision(&plain[..without], Verdict::Clean, true);
                assert_eq!(older, decided.map(|decided| Decided { summary: Vec::new(), ..decided }));
            }
        }
    }

    #[test]
    fn a_received_body_comes_back_and_cut_bytes_do_not() {
        let name = ConversationKey("a/b".to_owned());
        let plain = [&Received::head(&name)[..], b"a/b", b"body"].concat();
        let read = Received::read(plain.clone()).unwrap();
        assert_eq!((read.conversation, &read.body[..]), (name, &b"body"[..]));
        (0..7).for_each(|cut| assert!(Received::read(plain[..cut].to_vec()).is_none()));
    }
}
