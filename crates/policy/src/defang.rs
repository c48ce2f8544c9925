//! How a text changes when a link is made harmless or a secret is covered.

use guarita_message::Category;

/// A link that no phone makes tappable: `https://evil.example/a` becomes `hxxps://evil[.]example/a`.
pub fn defang(link: &str) -> String {
    let lower = link.to_ascii_lowercase();
    let (scheme, rest) = match lower.find("://") {
        Some(at) if at <= 12 => (&link[..at], &link[at..]),
        _ => ("", link),
    };
    let mut out = String::with_capacity(link.len() + 16);
    // hxxp, hxxps, fxp: what analysts write, and what no client opens.
    for c in scheme.chars() {
        out.push(match c {
            't' => 'x',
            'T' => 'X',
            other => other,
        });
    }
    let host_starts = if scheme.is_empty() { 0 } else { 3 };
    let host_ends = rest[host_starts..].find(['/', '?', '#', '\\']).map_or(rest.len(), |at| host_starts + at);
    for (at, c) in rest.char_indices() {
        match c {
            // Somebody defanged it before us.
            '.' if at < host_ends && out.ends_with('[') => out.push('.'),
            '.' | '。' | '．' | '｡' | '\u{2024}' if at < host_ends => out.push_str("[.]"),
            ':' if scheme.is_empty() && at < host_ends => out.push_str("[:]"),
            // Characters nobody sees would let the rest be read as another link.
            '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{00ad}' => {}
            other => out.push(other),
        }
    }
    // Already written without a dot we know (an address as a number, `intent:`): break it where a client would start.
    if out == link { format!("[{out}]") } else { out }
}

/// The same length for the eye, without the secret: a card keeps its last four digits, everything else nothing.
pub fn redact(category: Category, secret: &str) -> String {
    let digits = secret.chars().filter(|c| is_digit(*c)).count();
    let keep = if category == Category::PaymentCard && digits > 8 { 4 } else { 0 };
    let all = category == Category::Credential;
    let mut seen = 0;
    secret
        .chars()
        .filter_map(|c| {
            if is_digit(c) {
                seen += 1;
                return Some(if seen > digits - keep { c } else { '*' });
            }
            match c {
                '\u{fe0f}' | '\u{20e3}' => None, // what turns a digit into an emoji; a star needs none
                c if c.is_whitespace() => Some(c),
                c if c.is_alphanumeric() || all => Some('*'),
                c => Some(c),
            }
        })
        .collect()
}

fn is_digit(c: char) -> bool {
    c.is_numeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_broken() {
        for (link, expect) in [
            ("https://evil.example", "hxxps://evil[.]example"),
            ("http://www.evil.example/a.b?c=d.e", "hxxp://www[.]evil[.]example/a.b?c=d.e"),
            ("HTTPS://Evil.Example", "HXXPS://Evil[.]Example"),
            ("evil.example/x", "evil[.]example/x"),
            ("ftp://evil.example", "fxp://evil[.]example"),
            ("evil。example", "evil[.]example"),
            ("ev\u{200b}il.example", "evil[.]example"),
            ("https://bank.example@evil.example:8080/", "hxxps://bank[.]example@evil[.]example:8080/"),
            ("javascript:alert(1)", "javascript[:]alert(1)"),
            ("http://3232235777/", "hxxp://3232235777/"),
            ("hxxp://evil[.]example", "[hxxp://evil[.]example]"),
        ] {
            assert_eq!(defang(link), expect);
        }
    }

    #[test]
    fn secrets_are_covered() {
        use Category::*;
        for (category, secret, expect) in [
            (PaymentCard, "4111 1111 1111 1111", "**** **** **** 1111"),
            (PaymentCard, "378282246310005", "***********0005"),
            (PaymentCard, "123", "***"),
            (PaymentCard, "４１１１１１１１１１１１１１１１", "************１１１１"),
            (Credential, "h4x0r!", "******"),
            (PersonalId, "111.444.777-35", "***.***.***-**"),
        ] {
            assert_eq!(redact(category, secret), expect);
        }
    }
}
