//! What content is, whatever it is called; what names say; what is encrypted and with what it opens.

use guarita_file_worker::kind::{Kind, detect, extension_of};
use guarita_file_worker::{Job, Kit, Report, look, walk::Limits};
use guarita_message::GapReason;
use guarita_rules::{Language, RuleSet};

#[test]
fn content_decides() {
    let check = |bytes: &[u8], name: &str, want: Kind| assert_eq!(detect(bytes, name), want, "{name}");
    check(b"", "a.exe", Kind::Empty);
    check(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", "photo.jpg", Kind::Png);
    check(b"%PDF-1.7\n", "a", Kind::Pdf);
    check(&[b" ".repeat(500).as_slice(), b"%PDF-1.7\n1 0 obj"].concat(), "a", Kind::Pdf);
    check(&[b"MZ".as_slice(), &[0; 58], &[64, 0, 0, 0], b"PE\0\0", &[0; 40]].concat(), "a.pdf", Kind::Pe);
    check(b"MZ is how this text begins, and it goes on.", "a.txt", Kind::Text);
    check(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", "a", Kind::Elf);
    check(b"\x7fELF\x02\x01\x01\0AI\x02\0\0\0\0\0", "a", Kind::AppImage);
    check(b"\xca\xfe\xba\xbe\0\0\0\x34\0\x10", "a", Kind::JavaClass);
    check(b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07", "a", Kind::MachO);
    check(b"\0\0\0\x18ftyp3gp5\0\0\0\0", "a", Kind::ThreeGp);
    check(b"\0\0\0\x18ftypM4A \0\0\0\0", "a", Kind::M4a);
    check(b"\0\0\0\x18ftypheic\0\0\0\0", "a", Kind::Heic);
    check(b"RIFF\x10\0\0\0WEBPVP8 ", "a", Kind::Webp);
    check(b"OggS\0\x02\0\0\0\0OpusHead", "a", Kind::Ogg);
    check(b"#!AMR\n<\x91\x17", "a", Kind::Amr);
    check(b"\xff\xf1\x50\x80\x02\x1f\xfc\xda", "a", Kind::Aac);
    check(b"Rar!\x1a\x07\x01\0", "a", Kind::Rar);
    check(b"conectix\0\0\0\x02\0\x01", "a", Kind::Vhd);
    check(b"SQLite format 3\0\x10\0", "a", Kind::Sqlite);
}

#[test]
fn texts_are_told_apart() {
    let check = |text: &str, name: &str, want: Kind| {
        assert_eq!(detect(text.as_bytes(), name), want, "{name}: {text}");
        // the same in UTF-16, as Windows writes it
        let wide: Vec<u8> = std::iter::once(0xfeffu16).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        if !text.starts_with("#!") {
            assert_eq!(detect(&wide, name), want, "{name} in UTF-16: {text}");
        }
    };
    check("bom dia, segue o comprovante", "a.txt", Kind::Text);
    check("<!-- x --><html><body>x</body></html>", "a", Kind::Html);
    check("<?xml version=\"1.0\"?><svg xmlns=\"x\"></svg>", "a", Kind::Svg);
    check("<?xml version=\"1.0\"?><nfeProc></nfeProc>", "nota.xml", Kind::Xml);
    check("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"c\">]><svg/>", "a", Kind::Svg);
    check("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ana\r\nEND:VCARD\r\n", "a", Kind::Vcard);
    check("[InternetShortcut]\r\nURL=http://x\r\n", "a", Kind::UrlShortcut);
    check("#!/usr/bin/env python3\nprint(1)\n", "a", Kind::Python);
    check("#![allow(dead_code)]\nfn main() {}\n", "a.rs", Kind::Text);
    check("@echo off\r\ndel x\r\n", "fatura.pdf", Kind::Batch);
    check("MsgBox \"x\" ' any text", "a.vbs", Kind::VbScript);
    check("Windows Registry Editor Version 5.00\r\n", "a", Kind::Reg);
    check("{\\rtf1 x}", "a.doc", Kind::Rtf);
    check("From: a@example.com\r\nTo: b@example.com\r\nSubject: x\r\n\r\ny", "a", Kind::Eml);
    check("From a@example.com  Thu Jul 31 13:49:50 2008\nFrom: a@example.com\nSubject: x\n\ny", "a", Kind::Eml);
    check("{\"a\": 1}", "a", Kind::Json);
}

#[test]
fn no_beginning_of_anything_panics() {
    let mut seed = 7u32;
    for magic in ["PK\u{3}\u{4}", "<!DOCTYPE a [", "From ", "<", "#!", "begin 644 ", "{\\rt", "MZ", "ì"] {
        for length in 0..300 {
            let mut bytes = magic.as_bytes().to_vec();
            for _ in 0..length {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push((seed >> 24) as u8);
            }
            detect(&bytes, "a.b");
        }
    }
    // A doctype so long that its 4096th byte lies within a character.
    let long = format!("<!doctype {}ì>", "x".repeat(4085));
    (0..8).for_each(|shift| {
        detect(format!("{}{long}<svg/>", " ".repeat(shift)).as_bytes(), "a");
    });
}

#[test]
fn extensions_are_what_windows_takes_for_one() {
    let check = |name: &str, want: &str| assert_eq!(extension_of(name), want, "{name}");
    check("a.PDF", "pdf");
    check("a.exe. .", "exe");
    check("docs\\b.js", "js");
    check("none", "");
    check("dir.d/none", "");
}

fn kit() -> Kit {
    let rules = RuleSet::compile(Vec::new(), Language::English).expect("no rules compile");
    Kit::new(rules, Limits::default()).expect("no rules compile")
}

fn seen(kit: &Kit, bytes: &[u8], passwords: &[&str]) -> Report {
    let passwords = passwords.iter().map(|word| (*word).to_owned()).collect();
    look(bytes, &Job { name: "a.zip".to_owned(), passwords, ..Job::default() }, kit)
}

fn rules_of(report: &Report) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.rule.as_str()).collect()
}

/// The old zip cipher, the other way round.
fn zip_with_password(name: &str, bytes: &[u8], password: &str) -> Vec<u8> {
    let table: Vec<u32> =
        (0..256u32).map(|n| (0..8).fold(n, |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })).collect();
    let step = |crc: u32, byte: u8| table[((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8);
    let crc = !bytes.iter().fold(!0, |crc, byte| step(crc, *byte));
    let mut keys = (0x1234_5678u32, 0x2345_6789u32, 0x3456_7890u32);
    let update = |keys: &mut (u32, u32, u32), byte: u8| {
        keys.0 = step(keys.0, byte);
        keys.1 = keys.1.wrapping_add(keys.0 & 0xff).wrapping_mul(0x0808_8405).wrapping_add(1);
        keys.2 = step(keys.2, (keys.1 >> 24) as u8);
    };
    password.bytes().for_each(|byte| update(&mut keys, byte));
    let header = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, (crc >> 24) as u8];
    let packed: Vec<u8> = header
        .iter()
        .chain(bytes)
        .map(|byte| {
            let temp = (keys.2 | 2) as u16;
            let cipher = byte ^ (temp.wrapping_mul(temp ^ 1) >> 8) as u8;
            update(&mut keys, *byte);
            cipher
        })
        .collect();
    let numbers = |out: &mut Vec<u8>| {
        out.extend_from_slice(&[20, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
        out.extend_from_slice(&[0, 0]);
    };
    let mut out = b"PK\x03\x04".to_vec();
    numbers(&mut out);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&packed);
    let directory = out.len();
    out.extend_from_slice(b"PK\x01\x02\x14\0");
    numbers(&mut out);
    out.extend_from_slice(&[0; 14]);
    out.extend_from_slice(name.as_bytes());
    let length = out.len() - directory;
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&(directory as u32).to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out
}

#[test]
fn a_password_of_the_message_opens_a_zip() {
    let kit = kit();
    let zip = zip_with_password("fatura.sh", b"#!/bin/sh\nid\n", "2024");
    let closed = seen(&kit, &zip, &["senha", "1234"]);
    assert_eq!(closed.gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>(), [GapReason::Encrypted]);
    assert!(rules_of(&closed).contains(&"files/archive-encrypted"), "{closed:?}");
    // The name alone says what it is.
    assert!(rules_of(&closed).contains(&"files/executable-name"), "{closed:?}");
    let open = seen(&kit, &zip, &["senha", "2024"]);
    assert!(open.gaps.is_empty(), "{open:?}");
    assert!(rules_of(&open).contains(&"files/archive-password-found"), "{open:?}");
    let inside = open.findings.iter().find(|f| f.rule == "files/script").expect("the script is seen");
    assert_eq!(inside.inside, "a.zip › fatura.sh");
}

#[test]
fn a_cut_off_file_is_looked_at_as_far_as_it_goes() {
    let kit = kit();
    let zip = zip_with_password("a.txt", b"x", "y");
    for cut in 0..zip.len() {
        seen(&kit, &zip[..cut], &["y"]);
    }
}
