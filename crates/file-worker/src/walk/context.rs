//! What an inspector may do: state facts, gaps, links and texts, and hand over what it unpacked.

use super::budget::{Ledger, Stop};
use super::{Inspector, Thing};
use crate::kind::{self, Kind};
use crate::{Job, Kit};
use guarita_message::{FileClass, Finding, FoundPart, FoundParts, Gap, GapReason, Member, Subject};
use std::collections::{HashMap, HashSet};
use std::io::Read;

/// Bytes read from a decoder at a time; after each the budget is asked.
const BLOCK_BYTES: usize = 64 << 10;
/// Findings of one rule that are kept; further ones are the same news.
const FINDINGS_PER_RULE_MAX: usize = 12;
/// Between the steps of a way: `invoice.zip › docs/a.lnk`.
const STEP: &str = " › ";
/// Links and texts of one file together: a report stays far below what the sandbox accepts, whatever JSON makes of them.
const FOUND_BYTES_MAX: usize = 512 << 10;
/// Characters of one step, and of a whole way, as shown.
const STEP_CHARS_MAX: usize = 120;

/// The walk's state. One for each file.
pub struct Context<'a> {
    kit: &'a Kit,
    job: &'a Job,
    inspectors: &'a [&'a [Inspector]],
    ledger: Ledger,
    /// Shown names from the outermost file to the thing now looked at.
    way: Vec<String>,
    /// Kinds along the way.
    kinds: Vec<Kind>,
    findings: Vec<Finding>,
    gaps: Vec<Gap>,
    found: Vec<FoundPart>,
    found_bytes: usize,
    per_rule: HashMap<String, usize>,
    seen_gaps: HashSet<(GapReason, String, String)>,
    seen_found: HashSet<String>,
    /// Hashes of things walked along the present way: a quine unpacks to itself.
    pub(crate) open: Vec<u64>,
    /// What an archive holds; only a preview gathers it.
    pub(crate) members: Vec<Member>,
}

/// What the walk gathered.
pub(crate) struct Gathered {
    pub findings: Vec<Finding>,
    pub gaps: Vec<Gap>,
    pub found: Vec<FoundPart>,
    pub members: Vec<Member>,
    pub kind: Kind,
}

impl<'a> Context<'a> {
    /// States that rule `id` (`files/pdf-launch`) speaks of the present thing. `evidence` is what was seen, in a few words.
    pub fn fact(&mut self, id: &str, evidence: &str) {
        self.finding(self.kit.rules.finding(id, Subject::File, "", evidence));
    }

    /// The same where a finding's meaning does not come from our rule files (YARA's metadata).
    pub fn finding(&mut self, mut finding: Finding) {
        finding.inside = self.inside();
        if self.findings.contains(&finding) {
            return;
        }
        let count = self.per_rule.entry(finding.rule.clone()).or_default();
        *count += 1;
        if *count <= FINDINGS_PER_RULE_MAX && self.findings.len() < self.ledger.limits.findings_max {
            self.findings.push(finding);
        }
    }

    /// Something of the present thing that could not be looked at; `detail` is for the operator, without content.
    pub fn gap(&mut self, reason: GapReason, detail: &str) {
        self.gap_of(reason, detail, self.kind().class());
    }

    /// The same where the class differs from the present thing's (an encrypted entry that is a document's part).
    pub fn gap_of(&mut self, reason: GapReason, detail: &str, class: FileClass) {
        let inside = self.inside();
        let new = self.seen_gaps.insert((reason, inside.clone(), detail.to_owned()));
        let of_reason = self.gaps.iter().filter(|gap| gap.reason == reason).count();
        // Each reason keeps its place in the report, however many of another came first.
        if !new || of_reason >= self.ledger.limits.gaps_max / 4 || self.gaps.len() >= self.ledger.limits.gaps_max {
            return;
        }
        let (place, scanner) = (String::new(), "files".to_owned());
        self.gaps.push(Gap { reason, place, inside, scanner, detail: detail.to_owned(), class });
    }

    /// A link found inside; judged in the second round like those of the message.
    pub fn link(&mut self, url: &str) {
        self.found(FoundParts::Link(cut(url, self.ledger.limits.found_chars_max)), self.ledger.limits.links_max);
    }

    /// A text found inside (behind a QR code, in a contact card); judged in the second round.
    pub fn text(&mut self, text: &str) {
        self.found(FoundParts::Text(cut(text, self.ledger.limits.found_chars_max)), self.ledger.limits.texts_max);
    }

