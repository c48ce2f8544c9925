//! One character as a reader sees it: what it is once case, accents, fonts and look-alikes are taken away.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// What a character contributes to a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folded {
    /// Nothing, and it does not part words either: zero-width characters, accents, emoji modifiers.
    Nothing,
    /// Letters or digits, lower case; unused places hold `\0`. (Ligatures and circled numbers make more than one.)
    Word([char; 2]),
    /// It parts words.
    Break,
}

fn one(c: char) -> Folded {
    Folded::Word([c, '\0'])
}

/// Folds `c`.
pub(super) fn fold(c: char) -> Folded {
    if c.is_ascii() {
        return match c {
            'a'..='z' | '0'..='9' => one(c),
            'A'..='Z' => one(c.to_ascii_lowercase()),
            _ => Folded::Break,
        };
    }
    match c {
        'à'..='å' | 'À'..='Å' | 'ª' => one('a'),
        'ç' | 'Ç' => one('c'),
        'è'..='ë' | 'È'..='Ë' => one('e'),
        'ì'..='ï' | 'Ì'..='Ï' => one('i'),
        'ñ' | 'Ñ' => one('n'),
        'ò'..='ö' | 'Ò'..='Ö' | 'º' | 'ø' | 'Ø' => one('o'),
        'ù'..='ü' | 'Ù'..='Ü' => one('u'),
        _ if is_invisible(c) || is_combining_mark(c) => Folded::Nothing,
        _ => fold_rare(c),
    }
}

/// The digit that `c` shows, in whatever font or script: `７`, `𝟕`, `⑦`, `٧`.
pub(super) fn digit(c: char) -> Option<u8> {
    if c.is_ascii() {
        return c.is_ascii_digit().then(|| c as u8 - b'0');
    }
    let code = u32::from(c);
    match code {
        0..=0x65f => None,
        // Full width, mathematical fonts, circled ones.
        0xff10..=0xff19 => Some((code - 0xff10) as u8),
        0x1d7ce..=0x1d7ff => Some(((code - 0x1d7ce) % 10) as u8),
        0x1fbf0..=0x1fbf9 => Some((code - 0x1fbf0) as u8),
        0x2460..=0x2468 => Some((code - 0x2460 + 1) as u8),
        0x24f5..=0x24fd => Some((code - 0x24f5 + 1) as u8),
        0x24ea => Some(0),
        _ => squared(c).or_else(|| foreign_digit(c)).and_then(|c| c.to_digit(10)).map(|value| value as u8),
    }
}

/// Characters that show nothing: they are put inside words to hide them from filters.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{20d0}'..='\u{20ff}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{1f3fb}'..='\u{1f3ff}'
        | '\u{e0000}'..='\u{e01ef}')
}

fn fold_rare(c: char) -> Folded {
    if let Some(letter) = squared(c) {
        return one(letter);
    }
    if let Some(digit) = foreign_digit(c) {
        return one(digit);
    }
    // Ideographs, kana and hangul are taken for nothing else.
    if matches!(c, '\u{3041}'..='\u{318f}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}') {
        return one(c);
    }
    let mut word = ['\0'; 2];
    let mut length = 0;
    for part in c.to_lowercase().nfkd().flat_map(char::to_lowercase).filter(|part| !is_combining_mark(*part)) {
        let part = if part.is_ascii() { part } else { look_alike(part) };
        if !part.is_alphanumeric() {
            continue;
        }
        if length == word.len() {
            break;
        }
        word[length] = part;
        length += 1;
    }
    if length == 0 { Folded::Break } else { Folded::Word(word) }
}

/// Letters drawn in boxes and circles, and the halves of flags, which NFKD leaves alone.
fn squared(c: char) -> Option<char> {
    if !matches!(c, '\u{24ff}'..='\u{2792}' | '\u{1f150}'..='\u{1f1ff}') {
        return None;
    }
    let from = |base: char| char::from_u32(u32::from('a') + (u32::from(c) - u32::from(base)));
    match c {
        '\u{1f150}'..='\u{1f169}' => from('\u{1f150}'),
        '\u{1f170}'..='\u{1f189}' => from('\u{1f170}'),
        '\u{1f1e6}'..='\u{1f1ff}' => from('\u{1f1e6}'),
        '\u{2776}'..='\u{277e}' => char::from_u32(u32::from('1') + (u32::from(c) - 0x2776)),
        '\u{2780}'..='\u{2788}' => char::from_u32(u32::from('1') + (u32::from(c) - 0x2780)),
        '\u{278a}'..='\u{2792}' => char::from_u32(u32::from('1') + (u32::from(c) - 0x278a)),
        '\u{24ff}' => Some('0'),
        _ => None,
    }
}

