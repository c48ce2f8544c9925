//! The text of a PDF's first pages, as its fonts spell it. What is drawn (scans, outlines) has none, and is said so.

use super::Gathered;
use crate::formats::bytes::lossy;
use crate::formats::pdf_syntax::{Object, Pdf, Value};
use crate::walk::Context;
use guarita_message::{GapReason, Shown};
use std::collections::HashMap;

/// Pages that are read.
const PAGES_MAX: usize = 8;
/// Bytes of one page's contents, and of one font's table.
const CONTENT_BYTES_MAX: usize = 2 << 20;
/// Steps up from a page to where its fonts are named, and down to a page.
const TREE_DEPTH_MAX: usize = 16;
/// Codes that one font's table may name, one after another.
const MAPPED_MAX: usize = 20_000;

pub(super) fn read(input: &[u8], ctx: &mut Context<'_>) -> Result<Shown, GapReason> {
    let mut pdf = Pdf::read(input, ctx);
    let sealed = |value: &Value| value.get("Encrypt").is_some();
    if pdf.trailers.iter().any(sealed)
        || pdf.objects.iter().any(|object| is_a(&object.value, "XRef") && sealed(&object.value))
    {
        return Err(GapReason::Encrypted);
    }
    pdf.unpack_object_streams(ctx);
    let mut out = Gathered::new();
    let mut fonts = HashMap::new();
    for page in pages(&pdf) {
        if out.is_full() || ctx.stop() {
            break;
        }
        let named = inherited(&pdf, page, "Resources").and_then(|all| all.get("Font")).map(|fonts| pdf.resolve(fonts));
        let mut content = Vec::new();
        for object in content_of(&pdf, page) {
            content.extend(pdf.decode(object, ctx).unwrap_or_default());
            content.push(b'\n');
            content.truncate(CONTENT_BYTES_MAX);
        }
        let mut font_of = |name: &str| {
            let value = named.and_then(|named| named.get(name));
            let key = match value {
                Some(Value::Reference(number)) => *number,
                _ => return Font::default(),
            };
            fonts
                .entry(key)
                .or_insert_with(|| Font::read(&pdf, value.map_or(&Value::Null, |value| pdf.resolve(value)), ctx))
                .clone()
        };
        say(&content, &mut font_of, &mut out);
        out.line();
    }
    out.shown()
}

fn is_a(value: &Value, kind: &str) -> bool {
    value.get("Type").and_then(Value::name) == Some(kind)
}

/// The first pages, in reading order where the document says it, else as they lie in the file.
fn pages<'b>(pdf: &'b Pdf<'_>) -> Vec<&'b Value> {
    let mut found = Vec::new();
    let catalogue = pdf.objects.iter().rev().find(|object| is_a(&object.value, "Catalog"));
    if let Some(root) = catalogue.and_then(|object| object.value.get("Pages")) {
        descend(pdf, root, 0, &mut found);
    }
    if found.is_empty() {
        found
            .extend(pdf.objects.iter().map(|object| &object.value).filter(|value| is_a(value, "Page")).take(PAGES_MAX));
    }
    found
}

fn descend<'b>(pdf: &'b Pdf<'_>, node: &'b Value, depth: usize, found: &mut Vec<&'b Value>) {
    let node = pdf.resolve(node);
    if depth > TREE_DEPTH_MAX || found.len() >= PAGES_MAX {
        return;
    }
    match node.get("Kids").map(|kids| pdf.resolve(kids)) {
        Some(Value::Array(kids)) => kids.iter().take(PAGES_MAX * 8).for_each(|kid| descend(pdf, kid, depth + 1, found)),
        _ if node.get("Contents").is_some() => found.push(node),
        _ => {}
    }
}

fn inherited<'b>(pdf: &'b Pdf<'_>, page: &'b Value, key: &str) -> Option<&'b Value> {
    let mut node = page;
    for _ in 0..TREE_DEPTH_MAX {
        if let Some(value) = node.get(key) {
            return Some(pdf.resolve(value));
        }
        node = pdf.resolve(node.get("Parent")?);
    }
    None
}

fn content_of<'b>(pdf: &'b Pdf<'_>, page: &'b Value) -> Vec<&'b Object> {
    let object = |value: &Value| match value {
        Value::Reference(number) => pdf.object(*number),
        _ => None,
    };
    let Some(contents) = page.get("Contents") else { return Vec::new() };
    match pdf.resolve(contents) {
        Value::Array(pieces) => pieces.iter().take(64).filter_map(object).collect(),
        _ => object(contents).into_iter().collect(),
    }
}

