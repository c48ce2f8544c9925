//! Identity numbers of people and companies: Brazil's CPF, CNPJ and RG, Mexico's CURP and RFC, Spain's DNI and NIE,
//! Argentina's CUIT, Chile's RUT, and documents that only a word beside them names.
//!
//! Numbers with check digits must have them right. Where one form is as common for something else (eleven digits are a
//! mobile number, too), a word before it decides.

use super::digits::{Groups, Tie};
use super::{SPANS_MAX, Sensitive, nearest, words_before};

const CPF: &str = "texts/cpf";
const CNPJ: &str = "texts/cnpj";
const CUIT: &str = "texts/cuit";
const RUT: &str = "texts/rut";
const DNI: &str = "texts/dni";
const CURP: &str = "texts/curp";
const RFC: &str = "texts/rfc";
const DOCUMENT: &str = "texts/identity-document";

/// Words after which a number is a telephone's, an order's or a product's.
const OTHER_WORDS: [&str; 33] = [
    "tel",
    "telefone*",
    "telefono*",
    "celular",
    "cel",
    "fone",
    "fixo",
    "whats*",
    "wpp",
    "zap",
    "liga",
    "ligue",
    "ligar",
    "llama*",
    "phone",
    "mobile",
    "call",
    "numero",
    "55",
    "54",
    "protocolo*",
    "pedido*",
    "rastre*",
    "imei*",
    "boleto*",
    "nfe",
    "barras",
    "pix",
    "order",
    "orden",
    "guia",
    "tracking",
    "contato",
];

/// Groups that a number is written in, at most, and its digits, at least.
const GROUPS_MAX: usize = 5;
const DIGITS_MIN: usize = 7;

pub(super) fn find(text: &str, groups: &Groups, found: &mut Vec<Sensitive>) {
    let taken = found.iter().map(|one| one.span).collect::<Vec<_>>();
    let from = found.len();
    for at in 0..groups.list.len() {
        if found.len() - from >= SPANS_MAX {
            break;
        }
        // No number begins right after a letter, none has fewer digits or stands in more groups; asked first, for a text may
        // be all letters and digits by turns, or one digit after the other.
        if groups.list[at].glued_before || groups.digits_within(at, GROUPS_MAX) < DIGITS_MIN {
            continue;
        }
        let start = groups.list[at].start;
        if taken.iter().any(|span| span.0 <= start && start < span.1)
            || found[from..].last().is_some_and(|one| start < one.span.1)
        {
            continue;
        }
        if let Some(one) = number_at(text, groups, at) {
            found.push(one);
        }
    }
    mixed(text, groups, found, from);
}

fn number_at(text: &str, groups: &Groups, at: usize) -> Option<Sensitive> {
    in_shape(text, groups, at).or_else(|| rut_at(text, groups, at)).or_else(|| named_document(text, groups, at))
}

/// Numbers that are told by the lengths of their groups: CPF, CUIT, CNPJ.
fn in_shape(text: &str, groups: &Groups, at: usize) -> Option<Sensitive> {
    // Lengths that one of the shapes below begins with.
    if !matches!(groups.list[at].len(), 2 | 3 | 8 | 9 | 11 | 12 | 14) {
        return None;
    }
    let seen = || words_before(text, groups, groups.list[at].start, 4);
    // Brazil, eleven digits.
    for shape in [&[3, 3, 3, 2][..], &[9, 2], &[11], &[3, 3, 5], &[3, 8]] {
        if !fits(groups, at, shape) {
            continue;
        }
        let digits = groups.between(at, at + shape.len());
        if is_cpf(digits) {
            let seen = seen();
            let named = nearest(&seen, &["cpf", "doc*", "titular", "cpfs"]);
            let other = nearest(&seen, &OTHER_WORDS);
            let bare = shape.len() == 1;
            let mobile = bare && digits[2] == 9 && is_area(digits[0] * 10 + digits[1]);
            let is = match (named, other) {
                (Some(named), Some(other)) => named <= other,
                (Some(_), None) => true,
                (None, Some(_)) => !bare && seen.first().is_none_or(|word| word.as_str() != "55"),
                (None, None) => !mobile,
            };
            if is {
                let end = tail(digits, 2);
                return Some(one(groups, at, shape.len(), CPF, format!("***.***.***-{end}")));
            }
        }
        if shape.len() == 1 && is_cuit(digits) && nearest(&seen(), &["cuit*", "cuil*"]).is_some() {
            return Some(one(groups, at, 1, CUIT, format!("**-********-{}", tail(digits, 1))));
        }
    }
    if fits(groups, at, &[2, 8, 1]) {
        let digits = groups.between(at, at + 3);
        if is_cuit(digits) && groups.list[at + 1].tie == groups.list[at + 2].tie {
            return Some(one(groups, at, 3, CUIT, format!("**-********-{}", tail(digits, 1))));
        }
    }
    for shape in [&[2, 3, 3, 4, 2][..], &[14], &[8, 4, 2], &[8, 6], &[12, 2]] {
        if fits(groups, at, shape) && is_cnpj_number(groups.between(at, at + shape.len())) {
            let seen = seen();
            let other = nearest(&seen, &["imei*", "protocolo*", "pedido*", "order", "rastre*", "boleto*", "barras"]);
            let named = nearest(&seen, &["cnpj", "empresa", "nota", "fornecedor", "company"]);
            if shape.len() > 1 || other.is_none() || named.is_some_and(|named| other.is_none_or(|other| named < other))
            {
                let end = tail(groups.between(at, at + shape.len()), 2);
                return Some(one(groups, at, shape.len(), CNPJ, format!("**.***.***/****-{end}")));
            }
        }
    }
    None
}

