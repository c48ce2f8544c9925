//! What stands in place of a withheld part, in the operator's language. Short: staff read it on a phone.

use guarita_message::{Category, Decision, Inspection};

/// `language` is `pt-BR`, `en` or `es`; `name` the file's shown name, if any.
pub fn notice(decision: &Decision, inspection: &Inspection, place: &str, name: &str, language: &str) -> String {
    let worst = inspection
        .findings
        .iter()
        .filter(|finding| finding.place == place && !finding.shadow)
        .max_by_key(|finding| finding.severity);
    let cause =
        decision.because.iter().find(|because| because.place == place).map_or("", |because| because.cause.as_str());
    let is_text = !inspection.files.iter().any(|file| file.place == place);
    let name: String = printable(name);
    let named =
        |with: &str, without: &str| if name.is_empty() { without.to_owned() } else { with.replace("{}", &name) };
    let what = match language {
        "en" if is_text => "A message was withheld by Guarita".to_owned(),
        "es" if is_text => "Guarita retuvo un mensaje".to_owned(),
        _ if is_text => "Mensagem retida pelo Guarita".to_owned(),
        "en" => named("The file \"{}\" was withheld by Guarita", "A file was withheld by Guarita"),
        "es" => named("Guarita retuvo el archivo \"{}\"", "Guarita retuvo un archivo"),
        _ => named("Arquivo \"{}\" retido pelo Guarita", "Arquivo retido pelo Guarita"),
    };
    let why = match worst {
        Some(finding) => finding.title.clone(),
        None => gap_words(cause.strip_prefix("gap:").unwrap_or(cause), language).to_owned(),
    };
    let advice = match (language, worst.map(|finding| finding.category)) {
        ("en", Some(Category::Malware)) => " Do not ask for it again by another way.",
        ("es", Some(Category::Malware)) => " No lo pida de nuevo por otro medio.",
        (_, Some(Category::Malware)) => " Não peça o envio por outro meio.",
        _ => "",
    };
    format!("\u{26a0}\u{fe0f} {what}: {why}.{advice}")
}

fn gap_words(reason: &str, language: &str) -> &'static str {
    match (reason, language) {
        ("encrypted", "en") => "it is locked with a password and could not be checked",
        ("encrypted", "es") => "está protegido con contraseña y no se pudo revisar",
        ("encrypted", _) => "está protegido por senha e não pôde ser verificado",
        ("too_large" | "limits", "en") => "it is too large or too deeply packed to be checked",
        ("too_large" | "limits", "es") => "es demasiado grande o está demasiado comprimido para revisarlo",
        ("too_large" | "limits", _) => "é grande demais ou compactado demais para ser verificado",
        (_, "en") => "it could not be checked",
        (_, "es") => "no se pudo revisar",
        _ => "não pôde ser verificado",
    }
}

/// A file's name as it may be shown: without characters that hide or turn text, cut to 60 characters.
fn printable(name: &str) -> String {
    let clean = name.chars().filter(|c| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    });
    let mut out: String = clean.clone().take(60).collect();
    if clean.count() > 60 {
        out.push('…');
    }
    out
}
