//! Web pages sent as files: a page that runs script, smuggles a download, asks for a password or leads elsewhere. Links and
//! visible text go to the second round. That a page came as a file is said elsewhere; here is what it does.

use super::bytes::{cut, lossy};
use super::markup::{Token, attribute, attributes, local_name, tokens, unescape};
use super::report::Report;
use super::script_text::{data_url, deeds, unpack_payloads};

/// A page is read up to here.
const PAGE_BYTES_MAX: usize = 16 << 20;
const VISIBLE_CHARS_MAX: usize = 4_000;
/// Tokens read from a page: what no person wrote is not read to its end.
const TOKENS_MAX: usize = 500_000;

/// What a page or picture does; shared by HTML and SVG.
#[derive(Default)]
pub struct Page {
    pub script: Option<String>,
    pub handler: Option<String>,
    pub script_link: Option<String>,
    pub smuggles: Option<String>,
    pub hides: bool,
    pub password_field: bool,
    pub form: bool,
    pub redirect: Option<String>,
    pub frame: Option<String>,
    pub data_page: Option<String>,
    /// Shown from another site.
    pub external: Option<String>,
    /// Read from the reader's own disk or network, or built in as if it were part of the picture.
    pub fetched: Option<String>,
    pub visible: String,
}

impl Page {
    /// The first sign that something in it runs.
    pub fn runs(&self) -> Option<&str> {
        [&self.script, &self.handler, &self.script_link].into_iter().find_map(Option::as_deref)
    }
}

pub fn inspect(data: &[u8], report: &mut dyn Report) {
    let text = lossy(data.get(..PAGE_BYTES_MAX.min(data.len())).unwrap_or_default());
    let page = read(&text, report);
    say(&page, "files/html-script", report);
    if let Some(to) = &page.redirect {
        report.fact("files/html-redirect", to);
    }
    if let Some(frame) = &page.frame {
        report.fact("files/html-frame", frame);
    }
    if !page.visible.trim().is_empty() {
        report.text(&page.visible);
    }
}

/// The facts that pages and pictures share; `script_rule` names what a plain script is here.
pub fn say(page: &Page, script_rule: &str, report: &mut dyn Report) {
    if let Some(sign) = page.runs() {
        report.fact(script_rule, sign);
    }
    if let Some(how) = &page.smuggles {
        report.fact("files/html-smuggling", how);
    }
    if page.hides {
        report.fact("files/html-obfuscated", "the script hides what it runs");
    }
    if page.password_field {
        report.fact("files/html-password-form", "a field for a password");
    }
    if let Some(url) = &page.data_page {
        report.fact("files/html-data-url", url);
    }
}

/// Reads markup and gathers what it does; links and payloads are reported on the way.
pub fn read(text: &str, report: &mut dyn Report) -> Page {
    let mut page = Page::default();
    read_markup(text, 0, &mut page, report);
    page
}

fn read_markup(text: &str, depth: usize, page: &mut Page, report: &mut dyn Report) {
    let mut all = tokens(text);
    let mut count = 0usize;
    while let Some(token) = all.next() {
        count += 1;
        if count > TOKENS_MAX || count.is_multiple_of(4096) && report.stop() {
            break;
        }
        match token {
            Token::Text(text) => add_visible(&mut page.visible, text),
            // A page that quotes a picture inline reads this as markup; an XML reader does not.
            Token::Data(inner) if depth == 0 && inner.contains('<') => read_markup(inner, 1, page, report),
            Token::Data(text) => add_visible(&mut page.visible, text),
            Token::Doctype(_) => {}
            Token::Tag { closes: true, .. } => {}
            Token::Tag { name, attributes: raw, .. } => {
                let local = local_name(name).to_ascii_lowercase();
                read_attributes(&local, raw, page, report);
                match local.as_str() {
                    // `handler` is what small devices call a script in a picture.
                    "script" | "handler" => {
                        let body = if raw.trim_end().ends_with('/') { "" } else { all.raw_until_close(name) };
                        read_script(raw, body, page, report);
                    }
                    "style" if !raw.trim_end().ends_with('/') => {
                        all.raw_until_close(name);
                    }
                    _ => {}
                }
            }
        }
    }
}

