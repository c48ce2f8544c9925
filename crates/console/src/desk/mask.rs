//! Personal data as those see it who need not: enough to tell two people apart, not enough to call one.

/// `5511987654321` becomes `•••••••••••21`: the last two characters stay.
pub fn mask_sender(sender: &str) -> String {
    let length = sender.chars().count();
    if length == 0 {
        return String::new();
    }
    // Of something so short two characters would be half of it.
    let keep = if length >= 6 { 2 } else { 0 };
    let hidden = (length - keep).min(11);
    let mut masked = "\u{2022}".repeat(hidden);
    masked.extend(sender.chars().skip(length - keep));
    masked
}

/// `Ana Maria Souza` becomes `A. M. S.`.
pub fn mask_name(name: &str) -> String {
    let initials = name.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
    initials.take(4).map(|c| format!("{}.", c.to_uppercase())).collect::<Vec<_>>().join(" ")
}

/// Phone numbers, addresses and long digit runs inside a text (evidence, a dead letter's error), covered.
pub(crate) fn mask_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut digits = String::new();
    let flush = |digits: &mut String, out: &mut String| {
        let count = digits.chars().filter(char::is_ascii_digit).count();
        if count >= 8 {
            let mut seen = 0;
            out.extend(digits.chars().map(|c| {
                seen += usize::from(c.is_ascii_digit());
                if c.is_ascii_digit() && seen + 2 <= count { '\u{2022}' } else { c }
            }));
        } else {
            out.push_str(digits);
        }
        digits.clear();
    };
    for c in text.chars() {
        if c.is_ascii_digit() || (!digits.is_empty() && matches!(c, ' ' | '-' | '(' | ')' | '.')) {
            digits.push(c);
        } else {
            flush(&mut digits, &mut out);
            out.push(c);
        }
    }
    flush(&mut digits, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_masked() {
        for (sender, expect) in [("5511987654321", "•••••••••••21"), ("1234567", "•••••67"), ("abc", "•••"), ("", "")]
        {
            assert_eq!(mask_sender(sender), expect);
        }
        for (name, expect) in [("Ana Maria Souza", "A. M. S."), ("ña", "Ñ."), ("\u{1f600}", ""), ("", "")] {
            assert_eq!(mask_name(name), expect);
        }
    }

    #[test]
    fn numbers_in_texts_are_masked() {
        for (text, expect) in [
            ("me chama no +55 (11) 98765-4321!", "me chama no +•• (••) •••••-••21!"),
            ("código 123456", "código 123456"),
            ("versão 1.2.3", "versão 1.2.3"),
        ] {
            assert_eq!(mask_text(text), expect);
        }
    }
}
