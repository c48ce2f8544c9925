//! Passwords, one-time codes and private keys that are sent in chat.

use super::{SPANS_MAX, Sensitive};
use crate::texts::words::{Words, boundary_before};
use guarita_rules::texts::WordKind;
use memchr::memmem::Finder;
use std::sync::LazyLock;

const PASSWORD: &str = "texts/password";
const CODE: &str = "texts/one-time-code";
const KEY: &str = "texts/private-key";

const PASSWORD_WORDS: [&str; 14] = [
    "senha",
    "senhas",
    "password",
    "passwort",
    "passcode",
    "contrasena",
    "contrasenia",
    "pwds",
    "pass",
    "pwd",
    "passwd",
    "snha",
    "senh",
    "clave",
];
/// What may stand between the name of a secret and the secret.
const BETWEEN_WORDS: [&str; 34] = [
    "e",
    "eh",
    "is",
    "es",
    "era",
    "sera",
    "do",
    "da",
    "de",
    "del",
    "meu",
    "minha",
    "mi",
    "my",
    "of",
    "the",
    "for",
    "banco",
    "app",
    "aplicativo",
    "cartao",
    "conta",
    "email",
    "acesso",
    "login",
    "nova",
    "nueva",
    "atual",
    "provisoria",
    "segue",
    "aqui",
    "wifi",
    "pin",
    "para",
];
const CODE_WORDS: [&str; 8] = ["codigo", "code", "cod", "otp", "token", "pin", "verificacao", "verification"];
const CODE_KINDS: [&str; 24] = [
    "verificacao",
    "verificacion",
    "verification",
    "seguranca",
    "seguridad",
    "security",
    "acesso",
    "acceso",
    "login",
    "whatsapp",
    "sms",
    "confirmacao",
    "confirmacion",
    "confirmation",
    "ativacao",
    "activacion",
    "autenticacao",
    "autenticacion",
    "otp",
    "instagram",
    "facebook",
    "google",
    "recebi",
    "chegou",
];

pub(super) fn find(text: &str, words: &Words, found: &mut Vec<Sensitive>) {
    keys(text, found);
    tokens(text, found);
    // By its words, so at both ends of a long text only.
    named(text, words, found);
}

/// `-----BEGIN … PRIVATE KEY-----` to its end, or to the text's where it was cut.
fn keys(text: &str, found: &mut Vec<Sensitive>) {
    const LINE_BYTES_MAX: usize = 80;
    static MARKS: LazyLock<[Finder<'static>; 2]> =
        LazyLock::new(|| [Finder::new("-----BEGIN "), Finder::new("PRIVATE KEY")]);
    let [begins, names] = &*MARKS;
    let next = |mark: &Finder<'_>, from: usize| mark.find(&text.as_bytes()[from..]).map(|at| from + at);
    // Both marks are looked for once from here to the end, however often one of them stands there without the other.
    let (mut at, mut count, mut name) = (0, 0, 0);
    while count < SPANS_MAX
        && let Some(begin) = next(begins, at)
    {
        at = begin + 11;
        if name < at {
            match next(names, at) {
                Some(found) => name = found,
                None => return,
            }
        }
        if name + 11 > boundary_before(text, begin + LINE_BYTES_MAX) {
            at = at.max(boundary_before(text, name.saturating_sub(LINE_BYTES_MAX)));
            continue;
        }
        let end = text[at..].find("-----END ").map_or(text.len(), |end| {
            let end = at + end;
            text[end + 9..].find("-----").map_or(text.len(), |close| end + 9 + close + 5)
        });
        found.push(Sensitive { rule: KEY, span: (begin, end), evidence: "-----BEGIN PRIVATE KEY-----".to_owned() });
        at = end;
        count += 1;
    }
}

/// Access tokens that services mark by how they begin.
fn tokens(text: &str, found: &mut Vec<Sensitive>) {
    const BEGINNINGS: [(&str, usize); 14] = [
        ("sk_live_", 20),
        ("rk_live_", 20),
        ("AKIA", 20),
        ("ASIA", 20),
        ("ghp_", 30),
        ("github_pat_", 30),
        ("glpat-", 20),
        ("xoxb-", 20),
        ("xoxp-", 20),
        ("AIza", 35),
        ("EAA", 60),
        ("eyJhbGciOi", 40),
        ("APP_USR-", 40),
        ("sk-", 40),
    ];
    let mut count = 0;
    for (at, chunk) in chunks(text, 20) {
        if count >= SPANS_MAX {
            return;
        }
        let Some(begin) = BEGINNINGS.iter().find(|(begin, length)| chunk.starts_with(begin) && chunk.len() >= *length)
        else {
            continue;
        };
        let whole = chunk.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')).count();
        if whole >= begin.1 && chunk[..whole].bytes().any(|byte| byte.is_ascii_digit()) {
            found.push(Sensitive { rule: KEY, span: (at, at + whole), evidence: format!("{}…", begin.0) });
            count += 1;
        }
    }
}

/// What is between white space and quotes, of this many bytes or more, with its place.
fn chunks(text: &str, bytes_min: usize) -> impl Iterator<Item = (usize, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let start = at;
            while at < bytes.len() && parted_at(text, bytes[at], at) == 0 {
                at += 1;
            }
            let end = at;
            at += if at < bytes.len() { parted_at(text, bytes[at], at) } else { 0 };
            if end - start >= bytes_min {
                return Some((start, &text[start..end]));
            }
        }
        None
    })
}