fn read_script(raw: &str, body: &str, page: &mut Page, report: &mut dyn Report) {
    let kind = attribute(raw, "type").unwrap_or_default().to_ascii_lowercase();
    // Data for search engines and templates is kept in script tags that never run.
    if kind.contains("json") || kind.contains("template") || kind.contains("text/x-") {
        return;
    }
    page.script.get_or_insert_with(|| {
        format!("script {}", attribute(raw, "src").or(attribute(raw, "href")).unwrap_or(cut(body.trim(), 80)))
    });
    judge_script(body, page);
    unpack_payloads(body, report);
}

fn judge_script(script: &str, page: &mut Page) {
    let deeds = deeds(script);
    if deeds.smuggles {
        page.smuggles.get_or_insert_with(|| "a script builds a file and saves it".to_owned());
    }
    page.hides |= deeds.hides;
    if deeds.leads_away {
        page.redirect.get_or_insert_with(|| "by script".to_owned());
    }
}

fn read_attributes(tag: &str, raw: &str, page: &mut Page, report: &mut dyn Report) {
    let mut downloads = false;
    let mut data_file = None;
    for (name, value) in attributes(raw).take(256) {
        let name = name.to_ascii_lowercase();
        let key = local_name(&name);
        if key.len() > 3 && key.starts_with("on") && key.bytes().all(|b| b.is_ascii_alphabetic()) && !value.is_empty() {
            page.handler.get_or_insert_with(|| format!("{key}={}", cut(value, 80)));
            judge_script(&unescape(value), page);
            continue;
        }
        match key {
            "download" => downloads = true,
            "href" | "src" | "action" | "formaction" | "data" | "to" | "values" | "from" | "srcdoc" | "poster"
            | "background" => {
                let url = unescape(value);
                read_url(tag, key, url.trim(), page, &mut data_file, report);
            }
            "type" if tag == "input" && unescape(value).trim().eq_ignore_ascii_case("password") => {
                page.password_field = true;
            }
            // Pictures may set handlers by animation.
            "attributename" if local_name(value).to_ascii_lowercase().starts_with("on") => {
                page.handler.get_or_insert_with(|| format!("{tag} sets {}", cut(value, 80)));
            }
            _ => {}
        }
    }
    match tag {
        "form" => page.form = true,
        "meta" if attribute(raw, "http-equiv").is_some_and(|v| v.eq_ignore_ascii_case("refresh")) => {
            let content = attribute(raw, "content").unwrap_or_default();
            if let Some(at) = content.to_ascii_lowercase().find("url") {
                let url = unescape(content.get(at + 3..).unwrap_or_default());
                let url = url.trim_start_matches(|c: char| c.is_whitespace() || c == '=' || c == '\'' || c == '"');
                page.redirect.get_or_insert_with(|| cut(url, 120).to_owned());
                report.link(url.trim_end_matches(['\'', '"']));
            }
        }
        _ => {}
    }
    if downloads && let Some(mime) = data_file {
        page.smuggles.get_or_insert_with(|| format!("a link that saves a file of its own ({mime})"));
    }
}

