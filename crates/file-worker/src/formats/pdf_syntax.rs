//! PDF objects out of bytes: a forgiving, bounded reader that finds every object by its header instead of trusting the
//! cross-reference table, so that hidden, superseded and unreferenced ones are seen, too. Knows syntax and filters, not
//! what an object means.

use super::bytes::take;
use super::pdf_crypt::{Key, Lock};
use super::pdf_filters::{ascii85, hex_decode, inflate, lzw, run_length, unpredict};
use super::report::Report;
use std::collections::HashMap;

/// Values of one file; honest files of many MiB stay below.
const VALUES_MAX: usize = 1_500_000;
/// One text string; longer ones are cut.
const TEXT_BYTES_MAX: usize = 1 << 20;
const OBJECTS_MAX: usize = 300_000;
const DEPTH_MAX: usize = 48;
const FILTERS_MAX: usize = 8;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Number(f64),
    /// Without the slash, `#xx` decoded; the flag says that letters were written so.
    Name(String, bool),
    Text(Vec<u8>),
    Array(Vec<Value>),
    Dict(Vec<(String, Value)>),
    Reference(u32),
    /// Asked for by name where a default is `true`.
    False,
    Other,
}

impl Value {
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Dict(pairs) => pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn name(&self) -> Option<&str> {
        match self {
            Value::Name(name, _) => Some(name),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A text string, UTF-16 with its mark or bytes.
    pub fn text(&self) -> Option<String> {
        match self {
            Value::Text(bytes) => Some(super::bytes::lossy(bytes)),
            _ => None,
        }
    }
}

pub struct Object {
    pub number: u32,
    pub generation: u16,
    pub value: Value,
    /// Raw bytes of its stream, if it has one.
    pub stream: Option<(usize, usize)>,
}

pub struct Pdf<'a> {
    data: &'a [u8],
    pub objects: Vec<Object>,
    pub trailers: Vec<Value>,
    by_number: HashMap<u32, usize>,
    /// What makes texts and streams plain, where a password was found or none is needed.
    key: Option<Key>,
    /// Names written with `#xx` where a letter would do.
    pub hidden_names: Vec<String>,
    values: usize,
}

struct Lexer<'a, 'b> {
    data: &'a [u8],
    at: usize,
    values: &'b mut usize,
    hidden: &'b mut Vec<String>,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, 0 | 9 | 10 | 12 | 13 | 32)
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}

impl Lexer<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(byte) = self.peek() {
            if is_space(byte) {
                self.at += 1;
            } else if byte == b'%' {
                while self.peek().is_some_and(|b| b != b'\n' && b != b'\r') {
                    self.at += 1;
                }
            } else {
                return;
            }
        }
    }

    /// The next value; `None` at the end, at a closing mark, or where a bound is hit.
    fn value(&mut self, depth: usize) -> Option<Value> {
        self.skip_space();
        *self.values += 1;
        if depth > DEPTH_MAX || *self.values > VALUES_MAX {
            return None;
        }
        match self.peek()? {
            b'/' => Some(self.name()),
            b'(' => Some(Value::Text(self.literal())),
            b'<' if self.data.get(self.at + 1) == Some(&b'<') => {
                self.at += 2;
                Some(self.dict(depth))
            }
            b'<' => Some(Value::Text(self.hexadecimal())),
            b'[' => {
                self.at += 1;
                Some(self.array(depth))
            }
            b'>' | b']' | b'}' | b')' => None,
            b'{' => {
                self.at += 1;
                Some(Value::Other)
            }
            _ => Some(self.word()),
        }
    }

    fn name(&mut self) -> Value {
        self.at += 1;
        let mut out = Vec::new();
        let mut hidden = false;
        while let Some(byte) = self.peek().filter(|b| !is_space(*b) && !is_delimiter(*b)) {
            self.at += 1;
            let two = take(self.data, self.at, 2).and_then(|two| std::str::from_utf8(two).ok());
            match two.filter(|_| byte == b'#').and_then(|two| u8::from_str_radix(two, 16).ok()) {
                Some(decoded) => {
                    hidden |= decoded.is_ascii_alphanumeric();
                    out.push(decoded);
                    self.at += 2;
                }
                None => out.push(byte),
            }
            if out.len() > 512 {
                break;
            }
        }
        let name = String::from_utf8_lossy(&out).into_owned();
        if hidden && self.hidden.len() < 100 {
            self.hidden.push(name.clone());
        }
        Value::Name(name, hidden)
    }

    fn literal(&mut self) -> Vec<u8> {
        self.at += 1;
        let (mut out, mut depth) = (Vec::new(), 1);
        while let Some(byte) = self.peek().filter(|_| out.len() < TEXT_BYTES_MAX) {
            self.at += 1;
            match byte {
                b'(' => depth += 1,
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                b'\\' => {
                    let Some(escaped) = self.peek() else { break };
                    self.at += 1;
                    match escaped {
                        b'n' => out.push(b'\n'),
                        b'r' => out.push(b'\r'),
                        b't' => out.push(b'\t'),
                        b'0'..=b'7' => {
                            let mut code = u32::from(escaped - b'0');
                            for _ in 0..2 {
                                let Some(digit) = self.peek().filter(|b| (b'0'..=b'7').contains(b)) else { break };
                                code = code * 8 + u32::from(digit - b'0');
                                self.at += 1;
                            }
                            out.push((code & 0xff) as u8);
                        }
                        b'\r' | b'\n' => {}
                        other => out.push(other),
                    }
                    continue;
                }
                _ => {}
            }
            out.push(byte);
        }
        out
    }

    fn hexadecimal(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut digits = Vec::new();
        while let Some(byte) = self.peek().filter(|_| digits.len() < 2 * TEXT_BYTES_MAX) {
            self.at += 1;
            match byte {
                b'>' => break,
                _ => digits.extend(char::from(byte).to_digit(16).map(|d| (d & 15) as u8)),
            }
        }
        digits.chunks(2).map(|two| two[0] << 4 | two.get(1).copied().unwrap_or(0)).collect()
    }

    fn dict(&mut self, depth: usize) -> Value {
        let mut pairs = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None => break,
                Some(b'>') => {
                    self.at += if self.data.get(self.at + 1) == Some(&b'>') { 2 } else { 1 };
                    break;
                }
                Some(b'/') => {
                    let Value::Name(key, _) = self.name() else { break };
                    self.skip_space();
                    if self.peek() == Some(b'>') && self.data.get(self.at + 1) == Some(&b'>') {
                        pairs.push((key, Value::Null));
                        continue;
                    }
                    match self.value(depth + 1) {
                        Some(value) => pairs.push((key, value)),
                        None => {
                            // A stray mark inside: step over it, or we would stand here for ever.
                            self.at += 1;
                            if *self.values > VALUES_MAX {
                                break;
                            }
                        }
                    }
                }
                // What is no key is skipped, as viewers do.
                Some(_) => {
                    if ends_object(self.data, self.at) {
                        break;
                    }
                    if self.value(depth + 1).is_none() {
                        self.at += 1;
                    }
                    if *self.values > VALUES_MAX {
                        break;
                    }
                }
            }
        }
        Value::Dict(pairs)
    }

    fn array(&mut self, depth: usize) -> Value {
        let mut items = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None => break,
                Some(b']') => {
                    self.at += 1;
                    break;
                }
                Some(_) if ends_object(self.data, self.at) => break,
                Some(_) => match self.value(depth + 1) {
                    Some(value) => items.push(value),
                    None if *self.values > VALUES_MAX || self.peek().is_none() => break,
                    None => self.at += 1,
                },
            }
        }
        Value::Array(items)
    }

    /// A number, a reference, or a word like `true`.
    fn word(&mut self) -> Value {
        let start = self.at;
        while self.peek().is_some_and(|b| !is_space(b) && !is_delimiter(b)) {
            self.at += 1;
        }
        if self.at == start {
            self.at += 1;
            return Value::Other;
        }
        let word = self.data.get(start..self.at).unwrap_or_default();
        let Some(number) = std::str::from_utf8(word).ok().and_then(|text| text.parse::<f64>().ok()) else {
            return match word {
                b"null" => Value::Null,
                b"false" => Value::False,
                _ => Value::Other,
            };
        };
        match self.reference(word) {
            Some(reference) => reference,
            None => Value::Number(number),
        }
    }

    /// `12 0 R`, seen from behind the first number.
    fn reference(&mut self, word: &[u8]) -> Option<Value> {
        let number: u32 = std::str::from_utf8(word).ok()?.parse().ok()?;
        let mut at = self.at;
        let skip = |at: &mut usize| {
            while self.data.get(*at).copied().is_some_and(is_space) {
                *at += 1;
            }
        };
        skip(&mut at);
        let digits = self.data.get(at..)?.iter().take(6).take_while(|b| b.is_ascii_digit()).count();
        at += digits;
        skip(&mut at);
        let ends = self.data.get(at + 1).is_none_or(|b| is_space(*b) || is_delimiter(*b));
        if digits == 0 || self.data.get(at) != Some(&b'R') || !ends {
            return None;
        }
        self.at = at + 1;
        Some(Value::Reference(number))
    }
}