/// Decimal digits of other scripts that people type on phones.
fn foreign_digit(c: char) -> Option<char> {
    if u32::from(c) > 0xed9 {
        return None;
    }
    const ZEROS: [u32; 9] = [0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xbe6, 0xe50, 0xed0];
    let code = u32::from(c);
    let zero = ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code))?;
    char::from_u32(u32::from('0') + code - zero)
}

/// The Latin letter a letter of another script is taken for. A short table first (what is really used to hide Latin
/// words), Unicode's own confusables after it.
fn look_alike(c: char) -> char {
    match c {
        'а' | 'α' | 'ɑ' | 'ᴀ' => 'a',
        'в' | 'β' | 'ʙ' | 'ß' => 'b',
        'с' | 'ϲ' | 'ᴄ' => 'c',
        'ԁ' | 'ᴅ' | 'đ' | 'ð' => 'd',
        'е' | 'ε' | 'ᴇ' | 'є' | 'ə' => 'e',
        'ғ' | 'ꜰ' => 'f',
        'ɡ' | 'ɢ' => 'g',
        'н' | 'һ' | 'ʜ' | 'ħ' => 'h',
        'і' | 'ι' | 'ı' | 'ɪ' => 'i',
        'ј' | 'ᴊ' => 'j',
        'к' | 'κ' | 'ᴋ' => 'k',
        'ӏ' | 'ʟ' | 'ł' => 'l',
        'м' | 'ᴍ' => 'm',
        'п' | 'η' | 'ɴ' => 'n',
        'о' | 'ο' | 'σ' | 'ᴏ' | 'օ' => 'o',
        'р' | 'ρ' | 'ᴘ' => 'p',
        'ԛ' => 'q',
        'ʀ' | 'г' => 'r',
        'ѕ' | 'ꜱ' => 's',
        'т' | 'τ' | 'ᴛ' => 't',
        'υ' | 'ᴜ' | 'ս' => 'u',
        'ν' | 'ѵ' | 'ᴠ' => 'v',
        'ω' | 'ԝ' | 'ᴡ' | 'ш' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' | 'ʏ' => 'y',
        'ᴢ' => 'z',
        _ => {
            let mut buffer = [0; 4];
            let mut skeleton = unicode_security::skeleton(c.encode_utf8(&mut buffer));
            match (skeleton.next(), skeleton.next()) {
                (Some(like), None) if like.is_ascii_alphanumeric() => like.to_ascii_lowercase(),
                _ => c,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut out = String::new();
        for c in text.chars() {
            match fold(c) {
                Folded::Nothing => {}
                Folded::Word(word) => out.extend(word.into_iter().filter(|c| *c != '\0')),
                Folded::Break => out.push(' '),
            }
        }
        out
    }

    #[test]
    fn one_word_in_many_disguises() {
        for disguise in [
            "código",
            "CÓDIGO",
            "co\u{301}digo",
            "c\u{200b}ó\u{2060}digo",
            "соdigo",
            "𝐜𝐨́𝐝𝐢𝐠𝐨",
            "ｃｏｄｉｇｏ",
            "ⓒⓞⓓⓘⓖⓞ",
            "🅲🅾🅳🅸🅶🅾",
            "🇨🇴🇩🇮🇬🇴",
            "сódιɡο",
        ] {
            assert_eq!(folded(disguise), "codigo", "{disguise}");
        }
        assert_eq!(folded("não, ok!"), "nao  ok ");
    }

    #[test]
    fn digits_of_every_kind() {
        for (shown, value) in [('7', 7), ('７', 7), ('𝟕', 7), ('⑦', 7), ('❼', 7), ('٧', 7), ('७', 7), ('0', 0)]
        {
            assert_eq!(digit(shown), Some(value), "{shown}");
        }
        for other in ['a', '²', '½', 'º', '⑩', '一', '\u{20e3}'] {
            assert_eq!(digit(other), None, "{other}");
        }
    }
}
