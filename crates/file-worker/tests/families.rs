//! Families of attacks, built here and looked at: two files in one, for many pairs; carriers that nobody reads to their end;
//! what a document starts. Each family has a harmless neighbour that must stay silent.

use base64::Engine;
use guarita_file_worker::{Job, Kit, Report, look, walk::Limits};
use guarita_message::{GapReason, Severity};
use guarita_rules::{Language, RuleFile, RuleSet};
use std::io::Write;
use std::path::Path;
use std::sync::LazyLock;

static KIT: LazyLock<Kit> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    let mut files = Vec::new();
    for kind in ["files", "yara"] {
        for entry in std::fs::read_dir(folder.join(kind)).expect("rules/ can be read") {
            let entry = entry.expect("rules/ can be read");
            let path = format!("{kind}/{}", entry.file_name().to_string_lossy());
            files.push(RuleFile { path, bytes: std::fs::read(entry.path()).expect("a rule file can be read") });
        }
    }
    Kit::new(RuleSet::compile(files, Language::English).expect("compiles"), Limits::default()).expect("compiles")
});

fn seen(name: &str, bytes: &[u8]) -> Report {
    look(bytes, &Job { name: name.to_owned(), ..Job::default() }, &KIT)
}

/// A finding of medium or more, or a gap.
fn is_flagged(report: &Report) -> bool {
    report.findings.iter().any(|finding| finding.severity >= Severity::Medium) || !report.gaps.is_empty()
}

fn check(name: &str, bytes: &[u8], rule: &str) {
    let report = seen(name, bytes);
    assert!(report.findings.iter().any(|finding| finding.rule == rule), "{name} wants {rule}: {report:?}");
}

fn check_gap(name: &str, bytes: &[u8], reason: GapReason) {
    let report = seen(name, bytes);
    assert!(report.gaps.iter().any(|gap| gap.reason == reason), "{name} wants a gap {reason:?}: {report:?}");
}

fn check_silent(name: &str, bytes: &[u8]) {
    let report = seen(name, bytes);
    assert!(!is_flagged(&report), "{name} must stay silent: {report:?}");
}

fn pe() -> Vec<u8> {
    [b"MZ".as_slice(), &[0x90; 58], &128u32.to_le_bytes(), &[0; 64], b"PE\0\0\x4c\x01\x01\0", &[0; 400]].concat()
}

fn elf() -> Vec<u8> {
    [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 9], b"\x02\0\x3e\0\x01\0\0\0", &[0; 80]].concat()
}

/// A zip with one stored entry.
fn zip(name: &str, body: &[u8]) -> Vec<u8> {
    let crc = {
        let mut crc = flate2::Crc::new();
        crc.update(body);
        crc.sum()
    };
    let mut middle = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    middle.extend_from_slice(&crc.to_le_bytes());
    middle.extend_from_slice(&(body.len() as u32).to_le_bytes());
    middle.extend_from_slice(&(body.len() as u32).to_le_bytes());
    middle.extend_from_slice(&(name.len() as u16).to_le_bytes());
    middle.extend_from_slice(&[0, 0]);
    let local = [b"PK\x03\x04", middle.as_slice(), name.as_bytes(), body].concat();
    let directory = [b"PK\x01\x02\x14\0", middle.as_slice(), &[0; 14], name.as_bytes()].concat();
    let size = (directory.len() as u32).to_le_bytes();
    let at = (local.len() as u32).to_le_bytes();
    [&local[..], &directory, b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &size, &at, &[0, 0]].concat()
}

