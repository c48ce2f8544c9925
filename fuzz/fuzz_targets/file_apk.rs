//! Android apps: the bytes are the manifest, the resources or the certificate of an app that is built around them.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let (one, other) = rest.split_at(rest.len() * usize::from(first >> 2) / 64);
    let parts: [(&str, &[u8]); 4] = match first % 3 {
        0 => [("AndroidManifest.xml", rest), ("classes.dex", b"dex\n035\0"), ("resources.arsc", b""), ("a", b"")],
        1 => [("AndroidManifest.xml", one), ("resources.arsc", other), ("classes.dex", b"dex\n035\0"), ("a", b"")],
        _ => [("AndroidManifest.xml", b"\x03\0\x08\0"), ("META-INF/CERT.RSA", rest), ("classes.dex", b"dex"), ("a", b"")],
    };
    guarita_fuzz::look_at("a.apk", &zip(&parts));
});

/// Stored entries, and a directory.
fn zip(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, body) in parts {
        let offset = out.len() as u32;
        let mut middle = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        middle.extend_from_slice(&(body.len() as u32).to_le_bytes());
        middle.extend_from_slice(&(body.len() as u32).to_le_bytes());
        middle.extend_from_slice(&(name.len() as u16).to_le_bytes());
        middle.extend_from_slice(&[0, 0]);
        out.extend_from_slice(b"PK\x03\x04");
        out.extend_from_slice(&middle);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(body);
        directory.extend_from_slice(b"PK\x01\x02\x14\0");
        directory.extend_from_slice(&middle);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
    }
    let start = out.len() as u32;
    out.extend_from_slice(&directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend_from_slice(&(parts.len() as u16).to_le_bytes());
    out.extend_from_slice(&(parts.len() as u16).to_le_bytes());
    out.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    out.extend_from_slice(&start.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out
}
