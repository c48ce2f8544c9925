//! A text as words: folded, with their kind and the bytes they stand at. Rules and the learned scorer read nothing else.

use super::fold::{Folded, fold};
use guarita_rules::texts::WordKind;

/// From each end of a longer text this much is read for what it says; card and identity numbers are looked for in all of it.
pub(super) const TEXT_BYTES_MAX: usize = 16 * 1024;
/// A word is compared by at most this many characters; nobody's word is longer.
const WORD_CHARS_MAX: usize = 40;
/// Spelled-out words (`c ó d i g o`) have at least this many letters.
const SPELLED_LETTERS_MIN: usize = 4;

/// One word.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// Bytes in the original text.
    pub start: usize,
    pub end: usize,
    /// Bytes in [`Words::folded`].
    text: (u32, u32),
    /// Bit n: it is of `WordKind` n.
    pub kinds: u16,
    /// Number of the sentence it stands in.
    pub sentence: u32,
    /// The sign right after it, where one is (ASCII alone); else 0.
    pub after: u8,
    /// Letters and digits mixed, or a letter drawn out: other spellings are tried, too.
    odd: bool,
    /// It was joined from letters that stood apart.
    spelled: bool,
    /// All of it is in capitals, three letters or more.
    pub capital: bool,
    /// It stands in a heading in brackets (`[Audio]:`, `[Ana]: oi`): whoever passed the text on wrote it, not who speaks.
    pub heading: bool,
}

/// A text's words, in order.
#[derive(Debug, Default)]
pub(super) struct Words {
    folded: String,
    pub list: Vec<Word>,
}

impl Word {
    pub fn is(&self, kind: WordKind) -> bool {
        self.kinds & bit(kind) != 0
    }
}

