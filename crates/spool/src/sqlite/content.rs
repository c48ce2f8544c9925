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

/// Body to send, header, report and summary: fields, each with its length. What was written before there were summaries
/// ends after the report.
const ABSENT: u32 = u32::MAX;
/// Instead of a length, before a body that is mostly the received one: how much of its beginning and of its end stay,
/// then what stands between them, as a field.
const SPLICED: u32 = u32::MAX - 1;

/// A body to send, as what differs from the one received. Both are kept and removed together.
#[derive(Clone, Copy)]
struct Splice<'a> {
    head: usize,
    tail: usize,
    between: &'a [u8],
}

impl<'a> Splice<'a> {
    /// `None` where it saves little.
    fn of(received: &[u8], sent: &'a [u8]) -> Option<Splice<'a>> {
        let same = |a: &mut dyn Iterator<Item = (&u8, &u8)>| a.take_while(|(a, b)| a == b).count();
        let head = same(&mut received.iter().zip(sent));
        let (received_rest, sent_rest) = (&received[head..], &sent[head..]);
        let tail = same(&mut received_rest.iter().rev().zip(sent_rest.iter().rev()));
        let between = &sent_rest[..sent_rest.len() - tail];
        (between.len() + 64 < sent.len()).then_some(Splice { head, tail, between })
    }

    fn join(head: usize, tail: usize, between: &[u8], received: &[u8]) -> Option<Vec<u8>> {
        let end = received.len().checked_sub(tail).filter(|end| head <= *end)?;
        Some([&received[..head], between, &received[end..]].concat())
    }
}

/// A decision in the order in which it is sealed.
pub(super) struct DecisionPieces<'a> {
    heads: [Vec<u8>; 4],
    fields: [&'a [u8]; 4],
}

impl<'a> DecisionPieces<'a> {
    /// `received`: the body as it came, if it is at hand.
    pub fn of(decided: &'a Decided, received: Option<&[u8]>) -> DecisionPieces<'a> {
        let body = decided.body.as_deref();
        let splice = received.zip(body).and_then(|(received, body)| Splice::of(received, body));
        let header = decided.findings_header.as_ref().map(String::as_bytes);
        let summary = Some(&decided.summary[..]).filter(|summary| summary.len() <= SUMMARY_BYTES_MAX);
        let fields = [splice.map(|splice| splice.between).or(body), header, Some(&decided.report[..]), summary];
        let mut heads = fields.map(|field| field.map_or(ABSENT, |field| field.len() as u32).to_be_bytes().to_vec());
        if let Some(Splice { head, tail, .. }) = splice {
            let numbers = [SPLICED, head as u32, tail as u32].map(u32::to_be_bytes);
            heads[0].splice(0..0, numbers.as_flattened().iter().copied());
        }
        DecisionPieces { heads, fields: fields.map(Option::unwrap_or_default) }
    }

    pub fn pieces(&self) -> [&[u8]; 8] {
        let ([a, b, c, d], [body, header, report, summary]) = (&self.heads, self.fields);
        [a, body, b, header, c, report, d, summary]
    }

    pub fn summary(&self) -> &'a [u8] {
        self.fields[3]
    }
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (number, tail) = rest.split_at_checked(4)?;
    *rest = tail;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match number(rest)? {
        ABSENT => Some(None),
        length => {
            let (value, tail) = rest.split_at_checked(length as usize)?;
            *rest = tail;
            Some(Some(value))
        }
    }
}

/// The fields as they stand: a spliced body is not joined yet.
struct Fields<'a> {
    body: Option<&'a [u8]>,
    splice: Option<(usize, usize)>,
    findings_header: Option<String>,
    report: &'a [u8],
    summary: &'a [u8],
}

impl Fields<'_> {
    fn read(plain: &[u8]) -> Option<Fields<'_>> {
        let rest = &mut &plain[..];
        let mut splice = None;
        if plain.starts_with(&SPLICED.to_be_bytes()) {
            number(rest)?;
            splice = Some((number(rest)? as usize, number(rest)? as usize));
        }
        let body = field(rest)?;
        let findings_header = field(rest)?.map(|text| String::from_utf8(text.to_vec())).transpose().ok()?;
        let report = field(rest)?.unwrap_or_default();
        let summary = if rest.is_empty() { None } else { field(rest)? }.unwrap_or_default();
        Some(Fields { body, splice, findings_header, report, summary })
    }
}