fn pdf(catalogue: &str, more: &[u8]) -> Vec<u8> {
    let head = format!(
        "%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R{catalogue}>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    );
    [head.as_bytes(), more, b"trailer<</Root 1 0 R>>\nstartxref\n0\n%%EOF\n"].concat()
}

const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0\xd2\xff\xd9";
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\0\0\0\0IEND\xae\x42\x60\x82";
const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// A carrier of each form that people send.
fn carriers() -> Vec<(&'static str, Vec<u8>)> {
    let riff =
        |form: &[u8; 4], body: &[u8]| [b"RIFF".as_slice(), &(body.len() as u32 + 4).to_le_bytes(), form, body].concat();
    let film =
        |brand: &[u8; 4]| [b"\0\0\0\x14ftyp", brand.as_slice(), b"\0\0\0\0isom\0\0\0\x10mdat\0\0\0\0\0\0\0\0"].concat();
    let frame = [b"\xff\xfb\x90\x64".as_slice(), &[0; 413]].concat();
    vec![
        ("foto.jpg", JPEG.to_vec()),
        ("imagem.png", PNG.to_vec()),
        ("fig.gif", GIF.to_vec()),
        ("sticker.webp", riff(b"WEBP", b"VP8 \x02\0\0\0xx")),
        ("som.wav", riff(b"WAVE", b"fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x02\0\0\0xx")),
        ("video.mp4", film(b"isom")),
        ("video.mov", film(b"qt  ")),
        ("video.3gp", film(b"3gp5")),
        ("foto.heic", film(b"heic")),
        ("musica.mp3", [b"ID3\x04\0\0\0\0\0\x0a".as_slice(), &[0; 10], &frame, &frame].concat()),
        ("audio.mp3", [frame.as_slice(), &frame, &frame].concat()),
        ("audio.ogg", [b"OggS\0\x02".as_slice(), &[0; 20], b"\x01\x13OpusHead\x01\x01\0\0\0\0\0\0\0\0\0"].concat()),
        ("audio.aac", [b"\xff\xf1\x50\x80\x03\x9f\xfc".as_slice(), &[0; 21]].concat()),
        ("audio.amr", [b"#!AMR\n\x3c".as_slice(), &[0; 31]].concat()),
        ("audio.flac", [b"fLaC\x80\0\0\x22".as_slice(), &[0; 34]].concat()),
        (
            "imagem.bmp",
            [b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".as_slice(), &[1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 24, 0], &[0; 28]]
                .concat(),
        ),
        ("imagem.tiff", b"II*\0\x08\0\0\0\0\0\0\0\0\0".to_vec()),
        ("video.webm", b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm\x18\x53\x80\x67\x80".to_vec()),
        ("boleto.pdf", pdf("", b"")),
        ("carta.rtf", b"{\\rtf1 bom dia {\\b x}}".to_vec()),
        ("notas.txt", b"bom dia, segue a lista de compras\n".repeat(3)),
    ]
}

/// What is hidden behind it.
fn payloads() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("exe", pe()),
        ("elf", elf()),
        ("zip", zip("fatura.exe", &pe())),
        ("jar", zip("META-INF/MANIFEST.MF", b"Main-Class: A\n")),
        ("rar", [b"Rar!\x1a\x07\x01\0".as_slice(), &[0; 40]].concat()),
        ("7z", [b"7z\xbc\xaf\x27\x1c\0\x04".as_slice(), &[0; 24]].concat()),
        ("dex", [b"dex\n035\0".as_slice(), &[0; 104]].concat()),
        ("lnk", [b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F".as_slice(), &[0; 56]].concat()),
        ("ole", [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".as_slice(), &[0; 1500]].concat()),
        ("pdf", pdf("", b"")),
        ("html", b"<!DOCTYPE html><html><script>alert(1)</script></html>".to_vec()),
        ("php", b"<?php system($_GET['c']); ?>".to_vec()),
    ]
}

#[test]
fn whatever_is_hidden_in_whatever_is_found() {
    let mut missed = Vec::new();
    for (name, carrier) in carriers() {
        check_silent(name, &carrier);
        for (payload, body) in payloads() {
            // Letters in a text are the text; a PDF in a PDF is how it is saved again.
            let is_text = matches!(name, "notas.txt" | "carta.rtf") && matches!(payload, "html" | "php" | "pdf");
            if is_text || name == "boleto.pdf" && payload == "pdf" {
                continue;
            }
            if !is_flagged(&seen(name, &[carrier.as_slice(), &body].concat())) {
                missed.push(format!("{payload} in {name}"));
            }
            // With noise between, a search must find what no end leads to.
            let noise: Vec<u8> = (0..5_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 1).collect();
            let letters = matches!(payload, "html" | "php");
            if !letters
                && name != "notas.txt"
                && !is_flagged(&seen(name, &[carrier.as_slice(), &noise, &body].concat()))
            {
                missed.push(format!("{payload} behind noise in {name}"));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_zip_over_another_archive_is_found_and_one_inside_is_not() {
    let gzip = |body: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        packer.write_all(body).expect("memory");
        packer.finish().expect("memory")
    };
    let inner = zip("a.txt", b"bom dia");
    check("a.gz", &[gzip(b"bom dia"), inner.clone()].concat(), "files/polyglot");
    check_silent("a.zip.gz", &gzip(&inner));
}

#[test]
fn links_in_a_zip_that_lead_outside() {
    let linked = |target: &[u8]| {
        let mut bytes = zip("docs/a", target);
        let directory = bytes.windows(4).position(|four| four == b"PK\x01\x02").expect("a directory");
        bytes[directory + 5] = 3;
        bytes[directory + 38..directory + 42].copy_from_slice(&(0o120_777u32 << 16).to_le_bytes());
        bytes
    };
    check("a.zip", &linked(b"/etc/passwd"), "files/archive-link-escapes");
    check("a.zip", &linked(b"../../../etc/cron.d"), "files/archive-link-escapes");
    check_silent("a.zip", &linked(b"b.txt"));
}

#[test]
fn pdf_behind_something_binary() {
    check("a.pdf", &[[0u8, 1, 2, 250].repeat(12), pdf("", b"")].concat(), "files/polyglot");
    check_silent("a.pdf", &[b"% made by hand, with a remark in front\n".to_vec(), pdf("", b"")].concat());
}

#[test]
fn disks_that_are_not_read_are_gaps() {
    let mut udf = vec![0u8; 2048 * 300];
    for (number, mark) in [b"BEA01", b"NSR02", b"TEA01"].iter().enumerate() {
        udf[(16 + number) * 2048 + 1..][..5].copy_from_slice(*mark);
    }
    check_gap("a.iso", &udf, GapReason::Unsupported);
    udf[280 * 2048..][..pe().len()].copy_from_slice(&pe());
    check("a.iso", &udf, "files/program");
    let vhd = [vec![0; 1 << 16], b"conectix".to_vec(), vec![0; 504]].concat();
    check_gap("a.vhd", &vhd, GapReason::Unsupported);
    for (name, magic) in [
        ("a.vhdx", &b"vhdxfile"[..]),
        ("a.vmdk", b"KDMV"),
        ("a.qcow2", b"QFI\xfb"),
        ("a.wim", b"MSWIM\0\0\0"),
        ("a.squashfs", b"hsqs"),
    ] {
        check_gap(name, &[magic, &[0; 70_000]].concat(), GapReason::Unsupported);
    }
    let dmg = [vec![0x78, 0x9c], vec![7; 5000], b"koly\0\0\0\x04".to_vec(), vec![0; 504]].concat();
    check_gap("a.dmg", &dmg, GapReason::Unsupported);
}

#[test]
fn sealed_messages_are_gaps() {
    check_gap("a.asc", b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n-----END PGP MESSAGE-----\n", GapReason::Encrypted);
    check_gap("a.enc", b"Salted__\x01\x02\x03\x04\x05\x06\x07\x08aaaaaaaaaaaaaaaa", GapReason::Encrypted);
    check_silent("a.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQENB\n-----END PGP PUBLIC KEY BLOCK-----\n");
}

#[test]
fn a_stream_longer_than_is_kept_is_still_a_bomb() {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..200 {
        packer.write_all(&[0; 1 << 20]).expect("memory");
    }
    let packed = packer.finish().expect("memory");
    let head = format!("9 0 obj<</Filter/FlateDecode/Length {}>>stream\n", packed.len());
    let stream = [head.as_bytes(), &packed, b"\nendstream endobj\n"].concat();
    check("a.pdf", &pdf("", &stream), "files/archive-bomb");
}

#[test]
fn setup_scripts_by_what_they_do() {
    check("driver.inf", b"[Version]\r\nSignature=\"$CHICAGO$\"\r\n[DefaultInstall]\r\nAddReg=x\r\n", "files/script");
    check("autorun.inf", b"[autorun]\r\nopen=a.exe\r\n", "files/script");
    check_silent("teclado.inf", b"[Files]\r\nFile1=teclado.kmx\r\n[Package]\r\nVersion=1\r\n");
}

#[test]
fn tables_and_flat_documents_that_run() {
    check("a.slk", b"ID;PWXL;N;E\r\nC;Y1;X1;K0;ECALL(\"x\")\r\nE\r\n", "files/office-xlm");
    check(
        "a.xml",
        b"<?xml version=\"1.0\"?><pkg:package xmlns:pkg=\"http://schemas.microsoft.com/office/2006/xmlPackage\"><pkg:part pkg:name=\"/word/vbaProject.bin\"/></pkg:package>",
        "files/office-macro",
    );
    check(
        "a.fods",
        b"<?xml version=\"1.0\"?><office:document><ooo:module ooo:name=\"M\">Sub x</ooo:module></office:document>",
        "files/office-macro",
    );
    check_silent("a.fods", b"<?xml version=\"1.0\"?><office:document><office:scripts/></office:document>");
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A mail with one attachment, written by hand.
fn mail(kind: &str, name: &str, encoding: &str, body: &str) -> Vec<u8> {
    // Mails in mails must not share their boundary.
    let mark = format!("b{}", body.len());
    format!(
        "From: a@example.com\r\nTo: b@example.com\r\nSubject: oi\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary={mark}\r\n\r\n--{mark}\r\nContent-Type: {kind}; name=\"{name}\"\r\n\
         Content-Transfer-Encoding: {encoding}\r\n\r\n{body}\r\n--{mark}--\r\n"
    )
    .into_bytes()
}

#[test]
fn mails_in_mails() {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("letters");
    let plain = text(mail("text/plain", "leia.txt", "7bit", "bom dia"));
    check_silent("encaminhada.eml", &mail("message/rfc822", "original.eml", "7bit", &plain));
    let bad = text(mail("application/pdf", "boleto.pdf", "base64", &base64(&pe())));
    check("encaminhada.eml", &mail("message/rfc822", "original.eml", "7bit", &bad), "files/disguised-program");
    let twice = text(mail("message/rfc822", "a.eml", "7bit", &bad));
    check("encaminhada.eml", &mail("message/rfc822", "b.eml", "7bit", &twice), "files/disguised-program");
    // Habits of old mail programs: a path as a name, a picture in uuencode that says it is a picture.
    check_silent("velha.eml", &mail("text/plain", "/srv/ana/leia.txt", "7bit", "bom dia"));
    check_silent("velha.eml", &mail("image/png", "bola.png", "x-uuencode", "begin 644 bola.png\r\n#0V%T\r\n`\r\nend"));
}

#[test]
fn files_written_in_letters_in_cards_and_calendars() {
    let folded = |bytes: &[u8]| {
        let letters = base64(bytes);
        letters
            .as_bytes()
            .chunks(60)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect::<Vec<_>>()
            .join("\r\n ")
    };
    let card = |bytes: &[u8]| {
        format!("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ana\r\nPHOTO;ENCODING=b;TYPE=JPEG:{}\r\nEND:VCARD\r\n", folded(bytes))
    };
    let event = |bytes: &[u8]| {
        format!(
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nATTACH;ENCODING=BASE64;VALUE=BINARY:{}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
            folded(bytes)
        )
    };
    check("ana.vcf", card(&pe()).as_bytes(), "files/program");
    check("reuniao.ics", event(&pe()).as_bytes(), "files/program");
    check_silent("ana.vcf", card(&[JPEG, &[0; 200]].concat()).as_bytes());
    check_silent("reuniao.ics", event(&pdf("", b"")).as_bytes());
}

/// Made with qpdf from one document: a script, a link, the head of a program as attachment. All but the last open without
/// a password.
#[test]
fn what_an_encrypted_pdf_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pdf");
    let looked = |name: &str, passwords: &[&str]| {
        let bytes = std::fs::read(folder.join(name)).expect("the document is there");
        let passwords = passwords.iter().map(|word| (*word).to_owned()).collect();
        look(&bytes, &Job { name: name.to_owned(), passwords, ..Job::default() }, &KIT)
    };
    let check = |name: &str, passwords: &[&str]| {
        let report = looked(name, passwords);
        let gaps: Vec<GapReason> = report.gaps.iter().map(|gap| gap.reason).collect();
        assert_eq!(gaps, [GapReason::Encrypted], "{name}: {report:?}");
        let script = report.findings.iter().find(|finding| finding.rule == "files/pdf-javascript");
        assert!(script.is_some_and(|finding| finding.evidence.contains("app.alert")), "{name}: {report:?}");
        assert!(report.findings.iter().any(|finding| finding.rule == "files/program"), "{name}: {report:?}");
        assert!(format!("{:?}", report.found).contains("https://pague.example/boleto"), "{name}: {report:?}");
    };
    for name in ["rc4-40.pdf", "rc4-128.pdf", "aes-128.pdf", "aes-256-r5.pdf", "aes-256.pdf"] {
        check(name, &[]);
    }
    check("senha-1234.pdf", &["senha", "1234"]);
    let closed = looked("senha-1234.pdf", &["4321"]);
    assert!(closed.found.is_empty() && closed.findings.iter().all(|finding| finding.rule != "files/program"));
}

#[test]
fn profiles_for_a_phone() {
    let list = |inside: &str| format!("<?xml version=\"1.0\"?><plist version=\"1.0\"><dict>{inside}</dict></plist>");
    let profile = list("<key>PayloadType</key><string>Configuration</string><key>PayloadContent</key><array/>");
    check("wifi.mobileconfig", profile.as_bytes(), "files/installer");
    check("wifi.xml", profile.as_bytes(), "files/installer");
    check_silent("lista.plist", list("<key>Name</key><string>Ana</string>").as_bytes());
}

#[test]
fn a_7z_packed_with_deflate() {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(concat!(
            "N3q8ryccAAS9G+j0IQAAAAAAAABSAAAAAAAAAEnUI9DtwbERAAAEA8BkOB13atMYwch2oFH4t6ixxJ4LoCTeLQ0BBAYAAQkhAAcL",
            "AQABAwQBCAyCGAAICgFbMUHaAAAFARkLAAAAAAAAAAAAAAARDQBhAC4AZQB4AGUAAAAUCgEA5Yp603WB3QEVBgEAIICkgQAA",
        ))
        .expect("base64");
    check("a.7z", &bytes, "files/program");
}

#[test]
fn ordinary_names_and_texts_are_no_attack() {
    // As Windows and DOS write `Declaração.txt` without Unicode.
    let dos = zip("Declara__o.txt", b"bom dia");
    let dos: Vec<u8> = {
        let mut bytes = dos;
        while let Some(at) = bytes.windows(2).position(|two| two == b"__") {
            bytes[at..at + 2].copy_from_slice(b"\x87\xc6");
        }
        bytes
    };
    check_silent("a.zip", &dos);
    check_silent("README.md", b"<div align=\"center\"><h1>Title</h1></div>\n\nText and more text.\n");
    check("pagina.html", b"<div align=\"center\"><h1>Title</h1></div>", "files/web-page");
    check_silent("dados.xml", b"<a><b>1</b></a>");
    check("pagina.xml", b"<html xmlns=\"http://www.w3.org/1999/xhtml\"><body>x</body></html>", "files/web-page");
}

#[test]
fn a_tar_with_holes_goes_on_behind_them() {
    let mut header = [0u8; 512];
    let entry = |name: &[u8], flag: u8, size: usize, extended: bool| {
        let mut header = [0u8; 512];
        header[..name.len()].copy_from_slice(name);
        header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        header[156] = flag;
        header[257..265].copy_from_slice(b"ustar  \0");
        header[482] = u8::from(extended);
        let sum: u32 =
            header.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    };
    header[504] = 1; // another list follows
    let lists = [header, [0; 512]].concat();
    let program = pe();
    let mut body = program.clone();
    body.resize(body.len().next_multiple_of(512), 0);
    let tar = [
        entry(b"sparse", b'S', 512, true).as_slice(),
        &lists,
        &[b'x'; 512],
        &entry(b"a.exe", b'0', program.len(), false),
        &body,
        &[0; 1024],
    ]
    .concat();
    check("a.tar", &tar, "files/program");
    let report = seen("a.tar", &tar);
    assert!(report.gaps.is_empty(), "{report:?}");
}

#[test]
fn beginnings_without_end_cost_no_more_than_others() {
    for beginning in [&b"%PDF-"[..], b"PE\0\0", b"MZ", b"Rar!\x1a\x07", b"\x7fELF", b"<script", b"PK\x05\x06"] {
        let bytes = [b"fLaC\x80\0\0\x22".to_vec(), beginning.repeat((8 << 20) / beginning.len())].concat();
        let start = std::time::Instant::now();
        seen("a.flac", &bytes);
        assert!(start.elapsed().as_secs() < 12, "{beginning:?} took {:?}", start.elapsed());
    }
}

#[test]
fn a_large_file_ends_within_its_time() {
    // Numbers that no packer made, behind the head of a PDF: everything is searched, nothing is found.
    let mut state = 7u64;
    let mut bytes = b"%PDF-1.7\n".to_vec();
    while bytes.len() < 40 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    let start = std::time::Instant::now();
    let report = seen("grande.pdf", &bytes);
    assert!(start.elapsed().as_secs() < 15, "{:?}", start.elapsed());
    assert!(report.gaps.iter().all(|gap| matches!(gap.reason, GapReason::Limits | GapReason::Timeout)), "{report:?}");
}
