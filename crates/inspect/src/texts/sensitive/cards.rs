//! Payment cards: number, expiry and verification value.
//!
//! A number is a card when its length and first digits belong to an issuer, its check digit is right, and nothing says it
//! is something else: a longer number it is part of (boleto, invoice key), or a word before it (`IMEI`, `order`).

use super::digits::{Group, Groups, Tie};
use super::{SPANS_MAX, Sensitive, nearest, words_before};

const NUMBER: &str = "texts/card-number";
const VALUE: &str = "texts/card-cvv";

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;
/// A line of tied digits of these lengths is an invoice key or a boleto, whatever stands inside.
const LONG_NUMBERS: [usize; 4] = [44, 46, 47, 48];
/// In a longer line of tied digits a card must stand in one group or in four of four.
const LINE_DIGITS_MAX: usize = 40;

/// Words that make a number a card's, whatever else stands there.
const CARD_WORDS: [&str; 18] = [
    "card",
    "cards",
    "cartao",
    "cartoes",
    "tarjeta*",
    "visa",
    "master*",
    "amex",
    "elo",
    "hipercard",
    "diners",
    "credito",
    "debito",
    "credit",
    "debit",
    "validade",
    "discover",
    "jcb",
];
/// Words that make a number something else.
const OTHER_WORDS: [&str; 40] = [
    "imei*",
    "iccid",
    "pedido*",
    "order",
    "orders",
    "orden",
    "protocolo*",
    "rastre*",
    "guia",
    "tracking",
    "boleto*",
    "nfe",
    "nf",
    "danfe",
    "ean",
    "gtin",
    "barras",
    "serie",
    "serial",
    "chassi",
    "renavam",
    "ticket",
    "contrato*",
    "invoice",
    "matricula",
    "processo",
    "conta",
    "cuenta",
    "account",
    "telefone",
    "celular",
    "whatsapp",
    "chave",
    "cnpj",
    "cpf",
    "agendamento",
    "referencia",
    "reference",
    "lote",
    "id",
];
const VALUE_WORDS: [&str; 9] = ["cvv", "cvv2", "cvc", "cvc2", "cv2", "cvn", "cid", "cvs", "csc"];

pub(super) fn find(text: &str, groups: &Groups, found: &mut Vec<Sensitive>) {
    let lines = line_totals(groups);
    let mut last: Option<usize> = None;
    let mut count = 0;
    let mut i = 0;
    while i < groups.list.len() {
        if is_short_in_long_line(groups, &lines, i) {
            i += 1;
            continue;
        }
        let Some(end) = card_at(text, groups, &lines, i, count < SPANS_MAX) else {
            value_by_name(text, groups, i, found);
            i += 1;
            continue;
        };
        let span = (groups.list[i].start, groups.list[end - 1].end);
        count += 1;
        match last {
            // Everything from here on is one span: whoever pastes hundreds of cards gets them all hidden.
            Some(at) if count > SPANS_MAX => found[at].span.1 = span.1,
            _ => {
                let digits = groups.between(i, end);
                let four: String = digits[digits.len() - 4..].iter().map(|digit| char::from(b'0' + digit)).collect();
                last = Some(found.len());
                found.push(Sensitive { rule: NUMBER, span, evidence: format!("**** {four}") });
            }
        }
        let amex = groups.between(i, end).len() == 15;
        i = end;
        if let Some(at) = value_beside(groups, end, amex) {
            push_value(&groups.list[at], found);
            i = at + 1;
        }
    }
}

/// One digit or two, and more after it in a line too long for a card in such groups: neither a card nor a value begins here.
/// [`card_at`] would say the same; a text may be nothing else.
fn is_short_in_long_line(groups: &Groups, lines: &[usize], at: usize) -> bool {
    lines[at] > LINE_DIGITS_MAX
        && groups.list[at].len() < 3
        && groups.list.get(at + 1).is_some_and(|next| !matches!(next.tie, Tie::None | Tie::Line | Tie::Comma))
}

/// Digits of the line of tied groups that each group stands in.
fn line_totals(groups: &Groups) -> Vec<usize> {
    let mut totals = vec![0; groups.list.len()];
    let mut from = 0;
    for to in 1..=groups.list.len() {
        if to < groups.list.len() && !matches!(groups.list[to].tie, Tie::None | Tie::Line | Tie::Comma) {
            continue;
        }
        let total = groups.list[to - 1].last - groups.list[from].first;
        totals[from..to].fill(total);
        from = to;
    }
    totals
}