fn ends_object(data: &[u8], at: usize) -> bool {
    let rest = data.get(at..).unwrap_or_default();
    rest.starts_with(b"endobj")
        || rest.starts_with(b"endstream")
        || rest.starts_with(b"stream\r")
        || rest.starts_with(b"stream\n")
}

impl<'a> Pdf<'a> {
    pub fn read(data: &'a [u8], report: &mut dyn Report) -> Pdf<'a> {
        let mut pdf = Pdf {
            data,
            objects: Vec::new(),
            trailers: Vec::new(),
            by_number: HashMap::new(),
            key: None,
            hidden_names: Vec::new(),
            values: 0,
        };
        let mut at = 0;
        while let Some(found) = memchr::memmem::find(data.get(at..).unwrap_or_default(), b"obj") {
            let keyword = at + found;
            at = keyword + 3;
            if pdf.objects.len() >= OBJECTS_MAX
                || pdf.values > VALUES_MAX
                || pdf.objects.len() % 256 == 255 && report.stop()
            {
                break;
            }
            let Some((number, generation)) = object_number(data, keyword) else { continue };
            let (value, end) = pdf.value_at(at);
            at = at.max(end);
            let stream = pdf.stream_at(&value, end);
            if let Some((_, stream_end)) = stream {
                at = stream_end;
            }
            pdf.by_number.insert(number, pdf.objects.len());
            pdf.objects.push(Object { number, generation, value, stream });
        }
        for found in memchr::memmem::find_iter(data, b"trailer").take(200) {
            let (value, _) = pdf.value_at(found + 7);
            pdf.trailers.push(value);
        }
        pdf
    }

    fn value_at(&mut self, at: usize) -> (Value, usize) {
        let mut lexer = Lexer { data: self.data, at, values: &mut self.values, hidden: &mut self.hidden_names };
        let value = lexer.value(0).unwrap_or(Value::Null);
        (value, lexer.at)
    }

    /// The raw bytes after the word `stream`, by `/Length` where that leads to `endstream`, else by searching it.
    fn stream_at(&self, value: &Value, end: usize) -> Option<(usize, usize)> {
        if !matches!(value, Value::Dict(_)) {
            return None;
        }
        let mut at = end;
        while self.data.get(at).copied().is_some_and(is_space) {
            at += 1;
        }
        if !self.data.get(at..)?.starts_with(b"stream") {
            return None;
        }
        at += 6;
        at += usize::from(self.data.get(at) == Some(&b'\r'));
        at += usize::from(self.data.get(at) == Some(&b'\n'));
        if let Some(length) = value.get("Length").and_then(Value::number).filter(|n| *n >= 0.0 && *n < 1e10) {
            let stop = at.checked_add(length as usize)?;
            let after = self.data.get(stop..self.data.len().min(stop.saturating_add(20))).unwrap_or_default();
            if super::bytes::find(after, b"endstream").is_some() {
                return Some((at, stop));
            }
        }
        let rest = self.data.get(at..)?;
        let stop = super::bytes::find(rest, b"endstream")
            .or_else(|| super::bytes::find(rest, b"endobj"))
            .unwrap_or(rest.len());
        Some((at, at + stop))
    }

    /// Follows references, a few steps.
    pub fn resolve<'b>(&'b self, value: &'b Value) -> &'b Value {
        let mut value = value;
        for _ in 0..8 {
            let Value::Reference(number) = value else { return value };
            match self.object(*number) {
                Some(object) => value = &object.value,
                None => return &Value::Null,
            }
        }
        &Value::Null
    }

    pub fn object(&self, number: u32) -> Option<&Object> {
        self.by_number.get(&number).and_then(|at| self.objects.get(*at))
    }

    /// Whether the reader gave up before the end.
    pub fn is_cut(&self) -> bool {
        self.values > VALUES_MAX || self.objects.len() >= OBJECTS_MAX
    }

    pub fn raw(&self, object: &Object) -> Option<&'a [u8]> {
        let (start, end) = object.stream?;
        self.data.get(start..end)
    }