    fn found(&mut self, what: FoundParts, max: usize) {
        let (text, is_link) = match &what {
            FoundParts::Link(text) => (text, true),
            FoundParts::Text(text) => (text, false),
        };
        let count = self.found.iter().filter(|part| matches!(part.what, FoundParts::Link(_)) == is_link).count();
        self.found_bytes += text.len();
        if text.trim().is_empty()
            || count >= max
            || self.found_bytes > FOUND_BYTES_MAX
            || !self.seen_found.insert(format!("{is_link}{text}"))
        {
            return;
        }
        self.found.push(FoundPart { place: String::new(), inside: self.inside(), what });
    }

    /// Looks at something that was inside the present thing, now and completely, before it returns. Bytes that were
    /// decompressed come through [`Context::unpack`] or [`Context::read`] first, so that the budget saw them.
    pub fn child(&mut self, name: &str, bytes: &[u8]) {
        self.child_declared(name, "", bytes);
    }

    /// The same for something that also has a declared media type (a mail's attachment).
    pub fn child_declared(&mut self, name: &str, declared_type: &str, bytes: &[u8]) {
        if let Err(stop) = self.ledger.count_entry() {
            return self.stopped(stop);
        }
        if self.stop() {
            return;
        }
        if self.way.len() > self.ledger.limits.depth_max {
            return self.stopped(Stop::Depth);
        }
        let hash = quick_hash(bytes);
        if bytes.len() > 64 && self.open.contains(&hash) {
            return self.fact("files/archive-bomb", "it unpacks to itself");
        }
        self.open.push(hash);
        self.walk(name, declared_type, bytes);
        self.open.pop();
    }

    /// Reads a decompressor to its end within the budget, then looks at what came out as [`Context::child`] does.
    /// `packed` is the size of the compressed bytes (0: unknown). What could not be read is stated as finding or gap.
    pub fn unpack(&mut self, name: &str, packed: u64, reader: &mut dyn Read) {
        let (bytes, failure) = self.read_some(name, packed, reader);
        let held = bytes.len() as u64;
        if held == 0 && failure {
            return;
        }
        self.ledger.held += held;
        self.child(name, &bytes);
        self.ledger.held -= held;
    }

    /// Reads a decompressor to its end within the budget; `None` if it failed or a bound was hit, which is then stated.
    pub fn read(&mut self, name: &str, packed: u64, reader: &mut dyn Read) -> Option<Vec<u8>> {
        match self.read_some(name, packed, reader) {
            (bytes, false) => Some(bytes),
            (_, true) => None,
        }
    }

