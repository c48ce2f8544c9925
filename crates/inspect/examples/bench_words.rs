//! Speed of the inspectors of links and texts on one core: how many a second, how long hostile texts take, and what a
//! list of a million entries costs. `make bench` prints it; it needs no data.
//!
//! `cargo run --release -p guarita-inspect --example bench_words [RULES-FOLDER]`

use guarita_inspect::links::{ListBuilder, ListEntry, ListKind, ListSide, Lists};
use guarita_inspect::{LinkContext, TextContext, find_links, inspect_link, inspect_text};
use guarita_rules::{Language, RuleFile, RuleSet};
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// Short enough (a millisecond) that most rounds are not interrupted, so that the clock on the wall tells the truth in the best.
const ROUNDS: usize = 5;
const TRIES: usize = 2_000;
/// Everyday links and fraud, in about the proportion that a company sees.
const LINKS: &[&str] = &[
    "https://www.instagram.com/loja.da.maria/",
    "https://www.mercadolivre.com.br/p/MLB123456",
    "https://padariacentral.com.br/cardapio",
    "https://maps.app.goo.gl/AbCdEfGh",
    "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
    "https://g1.globo.com/economia/noticia/2026/11/22/bancos-lucram.ghtml",
    "https://github.com/rust-lang/rust/releases/tag/1.95.0",
    "https://docs.google.com/document/d/1a2b3c4d5e6f/edit?usp=sharing",
    "https://itau.com.br.atualizar-conta.top/login.php?id=8f3a2c",
    "https://metamask-extension-login.webflow.io/",
    "http://198.51.100.7/painel",
    "https://wa.me/5511999990000?text=oi",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "rules".to_owned());
    let mut files = Vec::new();
    for kind in ["links", "lists", "texts", "texts/pt", "texts/es", "texts/en"] {
        for entry in std::fs::read_dir(Path::new(&folder).join(kind))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let path = format!("{kind}/{}", entry.file_name().to_string_lossy());
                files.push(RuleFile { path, bytes: std::fs::read(entry.path())? });
            }
        }
    }
    let rules = RuleSet::compile(files, Language::Portuguese)?;
    let mut out = std::io::stdout().lock();
    texts(&rules, &mut out)?;
    let context = LinkContext::default();
    // The best of several rounds is what the machine can do; the others are what else it was doing.
    let best = (0..TRIES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ROUNDS {
                for link in LINKS {
                    black_box(inspect_link(black_box(link), "/text/body", None, &context, &rules, None));
                }
            }
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    writeln!(out, "judged: {:.0} links/s", ROUNDS as f64 * LINKS.len() as f64 / best.as_secs_f64())?;
    let mebibyte = 1 << 20;
    let fill = |unit: &str| unit.repeat(mebibyte / unit.len());
    for (name, text) in [
        ("a megabyte of one letter", fill("a")),
        ("a megabyte of dots", fill(".")),
        ("a megabyte of `a.`", fill("a.")),
        ("a megabyte of `[(`", fill("[(")),
        ("a megabyte of zero-width", fill("\u{200b}")),
        ("a megabyte of full-width dots", fill("．")),
        ("a megabyte of Portuguese", fill("Olá, tudo bem? Não recebi a encomenda. ")),
        ("10,000 links", "https://exemplo.com.br/a?b=c ".repeat(10_000)),
        ("10,000 bare hosts", "exemplo.com.br ".repeat(10_000)),
    ] {
        let best = (0..5)
            .map(|_| {
                let start = Instant::now();
                black_box(find_links(black_box(&text)));
                start.elapsed()
            })
            .min()
            .unwrap_or_default();
        writeln!(out, "found in {name}: {:.1} ms", best.as_secs_f64() * 1e3)?;
    }
    // As the pipeline does it: the first 250 with their score, the rest by rules and lists.
    let many: String = (0..10_000).map(|number| format!("https://loja{number}.exemplo.com.br/a?b=c ")).collect();
    let best = (0..5)
        .map(|_| {
            let start = Instant::now();
            for (number, link) in find_links(black_box(&many)).into_iter().enumerate() {
                let context = LinkContext { in_text: true, unscored: number >= 250, ..LinkContext::default() };
                black_box(inspect_link(&link.url, "/text/body", Some(link.span), &context, &rules, None));
            }
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    writeln!(out, "found and judged, 10,000 links of one text: {:.1} ms", best.as_secs_f64() * 1e3)?;
    let mut builder = ListBuilder::default();
    for number in 0..1_000_000 {
        let value = format!("h{number}.example.com");
        builder.add(&ListEntry { side: ListSide::Deny, kind: ListKind::Domain, value });
    }
    let lists = builder.build();
    let names: Vec<String> = (0..100_000).map(|n| format!("https://h{}.example.com/a", n * 17)).collect();
    let each = |lists: &Lists| {
        let start = Instant::now();
        for name in &names {
            black_box(lists.look_up_url(black_box(name)));
        }
        (start.elapsed()).as_secs_f64() / names.len() as f64 * 1e6
    };
    let whole = (0..5).map(|_| each(&lists)).fold(f64::MAX, f64::min);
    // An empty list is not asked: what is left is the parsing.
    let parsing = (0..5).map(|_| each(&Lists::default())).fold(f64::MAX, f64::min);
    writeln!(
        out,
        "lists: {} entries, {} MiB, {:.2} µs a look-up, and {parsing:.2} µs before it to parse the link",
        lists.entries(),
        lists.bytes() >> 20,
        whole - parsing
    )?;
    Ok(())
}

/// Everyday messages and fraud, in about the proportion that a company sees.
const TEXTS: &[&str] = &[
    "Oi, bom dia! Gostaria de saber se o pedido 10293 já saiu para entrega, por favor",
    "Paguei ontem no pix e ainda não caiu, segue o comprovante",
    "ok obrigado",
    "Vocês abrem no sábado? Qual o endereço da loja do centro?",
    "Boa tarde, o boleto venceu ontem, consigo a segunda via? meu cpf é 529.982.247-25",
    "Hola, ¿cuánto cuesta el envío a Lima? Gracias",
    "Can I change the booking to Friday at 8pm for four people?",
    "kkkkk verdade, depois eu te conto o que aconteceu lá em casa hoje de manhã",
    "Correios: sua encomenda foi taxada, pague R$ 27,90 em correios-br.shop para liberar",
    "Oi, mandei um código de 6 dígitos pro seu número sem querer, pode me passar?",
];

fn texts(rules: &RuleSet, out: &mut impl Write) -> std::io::Result<()> {
    let context = TextContext::default();
    let best = (0..TRIES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..ROUNDS {
                for text in TEXTS {
                    black_box(inspect_text(black_box(text), "/text/body", &context, rules));
                }
            }
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    writeln!(out, "judged: {:.0} texts/s", ROUNDS as f64 * TEXTS.len() as f64 / best.as_secs_f64())?;
    let million = |piece: &str| piece.repeat(1_000_000 / piece.len());
    for (name, text) in [
        ("one letter", million("a")),
        ("one digit", million("1")),
        ("spaced digits", million("4 ")),
        ("cards", million("4111111111111111 ")),
        ("near cards", million("4111111111111112,")),
        ("near CPFs", million("12345678901 ")),
        ("near CNPJs", million("12.345.678/0001-90 ")),
        ("near DNIs", million("12345678A ")),
        ("short numbers", million("123 ")),
        ("first words of phrases", million("manda me passa o envia nao ")),
        ("spelled out", million("a ")),
        ("dots", million("a.b")),
        ("zero-width", million("\u{200b}a")),
        ("chinese", million("验证码发给我")),
        ("key beginnings", million("-----BEGIN ")),
        ("leet", million("c0d1g0 ")),
    ] {
        let best = (0..3)
            .map(|_| {
                let start = Instant::now();
                black_box(inspect_text(black_box(&text), "/text/body", &context, rules));
                start.elapsed()
            })
            .min()
            .unwrap_or_default();
        writeln!(out, "judged, a megabyte of {name}: {:.1} ms", best.as_secs_f64() * 1e3)?;
    }
    Ok(())
}