/// The end of the card number that begins with group `from`, if one does. `heed`: the words before it count.
fn card_at(text: &str, groups: &Groups, lines: &[usize], from: usize, heed: bool) -> Option<usize> {
    let first = &groups.list[from];
    if first.glued_before || first.len() > DIGITS_MAX {
        return None;
    }
    let mut total = 0;
    let mut best = None;
    for (to, group) in groups.list.iter().enumerate().skip(from) {
        if to > from && (matches!(group.tie, Tie::None | Tie::Comma) || group.glued_before) {
            break;
        }
        total += group.len();
        if total > DIGITS_MAX || LONG_NUMBERS.contains(&lines[to]) {
            break;
        }
        if lines[to] > LINE_DIGITS_MAX && to > from && (first.len() != 4 || group.len() != 4) {
            break;
        }
        if !group.glued_after && total >= DIGITS_MIN && is_card(text, groups, from, to + 1, heed) {
            best = Some(to + 1);
        }
        if group.glued_after {
            break;
        }
    }
    best
}

fn is_card(text: &str, groups: &Groups, from: usize, to: usize, heed: bool) -> bool {
    let digits = groups.between(from, to);
    if !issued(digits) || !luhn(digits) {
        return false;
    }
    // In a text with so many cards the words beside one more change nothing, and reading them costs.
    if !heed {
        return true;
    }
    let lengths: Vec<usize> = groups.list[from..to].iter().map(Group::len).collect();
    let usual = matches!(
        lengths.as_slice(),
        [_] | [4, 4, 4, 4] | [4, 6, 5] | [4, 6, 4] | [4, 4, 4, 4, _] | [4, 4, 4, 2] | [8, 8]
    );
    let before = groups.list[from].tie;
    let after = groups.list.get(to);
    if matches!(before, Tie::Dot | Tie::Dash | Tie::Slash) || after.is_some_and(|next| matches!(next.tie, Tie::Dot)) {
        return false;
    }
    // A dash or slash after it may tie an expiry or a value to it, nothing longer.
    if after.is_some_and(|next| matches!(next.tie, Tie::Dash | Tie::Slash) && next.len() > 4) {
        return false;
    }
    if !usual {
        let tied = |tie: Tie| matches!(tie, Tie::Space | Tie::Other);
        if tied(before) || after.is_some_and(|next| tied(next.tie) && next.len() > 4) {
            return false;
        }
    }
    let start = groups.list[from].start;
    if text[..start].trim_end_matches(' ').ends_with(['$', '€', '£']) {
        return false;
    }
    let seen = words_before(text, groups, start, 4);
    let card = nearest(&seen, &CARD_WORDS);
    let other = nearest(&seen, &OTHER_WORDS);
    match (card, other) {
        (Some(card), Some(other)) => card <= other,
        (None, Some(_)) => false,
        (Some(_), None) => true,
        // Thirteen digits are a product's number, fourteen may be a company's, unless a card is spoken of.
        (None, None) => digits.len() > 14 || (digits.len() == 14 && !super::identity::is_cnpj_number(digits)),
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| {
            let digit = u32::from(*digit);
            if i % 2 == 0 { digit } else { (digit * 2) / 10 + (digit * 2) % 10 }
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != digits[0])
}

/// First six digits and lengths that issuers have given out: (from, to, shortest, longest).
#[rustfmt::skip]
const ISSUERS: [(u32, u32, usize, usize); 45] = [
    (400_000, 499_999, 13, 13), (400_000, 499_999, 16, 16), (400_000, 499_999, 19, 19),      // Visa
    (510_000, 559_999, 16, 16), (222_100, 272_099, 16, 16),                                  // Mastercard
    (340_000, 349_999, 15, 15), (370_000, 379_999, 15, 15),                                  // American Express
    (300_000, 305_999, 14, 16), (309_500, 309_599, 14, 16), (360_000, 369_999, 14, 16), (380_000, 399_999, 14, 16), // Diners
    (601_100, 601_199, 16, 19), (644_000, 659_999, 16, 19), (622_126, 622_925, 16, 19),      // Discover
    (352_800, 358_999, 16, 19),                                                              // JCB
    (620_000, 629_999, 16, 19), (810_000, 817_199, 16, 19),                                  // UnionPay
    (606_200, 606_299, 13, 19), (384_100, 384_199, 16, 19), (637_095, 637_095, 16, 16),      // Hipercard
    (637_568, 637_568, 16, 16), (637_599, 637_599, 16, 16), (637_609, 637_609, 16, 16), (637_612, 637_612, 16, 16),
    (401_178, 401_179, 16, 16), (431_274, 431_274, 16, 16), (438_935, 438_935, 16, 16), (451_416, 451_416, 16, 16), // Elo
    (457_393, 457_393, 16, 16), (457_631, 457_632, 16, 16), (504_175, 504_175, 16, 16), (506_699, 506_778, 16, 16),
    (509_000, 509_999, 16, 16), (627_780, 627_780, 16, 16), (636_297, 636_297, 16, 16), (636_368, 636_369, 16, 16),
    (650_000, 655_099, 16, 16), (504_000, 508_999, 16, 16),
    (500_000, 503_999, 16, 19), (560_000, 589_999, 16, 19), (639_000, 639_999, 16, 19),      // Maestro, Aura, Naranja
    (604_200, 604_399, 16, 16), (603_500, 603_599, 16, 16), (603_100, 603_199, 16, 16), (636_200, 636_399, 16, 16), // Cabal, others
];

fn issued(digits: &[u8]) -> bool {
    let first = digits[..6].iter().fold(0u32, |number, digit| number * 10 + u32::from(*digit));
    ISSUERS
        .iter()
        .any(|(from, to, short, long)| (*from..=*to).contains(&first) && (*short..=*long).contains(&digits.len()))
}

/// The group after a card that is its verification value: after an expiry, or right after the number.
fn value_beside(groups: &Groups, after: usize, amex: bool) -> Option<usize> {
    let group = groups.list.get(after)?;
    // A name may stand between a card and its expiry, little before anything else.
    let expiry = expiry_at(groups, after);
    if matches!(group.tie, Tie::None) && !near(groups, after, if expiry.is_some() { NAME_BYTES } else { WORD_BYTES }) {
        return None;
    }
    let at = match expiry {
        Some(end) => end,
        None => after,
    };
    let value = groups.list.get(at)?;
    let fits = value.len() == if amex { 4 } else { 3 };
    (fits && !value.glued_before && !value.glued_after && (value.tie != Tie::None || near(groups, at, WORD_BYTES)))
        .then_some(at)
}

/// `12/28`, `12/2028`, `1228`: the group after it.
fn expiry_at(groups: &Groups, at: usize) -> Option<usize> {
    let month = groups.list.get(at)?;
    let digits = groups.of_group(month);
    let two = |digits: &[u8]| digits.iter().fold(0u32, |n, digit| n * 10 + u32::from(*digit));
    if month.len() <= 2 && (1..=12).contains(&two(digits)) {
        let year = groups.list.get(at + 1)?;
        let fits = matches!(year.len(), 2 | 4) && matches!(year.tie, Tie::Slash | Tie::Dash | Tie::Space | Tie::Dot);
        return (fits && !year.glued_after).then_some(at + 2);
    }
    (month.len() == 4 && (1..=12).contains(&two(&digits[..2])) && (24..=45).contains(&two(&digits[2..])))
        .then_some(at + 1)
}

/// A word or two between a card, its expiry and its value (`val 12/28 cod 123`); a person's name.
const WORD_BYTES: usize = 16;
const NAME_BYTES: usize = 44;

fn near(groups: &Groups, at: usize, bytes: usize) -> bool {
    at > 0 && groups.list[at].start - groups.list[at - 1].end <= bytes
}

/// What may stand between a value's name and the value: `cvv do meu cartão é 123`.
const FILLERS: [&str; 28] = [
    "o", "a", "e", "eh", "is", "es", "do", "da", "de", "del", "meu", "minha", "mi", "my", "the", "of", "for", "on",
    "no", "cartao", "tarjeta", "card", "atras", "verso", "back", "detras", "reverso", "la",
];

/// `cvv 123`, `código de segurança: 123`, wherever the card itself is.
fn value_by_name(text: &str, groups: &Groups, at: usize, found: &mut Vec<Sensitive>) {
    let group = &groups.list[at];
    if !matches!(group.len(), 3 | 4) || group.glued_before || group.glued_after || count_of(found, VALUE) >= SPANS_MAX {
        return;
    }
    // `482-913` is one code in two halves.
    let halved = groups.list.get(at + 1).is_some_and(|next| next.tie == Tie::Dash && next.len() == 3);
    if halved || group.tie == Tie::Dash {
        return;
    }
    let seen = words_before(text, groups, group.start, 8);
    let named = nearest(&seen, &VALUE_WORDS)
        .is_some_and(|distance| distance <= 2 || seen[..distance].iter().all(|word| FILLERS.contains(&word.as_str())));
    let fillers = seen.iter().take_while(|word| FILLERS.contains(&word.as_str())).count();
    let seen = &seen[fillers.min(seen.len().saturating_sub(3))..];
    let spelled = seen.windows(3).any(|words| {
        (words[0].starts_with("seguran") || words[0].starts_with("segurid") || words[0].starts_with("verifica"))
            && words[1] == "de"
            && words[2].starts_with("cod")
    }) && group.len() == 3;
    let english = seen.windows(2).any(|words| words[0] == "code" && words[1] == "security") && group.len() == 3;
    let short = seen.windows(2).any(|words| words[0].starts_with("seg") && words[1] == "cod") && group.len() == 3;
    if named || spelled || english || short {
        push_value(group, found);
    }
}

fn count_of(found: &[Sensitive], rule: &str) -> usize {
    found.iter().filter(|one| one.rule == rule).count()
}

fn push_value(group: &Group, found: &mut Vec<Sensitive>) {
    if count_of(found, VALUE) < SPANS_MAX {
        found.push(Sensitive { rule: VALUE, span: (group.start, group.end), evidence: "*".repeat(group.len()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let mut found = Vec::new();
        find(text, &Groups::of(text), &mut found);
        let seen: Vec<(&str, &str)> = found.iter().map(|one| (one.rule, &text[one.span.0..one.span.1])).collect();
        assert_eq!(seen, expected, "{text}");
        for one in &found {
            assert!(one.evidence.chars().filter(char::is_ascii_digit).count() <= 4, "{:?}", one.evidence);
        }
    }

    #[test]
    fn cards_in_any_grouping() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111.1111.1111.1111",
            "4111 1111\n1111 1111",
            "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
            "41 11 11 11 11 11 11 11",
            "4111 - 1111 - 1111 - 1111",
            "４１１１ １１１１ １１１１ １１１１",
            "4️⃣1️⃣1️⃣1️⃣ 1️⃣1️⃣1️⃣1️⃣ 1️⃣1️⃣1️⃣1️⃣ 1️⃣1️⃣1️⃣1️⃣",
            "4111\u{200b}1111\u{200b}1111\u{200b}1111",
            "4111*1111*1111*1111",
            "5555555555554444",
            "3782 822463 10005",
            "3056 930902 5904",
            "6362970000457013",
            "6062825624254001",
            "2223003122003222",
            "3530111333300000",
        ] {
            check(&format!("passa no {card}, por favor"), &[(NUMBER, card)]);
        }
    }

    #[test]
    fn expiry_and_value_beside_it() {
        let card = "4111 1111 1111 1111";
        check("4111 1111 1111 1111 12/28 123", &[(NUMBER, card), (VALUE, "123")]);
        check("4111 1111 1111 1111\n12/2028\n123", &[(NUMBER, card), (VALUE, "123")]);
        check("4111 1111 1111 1111 val 12/28 cvv 123", &[(NUMBER, card), (VALUE, "123")]);
        check("4111 1111 1111 1111 123", &[(NUMBER, card), (VALUE, "123")]);
        check("4111 1111 1111 1111 validade 12/28", &[(NUMBER, card)]);
        check("o cvv é 123", &[(VALUE, "123")]);
        check("código de segurança: 987", &[(VALUE, "987")]);
        check("3782 822463 10005 11/27 1234", &[(NUMBER, "3782 822463 10005"), (VALUE, "1234")]);
    }

    #[test]
    fn two_cards() {
        check(
            "4111 1111 1111 1111\n5555 5555 5555 4444",
            &[(NUMBER, "4111 1111 1111 1111"), (NUMBER, "5555 5555 5555 4444")],
        );
        check("4111111111111111 5555555555554444", &[(NUMBER, "4111111111111111"), (NUMBER, "5555555555554444")]);
    }

    #[test]
    fn what_is_no_card() {
        for text in [
            "4111111111111112",
            "IMEI 353983728788183",
            "pedido nº 4111111111111111",
            "boleto 34191.79001 01043.510047 91020.150008 5 84410026000",
            "3514 6742 8945 3821 6399 5504 7643 2506 3864 5035 3756",
            "35146742894538216399550476432506386450353756",
            "4006381333931",
            "0000 0000 0000 0000",
            "4444 4444 4444 4444",
            "00020126580014br.gov.bcb.pix0136123e4567-e12b-12d1-a456-4266554400005204000053039865802BR5913",
            "abc4111111111111111",
            "4111111111111111.5",
            "R$ 4.111.111.111.111.111,00",
            "11 98888-0000 e 11 97777-0000",
            "cep 01310-100, 123",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn cards_in_one_long_line() {
        for card in ["4111111111111111", "4111 1111 1111 1111"] {
            let text = format!("{card} 5555555555554444 {card} {card}");
            let mut found = Vec::new();
            find(&text, &Groups::of(&text), &mut found);
            assert_eq!(found.len(), 4, "{text}");
        }
    }

    #[test]
    fn hundreds_of_cards_are_all_covered() {
        let text = "4111111111111111, ".repeat(300);
        let mut found = Vec::new();
        find(&text, &Groups::of(&text), &mut found);
        assert_eq!(found.len(), SPANS_MAX);
        assert_eq!(found.last().unwrap().span.1, text.len() - 2);
    }
}