/// The last place at or before byte `at` where a character begins.
pub(super) fn boundary_before(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn bit(kind: WordKind) -> u16 {
    1 << kind as u8
}

impl Words {
    pub fn text(&self, word: &Word) -> &str {
        &self.folded[word.text.0 as usize..word.text.1 as usize]
    }

    /// Splits `text`.
    pub fn of(text: &str) -> Words {
        let mut words = Words::default();
        words.folded.reserve(text.len().min(2 * TEXT_BYTES_MAX));
        if text.len() <= 2 * TEXT_BYTES_MAX {
            words.read(text, 0);
        } else {
            let head = boundary_before(text, TEXT_BYTES_MAX);
            let tail = boundary_before(text, text.len() - TEXT_BYTES_MAX);
            words.read(&text[..head], 0);
            words.read(&text[tail..], tail);
        }
        words.join_spelled_out();
        words
    }

    /// Other spellings of a word that is written oddly: `c0digo`, `urgenteeee`. Calls `with` for each.
    pub fn variants(&self, word: &Word, mut with: impl FnMut(&str)) {
        let text = self.text(word);
        if word.spelled {
            // The article before a word that is spelled out is one letter, too: `o c ó d i g o`.
            with(text.strip_prefix(['a', 'o', 'e', 'y']).unwrap_or(text));
        }
        if !word.odd {
            return;
        }
        let mut single = String::with_capacity(text.len());
        for c in text.chars() {
            if !single.ends_with(c) {
                single.push(c);
            }
        }
        if single != text {
            with(&single);
        }
        if text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            for one in ["i", "l"] {
                let plain: String = text.chars().map(|c| unleet(c, one)).collect();
                with(&plain);
            }
        }
    }

    /// Whether only a dot, star or the like stands between two words.
    pub fn parted_by(&self, word: &Word, next: &Word) -> bool {
        matches!(word.after, b'.' | b'*' | b'_' | b'-' | b'|' | b'~' | b',') && next.start == word.end + 1
    }

    fn read(&mut self, text: &str, offset: usize) {
        let mut sentence = self.list.last().map_or(0, |word| word.sentence + 1);
        let (mut at, mut line_begins, mut heading_ends) = (0, true, 0);
        while at < text.len() {
            let rest = &text[at..];
            let c = rest.chars().next().expect("`at` is before the end and on a boundary");
            if c.is_whitespace() {
                if c == '\n' {
                    sentence += 1;
                    line_begins = true;
                }
                at += c.len_utf8();
                continue;
            }
            let first = self.list.len();
            if c == '['
                && let Some((kinds, length)) = slot(rest)
            {
                if kinds != 0 {
                    let name = if kinds == bit(WordKind::Link) { "link" } else { "$" };
                    self.push(offset + at, offset + at + length, kinds, sentence, false, |folded| {
                        folded.push_str(name)
                    });
                }
                at += length;
                line_begins = false;
                continue;
            }
            if let Some(length) = heading(rest, line_begins) {
                heading_ends = heading_ends.max(at + length);
            }
            line_begins = false;
            let end = rest.find(char::is_whitespace).map_or(text.len(), |end| at + end);
            let chunk = &text[at..end];
            // Addresses and file names are one word of their kind.
            if let Some((kinds, length)) = shape_of(chunk) {
                self.push(offset + at, offset + at + length, kinds, sentence, false, |folded| {
                    folded.push_str(if kinds & bit(WordKind::Link) != 0 { "link" } else { "arquivo" });
                });
                at += length;
                continue;
            }
            self.read_chunk(chunk, offset + at, &mut sentence);
            self.list[first..].iter_mut().for_each(|word| word.heading = word.start < offset + heading_ends);
            at = end;
        }
        for word in self.list.iter_mut().rev().take_while(|word| word.start >= offset) {
            word.after = text.as_bytes().get(word.end - offset).copied().filter(u8::is_ascii_punctuation).unwrap_or(0);
        }
        self.mark_money();
    }

    fn push(
        &mut self,
        start: usize,
        end: usize,
        kinds: u16,
        sentence: u32,
        odd: bool,
        write: impl FnOnce(&mut String),
    ) {
        let from = self.folded.len() as u32;
        write(&mut self.folded);
        self.list.push(Word {
            start,
            end,
            text: (from, self.folded.len() as u32),
            kinds,
            sentence,
            after: 0,
            odd,
            spelled: false,
            capital: false,
            heading: false,
        });
    }

    /// Words of a chunk without white space.
    fn read_chunk(&mut self, chunk: &str, offset: usize, sentence: &mut u32) {
        let mut word = Building::default();
        let mut chars = chunk.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let next = chars.peek().map(|(_, next)| *next);
            match fold(c) {
                Folded::Nothing => {}
                Folded::Word(letters) => {
                    word.small |= c.is_lowercase();
                    for letter in letters.into_iter().filter(|letter| *letter != '\0') {
                        word.add(letter, offset + at, offset + at + c.len_utf8());
                    }
                }
                Folded::Break => {
                    let inside = word.letters > 0 && next.is_some_and(|next| matches!(fold(next), Folded::Word(_)));
                    match c {
                        '\'' | '’' | '`' | '´' if inside => continue,
                        // `3.849,90`, `10:30`, `123-456`
                        '.' | ','
                            if word.is_number() && next.is_some_and(|next| super::fold::digit(next).is_some()) =>
                        {
                            word.punctuated = true;
                            continue;
                        }
                        '@' | '$' if inside && !word.is_number() && next.is_some_and(char::is_alphanumeric) => {
                            word.add(if c == '@' { 'a' } else { 's' }, offset + at, offset + at + 1);
                            continue;
                        }
                        '@' if word.letters > 1 && next.is_none() => {
                            word.add('a', offset + at, offset + at + 1);
                            continue;
                        }
                        _ => {}
                    }
                    let percent = c == '%' && word.is_number();
                    let had = word.letters > 0;
                    self.finish(&mut word, *sentence, if percent { bit(WordKind::Percent) } else { 0 });
                    if is_currency(c) {
                        self.currency(offset + at, offset + at + c.len_utf8(), *sentence, had);
                    }
                    if ends_sentence(c) {
                        *sentence += 1;
                    }
                }
            }
        }
        self.finish(&mut word, *sentence, 0);
    }

    fn finish(&mut self, word: &mut Building, sentence: u32, kinds: u16) {
        let done = std::mem::take(word);
        if done.letters == 0 {
            return;
        }
        let kinds = kinds | done.kinds();
        self.push(done.start, done.end, kinds, sentence, done.odd(), |folded| folded.push_str(&done.text));
        if let Some(word) = self.list.last_mut() {
            word.capital = !done.small && done.letters - done.digits > 2;
        }
    }

    /// `R$` reads `r` and `$`: the two become one word of kind money, as `$` alone does.
    fn currency(&mut self, start: usize, end: usize, sentence: u32, had_word: bool) {
        if had_word
            && let Some(last) = self.list.last_mut()
            && matches!(
                &self.folded[last.text.0 as usize..last.text.1 as usize],
                "r" | "us" | "a" | "s" | "mx" | "ar" | "cl"
            )
        {
            last.end = end;
            last.kinds |= bit(WordKind::Money);
            return;
        }
        self.push(start, end, bit(WordKind::Money), sentence, false, |folded| folded.push('$'));
    }

    /// A number beside a sign or a word of currency is an amount.
    fn mark_money(&mut self) {
        const CURRENCIES: [&str; 24] = [
            "reais", "real", "dolares", "dolar", "dollars", "dollar", "usd", "euros", "euro", "eur", "pounds", "gbp",
            "brl", "pesos", "soles", "bitcoin", "btc", "eth", "usdt", "conto", "contos", "pila", "mxn", "clp",
        ];
        for i in 0..self.list.len() {
            if !self.list[i].is(WordKind::Number) {
                continue;
            }
            let before = i
                .checked_sub(1)
                .is_some_and(|i| self.list[i].is(WordKind::Money) && !self.list[i].is(WordKind::Number));
            let after = self.list.get(i + 1).is_some_and(|next| CURRENCIES.contains(&self.text(next)));
            let thousand =
                self.list.get(i + 1).is_some_and(|next| matches!(self.text(next), "mil" | "k" | "milhoes" | "million"));
            if before
                || after
                || (thousand && self.list.get(i + 2).is_some_and(|next| CURRENCIES.contains(&self.text(next))))
            {
                self.list[i].kinds |= bit(WordKind::Money);
            }
        }
    }

    /// `c ó d i g o` and `c.ó.d.i.g.o` become one word; a wider gap parts two of them.
    fn join_spelled_out(&mut self) {
        let single = |words: &Words, i: usize| {
            words.list.get(i).is_some_and(|word| word.text.1 - word.text.0 == 1 && !word.is(WordKind::Number))
        };
        let mut joined = Vec::new();
        let mut i = 0;
        while i < self.list.len() {
            let mut end = i;
            while single(self, end) && (end == i || self.list[end].start - self.list[end - 1].end == 1) {
                end += 1;
            }
            if end - i >= SPELLED_LETTERS_MIN {
                joined.push((i, end));
            }
            i = end.max(i + 1);
        }
        for (from, to) in joined.into_iter().rev() {
            let letters: String = self.list[from..to].iter().map(|word| self.text(word)).collect();
            let mut whole = self.list[from].clone();
            whole.end = self.list[to - 1].end;
            whole.after = self.list[to - 1].after;
            whole.spelled = true;
            let at = self.folded.len() as u32;
            self.folded.push_str(&letters);
            whole.text = (at, self.folded.len() as u32);
            self.list.splice(from..to, [whole]);
        }
    }
}