/// Length of the character at byte `at` if it parts chunks; 0 if it does not.
fn parted_at(text: &str, byte: u8, at: usize) -> usize {
    const PARTS: [u8; 256] = {
        // 2: of the characters that begin so some are blanks.
        let mut parts = [0; 256];
        let marks = b"\t\n\x0b\x0c\r \"'`=<>,;()";
        let mut i = 0;
        while i < marks.len() {
            parts[marks[i] as usize] = 1;
            i += 1;
        }
        parts[0xc2] = 2;
        parts[0xe1] = 2;
        parts[0xe2] = 2;
        parts[0xe3] = 2;
        parts
    };
    match PARTS[usize::from(byte)] {
        2 => text[at..].chars().next().filter(|c| c.is_whitespace()).map_or(0, char::len_utf8),
        parts => usize::from(parts),
    }
}

/// `minha senha é gato123`, `código de verificação: 482 913`.
fn named(text: &str, words: &Words, found: &mut Vec<Sensitive>) {
    let mut count = 0;
    for i in 0..words.list.len() {
        if count >= SPANS_MAX {
            return;
        }
        let name = words.text(&words.list[i]);
        let one = if PASSWORD_WORDS.contains(&name) && !denied(words, i) {
            password_after(text, words, i)
        } else if CODE_WORDS.contains(&name) {
            code_near(text, words, i)
        } else {
            None
        };
        if let Some(one) = one
            && found.iter().all(|other| other.span.1 <= one.span.0 || one.span.1 <= other.span.0)
        {
            found.push(one);
            count += 1;
        }
    }
}

fn denied(words: &Words, at: usize) -> bool {
    (at.saturating_sub(3)..at).any(|i| {
        matches!(
            words.text(&words.list[i]),
            "esqueci" | "perdi" | "trocar" | "mudar" | "olvide" | "forgot" | "reset" | "change"
        )
    })
}

