//! Links as customers send them, against the rules that ship.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its data has failed")]

use guarita_inspect::links::{ListBuilder, ListEntry, ListSide, Lists, find_links, run_samples};
use guarita_inspect::{LinkContext, inspect_link};
use guarita_message::{Category, Inspection, Severity, Verdict};
use guarita_rules::{Language, RuleFile, RuleSet};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

static RULES: LazyLock<RuleSet> = LazyLock::new(|| rules(Language::English));

fn rules(language: Language) -> RuleSet {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let mut files = Vec::new();
    for kind in ["links", "lists"] {
        for entry in std::fs::read_dir(root.join(kind)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{kind}/{}", entry.file_name().to_string_lossy());
            files.push(RuleFile { path, bytes: std::fs::read(entry.path()).unwrap() });
        }
    }
    RuleSet::compile(files, language).unwrap_or_else(|error| panic!("{error}"))
}

fn look(url: &str) -> Inspection {
    inspect_link(url, "/text/body", None, &LinkContext::default(), &RULES, None)
}

#[test]
fn every_sample_does_what_its_rule_says() {
    let failures: Vec<String> = run_samples(&RULES)
        .into_iter()
        .map(|f| format!("{}:{} {} `{}` {}", f.file, f.line, f.rule, f.sample, f.problem))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_rule_speaks_three_languages() {
    for rule in RULES.all() {
        for text in [&rule.title, &rule.why] {
            assert!(![&text.en, &text.pt, &text.es].iter().any(|t| t.is_empty()), "{}", rule.id);
        }
    }
    for feature in RULES.links.reasons.keys() {
        assert!(guarita_inspect::links::FEATURES.contains(&feature.as_str()), "no feature `{feature}`");
    }
}

fn check(text: &str, expect: &[&str]) {
    let found: Vec<String> = find_links(text).into_iter().map(|link| link.url).collect();
    assert_eq!(found, expect, "{text}");
    for link in find_links(text) {
        assert!(text.get(link.span.0..link.span.1).is_some_and(|covered| !covered.is_empty()), "{text}");
    }
}

#[test]
fn links_are_found_as_people_send_them() {
    check("veja https://exemplo.com.br/a?b=c#d.", &["https://exemplo.com.br/a?b=c#d"]);
    check("acesse exemplo.com.br/promo agora", &["http://exemplo.com.br/promo"]);
    check("WWW.EXEMPLO.COM", &["http://WWW.EXEMPLO.COM"]);
    check("(exemplo.com)", &["http://exemplo.com"]);
    check(
        "*exemplo.com* _exemplo.net_ ~exemplo.org~",
        &["http://exemplo.com", "http://exemplo.net", "http://exemplo.org"],
    );
    check("hxxps://evil[.]exemplo[.]com/x", &["https://evil.exemplo.com/x"]);
    check("hxxp[:]//evil(.)com", &["http://evil.com"]);
    check("evil [dot] com/login e evil[ponto]com", &["http://evil.com/login", "http://evil.com"]);
    check("ev\u{200b}il.c\u{200d}om/x", &["http://evil.com/x"]);
    check("http://ex\u{ad}emplo.com", &["http://exemplo.com"]);
    check("ｈｔｔｐｓ：／／ｅｖｉｌ．ｃｏｍ／ｘ", &["https://evil.com/x"]);
    check("ⓔⓥⓘⓛ.ⓒⓞⓜ/x 𝐞𝐯𝐢𝐥.𝐜𝐨𝐦", &["http://evil.com/x", "http://evil.com"]);
    check("evil。com/x", &["http://evil.com/x"]);
    check("[clique](https://evil.com/x)", &["https://evil.com/x"]);
    check(
        "<https://evil.com/x>, \"http://a.com\" e 'http://b.com'",
        &["https://evil.com/x", "http://a.com", "http://b.com"],
    );
    check("http://a.comhttp://b.com", &["http://a.com", "http://b.com"]);
    check("http://a.com/x,http://b.com;c.com", &["http://a.com/x", "http://b.com;c.com"]);
    check("site:evil.com,outro.com", &["http://evil.com", "http://outro.com"]);
    check("https://pt.wikipedia.org/wiki/Pix_(pagamento)", &["https://pt.wikipedia.org/wiki/Pix_(pagamento)"]);
    check("(veja https://exemplo.com/a(b))", &["https://exemplo.com/a(b)"]);
    check("evil.com.Depois me liga", &["http://evil.com"]);
    check("evil.com...", &["http://evil.com"]);
    check("exemplo.com:8080/x e exemplo.com:8080", &["http://exemplo.com:8080/x", "http://exemplo.com:8080"]);
    check("http:\\\\evil.com\\x", &["http://evil.com\\x"]);
    check("http://user@evil.com/x", &["http://user@evil.com/x"]);
    check(
        "http://0x7f.1/ http://2130706433/ http://[::1]/",
        &["http://0x7f.1/", "http://2130706433/", "http://[::1]/"],
    );
    check("itaú.com.br/x пример.рф", &["http://itaú.com.br/x", "http://пример.рф"]);
    check("wa.me/5511999990000 t.me/grupo", &["http://wa.me/5511999990000", "http://t.me/grupo"]);
    check("evil . com . br", &["http://evil.com.br"]);
    check("evil .com/x", &["http://evil.com/x"]);
    check("minhaloja.vercel.app", &["http://minhaloja.vercel.app"]);
    check("javascript:alert(1) e tel:+5511999990000", &["javascript:alert(1)", "tel:+5511999990000"]);
    check("intent://x/#Intent;end", &["intent://x/#Intent;end"]);
    check("whatsapp://send?text=oi sgnl://linkdevice?x", &["whatsapp://send?text=oi", "sgnl://linkdevice?x"]);
    check("12345.xyz", &["http://12345.xyz"]);
    check("198.51.100.7/login", &["http://198.51.100.7/login"]);
    check("http://a.com?x=1&y=http://b.com/", &["http://a.com?x=1&y=http://b.com/"]);
    check("veja 👉evil.com👈", &["http://evil.com"]);
    check("evil\\.com", &["http://evil.com"]);
}

#[test]
fn what_is_no_link_is_left_alone() {
    for text in [
        "custa R$1.500,00 ou 1.500.00",
        "versão 2.0.1 e v1.2.3.4",
        "contrato.pdf e foto.png",
        "ok.entao vamos",
        "planilha.xlsx",
        "joao.silva@itau.com.br",
        "fale com maria@exemplo.com.",
        "dia 12.05.2026 às 10.30",
        "12/05.",
        "tudo bem.me liga depois",
        "isso.com certeza",
        "R$ 10.00",
        "3.14",
        "etc...",
        "a.b",
        "p.ex. isto",
        "Sr.Joao",
        "data:12/05/2026",
        "obs: nada",
        "e.g. this",
        "arquivo.zip",
        "fotos.rar",
        "main.rs",
        "script.sh",
        "index.html",
        "S.A.",
        "10.am",
        "Olá.Tudo bem?",
        "nota_fiscal.xml",
        "…",
        ".",
        "..",
        ":",
        "://",
        "http://",
        "https:// ",
        "www.",
        "@loja.me",
        "nome.sobrenome",
        "gosto de .net",
        "vou . com ele",
        "javascript: é uma linguagem",
        "1.2.3.4",
        "foto.final.jpg",
        "relatorio.com.pdf",
        "tel: 1199999",
        "hoje.depois",
        "CNPJ 12.345.678/0001-90",
        "CPF 123.456.789-09",
    ] {
        check(text, &[]);
    }
}

#[test]
fn spans_cover_the_disguise() {
    let text = "olha: ev\u{200b}il[.]com/x !";
    let link = &find_links(text)[0];
    assert_eq!(&text[link.span.0..link.span.1], "ev\u{200b}il[.]com/x");
    let text = "é ｅｖｉｌ．com fim";
    let link = &find_links(text)[0];
    assert_eq!(&text[link.span.0..link.span.1], "ｅｖｉｌ．com");
}

#[test]
fn markdown_keeps_what_it_shows() {
    let link = &find_links("[www.itau.com.br](http://evil.com)")[1];
    assert_eq!(link.shown.as_deref(), Some("www.itau.com.br"));
}

#[test]
fn links_of_brands_and_customers_are_clean() {
    for url in [
        "https://www.itau.com.br/empresas",
        "https://banco.bradesco/html/classic/index.shtm",
        "https://nubank.com.br/",
        "https://www.bb.com.br/site/",
        "https://www.caixa.gov.br/",
        "https://www.mercadolivre.com.br/p/MLB123",
        "https://wa.me/5511999990000?text=oi",
        "https://chat.whatsapp.com/AbCd",
        "https://www.correios.com.br/rastreamento",
        "https://www.gov.br/receitafederal/pt-br",
        "https://www.google.com/maps/place/x",
        "https://maps.app.goo.gl/AbC",
        "https://www.instagram.com/loja/",
        "https://www.amazon.com.br/dp/B01",
        "https://www.santander.com.br/",
        "https://www.youtube.com/watch?v=abc",
        "https://padariadobairro.com.br/cardapio",
        "https://pt.wikipedia.org/wiki/Pix",
        "https://www.santander.com.mx/",
        "https://g1.globo.com/economia/noticia/2026/itau-lucra.ghtml",
    ] {
        let seen = look(url);
        assert!(
            seen.verdict() == Verdict::Clean,
            "{url}: {:?}",
            seen.findings.iter().map(|f| &f.rule).collect::<Vec<_>>()
        );
    }
}

#[test]
fn plain_fraud_is_high() {
    for url in [
        "https://itau.com.br.atualizar.top/",
        "https://nubank-seguranca.com/login",
        "https://correios-taxa.com/pagar",
        "http://whatsapp-web-login.com",
        "https://раypal.com/",
        "https://bradesco.top",
        "https://meu-gov-br.online/cpf",
        "https://mercadolivre-oferta.shop/",
        "https://caixa-fgts-saque.com/",
        "https://example.com/boleto.exe",
        "https://example.com/app.apk",
        "javascript:alert(1)",
        "https://www.itau.com.br@evil.com/",
        "https://secure-itau.com/",
    ] {
        let seen = look(url);
        assert!(
            seen.verdict() == Verdict::Malicious,
            "{url}: {:?}",
            seen.findings.iter().map(|f| (&f.rule, f.severity)).collect::<Vec<_>>()
        );
        // A program alone is stopped for what it is; that its sender lies is not said.
        let program =
            seen.findings.iter().all(|f| f.severity < Severity::High || f.category == Category::ExecutableLink);
        assert!(seen.suspicion() >= if program { 0.4 } else { 0.85 }, "{url}");
    }
}

#[test]
fn the_link_inside_a_redirect_is_judged() {
    let seen = look("https://www.google.com/url?q=https%3A%2F%2Fitau.com.br.evil.top%2F");
    assert!(seen.findings.iter().any(|f| f.rule == "links/official-domain-in-front"));
}

/// Beyond 250 links of a message: rules and lists still speak, the score does not.
#[test]
fn an_unscored_link_is_judged_by_rules_alone() {
    let context = LinkContext { unscored: true, ..LinkContext::default() };
    let look = |url: &str| inspect_link(url, "/x", None, &context, &RULES, None);
    assert_eq!(look("https://nubank-seguranca.com/login").verdict(), Verdict::Malicious);
    let random = "https://xkqzjvwp.top/8f3a2c9b/login.php";
    assert!(inspect_link(random, "/x", None, &LinkContext::default(), &RULES, None).verdict() > Verdict::Clean);
    assert!(look(random).findings.iter().all(|finding| !finding.rule.contains("learned")));
}

#[test]
fn evidence_carries_no_query() {
    let seen = look("https://nubank-login.com/entrar?token=SEGREDO&cpf=12345678909");
    assert!(!seen.findings.is_empty());
    assert!(seen.findings.iter().all(|f| !f.evidence.contains("SEGREDO") && !f.evidence.contains("12345678909")));
}

#[test]
fn lists_deny_and_allow() {
    let mut builder = ListBuilder::default();
    for (side, written) in [
        (ListSide::Deny, "evil.example.com"),
        (ListSide::Allow, "nubank-login.com"),
        (ListSide::Allow, "files.example.com"),
    ] {
        builder.add(&ListEntry::read(side, written).unwrap());
    }
    let lists = builder.build();
    let look = |url: &str, lists: &Lists| inspect_link(url, "/x", None, &LinkContext::default(), &RULES, Some(lists));
    let denied = look("https://a.evil.example.com/x", &lists);
    assert!(denied.findings.iter().any(|f| f.rule == "links/deny-list" && f.severity == Severity::High));
    assert_eq!(look("https://nubank-login.com/entrar", &lists).verdict(), Verdict::Clean);
    // An allow list never silences a program.
    assert_eq!(look("https://files.example.com/fatura.scr", &lists).verdict(), Verdict::Malicious);
}

#[test]
fn titles_are_in_the_operators_language() {
    let rules = rules(Language::Portuguese);
    let seen = inspect_link("https://bradesco.top/", "/x", None, &LinkContext::default(), &rules, None);
    let finding = seen.findings.iter().find(|f| f.rule == "links/brand-wrong-suffix").unwrap();
    assert!(finding.title.starts_with("Nome de uma marca"), "{}", finding.title);
}

#[test]
fn a_million_entries_are_small_and_quick() {
    let mut builder = ListBuilder::default();
    for number in 0..1_000_000 {
        builder.add(&ListEntry {
            side: ListSide::Deny,
            kind: guarita_inspect::links::ListKind::Domain,
            value: format!("h{number}.example.com"),
        });
    }
    let lists = builder.build();
    assert_eq!(lists.entries(), 1_000_000);
    assert!(lists.bytes() <= 40 << 20);
    assert_eq!(lists.look_up_url("http://x.h77.example.com/"), guarita_inspect::links::ListHit::Denied);
    assert_eq!(lists.look_up_url("http://g77.example.com/"), guarita_inspect::links::ListHit::Unknown);
}

/// Time this thread has had on a processor; on a busy machine the clock on the wall says something else.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|n| n.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Texts made to be slow. Debug builds are some thirty times slower than what ships; the bound here catches a
/// quadratic search, the example `bench_words` measures the real one.
#[test]
fn hostile_texts_take_linear_time() {
    let quarter_mebibyte = 1 << 18;
    let fill = |unit: &str| unit.repeat(quarter_mebibyte / unit.len());
    for (name, text) in [
        ("letter", fill("a")),
        ("dots", fill(".")),
        ("a.", fill("a.")),
        ("a.com ", fill("a.com ")),
        ("colons", fill(":")),
        ("http://", fill("http://")),
        ("brackets", fill("[.]")),
        ("opening", fill("[(")),
        ("spaced", fill(" . com")),
        ("at", fill("a@a.")),
        ("paren", format!("http://a.com/{}", fill(")"))),
        ("zero width", fill("\u{200b}")),
        ("full width", fill("．")),
        ("schemes", fill("intent:a")),
        ("tel", fill("tel:123")),
        ("hyphens", fill("a-.")),
        ("markdown", fill("[a](")),
        ("slashes", fill("//a.b")),
        ("greek", fill("ά.")),
        ("http", fill("https:/")),
        ("quotes", format!("http://a.b{}", fill("'\""))),
    ] {
        let start = cpu_time();
        let links = find_links(&text);
        let taken = cpu_time() - start;
        assert!(taken < Duration::from_secs(1), "{name}: {taken:?}, {} links", links.len());
    }
}

#[test]
fn hostile_links_are_judged_without_a_panic() {
    let long = format!("http://{}.com/{}", "a".repeat(300), "b/".repeat(100_000));
    for url in [
        long.as_str(),
        "",
        "http://",
        "http://%",
        "\u{0}",
        "http://é.é",
        "data:",
        "http://xn--/",
        "http://a..b/",
        "http://[::",
        "tel:",
        "http://xn--80ak6aa92e.com",
        "http://a.com/?url=http://a.net/?url=http://a.org/?url=http://a.br/?url=http://a.io",
        "http://ß.de/ẞ",
        "İtaú.com",
        "http://itaú.рф/",
    ] {
        let seen = look(url);
        assert!(seen.findings.iter().all(|f| f.evidence.chars().count() <= 160));
    }
}