/// How codes of one font are read.
#[derive(Clone, Debug, Default)]
struct Font {
    /// Codes have two bytes.
    wide: bool,
    /// What a code stands for; where it names none, one byte is a letter of Latin-1 and two bytes say nothing.
    letters: std::sync::Arc<HashMap<u16, String>>,
}

impl Font {
    fn read(pdf: &Pdf<'_>, font: &Value, ctx: &mut Context<'_>) -> Font {
        let wide = font.get("Subtype").map(|kind| pdf.resolve(kind)).and_then(Value::name) == Some("Type0");
        let table = match font.get("ToUnicode") {
            Some(Value::Reference(number)) => pdf.object(*number).and_then(|object| pdf.decode(object, ctx)),
            _ => None,
        };
        let table = table.unwrap_or_default();
        let letters = letters(&table[..table.len().min(CONTENT_BYTES_MAX)]);
        Font { wide, letters: std::sync::Arc::new(letters) }
    }

    fn spell(&self, codes: &[u8], out: &mut Gathered) {
        let mut say = |code: u16| match self.letters.get(&code) {
            Some(letters) => out.push(letters),
            None if !self.wide => out.push(char::from(code as u8).encode_utf8(&mut [0; 4])),
            None => {}
        };
        if self.wide {
            codes.chunks_exact(2).for_each(|pair| say(u16::from_be_bytes([pair[0], pair[1]])));
        } else {
            codes.iter().for_each(|byte| say(u16::from(*byte)));
        }
    }
}

/// A `ToUnicode` table: `<code> <letters>` between `beginbfchar` and its end, `<from> <to> <letters>` or a list of
/// letters between `beginbfrange` and its end.
fn letters(table: &[u8]) -> HashMap<u16, String> {
    let mut out = HashMap::new();
    let (mut held, mut list): (Vec<Vec<u8>>, Option<Vec<Vec<u8>>>) = (Vec::new(), None);
    let (mut range, mut left) = (false, MAPPED_MAX);
    let mut put = |code: u16, name: String| {
        left = left.saturating_sub(1);
        out.insert(code, name);
        left > 0
    };
    for piece in Pieces::of(table) {
        match (piece, &mut list) {
            (Piece::Word(b"beginbfchar"), _) => (range, held) = (false, Vec::new()),
            (Piece::Word(b"beginbfrange"), _) => (range, held) = (true, Vec::new()),
            (Piece::Word(b"["), _) => list = Some(Vec::new()),
            (Piece::Text(text), Some(list)) => list.push(text),
            (Piece::Text(text), None) => held.push(text),
            (Piece::Word(b"]"), _) => {
                let (Some(names), Some(from)) = (list.take(), held.first().and_then(|code| code_of(code))) else {
                    continue;
                };
                if !(from..=u16::MAX).zip(&names).all(|(code, name)| put(code, wide_letters(name, 0))) {
                    break;
                }
                held.clear();
            }
            _ => {}
        }
        let goes_on = match (&held[..], range) {
            ([code, name], false) => code_of(code).is_none_or(|code| put(code, wide_letters(name, 0))),
            ([from, to, name], true) => match (code_of(from), code_of(to)) {
                (Some(from), Some(to)) => (from..=to).all(|code| put(code, wide_letters(name, code - from))),
                _ => true,
            },
            _ => continue,
        };
        held.clear();
        if !goes_on {
            break;
        }
    }
    out
}

