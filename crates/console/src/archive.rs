//! A dangerous file as something one can carry: a zip with the password `infected`, as people who handle malware expect.
//!
//! The old cipher of zip is weak, and is meant only to keep scanners and double clicks from touching the content: every
//! tool opens it, and nothing else. Written by hand, as a stream: one file, stored, its bytes never all in memory. This
//! module must not know where the bytes come from.

use std::io::{self, Read, Write};

pub const PASSWORD: &str = "infected";

/// Zip's own bound without its 64-bit form.
pub const BYTES_MAX: u64 = 0xf000_0000;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

fn crc_step(crc: u32, byte: u8) -> u32 {
    TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8)
}

/// CRC-32 of bytes in memory.
pub fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| crc_step(crc, *byte))
}

/// CRC-32 and length of what `content` holds.
pub fn measure(content: &mut dyn Read) -> io::Result<(u32, u64)> {
    let (mut crc, mut length) = (!0u32, 0u64);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            return Ok((!crc, length));
        }
        length += read as u64;
        crc = buffer[..read].iter().fold(crc, |crc, byte| crc_step(crc, *byte));
    }
}

struct Cipher([u32; 3]);

impl Cipher {
    fn new(password: &str) -> Cipher {
        let mut cipher = Cipher([0x1234_5678, 0x2345_6789, 0x3456_7890]);
        password.bytes().for_each(|byte| cipher.step(byte));
        cipher
    }

    fn step(&mut self, plain: u8) {
        let [a, b, c] = &mut self.0;
        *a = crc_step(*a, plain);
        *b = b.wrapping_add(*a & 0xff).wrapping_mul(134_775_813).wrapping_add(1);
        *c = crc_step(*c, (*b >> 24) as u8);
    }

    fn encrypt(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            let temp = (self.0[2] | 2) as u16;
            let key = (temp.wrapping_mul(temp ^ 1) >> 8) as u8;
            let plain = *byte;
            *byte ^= key;
            self.step(plain);
        }
    }
}

/// Writes the archive; `crc` and `length` are [`measure`]'s. `salt` is random.
pub fn write(
    out: &mut dyn Write,
    name: &str,
    content: &mut dyn Read,
    (crc, length): (u32, u64),
    salt: [u8; 11],
) -> io::Result<()> {
    if length > BYTES_MAX || name.len() > 255 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too large for a zip of this kind"));
    }
    let stored = (length + 12) as u32;
    let mut about = Vec::new();
    // Version 2.0, encrypted with a name in UTF-8, stored, 1980-01-01: the time of a download says nothing of the file.
    for field in [20u16, 1 | 1 << 11, 0, 0, 0x21] {
        about.extend_from_slice(&field.to_le_bytes());
    }
    about.extend_from_slice(&crc.to_le_bytes());
    about.extend_from_slice(&stored.to_le_bytes());
    about.extend_from_slice(&(length as u32).to_le_bytes());
    about.extend_from_slice(&(name.len() as u16).to_le_bytes());
    about.extend_from_slice(&0u16.to_le_bytes());

    out.write_all(b"PK\x03\x04")?;
    out.write_all(&about)?;
    out.write_all(name.as_bytes())?;
    let mut cipher = Cipher::new(PASSWORD);
    let mut head = [0; 12];
    head[..11].copy_from_slice(&salt);
    head[11] = (crc >> 24) as u8;
    cipher.encrypt(&mut head);
    out.write_all(&head)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut written = 0;
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        written += read as u64;
        cipher.encrypt(&mut buffer[..read]);
        out.write_all(&buffer[..read])?;
    }
    if written != length {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the content changed while it was read"));
    }

    let directory_at = 30 + name.len() as u64 + u64::from(stored);
    out.write_all(b"PK\x01\x02\x14\x00")?;
    out.write_all(&about)?;
    out.write_all(&[0; 14])?; // comment, disk, attributes; its local header stands at 0
    out.write_all(name.as_bytes())?;
    out.write_all(b"PK\x05\x06\0\0\0\0\x01\0\x01\0")?;
    out.write_all(&(46 + name.len() as u32).to_le_bytes())?;
    out.write_all(&(directory_at as u32).to_le_bytes())?;
    out.write_all(&[0; 2])?;
    out.flush()
}

/// A customer's file name as a harmless member name: no path, no control or direction-changing characters.
pub fn member_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\', ':']).next().unwrap_or_default();
    let tame = |c: &char| {
        !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut out: String = last.chars().filter(tame).take(60).collect();
    out = out.trim_matches(['.', ' ']).to_owned();
    if out.is_empty() { "file.bin".into() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha1::{Digest as _, Sha1};

    #[test]
    fn names_are_tamed() {
        for (name, expect) in [
            ("fatura.pdf", "fatura.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\evil.exe", "evil.exe"),
            // A colon ends a path on old systems: what follows it is the name.
            ("a\r\nSet-Cookie: x", "x"),
            ("fdp.\u{202e}exe", "fdp.exe"),
            ("..", "file.bin"),
            ("", "file.bin"),
        ] {
            assert_eq!(member_name(name), expect, "{name:?}");
        }
    }

    #[test]
    fn crc_is_the_usual_one() {
        assert_eq!(measure(&mut &b"123456789"[..]).unwrap(), (0xcbf4_3926, 9));
    }

    /// Another implementation opens it: python's.
    #[test]
    fn others_can_open_it() {
        let folder = tempfile::tempdir().unwrap();
        for content in [&b""[..], b"X5O! not really", &[7; 200_000]] {
            let path = folder.path().join("a.zip");
            let measured = measure(&mut &content[..]).unwrap();
            write(&mut std::fs::File::create(&path).unwrap(), "ação.txt", &mut &content[..], measured, [9; 11])
                .unwrap();
            let program = "import sys, zipfile, hashlib\nz = zipfile.ZipFile(sys.argv[1])\n\
                print(z.namelist()[0], hashlib.sha1(z.read(z.namelist()[0], pwd=b'infected')).hexdigest())";
            let Ok(output) = std::process::Command::new("python3")
                .env("PYTHONIOENCODING", "utf-8")
                .args(["-c", program])
                .arg(&path)
                .output()
            else {
                eprintln!("SKIPPED: no python3 on this machine");
                return;
            };
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(text.starts_with("ação.txt "), "{text} {error}");
            let expect = hex::encode(Sha1::digest(content));
            assert!(text.trim_end().ends_with(&expect), "{text}");
        }
    }
}