fn read_url(tag: &str, key: &str, url: &str, page: &mut Page, data_file: &mut Option<String>, report: &mut dyn Report) {
    // Browsers drop tabs, line ends and leading controls before they look at the scheme.
    let plain: String = url.chars().take(64).filter(|c| !c.is_control() && !c.is_whitespace()).collect();
    let lower = plain.to_ascii_lowercase();
    if lower.starts_with("javascript:") || lower.starts_with("vbscript:") {
        // `javascript:void(0)` is how old pages write "nothing".
        let nothing = ["javascript:", "javascript:;", "javascript:void(0)", "javascript:void(0);", "javascript://"];
        if !nothing.contains(&lower.as_str()) {
            page.script_link.get_or_insert_with(|| cut(url, 100).to_owned());
            judge_script(url, page);
        }
    } else if lower.starts_with("data:") {
        let Some((mime, bytes)) = data_url(url) else { return };
        let shown = mime.starts_with("image/") && mime != "image/svg+xml"
            || mime.starts_with("font/")
            || mime.starts_with("audio/")
            || mime.starts_with("video/")
            || mime.contains("font")
            || mime == "text/css";
        if !shown {
            let opens = matches!(
                mime.as_str(),
                "text/html" | "application/xhtml+xml" | "text/xml" | "application/xml" | "text/javascript"
            ) || tag == "use";
            if opens {
                page.data_page.get_or_insert_with(|| format!("data:{mime}"));
            }
            *data_file = Some(if mime.is_empty() { "data".to_owned() } else { mime });
            if report.spend(bytes.len()) {
                report.child("data-url", bytes);
            }
        }
    } else if lower.starts_with("http:") || lower.starts_with("https:") || lower.starts_with("//") {
        if matches!(
            tag,
            "a" | "area" | "form" | "iframe" | "frame" | "script" | "object" | "embed" | "button" | "input" | "base"
        ) {
            report.link(url);
        }
        if matches!(tag, "image" | "feimage" | "script" | "use") {
            page.external.get_or_insert_with(|| cut(url, 120).to_owned());
        }
    } else if lower.starts_with("file:") || lower.starts_with("\\\\") {
        page.fetched.get_or_insert_with(|| cut(url, 120).to_owned());
        report.link(url);
    } else if matches!(tag, "use" | "image" | "feimage") && has_scheme(&lower) {
        // `html:`, `msl:`, `text:` and the like make converters read files.
        page.fetched.get_or_insert_with(|| cut(url, 120).to_owned());
    }
    let framed = matches!(tag, "iframe" | "frame" | "object" | "embed") && matches!(key, "src" | "data" | "srcdoc");
    if framed && !lower.starts_with("about:") && !lower.is_empty() {
        page.frame.get_or_insert_with(|| cut(url, 120).to_owned());
    }
}

fn has_scheme(url: &str) -> bool {
    url.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    })
}

fn add_visible(visible: &mut String, text: &str) {
    let trimmed = text.trim();
    if visible.len() >= VISIBLE_CHARS_MAX || trimmed.is_empty() {
        return;
    }
    if !visible.is_empty() {
        visible.push(' ');
    }
    visible.push_str(&unescape(cut(trimmed, VISIBLE_CHARS_MAX)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    fn rules(page: &str) -> Vec<String> {
        let mut seen = Seen::default();
        inspect(page.as_bytes(), &mut seen);
        seen.rules().into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn pages_are_judged_by_what_they_do() {
        let check = |page: &str, expect: &[&str]| assert_eq!(rules(page), expect, "{page}");
        check("<p>Hello <a href='https://example.com'>there</a></p>", &[]);
        check("<script>alert(1)</script>", &["files/html-script"]);
        check("<img src=x onerror=alert(1)>", &["files/html-script"]);
        check("<a href='java\tscript&colon;alert(1)'>x</a>", &["files/html-script"]);
        check("<a href='javascript:void(0)'>x</a>", &[]);
        check("<script type='application/ld+json'>{}</script>", &[]);
        check("<form><input type=PASSWORD name=p></form>", &["files/html-password-form"]);
        check("<a download=f.zip href='data:application/zip;base64,UEsDBA=='>x</a>", &["files/html-smuggling"]);
        check("<script>var b=new Blob([atob(x)])</script>", &["files/html-script", "files/html-smuggling"]);
        check("<meta http-equiv=refresh content='0; url=https://example.com'>", &["files/html-redirect"]);
        check("<iframe src='https://example.com'></iframe>", &["files/html-frame"]);
        check("<img src='data:image/png;base64,iVBORw0KGgo='>", &[]);
        check("<script>eval(atob('x'))</script>", &["files/html-script", "files/html-obfuscated"]);
        check("<!-- <script>x</script> -->", &[]);
    }

    #[test]
    fn links_and_text_go_on() {
        let mut seen = Seen::default();
        inspect(b"<p>Pay now</p><a href=\"https://a.example/?x=1&amp;y=2\">here</a>", &mut seen);
        assert_eq!(seen.links, ["https://a.example/?x=1&y=2"]);
        assert_eq!(seen.texts, ["Pay now here"]);
    }
}