    /// What could be read, and whether it ended early. A truncated thing is still worth looking at.
    fn read_some(&mut self, name: &str, packed: u64, reader: &mut dyn Read) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            if let Some(stop) = self.ledger.stop() {
                self.within(name, |ctx| ctx.stopped(stop));
                return (bytes, true);
            }
            match reader.read(&mut block) {
                Ok(0) => return (bytes, false),
                Ok(count) => {
                    let so_far = (bytes.len() + count) as u64;
                    if let Err(stop) = self.ledger.spend(count as u64, so_far, packed) {
                        self.within(name, |ctx| ctx.stopped(stop));
                        return (bytes, true);
                    }
                    bytes.extend_from_slice(&block[..count]);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // The file ends here: what is not there reaches nobody, and what is there was looked at.
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && !bytes.is_empty() => {
                    return (bytes, false);
                }
                Err(error) => {
                    let detail = format!("cannot be unpacked: {}", short(&error.to_string()));
                    self.within(name, |ctx| ctx.gap_of(GapReason::Corrupt, &detail, FileClass::Archive));
                    return (bytes, true);
                }
            }
        }
    }

    /// Accounts for `bytes` that a decoder of its own produced (a picture's pixels). `false`: stop, it was stated.
    pub fn spend(&mut self, bytes: u64) -> bool {
        match self.ledger.spend(bytes, 0, 0) {
            Ok(()) => true,
            Err(stop) => {
                self.stopped(stop);
                false
            }
        }
    }

    /// Whether the file's budget (time, bytes, entries) is used up; inspectors ask it in their loops.
    pub fn stop(&mut self) -> bool {
        match self.ledger.stop() {
            Some(stop) => {
                self.stopped(stop);
                true
            }
            None => false,
        }
    }

    /// States a bound that was hit: a bomb where the form shows one, always a gap.
    pub fn stopped(&mut self, stop: Stop) {
        if matches!(stop, Stop::Ratio | Stop::UnpackedBytes | Stop::Depth | Stop::Entries) {
            let id = if matches!(stop, Stop::Ratio | Stop::UnpackedBytes) {
                "files/archive-bomb"
            } else {
                "files/archive-excessive"
            };
            self.fact(id, stop.as_str());
        }
        let reason = if stop == Stop::Time { GapReason::Timeout } else { GapReason::Limits };
        self.gap(reason, stop.as_str());
    }

    /// Runs `say` with the way one step longer, so that facts and gaps name something that is not walked.
    pub fn within<T>(&mut self, name: &str, say: impl FnOnce(&mut Context<'a>) -> T) -> T {
        self.way.push(shown(name));
        let out = say(self);
        self.way.pop();
        out
    }

    /// Passwords that the message may hold for this file, at most [`super::Limits::passwords_max`].
    pub fn passwords(&self) -> &'a [String] {
        let max = self.ledger.limits.passwords_max;
        &self.job.passwords[..self.job.passwords.len().min(max)]
    }

    /// When the file's time is up, for decoders that can only be stopped from within.
    pub fn deadline(&self) -> std::time::Instant {
        self.ledger.deadline()
    }

    pub fn kit(&self) -> &'a Kit {
        self.kit
    }

    pub fn limits(&self) -> &super::Limits {
        &self.ledger.limits
    }

    /// Kind of the thing now looked at.
    pub fn kind(&self) -> Kind {
        self.kinds.last().copied().unwrap_or(Kind::Unknown)
    }

    /// Kinds from the outermost file to the present thing.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Whether a finding of this rule was stated already, anywhere in the file.
    pub fn stated(&self, id: &str) -> bool {
        self.per_rule.contains_key(id)
    }

    /// The way to the present thing; empty for the file itself.
    fn inside(&self) -> String {
        if self.way.len() <= 1 { String::new() } else { self.way.join(STEP) }
    }

    pub(crate) fn new(job: &'a Job, kit: &'a Kit, inspectors: &'a [&'a [Inspector]], input_bytes: u64) -> Self {
        Context {
            kit,
            job,
            inspectors,
            ledger: Ledger::new(&kit.limits, input_bytes),
            way: Vec::new(),
            kinds: Vec::new(),
            findings: Vec::new(),
            gaps: Vec::new(),
            found: Vec::new(),
            found_bytes: 0,
            per_rule: HashMap::new(),
            seen_gaps: HashSet::new(),
            seen_found: HashSet::new(),
            open: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Types a thing and shows it to every inspector that wants it.
    pub(crate) fn walk(&mut self, name: &str, declared_type: &str, bytes: &[u8]) -> Kind {
        let kind = kind::detect(bytes, name);
        let parent = self.kinds.last().copied();
        let depth = self.way.len();
        self.way.push(shown(name));
        self.kinds.push(kind);
        let thing = Thing { bytes, name, declared_type, kind, parent, depth };
        for inspector in self.inspectors.iter().flat_map(|list| list.iter()) {
            if (inspector.wants)(&thing) && !self.stop() {
                self.run(inspector, &thing);
            }
        }
        self.kinds.pop();
        self.way.pop();
        kind
    }

    /// Runs one inspector. One that panics is a gap; what it and the others saw stands.
    fn run(&mut self, inspector: &Inspector, thing: &Thing<'_>) {
        let (steps, kinds, open, held) = (self.way.len(), self.kinds.len(), self.open.len(), self.ledger.held);
        let look = std::panic::AssertUnwindSafe(|| (inspector.look)(thing, self));
        if std::panic::catch_unwind(look).is_err() {
            self.way.truncate(steps);
            self.kinds.truncate(kinds);
            self.open.truncate(open);
            self.ledger.held = held;
            self.gap(GapReason::Crashed, &format!("the {} inspector failed", inspector.name));
        }
    }

    pub(crate) fn finish(self, kind: Kind) -> Gathered {
        Gathered { findings: self.findings, gaps: self.gaps, found: self.found, members: self.members, kind }
    }
}

/// A name as a person may see it: no control or direction marks, cut in the middle where it is long.
fn shown(name: &str) -> String {
    let count = name.chars().count();
    if count <= STEP_CHARS_MAX {
        return Finding::evidence_of(name);
    }
    let half = STEP_CHARS_MAX / 2;
    let head: String = name.chars().take(half).collect();
    let tail: String = name.chars().skip(count - half + 1).collect();
    Finding::evidence_of(&format!("{head}…{tail}"))
}

fn cut(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).take(chars_max).collect()
}

/// Decoders' words are for operators; they may quote content, so only a short plain start is kept.
fn short(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// Length and FNV over up to 64 KiB of the content: enough to notice that a thing unpacks to itself.
fn quick_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    for byte in bytes.iter().take(32 << 10).chain(bytes.iter().rev().take(32 << 10)) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
