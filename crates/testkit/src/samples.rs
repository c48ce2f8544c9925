//! Harmless files that look as attackers' files do, made here so that no sample needs to stand in the repository.
//!
//! Every payload is inert: the EICAR test string, program headers without a program, macros that show a greeting.

use std::io::Write as _;

/// The anti-virus industry's test file. Put together at run time, so that no scanner stumbles over this source.
pub fn eicar() -> Vec<u8> {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$", "EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE", "!$H+H*"].concat().into_bytes()
}

/// A small PNG: 2 × 2 pixels.
pub fn png() -> Vec<u8> {
    let rows = [0u8, 0x2f, 0x6f, 0x4f, 0xf0, 0xd0, 0x60, 0, 0xf0, 0xd0, 0x60, 0x2f, 0x6f, 0x4f];
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    png_chunk(&mut out, b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 2, 8, 2, 0, 0, 0]);
    png_chunk(&mut out, b"IDAT", &zlib_stored(&rows));
    png_chunk(&mut out, b"IEND", &[]);
    out
}

/// A text-only PDF of one page.
pub fn pdf(line: &str) -> Vec<u8> {
    let stream = format!("BT /F1 18 Tf 72 720 Td ({line}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{stream}\nendstream", stream.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut out = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (number, object) in objects.iter().enumerate() {
        offsets.push(out.len());
        let _ = write!(out, "{} 0 obj\n{object}\nendobj\n", number + 1);
    }
    let table = out.len();
    let _ = write!(out, "xref\n0 {}\n0000000000 65535 f \n", offsets.len() + 1);
    for offset in &offsets {
        let _ = writeln!(out, "{offset:010} 00000 n ");
    }
    let _ = writeln!(out, "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF", offsets.len() + 1);
    out
}

/// The head of a Windows program, without a program.
pub fn windows_program() -> Vec<u8> {
    let mut out = vec![0u8; 1024];
    out[..2].copy_from_slice(b"MZ");
    out[0x3c] = 0x80;
    out[0x80..0x84].copy_from_slice(b"PE\0\0");
    out[0x84..0x86].copy_from_slice(&0x8664u16.to_le_bytes());
    out[0x86..0x88].copy_from_slice(&1u16.to_le_bytes());
    out[0x94..0x96].copy_from_slice(&0xf0u16.to_le_bytes());
    out[0x96..0x98].copy_from_slice(&0x22u16.to_le_bytes());
    out[0x98..0x9a].copy_from_slice(&0x20bu16.to_le_bytes());
    out[0x188..0x18d].copy_from_slice(b".text");
    out
}

/// A shortcut that would start a command, as the SORVEPOTEL worm's did; the command only greets.
pub fn windows_shortcut() -> Vec<u8> {
    let mut out = vec![0u8; 0x4c];
    out[0] = 0x4c;
    out[4..20].copy_from_slice(&[1, 0x14, 2, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46]);
    // HasName | HasRelativePath | HasArguments | IsUnicode
    out[20..24].copy_from_slice(&0xacu32.to_le_bytes());
    out[60] = 7; // shown minimised
    for text in ["Fatura", "..\\..\\Windows\\System32\\cmd.exe", "/c powershell -w hidden -enc ZQBjAGgAbwAgAG8AaQA="] {
        out.extend((text.len() as u16).to_le_bytes());
        out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    }
    out.extend([0; 4]);
    out
}

/// A zip with stored entries.
pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    for (name, bytes) in entries {
        let offset = out.len() as u32;
        let mut head = Vec::new();
        head.extend([20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0x5b]); // version 2.0, UTF-8 names, stored, 2025-09-01
        head.extend(crc32(bytes).to_le_bytes());
        head.extend((bytes.len() as u32).to_le_bytes());
        head.extend((bytes.len() as u32).to_le_bytes());
        head.extend((name.len() as u16).to_le_bytes());
        head.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&head);
        out.extend(name.as_bytes());
        out.extend(*bytes);
        central.extend(b"PK\x01\x02\x14\x00");
        central.extend(&head);
        central.extend([0; 10]); // no comment, disk 0, attributes
        central.extend(offset.to_le_bytes());
        central.extend(name.as_bytes());
    }
    let (start, count) = (out.len() as u32, entries.len() as u16);
    out.extend(&central);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend((central.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// A Word document with a macro that runs when it is opened (and shows a greeting).
pub fn macro_document() -> std::io::Result<Vec<u8>> {
    let source =
        "Attribute VB_Name = \"ThisDocument\"\r\nSub AutoOpen()\r\n  Shell \"cmd /c echo oi\", vbHide\r\nEnd Sub\r\n";
    let mut project = cfb::CompoundFile::create(std::io::Cursor::new(Vec::new()))?;
    project.create_storage("/VBA")?;
    project.create_stream("/VBA/dir")?.write_all(&vba_compressed(&vba_dir()))?;
    project.create_stream("/VBA/ThisDocument")?.write_all(&vba_compressed(source.as_bytes()))?;
    project.create_stream("/VBA/_VBA_PROJECT")?.write_all(&[0xcc, 0x61, 0xff, 0xff, 0, 0, 0])?;
    project
        .create_stream("/PROJECT")?
        .write_all(b"ID=\"{00000000-0000-0000-0000-000000000000}\"\r\nDocument=ThisDocument/&H00000000\r\n")?;
    project.flush()?;
    let project = project.into_inner().into_inner();
    let types = br#"<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="bin" ContentType="application/vnd.ms-office.vbaProject"/><Override PartName="/word/document.xml" ContentType="application/vnd.ms-word.document.macroEnabled.main+xml"/></Types>"#;
    let relations = br#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>"#;
    let document = br#"<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>Habilite o conteudo</w:t></w:r></w:p></w:body></w:document>"#;
    let inner = br#"<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.microsoft.com/office/2006/relationships/vbaProject" Target="vbaProject.bin"/></Relationships>"#;
    Ok(zip(&[
        ("[Content_Types].xml", types.as_slice()),
        ("_rels/.rels", relations),
        ("word/document.xml", document),
        ("word/_rels/document.xml.rels", inner),
        ("word/vbaProject.bin", &project),
    ]))
}

/// The records of a VBA project's `dir` stream that readers need: one document module (MS-OVBA 2.3.4.2).
fn vba_dir() -> Vec<u8> {
    let mut out = Vec::new();
    let mut record = |id: u16, data: &[u8]| {
        out.extend(id.to_le_bytes());
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
    };
    record(0x0001, &3u32.to_le_bytes()); // system kind: 64-bit Windows
    record(0x0002, &0x409u32.to_le_bytes());
    record(0x0014, &0x409u32.to_le_bytes());
    record(0x0003, &1252u16.to_le_bytes());
    record(0x0004, b"Project");
    record(0x000f, &1u16.to_le_bytes()); // one module
    record(0x0013, &0xffffu16.to_le_bytes());
    record(0x0019, b"ThisDocument");
    record(0x001a, b"ThisDocument"); // its stream
    record(0x0032, &"ThisDocument".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    record(0x0031, &0u32.to_le_bytes()); // source begins at 0
    record(0x0022, &[]);
    record(0x002b, &[]);
    record(0x0010, &[]);
    out
}

/// MS-OVBA's compression with literals alone.
fn vba_compressed(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![1];
    for chunk in bytes.chunks(3600) {
        let mut data = Vec::new();
        for eight in chunk.chunks(8) {
            data.push(0); // eight literals follow
            data.extend(eight);
        }
        out.extend((0xb000u16 | (data.len() as u16 + 2 - 3)).to_le_bytes());
        out.extend(data);
    }
    out
}

fn png_chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut body = kind.to_vec();
    body.extend(data);
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(&body);
    out.extend(crc32(&body).to_be_bytes());
}

fn zlib_stored(data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16;
    let mut out = vec![0x78, 1, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(data);
    let (a, b) = data.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (b + a) % 65521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
