//! What an inspector of a format may say. The walker implements it; tests record it. Nothing here decides: a fact is the
//! name of a rule, and `rules/files/` gives it meaning.

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
    }
}
