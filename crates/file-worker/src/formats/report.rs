//! What an inspector of a format may say. The walker implements it; tests record it. Nothing here decides: a fact is the
//! name of a rule, and `rules/files/` gives it meaning.

use crate::walk::Context;
use guarita_message::{FileClass, GapReason};

pub trait Report {
    /// Something a rule speaks of; `rule` is its id (`files/office-macro`).
    fn fact(&mut self, rule: &str, evidence: &str);
    /// A file inside this one, to be looked at in turn.
    fn child(&mut self, name: &str, bytes: Vec<u8>);
    /// A link, to be judged like those of the message.
    fn link(&mut self, url: &str);
    /// A text, to be judged like the message's own.
    fn text(&mut self, text: &str);
    /// What could not be looked at.
    fn gap(&mut self, reason: GapReason, class: FileClass, detail: &str);
    /// Accounts for bytes that came out of a decoder. `false`: a bound is hit and stated; come to an end.
    fn spend(&mut self, bytes: usize) -> bool;
    /// Words of the message that may be a password.
    fn passwords(&self) -> &[String];
    /// Whether time or another bound of the whole file is used up; asked in long loops.
    fn stop(&mut self) -> bool;
}

impl Report for Context<'_> {
    fn fact(&mut self, rule: &str, evidence: &str) {
        Context::fact(self, rule, evidence);
    }
    fn child(&mut self, name: &str, bytes: Vec<u8>) {
        Context::child(self, name, &bytes);
    }
    fn link(&mut self, url: &str) {
        Context::link(self, url);
    }
    fn text(&mut self, text: &str) {
        Context::text(self, text);
    }
    fn gap(&mut self, reason: GapReason, class: FileClass, detail: &str) {
        Context::gap_of(self, reason, detail, class);
    }
    fn spend(&mut self, bytes: usize) -> bool {
        Context::spend(self, bytes as u64)
    }
    fn passwords(&self) -> &[String] {
        Context::passwords(self)
    }
    fn stop(&mut self) -> bool {
        Context::stop(self)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Keeps what was said.
    #[derive(Debug, Default)]
    pub struct Seen {
        pub facts: Vec<(String, String)>,
        pub children: Vec<(String, Vec<u8>)>,
        pub links: Vec<String>,
        pub texts: Vec<String>,
        pub gaps: Vec<GapReason>,
        pub spent: usize,
    }

    impl Seen {
        pub fn has(&self, rule: &str) -> bool {
            self.facts.iter().any(|(id, _)| id == rule)
        }

        pub fn rules(&self) -> Vec<&str> {
            self.facts.iter().map(|(id, _)| id.as_str()).collect()
        }
    }

    impl Report for Seen {
        fn fact(&mut self, rule: &str, evidence: &str) {
            self.facts.push((rule.to_owned(), evidence.to_owned()));
        }
        fn child(&mut self, name: &str, bytes: Vec<u8>) {
            self.children.push((name.to_owned(), bytes));
        }
        fn link(&mut self, url: &str) {
            self.links.push(url.to_owned());
        }
        fn text(&mut self, text: &str) {
            self.texts.push(text.to_owned());
        }
        fn gap(&mut self, reason: GapReason, _class: FileClass, _detail: &str) {
            self.gaps.push(reason);
        }
        fn spend(&mut self, bytes: usize) -> bool {
            self.spent += bytes;
            self.spent < 256 << 20
        }
        fn passwords(&self) -> &[String] {
            &[]
        }
        fn stop(&mut self) -> bool {
            false
        }
    }
}