/// Tied groups of these lengths that are not part of something longer.
fn fits(groups: &Groups, at: usize, shape: &[usize]) -> bool {
    let tied = |tie: Tie| matches!(tie, Tie::Dot | Tie::Dash | Tie::Slash);
    groups.has_shape(at, shape)
        && !groups.list[at].glued_before
        && !groups.list[at + shape.len() - 1].glued_after
        && !tied(groups.list[at].tie)
        && !groups.list.get(at + shape.len()).is_some_and(|next| tied(next.tie) && next.len() > 1)
        // A number in many groups is tied by one line at most; a column of numbers is no number.
        && groups.list[at + 1..at + shape.len()].iter().filter(|group| group.tie == Tie::Line).count() <= 1
}

fn one(groups: &Groups, at: usize, count: usize, rule: &'static str, evidence: String) -> Sensitive {
    Sensitive { rule, span: (groups.list[at].start, groups.list[at + count - 1].end), evidence }
}

fn tail(digits: &[u8], count: usize) -> String {
    digits[digits.len() - count..].iter().map(|digit| char::from(b'0' + digit)).collect()
}

fn all_same(digits: &[u8]) -> bool {
    digits.iter().all(|digit| *digit == digits[0])
}

/// Weighted sum of `digits` with `weights`.
fn weigh(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum()
}

fn is_cpf(digits: &[u8]) -> bool {
    // The example that forms print; nobody's number.
    const EXAMPLE: [u8; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 9];
    let check = |count: usize| {
        let sum: u32 = digits[..count]
            .iter()
            .enumerate()
            .map(|(i, digit)| u32::from(*digit) * (count as u32 + 1 - i as u32))
            .sum();
        (sum * 10 % 11 % 10) as u8
    };
    digits.len() == 11 && !all_same(digits) && digits != EXAMPLE && check(9) == digits[9] && check(10) == digits[10]
}

/// Area codes that Brazil has given out.
fn is_area(code: u8) -> bool {
    let unused = matches!(code, 23 | 25 | 26 | 29 | 36 | 39 | 52 | 56..=59 | 72 | 76 | 78);
    code > 10 && !code.is_multiple_of(10) && !unused
}

/// A CNPJ of digits alone.
pub(super) fn is_cnpj_number(digits: &[u8]) -> bool {
    digits.len() == 14 && !all_same(digits) && is_cnpj(digits)
}

/// The check digits of a CNPJ, letters counting as their ASCII code less 48 (the rule of 2026).
fn is_cnpj(values: &[u8]) -> bool {
    const WEIGHTS: [u32; 13] = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];
    let check = |count: usize| match weigh(&values[..count], &WEIGHTS[13 - count..]) % 11 {
        0 | 1 => 0,
        rest => (11 - rest) as u8,
    };
    check(12) == values[12] && check(13) == values[13]
}

fn is_cuit(digits: &[u8]) -> bool {
    const WEIGHTS: [u32; 10] = [5, 4, 3, 2, 7, 6, 5, 4, 3, 2];
    if digits.len() != 11 || all_same(digits) {
        return false;
    }
    let kind = digits[0] * 10 + digits[1];
    let check = match 11 - weigh(&digits[..10], &WEIGHTS) % 11 {
        11 => 0,
        10 => 9,
        check => check as u8,
    };
    matches!(kind, 20 | 23 | 24 | 25 | 26 | 27 | 30 | 33 | 34) && check == digits[10]
}