fn code_of(code: &[u8]) -> Option<u16> {
    match code {
        [low] => Some(u16::from(*low)),
        [high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// UTF-16, its last unit raised by `step`.
fn wide_letters(name: &[u8], step: u16) -> String {
    let mut units: Vec<u16> = name.chunks_exact(2).take(8).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    if let Some(last) = units.last_mut() {
        *last = last.wrapping_add(step);
    }
    String::from_utf16_lossy(&units)
}

/// Walks a page's operators and says what they write.
fn say(content: &[u8], font_of: &mut dyn FnMut(&str) -> Font, out: &mut Gathered) {
    let mut font = Font::default();
    let (mut name, mut numbers, mut height) = (String::new(), Vec::<f64>::new(), None::<f64>);
    let mut texts: Vec<Result<Vec<u8>, f64>> = Vec::new();
    for piece in Pieces::of(content) {
        match piece {
            Piece::Name(found) => name = lossy(found),
            Piece::Number(number) => {
                numbers.push(number);
                texts.push(Err(number));
            }
            Piece::Text(text) => texts.push(Ok(text)),
            Piece::Word(word) => {
                let moved = |at: usize| numbers.len().checked_sub(at).and_then(|at| numbers.get(at)).copied();
                match word {
                    b"[" | b"]" => continue,
                    b"Tf" => font = font_of(&name),
                    b"Td" | b"TD" if moved(1).is_some_and(|down| down != 0.0) => out.line(),
                    b"Td" | b"TD" => out.space(),
                    b"Tm" => {
                        let at = moved(1);
                        if at == height {
                            out.space()
                        } else {
                            out.line()
                        }
                        height = at;
                    }
                    b"T*" | b"ET" => out.line(),
                    b"Tj" | b"TJ" | b"'" | b"\"" => {
                        if word != b"Tj" && word != b"TJ" {
                            out.line();
                        }
                        for text in &texts {
                            match text {
                                Ok(codes) => font.spell(codes, out),
                                // Thousandths of the letter's size: a gap this wide is a space.
                                Err(gap) if word == b"TJ" && *gap < -180.0 => out.space(),
                                Err(_) => {}
                            }
                        }
                    }
                    _ => {}
                }
                numbers.clear();
                texts.clear();
            }
        }
        if out.is_full() {
            return;
        }
    }
}

/// What stands next in a content stream or a table.
enum Piece<'a> {
    Name(&'a [u8]),
    Number(f64),
    Text(Vec<u8>),
    Word(&'a [u8]),
}

struct Pieces<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Pieces<'a> {
    fn of(data: &'a [u8]) -> Pieces<'a> {
        Pieces { data, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.data.get(self.at).copied()
    }

    fn word(&mut self) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(|byte| !byte.is_ascii_whitespace() && byte != 0 && !b"()<>[]{}/%".contains(&byte))
        {
            self.at += 1;
        }
        &self.data[start..self.at]
    }

    /// `(…)` from behind its first bracket, brackets in pairs and behind a backslash allowed.
    fn literal(&mut self) -> Vec<u8> {
        let (mut out, mut depth) = (Vec::new(), 1);
        while let Some(byte) = self.peek() {
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
                    self.escaped(&mut out);
                    continue;
                }
                _ => {}
            }
            out.push(byte);
        }
        out
    }

    fn escaped(&mut self, out: &mut Vec<u8>) {
        let Some(byte) = self.peek() else { return };
        self.at += 1;
        match byte {
            b'n' | b'r' | b't' => out.push(b' '),
            b'b' | b'f' | b'\n' => {}
            b'\r' => self.at += usize::from(self.peek() == Some(b'\n')),
            b'0'..=b'7' => {
                let mut code = u32::from(byte - b'0');
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = self.peek() else { break };
                    code = code * 8 + u32::from(digit - b'0');
                    self.at += 1;
                }
                out.push(code as u8);
            }
            other => out.push(other),
        }
    }

    /// `<…>` from behind its first sign.
    fn hexadecimal(&mut self) -> Vec<u8> {
        let (mut out, mut high) = (Vec::new(), None);
        while let Some(byte) = self.peek() {
            self.at += 1;
            if byte == b'>' {
                break;
            }
            let Some(digit) = char::from(byte).to_digit(16) else { continue };
            match high.take() {
                None => high = Some(digit),
                Some(high) => out.push((high * 16 + digit) as u8),
            }
        }
        out.extend(high.map(|high| (high * 16) as u8));
        out
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            let byte = self.peek()?;
            self.at += 1;
            return Some(match byte {
                b'%' => {
                    while self.peek().is_some_and(|byte| byte != b'\n' && byte != b'\r') {
                        self.at += 1;
                    }
                    continue;
                }
                b'(' => Piece::Text(self.literal()),
                b'<' if self.peek() == Some(b'<') => {
                    self.at += 1;
                    continue;
                }
                b'<' => Piece::Text(self.hexadecimal()),
                b'/' => Piece::Name(self.word()),
                b'[' | b']' => Piece::Word(&self.data[self.at - 1..self.at]),
                b'>' | b')' | b'{' | b'}' | 0 => continue,
                byte if byte.is_ascii_whitespace() => continue,
                _ => {
                    self.at -= 1;
                    let word = self.word();
                    match std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()) {
                        Some(number) => Piece::Number(number),
                        None => Piece::Word(word),
                    }
                }
            });
        }
    }
}