/// A word under construction.
#[derive(Default)]
struct Building {
    text: String,
    start: usize,
    end: usize,
    letters: usize,
    digits: usize,
    /// How often the last letter came in a row.
    run: usize,
    last: Option<char>,
    drawn_out: bool,
    punctuated: bool,
    /// Some letter of it was written small.
    small: bool,
}

impl Building {
    fn add(&mut self, letter: char, start: usize, end: usize) {
        if self.letters == 0 {
            self.start = start;
        }
        self.end = end;
        self.letters += 1;
        let is_digit = letter.is_ascii_digit();
        self.digits += usize::from(is_digit);
        self.run = if self.last == Some(letter) { self.run + 1 } else { 1 };
        self.last = Some(letter);
        // No word of ours has three of a letter in a row; two are common.
        if self.run > 2 && !is_digit {
            self.drawn_out = true;
            return;
        }
        if self.letters <= WORD_CHARS_MAX {
            self.text.push(letter);
        }
    }

    fn is_number(&self) -> bool {
        self.letters > 0 && self.digits == self.letters
    }

    fn odd(&self) -> bool {
        self.drawn_out || (self.digits > 0 && self.digits < self.letters && self.letters <= 16)
    }

    fn kinds(&self) -> u16 {
        if !self.is_number() {
            return 0;
        }
        let mut kinds = bit(WordKind::Number);
        if !self.punctuated {
            if (4..=8).contains(&self.digits) {
                kinds |= bit(WordKind::Digits);
            }
            if (10..=13).contains(&self.digits)
                || matches!(self.text.as_str(), "0800" | "0300" | "0500" | "4004" | "3003")
            {
                kinds |= bit(WordKind::Phone);
            }
        }
        kinds
    }
}