/// Chile's RUT: `12.345.678-5`, with the letter K as a check digit; undotted only where it is named.
fn rut_at(text: &str, groups: &Groups, at: usize) -> Option<Sensitive> {
    let dotted = [&[1usize, 3, 3][..], &[2, 3, 3]].into_iter().find(|shape| body_fits(groups, at, shape));
    let count = match dotted {
        Some(shape) => shape.len(),
        None if matches!(groups.list[at].len(), 7 | 8) && !groups.list[at].glued_before => 1,
        None => return None,
    };
    let body = groups.between(at, at + count);
    if all_same(body) {
        return None;
    }
    let last = &groups.list[at + count - 1];
    let (given, end) = check_after(text, groups, at + count, last.end)?;
    let sum: u32 = body.iter().rev().enumerate().map(|(i, digit)| u32::from(*digit) * (2 + i as u32 % 6)).sum();
    let right = match 11 - sum % 11 {
        11 => '0',
        10 => 'k',
        check => char::from_digit(check, 10)?,
    };
    let named = || nearest(&words_before(text, groups, groups.list[at].start, 4), &["rut", "run"]).is_some();
    if given != right || (dotted.is_none() && !named()) {
        return None;
    }
    Some(Sensitive { rule: RUT, span: (groups.list[at].start, end), evidence: "**.***.***-*".to_owned() })
}

fn body_fits(groups: &Groups, at: usize, shape: &[usize]) -> bool {
    groups.has_shape(at, shape)
        && !groups.list[at].glued_before
        && !matches!(groups.list[at].tie, Tie::Dot | Tie::Dash)
        && groups.list[at + 1..at + shape.len()].iter().all(|group| group.tie == Tie::Dot)
}

/// The check digit or K after a dash at byte `at`, and the byte after it.
fn check_after(text: &str, groups: &Groups, next: usize, at: usize) -> Option<(char, usize)> {
    if let Some(group) = groups.list.get(next)
        && group.len() == 1
        && group.tie == Tie::Dash
        && !group.glued_after
    {
        return Some((char::from(b'0' + groups.of_group(group)[0]), group.end));
    }
    let rest = text[at..].trim_start_matches([' ', '-', '–']);
    let gap = text.len() - at - rest.len();
    let letter = rest.chars().next().filter(|c| matches!(c, 'k' | 'K'))?;
    let parted = rest.chars().nth(1).is_none_or(|c| !c.is_alphanumeric());
    (parted && gap <= 3).then(|| (letter.to_ascii_lowercase(), at + gap + 1))
}

/// `RG 12.345.678-9`, `CNH 01234567890`, `DNI 30.123.456`: the word makes it a document.
fn named_document(text: &str, groups: &Groups, at: usize) -> Option<Sensitive> {
    const LENGTHS: [(&[&str], usize, usize); 6] = [
        (&["rg", "identidade", "identidad"], 7, 9),
        (&["dni"], 7, 8),
        (&["cnh", "habilitacao", "pis", "nis", "pasep"], 11, 11),
        (&["titulo"], 12, 12),
        (&["cedula", "cc"], 7, 10),
        (&["ssn"], 9, 9),
    ];
    let group = &groups.list[at];
    if group.glued_before || group.len() > 12 || matches!(group.tie, Tie::Dot | Tie::Dash) {
        return None;
    }
    // Cheap before costly: how long is the tied number at all?
    let mut to = at + 1;
    while groups.list.get(to).is_some_and(|next| matches!(next.tie, Tie::Dot | Tie::Dash | Tie::Slash | Tie::Space))
        && to - at < GROUPS_MAX
    {
        to += 1;
    }
    if groups.between(at, to).len() < DIGITS_MIN {
        return None;
    }
    let seen = words_before(text, groups, group.start, 3);
    let (_, shortest, longest) = LENGTHS.iter().find(|(names, ..)| nearest(&seen, names).is_some())?;
    if *longest == 10 && !seen.iter().any(|word| word == "cedula") && seen.first().is_none_or(|word| word != "cc") {
        return None;
    }
    (at + 1..=to).rev().find_map(|to| {
        let length = groups.between(at, to).len();
        let last = &groups.list[to - 1];
        if !(*shortest..=*longest).contains(&length) {
            return None;
        }
        // An RG may end in X.
        let rest = &text[last.end..];
        let x = ["-X", "-x", "X", "x"]
            .into_iter()
            .find(|x| rest.starts_with(x) && rest[x.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric()));
        if last.glued_after && x.is_none() {
            return None;
        }
        let end = last.end + x.map_or(0, str::len);
        Some(Sensitive { rule: DOCUMENT, span: (group.start, end), evidence: "*".repeat(length) })
    })
}