fn password_after(text: &str, words: &Words, name: usize) -> Option<Sensitive> {
    let mut at = name + 1;
    let mut copula = matches!(words.list[name].after, b':' | b'=');
    while at - name <= 5 {
        let word = words.list.get(at)?;
        if !BETWEEN_WORDS.contains(&words.text(word)) {
            break;
        }
        copula |=
            matches!(words.text(word), "e" | "eh" | "is" | "es" | "era" | "sera") || matches!(word.after, b':' | b'=');
        at += 1;
    }
    let word = words.list.get(at)?;
    // Right after the name a colon may stand alone (`senha : x`).
    copula |= text[words.list[at - 1].end..word.start].contains([':', '=']);
    let rest = &text[word.start..];
    let length = rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '"' | ')')).unwrap_or(rest.len());
    let value = rest[..length].trim_end_matches(['.', '!', '?', ':', '\'', '”', '*']);
    let chars = value.chars().count();
    let has_digit = value.chars().any(|c| c.is_ascii_digit());
    let has_sign = value.chars().any(|c| matches!(c, '@' | '#' | '$' | '%' | '&' | '!' | '_' | '+'));
    let colon = text[words.list[name].end..word.start].contains([':', '=']);
    let is = (4..=64).contains(&chars)
        && (has_digit && (copula || at == name + 1) || has_sign && copula || colon && value.is_ascii() && chars >= 6)
        && !word.is(WordKind::Link)
        && !word.is(WordKind::File);
    is.then(|| Sensitive { rule: PASSWORD, span: (word.start, word.start + value.len()), evidence: "****".to_owned() })
}

/// Four to eight digits near the word `code`, where the text says what kind of code it is.
fn code_near(text: &str, words: &Words, name: usize) -> Option<Sensitive> {
    let from = name.saturating_sub(6);
    let to = (name + 8).min(words.list.len());
    let strong = matches!(words.text(&words.list[name]), "otp" | "token" | "pin");
    if !strong && !words.list[from..to].iter().any(|word| CODE_KINDS.contains(&words.text(word))) {
        return None;
    }
    let code = |i: usize| -> Option<(usize, usize)> {
        let word = &words.list[i];
        let dated = word.start > 0 && text.as_bytes()[word.start - 1] == b'/';
        if word.is(WordKind::Digits) && !dated {
            return Some((word.start, word.end));
        }
        // `482-913`, `482 913`
        let next = words.list.get(i + 1)?;
        let halves = [word, next].iter().all(|half| half.is(WordKind::Number) && half.end - half.start == 3);
        (halves && next.start == word.end + 1 && matches!(text.as_bytes()[word.end], b'-' | b' '))
            .then_some((word.start, next.end))
    };
    let span = (name + 1..to).chain((from..name).rev()).find_map(code)?;
    Some(Sensitive { rule: CODE, span, evidence: "*".repeat(6) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str)]) {
        let mut found = Vec::new();
        find(text, &Words::of(text), &mut found);
        let seen: Vec<(&str, &str)> = found.iter().map(|one| (one.rule, &text[one.span.0..one.span.1])).collect();
        assert_eq!(seen, expected, "{text}");
        assert!(found.iter().all(|one| !one.evidence.contains("gato") && !one.evidence.contains("482")));
    }

    #[test]
    fn passwords_and_codes() {
        check("minha senha é gato123", &[(PASSWORD, "gato123")]);
        check("Senha: batatinha", &[(PASSWORD, "batatinha")]);
        check("my password is Gato#2020.", &[(PASSWORD, "Gato#2020")]);
        check("la contraseña es gato123", &[(PASSWORD, "gato123")]);
        check("usuario ana senha 1234", &[(PASSWORD, "1234")]);
        check("Seu código de verificação é 482913. Não compartilhe.", &[(CODE, "482913")]);
        check("482-913 é o seu código do WhatsApp", &[(CODE, "482-913")]);
        check("chegou o codigo 482913", &[(CODE, "482913")]);
    }

    #[test]
    fn keys_and_tokens() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----";
        check(&format!("olha {key} ok"), &[(KEY, key)]);
        check("-----BEGIN PRIVATE KEY-----\nMIIB", &[(KEY, "-----BEGIN PRIVATE KEY-----\nMIIB")]);
        let token = concat!("ghp", "_0123456789abcdefghij0123456789abcdef");
        check(&format!("usa {token}"), &[(KEY, token)]);
    }

    #[test]
    fn what_is_no_secret() {
        for text in [
            "esqueci minha senha",
            "a senha é muito fácil",
            "como troco a senha?",
            "O código do produto é 884512",
            "meu código de rastreio é NL582114773BR",
            "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
            "o código da reserva é QX7Z2P",
            "não recebi o código de verificação",
        ] {
            check(text, &[]);
        }
    }
}