    /// Names of the filters of a stream, in order.
    pub fn filters(&self, dict: &Value) -> Vec<String> {
        let filter = dict.get("Filter").or_else(|| dict.get("F")).map(|value| self.resolve(value));
        match filter {
            Some(Value::Name(name, _)) => vec![name.clone()],
            Some(Value::Array(names)) => {
                names.iter().take(FILTERS_MAX).filter_map(|name| self.resolve(name).name().map(str::to_owned)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The stream's content, up to a filter that we do not undo (a picture's). `None`: a bound was hit and stated.
    pub fn decode(&self, object: &Object, report: &mut dyn Report) -> Option<Vec<u8>> {
        let mut bytes = self.raw(object)?.to_vec();
        if let Some(key) = self.key.as_ref().filter(|key| is_encrypted_stream(&object.value, key)) {
            bytes = key.stream(&bytes, object.number, object.generation);
        }
        for filter in self.filters(&object.value) {
            bytes = match filter.as_str() {
                "FlateDecode" | "Fl" => inflate(&bytes, report)?,
                "ASCIIHexDecode" | "AHx" => hex_decode(&bytes),
                "ASCII85Decode" | "A85" => ascii85(&bytes),
                "RunLengthDecode" | "RL" => run_length(&bytes),
                "LZWDecode" | "LZW" => lzw(&bytes),
                _ => break,
            };
        }
        Some(unpredict(bytes, self.parameters(&object.value)))
    }

    /// Predictor, columns, colours and bits, where a PNG predictor is named.
    fn parameters(&self, dict: &Value) -> Option<(usize, usize)> {
        let parameters = self.resolve(dict.get("DecodeParms").or_else(|| dict.get("DP"))?);
        let parameters = match parameters {
            Value::Array(all) => self.resolve(all.last()?),
            other => other,
        };
        let number = |key: &str, default: f64| {
            parameters.get(key).and_then(|value| self.resolve(value).number()).unwrap_or(default)
        };
        if number("Predictor", 1.0) < 10.0 {
            return None;
        }
        let (columns, colours, bits) = (number("Columns", 1.0), number("Colors", 1.0), number("BitsPerComponent", 8.0));
        let sane =
            (1.0..=100_000.0).contains(&columns) && (1.0..=32.0).contains(&colours) && (1.0..=16.0).contains(&bits);
        let pixel = ((colours * bits) as usize).div_ceil(8);
        sane.then(|| (((columns * colours * bits) as usize).div_ceil(8), pixel))
    }

    /// Whether a password opens the document for reading; texts and streams are plain from then on. Of object streams it is
    /// their bytes that are encrypted, so they are unpacked afterwards.
    pub fn unlock(&mut self, passwords: &[String]) -> bool {
        let trailers = self.trailers.iter().chain(self.objects.iter().map(|object| &object.value));
        let locked = trailers
            .filter(|value| value.get("Encrypt").is_some())
            .find_map(|trailer| Some((trailer.get("Encrypt")?.clone(), trailer.get("ID").map(|id| self.resolve(id)))));
        let Some((encrypt, id)) = locked else { return false };
        let Some(lock) = Lock::read(self.resolve(&encrypt), id) else { return false };
        let words = std::iter::once(&b""[..]).chain(passwords.iter().map(|word| word.as_bytes()));
        let Some(key) = words.into_iter().find_map(|word| lock.open(word)) else { return false };
        let own = match encrypt {
            Value::Reference(number) => Some(number),
            _ => None,
        };
        for object in self.objects.iter_mut().filter(|object| Some(object.number) != own) {
            decrypt_texts(&mut object.value, &key, object.number, object.generation);
        }
        self.key = Some(key);
        true
    }

    /// Adds the objects that object streams hold.
    pub fn unpack_object_streams(&mut self, report: &mut dyn Report) {
        let streams: Vec<usize> = (0..self.objects.len())
            .filter(|at| self.objects[*at].value.get("Type").and_then(Value::name) == Some("ObjStm"))
            .collect();
        for at in streams {
            let object = &self.objects[at];
            let number = |key: &str| {
                object
                    .value
                    .get(key)
                    .map(|value| self.resolve(value))
                    .and_then(Value::number)
                    .unwrap_or(0.0)
                    .clamp(0.0, 1e7) as usize
            };
            let (count, first) = (number("N"), number("First"));
            let Some(bytes) = self.decode(object, report) else { return };
            let mut found = Vec::new();
            {
                let mut header =
                    Lexer { data: &bytes, at: 0, values: &mut self.values, hidden: &mut self.hidden_names };
                for _ in 0..count.min(OBJECTS_MAX) {
                    let (Some(Value::Number(number)), Some(Value::Number(offset))) = (header.value(0), header.value(0))
                    else {
                        break;
                    };
                    found.push((number, first.saturating_add(offset.clamp(0.0, 1e9) as usize)));
                }
            }
            for (number, start) in found {
                if self.objects.len() >= OBJECTS_MAX || self.values > VALUES_MAX || report.stop() {
                    return;
                }
                let mut lexer =
                    Lexer { data: &bytes, at: start, values: &mut self.values, hidden: &mut self.hidden_names };
                let value = lexer.value(0).unwrap_or(Value::Null);
                let number = number.clamp(0.0, f64::from(u32::MAX)) as u32;
                self.by_number.entry(number).or_insert(self.objects.len());
                self.objects.push(Object { number, generation: 0, value, stream: None });
            }
        }
    }
}

/// Cross-reference streams are plain always, a document's description where it says so.
fn is_encrypted_stream(dict: &Value, key: &Key) -> bool {
    match dict.get("Type").and_then(Value::name) {
        Some("XRef") => false,
        Some("Metadata") => key.metadata,
        _ => true,
    }
}

fn decrypt_texts(value: &mut Value, key: &Key, number: u32, generation: u16) {
    match value {
        Value::Text(bytes) => *bytes = key.text(bytes, number, generation),
        Value::Array(items) => items.iter_mut().for_each(|item| decrypt_texts(item, key, number, generation)),
        Value::Dict(pairs) => pairs.iter_mut().for_each(|(_, item)| decrypt_texts(item, key, number, generation)),
        _ => {}
    }
}

/// Number and generation in front of `obj`, if this is an object's head.
fn object_number(data: &[u8], keyword: usize) -> Option<(u32, u16)> {
    let head = data.get(keyword.saturating_sub(24)..keyword)?;
    if data.get(keyword.checked_sub(3)?..keyword) == Some(b"end") {
        return None;
    }
    let mut words = head.rsplit(|b| is_space(*b)).filter(|word| !word.is_empty());
    let generation = words.next()?;
    if !generation.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = words.next()?;
    let digits = number.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let number = std::str::from_utf8(number.get(number.len() - digits..)?).ok()?.parse().ok()?;
    let generation = std::str::from_utf8(generation).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    Some((number, generation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;
    use std::io::Write;

    fn read(text: &str) -> Vec<Value> {
        let pdf = Pdf::read(text.as_bytes(), &mut Seen::default());
        pdf.objects.into_iter().map(|object| object.value).collect()
    }

    #[test]
    fn values_of_every_form() {
        let check = |text: &str, expect: Value| assert_eq!(read(&format!("1 0 obj {text} endobj")), [expect], "{text}");
        check("(a\\(b\\051\\n)", Value::Text(b"a(b)\n".to_vec()));
        check("<48 6 9>", Value::Text(b"Hi".to_vec()));
        check("/J#53", Value::Name("JS".into(), true));
        check("12 0 R", Value::Reference(12));
        check("[1 2 R 3]", Value::Array(vec![Value::Reference(1), Value::Number(3.0)]));
        check(
            "<</A 1/B<</C null>>>>",
            Value::Dict(vec![
                ("A".into(), Value::Number(1.0)),
                ("B".into(), Value::Dict(vec![("C".into(), Value::Null)])),
            ]),
        );
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn object_streams_are_unpacked() {
        let packed = zlib(b"7 0 <</S/JavaScript>>");
        let mut file =
            format!("1 0 obj<</Type/ObjStm/N 1/First 4/Filter/FlateDecode/Length {}>>stream\n", packed.len())
                .into_bytes();
        file.extend(packed);
        file.extend(b"\nendstream endobj");
        let mut seen = Seen::default();
        let mut pdf = Pdf::read(&file, &mut seen);
        pdf.unpack_object_streams(&mut seen);
        let inner = pdf.object(7).expect("unpacked");
        assert_eq!(inner.value.get("S").and_then(Value::name), Some("JavaScript"));
    }

    #[test]
    fn hostile_forms_end() {
        for text in [
            "1 0 obj <<",
            "1 0 obj [[[[",
            "1 0 obj (((",
            "1 0 obj </A>",
            "1 0 obj << /A /B ] >> endobj",
            "obj",
            "0 obj",
            "1 0 obj <<>> stream",
        ] {
            read(text);
        }
        read(&"1 0 obj ".repeat(1000));
        read(&format!("1 0 obj {}", "<</A".repeat(10_000)));
        read(&format!("1 0 obj {}", "[".repeat(100_000)));
    }
}