/// Numbers with letters: DNI and NIE, CURP, RFC, the alphanumeric CNPJ.
fn mixed(text: &str, groups: &Groups, found: &mut Vec<Sensitive>, from: usize) {
    const CHARS_MIN: usize = 9;
    const INSIDE: [bool; 256] = {
        let mut inside = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            let b = byte as u8;
            inside[byte] = b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'/' | b'&');
            byte += 1;
        }
        inside
    };
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() && found.len() - from < SPANS_MAX {
        if !bytes[at].is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        let rest = &bytes[at..];
        let length = rest.iter().position(|byte| !INSIDE[usize::from(*byte)]).unwrap_or(rest.len());
        if length < CHARS_MIN {
            at += length;
            continue;
        }
        let chunk = text[at..at + length].trim_end_matches(['.', '-', '/', '&']);
        // Ñ and other letters right beside it make it a word. Asked last: it reads Unicode's tables.
        let alone = || {
            !text[..at].chars().next_back().is_some_and(char::is_alphanumeric)
                && !text[at + length..].chars().next().is_some_and(char::is_alphanumeric)
        };
        if (CHARS_MIN..=18).contains(&chunk.len()) && chunk.bytes().any(|byte| byte.is_ascii_digit()) && alone() {
            let span = (at, at + chunk.len());
            let free = found.iter().all(|one| one.span.1 <= span.0 || span.1 <= one.span.0);
            if free && let Some((rule, evidence)) = mixed_kind(text, groups, at, chunk) {
                found.push(Sensitive { rule, span, evidence: evidence.to_owned() });
            }
        }
        at += length;
    }
}

fn mixed_kind(text: &str, groups: &Groups, at: usize, chunk: &str) -> Option<(&'static str, &'static str)> {
    let mut plain = [0u8; 18];
    let mut length = 0;
    for byte in chunk.bytes().filter(u8::is_ascii_alphanumeric) {
        plain[length] = byte.to_ascii_uppercase();
        length += 1;
    }
    let plain = &plain[..length];
    let letters = plain.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    if letters == 0 {
        return None;
    }
    let upper = !chunk.bytes().any(|byte| byte.is_ascii_lowercase());
    let named = |names: &[&str]| nearest(&words_before(text, groups, at, 4), names).is_some();
    let found = match length {
        9 if is_dni(plain) && (upper || named(&["dni", "nie", "nif", "documento"])) => (DNI, "********-*"),
        18 if upper && chunk.len() == 18 && is_curp(plain) => (CURP, "****************"),
        12 | 13 if chunk.len() <= length + 2 && is_rfc(plain) && (rfc_check(plain) && upper || named(&["rfc"])) => {
            (RFC, "*************")
        }
        14 => {
            let values: Vec<u8> = plain.iter().map(|byte| byte - b'0').collect();
            let digits_end = plain[12..].iter().all(u8::is_ascii_digit);
            if !digits_end || !is_cnpj(&values) || !(upper || named(&["cnpj"])) {
                return None;
            }
            (CNPJ, "**.***.***/****-**")
        }
        _ => return None,
    };
    Some(found)
}

/// `12345678Z`, `X1234567L`.
fn is_dni(plain: &[u8]) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let first = match plain[0] {
        b'X' => 0,
        b'Y' => 1,
        b'Z' => 2,
        digit if digit.is_ascii_digit() => usize::from(digit - b'0'),
        _ => return false,
    };
    if !plain[1..8].iter().all(u8::is_ascii_digit) || plain[1..8].iter().all(|digit| *digit == plain[1]) {
        return false;
    }
    let number = plain[1..8].iter().fold(first, |number, digit| number * 10 + usize::from(digit - b'0'));
    plain[8] == LETTERS[number % 23]
}

/// Four letters, a date, sex, state, consonants, two for sameness.
fn is_curp(plain: &[u8]) -> bool {
    let letters = |range: std::ops::Range<usize>| plain[range].iter().all(u8::is_ascii_uppercase);
    letters(0..4)
        && is_date(&plain[4..10])
        && matches!(plain[10], b'H' | b'M' | b'X')
        && letters(11..16)
        && plain[17].is_ascii_digit()
}