fn unleet(c: char, one: &str) -> char {
    match c {
        '0' => 'o',
        '1' => one.chars().next().unwrap_or('i'),
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        '8' => 'b',
        _ => c,
    }
}

fn is_currency(c: char) -> bool {
    matches!(c, '$' | '€' | '£' | '¥' | '₿' | '💵')
}

fn ends_sentence(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | ';' | ':' | '…' | '¿' | '¡' | '。')
}

/// Kind and length in bytes of a link, an e-mail address or a file name that begins `chunk`.
fn shape_of(chunk: &str) -> Option<(u16, usize)> {
    // Most words have none of these.
    memchr::memchr3(b'.', b'@', b':', chunk.as_bytes())?;
    if chunk.len() > 2048 {
        let scheme = chunk.get(..8).is_some_and(|head| head.eq_ignore_ascii_case("https://"));
        return scheme.then_some((bit(WordKind::Link), chunk.len()));
    }
    let bare = chunk.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '"', '\'', '”', '*', '_', '>']);
    let lead = bare.len() - bare.trim_start_matches(['(', '[', '"', '\'', '“', '*', '_', '<']).len();
    let core = &bare[lead..];
    if let Some(scheme) = core.find("://")
        && (2..=8).contains(&scheme)
        && core.as_bytes()[..scheme].iter().all(u8::is_ascii_alphanumeric)
        && core.len() > scheme + 3
    {
        return Some((bit(WordKind::Link), bare.len()));
    }
    if core.contains('@') {
        let (name, host) = core.split_once('@')?;
        return (!name.is_empty() && is_host(host)).then_some((bit(WordKind::Email), bare.len()));
    }
    let host_end = core.find(['/', '?', '#', ':']).unwrap_or(core.len());
    let (host, path) = core.split_at(host_end);
    if let Some((stem, end)) = host.rsplit_once('.')
        && path.is_empty()
        && !stem.is_empty()
        && let Some(kind) = file_kind(end)
    {
        return Some((kind, bare.len()));
    }
    is_host(host).then_some((bit(WordKind::Link), bare.len()))
}

/// A field that a mailing tool left unfilled (`[LINK]`, `[NOME]`) stands for what would be there; its name is no word of the
/// message. Kind (0: nothing) and length.
fn slot(rest: &str) -> Option<(u16, usize)> {
    const BYTES_MAX: usize = 48;
    let end = rest.as_bytes().iter().take(BYTES_MAX).position(|byte| *byte == b']')?;
    let name = &rest[1..end];
    let is_name = name.len() > 1
        && name.chars().all(|c| c.is_uppercase() || c.is_ascii_digit() || matches!(c, '_' | '/' | ' ' | '-'))
        && name.chars().any(char::is_uppercase)
        && !rest[end + 1..].starts_with(':');
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    is_name.then(|| {
        let kinds = if has(&["LINK", "URL", "SITE"]) {
            bit(WordKind::Link)
        } else if has(&["VALOR", "AMOUNT", "PRECO", "PREÇO", "MONTO"]) {
            bit(WordKind::Money)
        } else {
            0
        };
        (kinds, end + 1)
    })
}

/// Length of a heading in brackets: before a colon, or where a line begins.
fn heading(rest: &str, line_begins: bool) -> Option<usize> {
    const BYTES_MAX: usize = 64;
    let lead = rest.len() - rest.trim_start_matches(['\'', '"', '“', '‘', '*', '_']).len();
    if lead > 8 || !rest[lead..].starts_with('[') {
        return None;
    }
    let end = rest.as_bytes()[lead..]
        .iter()
        .take(BYTES_MAX)
        .take_while(|byte| **byte != b'\n')
        .position(|byte| *byte == b']')?;
    (line_begins || rest[lead + end + 1..].starts_with(':')).then_some(lead + end + 1)
}

