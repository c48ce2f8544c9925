//! Previews of files made here: what is shown, where it is cut, what is never shown.

use super::*;
use crate::formats::zip_parts::tests::build as zip;
use crate::walk::Limits;
use guarita_message::Member;
use guarita_rules::{Language, RuleSet};
use std::io::Cursor;

fn kit() -> Kit {
    let rules = RuleSet::compile(Vec::new(), Language::English).unwrap();
    Kit::new(rules, Limits::default()).unwrap()
}

fn shown(name: &str, bytes: &[u8]) -> Shown {
    let job = Job { name: name.to_owned(), wanted: crate::Wanted::Preview, ..Job::default() };
    make(bytes, &job, &kit()).shown
}

fn text_of(name: &str, bytes: &[u8]) -> String {
    match shown(name, bytes) {
        Shown::Text { text, .. } => text,
        other => panic!("{name}: {other:?}"),
    }
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let picture =
        image::RgbaImage::from_fn(width, height, |x, _| image::Rgba([200, 10, 10, if x == 0 { 0 } else { 255 }]));
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, image::ImageFormat::Png).unwrap();
    out.into_inner()
}

#[test]
fn a_picture_is_drawn_small_and_on_white() {
    let Shown::Picture { width, height, pixels } = shown("a.png", &png(8, 4)) else { panic!() };
    assert_eq!((width, height, pixels.len()), (8, 4, 8 * 4 * 3));
    assert_eq!(pixels[..6], [255, 255, 255, 200, 10, 10]);
    let Shown::Picture { width, height, pixels } = shown("a.png", &png(2000, 500)) else { panic!() };
    assert_eq!((width, height, pixels.len()), (512, 128, 512 * 128 * 3));
}

#[test]
fn what_is_no_picture_any_more_is_said_so() {
    let whole = png(64, 64);
    assert_eq!(shown("a.png", &whole[..60]), Shown::Nothing { why: GapReason::Corrupt });
    let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bomb.extend(60_000u32.to_be_bytes());
    bomb.extend(60_000u32.to_be_bytes());
    bomb.extend([8, 2, 0, 0, 0]);
    assert_eq!(shown("a.png", &bomb), Shown::Nothing { why: GapReason::Limits });
    assert_eq!(shown("a.bin", &[0, 1, 2, 3, 200, 201, 0, 9]), Shown::Nothing { why: GapReason::Unsupported });
}

#[test]
fn a_text_is_cut_and_its_control_characters_are_gone() {
    let table = "nome;valor\r\nAna Souza da Silva;1,50\u{7}\r\n";
    assert_eq!(text_of("a.csv", table.as_bytes()), "nome;valor\nAna Souza da Silva;1,50\n");
    assert_eq!(text_of("a.txt", b""), "");
    let Shown::Text { text, cut } = shown("a.txt", &b"linha\n".repeat(5_000)) else { panic!() };
    assert_eq!((text.lines().count(), cut), (Preview::LINES_MAX, true));
    let Shown::Text { text, cut } = shown("a.txt", &b"x".repeat(100_000)) else { panic!() };
    assert_eq!((text.trim_end().chars().count(), cut), (Preview::LINE_CHARS_MAX + 1, true));
    // Markup is shown as it is written; nothing runs.
    assert!(
        text_of("a.svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>")
            .contains("<script>")
    );
}

#[test]
fn documents_are_read_in_order() {
    let word = zip(&[
        ("[Content_Types].xml", b"<Types/>"),
        (
            "word/document.xml",
            b"<w:document><w:body><w:p><w:r><w:t>Bom &amp; </w:t></w:r><w:r><w:t>barato</w:t></w:r></w:p>\
            <w:p><w:r><w:instrText>DDEAUTO x</w:instrText><w:t>fim</w:t></w:r></w:p></w:body></w:document>",
        ),
    ]);
    assert_eq!(text_of("a.docx", &word), "Bom & barato\nfim\n");
    let sheet = zip(&[
        ("[Content_Types].xml", b"<Types/>"),
        ("xl/workbook.xml", b"<workbook/>"),
        ("xl/sharedStrings.xml", b"<sst><si><t>nome</t></si><si><r><t>An</t></r><r><t>a</t></r></si></sst>"),
        ("xl/worksheets/sheet1.xml", b"<worksheet><sheetData><row><c t=\"s\"><v>0</v></c><c><v>1.5</v></c></row>\
            <row><c t=\"s\"><v>1</v></c><c t=\"s\"><v>99</v></c><c t=\"inlineStr\"><is><t>oi</t></is></c></row></sheetData></worksheet>"),
    ]);
    assert_eq!(text_of("a.xlsx", &sheet), "nome\t1.5\nAna\t\toi\n");
    let open = zip(&[
        ("mimetype", b"application/vnd.oasis.opendocument.text"),
        ("content.xml", b"<office:document-content><text:p>um<text:s/>dois</text:p><text:h>tr\xc3\xaas</text:h></office:document-content>"),
    ]);
    assert_eq!(text_of("a.odt", &open), "um dois\ntrês\n");
}

