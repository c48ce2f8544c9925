//! The tables under `[data]` of one file, and the line each value stands in. It knows nothing of what they mean.

use crate::RuleError;
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// What one file says under `[data]`.
pub(crate) struct DataFile {
    pub path: String,
    pub table: toml::Table,
    /// Line by place: `brand.3.words.1`, `words.lure.12`.
    lines: BTreeMap<String, usize>,
}

impl DataFile {
    pub(crate) fn new(path: &str, text: &str, table: toml::Table) -> DataFile {
        let mut lines = BTreeMap::new();
        // It parsed as a document already; without spans an error would name the file alone.
        if let Ok(document) = DeTable::parse(text) {
            let mut line_of = Lines { text: text.as_bytes(), at: 0, line: 1 };
            if let Some(data) = document.get_ref().get("data").and_then(|data| data.get_ref().as_table()) {
                note_table(data, "", &mut line_of, &mut lines);
            }
        }
        DataFile { path: path.to_owned(), table, lines }
    }

    /// A mistake in the value at `place`.
    pub(crate) fn error(&self, place: &str, problem: impl Into<String>, mend: impl Into<String>) -> RuleError {
        let mut known = place;
        let line = loop {
            match (self.lines.get(known), known.rsplit_once('.')) {
                (Some(line), _) => break *line,
                (None, Some((parent, _))) => known = parent,
                (None, None) => break 0,
            }
        };
        RuleError::new(&self.path, line, problem, mend)
    }
}

/// Counts lines; values mostly come in the order of the text, and then each byte is looked at once.
struct Lines<'t> {
    text: &'t [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn of(&mut self, at: usize) -> usize {
        if at < self.at {
            (self.at, self.line) = (0, 1);
        }
        let end = at.min(self.text.len());
        self.line += self.text[self.at..end].iter().filter(|byte| **byte == b'\n').count();
        self.at = end;
        self.line
    }
}

fn note_table(table: &DeTable<'_>, prefix: &str, line_of: &mut Lines<'_>, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let place = join(prefix, key.get_ref());
        lines.insert(place.clone(), line_of.of(key.span().start));
        note_value(value.get_ref(), &place, line_of, lines);
    }
}

fn note_value(value: &DeValue<'_>, place: &str, line_of: &mut Lines<'_>, lines: &mut BTreeMap<String, usize>) {
    match value {
        DeValue::Table(inner) => note_table(inner, place, line_of, lines),
        DeValue::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                let place = format!("{place}.{number}");
                lines.insert(place.clone(), line_of.of(item.span().start));
                note_value(item.get_ref(), &place, line_of, lines);
            }
        }
        _ => {}
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

#[cfg(test)]
mod tests {
    use crate::{Language, RuleFile, RuleSet};

    /// Brands, words, reasons and hosts are an operator's to write, too: a mistake names its line and what to write.
    #[test]
    fn a_mistake_in_data_names_its_line_and_a_mend() {
        let check = |path: &str, text: &str, line: usize, problem: &str| {
            let file = RuleFile { path: path.into(), bytes: text.as_bytes().to_vec() };
            let error = RuleSet::compile(vec![file], Language::English).expect_err(text);
            let shown = error.to_string();
            assert_eq!((error.file.as_str(), error.line), (path, line), "{shown}");
            assert!(error.problem.contains(problem) && shown.contains("\n  mend: "), "{shown}");
        };
        let brand = "[[data.brand]]\nname = \"A\"\ndomains = [\"a.example\"]\n\n[[data.brand]]\nname = \"B\"\n";
        let brands = "links/own.toml";
        check(brands, &format!("{brand}domains = [\"b.example\",\n  \"B.example\"]\n"), 8, "`B.example` is no host");
        check(brands, &format!("{brand}domains = [\"b.example\"]\nwords = [\"bé\"]\n"), 8, "cannot stand in a host");
        check(brands, &format!("{brand}domains = \"b.example\"\n"), 7, "not a list of strings");
        check(brands, &format!("{brand}domains = [\"b.example\"]\nwrods = []\n"), 8, "unknown key");
        check(brands, brand, 5, "brand `B` has no official domain");
        check(brands, "[[data.brand]]\ndomains = []\n", 1, "brand 1 has no name");
        check(brands, "\n[data.brand]\nname = \"A\"\n", 2, "not a list of tables");
        check(
            brands,
            "\n\n[data.words]\nlure = [\"a\", \"b\"]\ncheap_suffixes = [\"top\",\n 7]\n",
            6,
            "not a list of strings",
        );
        check(brands, "[data.reasons]\n\nport = { de = \"x\" }\n", 3, "data.reasons.port");
        check(brands, "[data.barnds]\n", 1, "unknown table `data.barnds`");
        check(brands, "[[data.brand]\n", 1, "");
        check("lists/shorteners.txt", "bit.ly\n# more\nHTTP://x.example\n", 3, "is no host");
        check("files/own.toml", "\n[data.apps]\nwords = [\"x\"]\nwrods = []\n", 2, "wrods");
    }
}