/// Enough to tell `banco-x.site` from `ok.entao`; judging links is another inspector's work.
fn is_host(host: &str) -> bool {
    const ENDS: [&str; 66] = [
        "com", "net", "org", "br", "info", "site", "online", "top", "xyz", "shop", "club", "click", "app", "io", "co",
        "me", "ly", "link", "live", "store", "es", "mx", "ar", "cl", "pe", "uy", "py", "bo", "ec", "ve", "pt", "uk",
        "us", "ca", "de", "fr", "it", "ru", "cn", "in", "biz", "dev", "page", "web", "tech", "space", "website", "icu",
        "vip", "buzz", "cc", "tk", "ml", "ga", "cf", "gq", "gl", "gd", "to", "tv", "gov", "edu", "claim", "win", "bid",
        "claims",
    ];
    let Some((stem, end)) = host.rsplit_once('.') else { return false };
    !stem.is_empty()
        && ENDS.iter().any(|known| end.eq_ignore_ascii_case(known))
        && stem.split('.').all(|label| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-'))
        && stem.chars().any(char::is_alphabetic)
}

fn file_kind(end: &str) -> Option<u16> {
    const PROGRAMS: [&str; 24] = [
        "exe", "apk", "lnk", "vbs", "vbe", "js", "jse", "bat", "cmd", "scr", "msi", "jar", "hta", "iso", "img", "wsf",
        "ps1", "pif", "xapk", "dmg", "url", "cpl", "chm", "appx",
    ];
    const FILES: [&str; 24] = [
        "pdf", "zip", "rar", "7z", "doc", "docx", "docm", "xls", "xlsx", "xlsm", "xml", "txt", "csv", "jpg", "jpeg",
        "png", "gif", "mp3", "mp4", "ogg", "opus", "html", "htm", "gz",
    ];
    if PROGRAMS.iter().any(|known| end.eq_ignore_ascii_case(known)) {
        return Some(bit(WordKind::File) | bit(WordKind::Program));
    }
    FILES.iter().any(|known| end.eq_ignore_ascii_case(known)).then_some(bit(WordKind::File))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let words = Words::of(text);
        let mut out = Vec::new();
        for word in &words.list {
            let kinds: Vec<&str> =
                WordKind::ALL.iter().filter(|(kind, _)| word.is(*kind)).map(|(_, name)| &name[..2]).collect();
            assert!(text.get(word.start..word.end).is_some(), "{text}: {word:?}");
            out.push(if kinds.is_empty() {
                words.text(word).to_owned()
            } else {
                format!("{}<{}>", words.text(word), kinds.join(" "))
            });
        }
        out.join(" ")
    }

    #[test]
    fn words_and_kinds() {
        let cases = [
            ("Olá, não recebi o código!", "ola nao recebi o codigo"),
            ("Pague R$ 3.849,90 ou 50 reais", "pague r<mo> 3849 90<nu mo>"),
            ("abra Fatura_1.zip agora", "abra arquivo<fi> agora"),
            ("baixe gb.apk", "baixe arquivo<fi pr>"),
            ("veja bit.ly/x, ok.entao", "veja link<li> ok entao"),
            ("https://a.b/c?d.", "link<li>"),
            ("mail a@b.com", "mail arquivo<em>"),
            ("123456 30%", "123456<nu di> 30<nu pe>"),
            ("don't", "dont"),
            ("s3nh@", "s3nha"),
            ("c ó d i g o  a g o r a", "codigo agora"),
            ("c.o.d.i.g.o", "codigo"),
            ("Olá [NOME], pague R$ [VALOR] em [LINK_BOLETO]", "ola pague r<mo> $<mo> em link<li>"),
            ("[Mensagem]: oi [ok]", "mensagem oi ok"),
            ("urgenteeeee", "urgentee"),
            ("c\u{200b}ód\u{ad}igo", "codigo"),
            ("ligue 08009998877", "ligue 08009998877<nu ph>"),
        ];
        for (text, expected) in cases {
            let expected = expected.replace("3849 90<nu mo>", "384990<nu mo> ou 50<nu mo> reais");
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn variants_of_odd_words() {
        let words = Words::of("c0d1go looooco pin");
        let mut found = Vec::new();
        for word in &words.list {
            words.variants(word, |variant| found.push(variant.to_owned()));
        }
        assert_eq!(found, ["codigo", "codlgo", "loco"]);
    }

    #[test]
    fn long_texts_are_read_at_both_ends() {
        let text = format!("inicio {} fim", "é meio ".repeat(20_000));
        let words = Words::of(&text);
        assert_eq!(words.text(&words.list[0]), "inicio");
        assert_eq!(words.text(words.list.last().unwrap()), "fim");
        assert!(words.list.len() < 20_000);
        let last = words.list.last().unwrap();
        assert_eq!(&text[last.start..last.end], "fim");
    }
}