/// `received`: the body as it came, which a spliced one is joined with.
pub(super) fn read_decision(
    plain: &[u8],
    verdict: Verdict,
    quarantine: bool,
    received: Option<&[u8]>,
) -> Option<Decided> {
    let Fields { body, splice, findings_header, report, summary } = Fields::read(plain)?;
    let body = match (body, splice) {
        (Some(between), Some((head, tail))) => Some(Splice::join(head, tail, between, received?)?),
        (body, _) => body.map(<[u8]>::to_vec),
    };
    let (report, summary) = (report.to_vec(), summary.to_vec());
    Some(Decided { verdict, body, findings_header, report, quarantine, terms: Vec::new(), summary })
}

pub(super) fn read_summary(plain: &[u8]) -> Option<Vec<u8>> {
    Some(Fields::read(plain)?.summary.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(decided: &Decided, received: Option<&[u8]>) -> Vec<u8> {
        DecisionPieces::of(decided, received).pieces().concat()
    }

    #[test]
    fn a_decision_comes_back_as_it_was() {
        for body in [None, Some(vec![]), Some(b"{}".to_vec())] {
            for findings_header in [None, Some(String::new()), Some("%5B%5D".to_owned())] {
                let (verdict, report, summary) = (Verdict::Clean, b"[1]".to_vec(), b"{}".to_vec());
                let (body, terms) = (body.clone(), Vec::new());
                let decided = Decided { verdict, body, findings_header, report, quarantine: true, terms, summary };
                let plain = plain(&decided, None);
                let read = |plain| read_decision(plain, Verdict::Clean, true, None);
                let decided = Some(decided);
                assert_eq!(read(&plain), decided);
                let without = plain.len() - 6;
                for cut in (0..plain.len()).filter(|cut| *cut != without) {
                    assert!(read(&plain[..cut]).is_none());
                }
                assert_eq!(read_summary(&plain).unwrap(), b"{}");
                // Older ones have no summary.
                let older = decided.map(|decided| Decided { summary: Vec::new(), ..decided });
                assert_eq!(read(&plain[..without]), older);
            }
        }
    }

    #[test]
    fn a_body_that_is_mostly_the_received_one_is_kept_as_what_differs() {
        let received: Vec<u8> = (0..1000).map(|n| (n % 251) as u8).collect();
        let edits: [(usize, usize, &[u8]); 9] = [
            (0, 0, b"new"),
            (1000, 1000, b"new"),
            (500, 500, &[7; 300]),
            (500, 600, b""),
            (0, 100, b""),
            (900, 1000, b"x"),
            (0, 1000, b""),
            (0, 1000, &[1; 900]),
            (3, 3, b""),
        ];
        for (from, to, put) in edits {
            let mut sent = received.clone();
            sent.splice(from..to, put.iter().copied());
            let decided = Decided {
                verdict: Verdict::Clean,
                body: Some(sent.clone()),
                findings_header: None,
                report: Vec::new(),
                quarantine: false,
                terms: Vec::new(),
                summary: b"s".to_vec(),
            };
            let plain = plain(&decided, Some(&received));
            assert_eq!(
                read_decision(&plain, Verdict::Clean, false, Some(&received)).as_ref(),
                Some(&decided),
                "{from} {to}"
            );
            assert_eq!(read_summary(&plain).unwrap(), b"s");
            if plain.starts_with(&SPLICED.to_be_bytes()) {
                assert!(plain.len() < put.len() + 64, "{from} {to}: {}", plain.len());
                assert!(read_decision(&plain, Verdict::Clean, false, None).is_none());
                assert!(
                    read_decision(&plain, Verdict::Clean, false, Some(&received[..50])).is_none() || to - from > 900
                );
            } else {
                assert!(put.len() + 64 >= sent.len(), "{from} {to}");
            }
        }
        // Repeating bytes, where head and tail could overlap.
        for (received, sent) in
            [(vec![b'a'; 500], vec![b'a'; 499]), (vec![b'a'; 500], vec![b'a'; 900]), (vec![], vec![1; 99])]
        {
            let splice = Splice::of(&received, &sent);
            let joined = splice.map(|s| Splice::join(s.head, s.tail, s.between, &received).unwrap());
            assert!(joined.is_none_or(|joined| joined == sent));
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
