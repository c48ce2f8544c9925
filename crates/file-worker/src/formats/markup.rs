//! Tags, attributes and text of HTML and XML, read as browsers do: forgiving, one pass, borrowing from the input. Knows
//! nothing of what a tag means.

/// What stands next in the markup.
#[derive(Debug, PartialEq)]
pub enum Token<'a> {
    /// `<name …>`; `attributes` is the raw rest. `closes` for `</name>`.
    Tag {
        name: &'a str,
        attributes: &'a str,
        closes: bool,
    },
    Text(&'a str),
    /// `<![CDATA[ … ]]>`: text to an XML reader, markup to an HTML reader.
    Data(&'a str),
    /// `<!DOCTYPE …>` with its internal subset.
    Doctype(&'a str),
}

pub struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

pub fn tokens(text: &str) -> Tokens<'_> {
    Tokens { text, at: 0 }
}

impl<'a> Tokens<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_past(&mut self, end: &str) -> &'a str {
        let rest = self.rest();
        let (body, step) = match rest.find(end) {
            Some(found) => (&rest[..found], found + end.len()),
            None => (rest, rest.len()),
        };
        self.at += step;
        body
    }

    /// The raw text up to `</name`, for `script` and `style`, whose content is no markup.
    pub fn raw_until_close(&mut self, name: &str) -> &'a str {
        let rest = self.rest();
        let end = rest.match_indices("</").find(|(at, _)| {
            rest.as_bytes()
                .get(at + 2..at + 2 + name.len())
                .is_some_and(|seen| seen.eq_ignore_ascii_case(name.as_bytes()))
        });
        let body = end.map_or(rest, |(at, _)| &rest[..at]);
        self.at += body.len();
        body
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return None;
            }
            if let Some(end) = rest.find('<').filter(|end| *end > 0) {
                self.at += end;
                return Some(Token::Text(&rest[..end]));
            }
            if !rest.starts_with('<') {
                self.at = self.text.len();
                return Some(Token::Text(rest));
            }
            if rest.starts_with("<!--") {
                self.at += 4;
                self.skip_past("-->");
                continue;
            }
            if rest.starts_with("<![CDATA[") {
                self.at += 9;
                return Some(Token::Data(self.skip_past("]]>")));
            }
            if rest
                .as_bytes()
                .get(2..9)
                .is_some_and(|name| rest.starts_with("<!") && name.eq_ignore_ascii_case(b"DOCTYPE"))
            {
                let length = doctype_length(rest);
                self.at += length;
                return Some(Token::Doctype(&rest[..length]));
            }
            if rest.starts_with("<?") || rest.starts_with("<!") {
                self.at += 2;
                self.skip_past(">");
                continue;
            }
            let closes = rest.starts_with("</");
            let start = if closes { 2 } else { 1 };
            let named = &rest[start..];
            if !named.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                self.at += 1;
                return Some(Token::Text("<"));
            }
            let name_end = named.find(|c: char| c.is_whitespace() || c == '>' || c == '/').unwrap_or(named.len());
            let length = tag_length(&named[name_end..]);
            let attributes = named[name_end..name_end + length].trim_end_matches('>');
            self.at += start + name_end + length;
            return Some(Token::Tag { name: &named[..name_end], attributes, closes });
        }
    }
}

/// Up to and with the `>` that ends a tag, quotes respected.
fn tag_length(text: &str) -> usize {
    let mut quote = None;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            (None, b'>') => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Up to and with the `>` that ends a doctype, its `[ … ]` respected.
fn doctype_length(text: &str) -> usize {
    let (mut depth, mut quote) = (0usize, None);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'[') => depth += 1,
            (None, b']') => depth = depth.saturating_sub(1),
            (None, b'>') if depth == 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Name and value of each attribute in the raw rest of a tag; values are not unescaped.
pub fn attributes(raw: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = raw;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/' || c == '"' || c == '\'');
        if rest.is_empty() {
            return None;
        }
        let name_end = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '/').unwrap_or(rest.len());
        // A stray `=` is a name to a browser; here it must only move us on.
        let name_end = if name_end == 0 { rest.chars().next().map_or(0, char::len_utf8) } else { name_end };
        let name = &rest[..name_end];
        let after = rest[name_end..].trim_start();
        let Some(value) = after.strip_prefix('=').map(str::trim_start) else {
            rest = &rest[name_end..];
            return Some((name, ""));
        };
        let quoted = value.starts_with(['"', '\'']);
        let (value, next) = if quoted {
            let inner = &value[1..];
            let end = inner.find(&value[..1]).unwrap_or(inner.len());
            (&inner[..end], inner.get(end + 1..).unwrap_or_default())
        } else {
            let end = value.find(|c: char| c.is_whitespace()).unwrap_or(value.len());
            (&value[..end], &value[end..])
        };
        rest = next;
        Some((name, value))
    })
}

/// The value of attribute `name`, in any letter case.
pub fn attribute<'a>(raw: &'a str, name: &str) -> Option<&'a str> {
    attributes(raw).find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A name without its namespace prefix: `w:attachedTemplate` → `attachedTemplate`.
pub fn local_name(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// `&amp;`, `&#x6a;` and the like; what is not known stays.
pub fn unescape(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(12).position(|b| b == b';');
        let known = end.and_then(|end| entity(&rest[1..end]));
        match (known, end) {
            (Some(c), Some(end)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            _ => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "colon" => ':',
        "Tab" => '\t',
        "NewLine" => '\n',
        "nbsp" => ' ',
        "lpar" => '(',
        "rpar" => ')',
        "sol" => '/',
        "period" => '.',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_texts() {
        let tag = |name, attributes| Token::Tag { name, attributes, closes: false };
        let check = |text: &str, expect: &[Token<'_>]| assert_eq!(tokens(text).collect::<Vec<_>>(), expect, "{text}");
        check("a<b x='>'>c", &[Token::Text("a"), tag("b", " x='>'"), Token::Text("c")]);
        check("<!-- <script> --><i>", &[tag("i", "")]);
        check(
            "<!DOCTYPE x [<!ENTITY a \"b>\">]><x/>",
            &[Token::Doctype("<!DOCTYPE x [<!ENTITY a \"b>\">]>"), tag("x", "/")],
        );
        check("1 < 2", &[Token::Text("1 "), Token::Text("<"), Token::Text(" 2")]);
        check("<a", &[tag("a", "")]);
        check("<![CDATA[<b>]]>", &[Token::Data("<b>")]);
    }

    #[test]
    fn attributes_of_any_form() {
        let check =
            |raw: &str, expect: &[(&str, &str)]| assert_eq!(attributes(raw).collect::<Vec<_>>(), expect, "{raw}");
        check(" a=\"1\" b='2' c=3 d", &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "")]);
        check("/onload=alert(1)", &[("onload", "alert(1)")]);
        check(" a = \"unclosed", &[("a", "unclosed")]);
        check("==é", &[("=", "é")]);
        check(" é", &[("é", "")]);
    }

    #[test]
    fn entities() {
        assert_eq!(unescape("java&#x73;cript&colon;&#97;&amp;&nope;&"), "javascript:a&&nope;&");
    }

    #[test]
    fn raw_content_ends_at_its_tag() {
        let mut all = tokens("<script>if (a</b>1) {}</SCRIPT>x");
        all.next();
        assert_eq!(all.raw_until_close("script"), "if (a</b>1) {}");
    }
}