fn is_rfc(plain: &[u8]) -> bool {
    let name = plain.len() - 9;
    plain[..name].iter().all(u8::is_ascii_uppercase) && is_date(&plain[name..name + 6])
}

/// The homoclave's last character, as the tax office works it out.
fn rfc_check(plain: &[u8]) -> bool {
    const ORDER: &[u8] = b"0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ";
    let value = |byte: u8| ORDER.iter().position(|known| *known == byte).unwrap_or(0) as u32;
    let count = plain.len() - 1;
    // A company's twelve are counted with a blank before, of value 37.
    let blank = if plain.len() == 12 { 37 * 13 } else { 0 };
    let sum: u32 =
        plain[..count].iter().enumerate().map(|(i, byte)| value(*byte) * (count as u32 + 1 - i as u32)).sum::<u32>()
            + blank;
    let right = match sum % 11 {
        0 => b'0',
        1 => b'A',
        rest => b'0' + (11 - rest) as u8,
    };
    plain[count] == right
}

fn is_date(six: &[u8]) -> bool {
    let two = |at: usize| u32::from(six[at] - b'0') * 10 + u32::from(six[at + 1] - b'0');
    six.iter().all(u8::is_ascii_digit) && (1..=12).contains(&two(2)) && (1..=31).contains(&two(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let mut found = Vec::new();
        find(text, &Groups::of(text), &mut found);
        let seen: Vec<(&str, &str)> = found.iter().map(|one| (one.rule, &text[one.span.0..one.span.1])).collect();
        assert_eq!(seen, expected, "{text}");
    }

    #[test]
    fn brazil() {
        check("cpf 529.982.247-25", &[(CPF, "529.982.247-25")]);
        check("meu cpf é 529 982 247 25", &[(CPF, "529 982 247 25")]);
        check("segue 52998224725 ok", &[(CPF, "52998224725")]);
        check("529982247-25.", &[(CPF, "529982247-25")]);
        check("５２９.９８２.２４７-２５", &[(CPF, "５２９.９８２.２４７-２５")]);
        check("CNPJ 11.222.333/0001-81", &[(CNPJ, "11.222.333/0001-81")]);
        check("nota para 11222333000181", &[(CNPJ, "11222333000181")]);
        check("CNPJ 12.ABC.345/01DE-35", &[(CNPJ, "12.ABC.345/01DE-35")]);
        check("nota para 12ABC34501DE35", &[(CNPJ, "12ABC34501DE35")]);
        check("meu rg é 12.345.678-X", &[(DOCUMENT, "12.345.678-X")]);
        check("RG: 123456789", &[(DOCUMENT, "123456789")]);
        check("CNH 01234567891", &[(DOCUMENT, "01234567891")]);
    }

    #[test]
    fn latin_america_and_spain() {
        check("mi DNI es 12345678Z", &[(DNI, "12345678Z")]);
        check("12.345.678-Z", &[(DNI, "12.345.678-Z")]);
        check("NIE X1234567L", &[(DNI, "X1234567L")]);
        check("CUIT 20-12345678-6", &[(CUIT, "20-12345678-6")]);
        check("mi cuit 20123456786", &[(CUIT, "20123456786")]);
        check("mi RUT es 12.345.678-5", &[(RUT, "12.345.678-5")]);
        check("rut 12345678-5", &[(RUT, "12345678-5")]);
        check("RUT 20.347.878-K", &[(RUT, "20.347.878-K")]);
        check("CURP GODE561231HDFRRN09", &[(CURP, "GODE561231HDFRRN09")]);
        check("mi RFC es GODE561231GR8", &[(RFC, "GODE561231GR8")]);
        check("DNI 30.123.456", &[(DOCUMENT, "30.123.456")]);
    }

    #[test]
    fn what_is_none() {
        for text in [
            "cpf 529.982.247-26",
            "cpf 111.111.111-11",
            "CPF: 123.456.789-09",
            "me liga no 11 98888-0000",
            "whats 52998224725",
            "+55 52998224725",
            "protocolo 52998224725",
            "11.222.333/0001-82",
            "conta 12345678-5",
            "pedido 12345678",
            "chave 43418247-5453-4902-8165-517384052824",
            "rg",
            "12345678A",
            "R$ 12.345.678,00",
            "529.982.247-25-1234",
            "A1529982247251",
        ] {
            check(text, &[]);
        }
    }
}