fn pdf(content: &str, more: &str, font: &str) -> Vec<u8> {
    format!(
        "%PDF-1.4\n1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj\n2 0 obj <</Type /Pages /Kids [3 0 R] /Resources <</Font <</F1 5 0 R>>>>>> endobj\n\
         3 0 obj <</Type /Page /Parent 2 0 R /Contents 4 0 R>> endobj\n\
         4 0 obj <</Length {}>> stream\n{content}\nendstream endobj\n5 0 obj {font} endobj\n{more}\ntrailer <</Root 1 0 R>>\n%%EOF",
        content.len()
    )
    .into_bytes()
}

#[test]
fn a_pdf_s_text_is_spelled_by_its_fonts() {
    let plain = "<</Type /Font /Subtype /Type1>>";
    let content = r"BT /F1 12 Tf 0 700 Td (Fatura \(2\252 via\)) Tj 0 -14 Td [(To) 20 (tal:) -250 (R$ 10)] TJ ET";
    assert_eq!(text_of("a.pdf", &pdf(content, "", plain)), "Fatura (2ª via)\nTotal: R$ 10\n");
    let table = "1 beginbfchar <0003> <0020> endbfchar 1 beginbfrange <0010> <0012> <0061> endbfrange";
    let more = format!("6 0 obj <</Length {}>> stream\n{table}\nendstream endobj", table.len());
    let wide = "<</Type /Font /Subtype /Type0 /ToUnicode 6 0 R>>";
    assert_eq!(text_of("a.pdf", &pdf("BT /F1 9 Tf <0010001100030012> Tj ET", &more, wide)), "ab c\n");
    // A scan has no text; a password hides it.
    let scan = pdf("q 100 0 0 100 0 0 cm /Im1 Do Q", "", plain);
    assert_eq!(shown("a.pdf", &scan), Shown::Nothing { why: GapReason::Unsupported });
    let sealed = String::from_utf8(scan).unwrap().replace("/Root 1 0 R", "/Root 1 0 R /Encrypt 9 0 R");
    assert_eq!(shown("a.pdf", sealed.as_bytes()), Shown::Nothing { why: GapReason::Encrypted });
}

#[test]
fn an_archive_lists_what_it_holds() {
    let inner = zip(&[("b.txt", b"dentro")]);
    let word = zip(&[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<w:document/>")]);
    let outer = zip(&[("pasta/a.exe", b"MZ not really"), ("mais.zip", &inner), ("carta.docx", &word)]);
    let Shown::Members { members, cut } = shown("tudo.zip", &outer) else { panic!() };
    let names: Vec<_> = members.iter().map(|member| (member.depth, member.name.as_str(), member.bytes > 0)).collect();
    assert_eq!(names, [(0, "pasta/a.exe", true), (0, "mais.zip", true), (1, "b.txt", true), (0, "carta.docx", true)]);
    assert!(!cut);
    let many: Vec<(String, Vec<u8>)> = (0..400).map(|n| (format!("f{n}.txt"), b"x".to_vec())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let Shown::Members { members, cut } = shown("muitos.zip", &zip(&many)) else { panic!() };
    assert_eq!((members.len(), cut), (Preview::MEMBERS_MAX, true));
}

#[test]
fn names_of_closed_members_are_told() {
    let mut sealed = zip(&[("segredo.docx", b"0123456789abcdefghij")]);
    for mark in [&b"PK\x03\x04"[..], b"PK\x01\x02"] {
        let at = memchr::memmem::find(&sealed, mark).unwrap();
        sealed[at + if mark[2] == 3 { 6 } else { 8 }] |= 1;
    }
    let Shown::Members { members, .. } = shown("a.zip", &sealed) else { panic!() };
    let expect = Member {
        name: "segredo.docx".to_owned(),
        depth: 0,
        true_type: String::new(),
        bytes: 20,
        closed: Some(GapReason::Encrypted),
    };
    assert_eq!(members, [expect]);
}

/// Whatever is cut off or changed: an answer, within bounds, and no panic.
#[test]
fn broken_files_are_answered() {
    let kit = kit();
    let content = r"BT /F1 12 Tf [(a\12) -900 <41 4>] TJ (((";
    let word = zip(&[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<w:p><w:t>&#x41;&#xffffff;</w:t")]);
    for (name, file) in [
        ("a.png", png(40, 30)),
        (
            "a.pdf",
            pdf(
                content,
                "6 0 obj <</Length 9>> stream\nbeginbfrange <00> <ffff> [ <41> endstream endobj",
                "<</ToUnicode 6 0 R>>",
            ),
        ),
        ("a.docx", word),
        ("a.zip", zip(&[("a", b"x"), ("b.zip", b"PK\x03\x04")])),
    ] {
        for at in 0..file.len() {
            let job = Job { name: name.to_owned(), ..Job::default() };
            make(&file[..at], &job, &kit);
            let mut changed = file.clone();
            changed[at] ^= 0x55;
            make(&changed, &job, &kit);
        }
    }
}
