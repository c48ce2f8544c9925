//! Pixels as a PNG that a browser shows. The file is written here, from numbers that the locked worker named: whatever a
//! customer's picture held besides its pixels is not in it.

use crate::archive::checksum;
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use std::io::Write;

/// `pixels` holds three bytes for each; rows that are missing come out black.
pub fn png(width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let row = width as usize * 3;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let mut line = vec![0; row + 1];
    for at in 0..height as usize {
        let pixels = pixels.get(at * row..(at + 1) * row).unwrap_or_default();
        // Each byte as what it adds to its left neighbour's: even areas become zeros.
        line[0] = 1;
        for (index, out) in line[1..].iter_mut().enumerate() {
            let left = index.checked_sub(3).and_then(|left| pixels.get(left)).copied().unwrap_or(0);
            *out = pixels.get(index).copied().unwrap_or(0).wrapping_sub(left);
        }
        packed.write_all(&line).expect("memory takes it");
    }
    let packed = packed.finish().expect("memory takes it");
    let mut header = width.to_be_bytes().to_vec();
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]); // eight bits, colours, nothing else
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", &header), (b"IDAT", &packed), (b"IEND", &Vec::new())] {
        out.extend_from_slice(&(data.len() as u32).to_be_bytes());
        let from = out.len();
        out.extend_from_slice(kind);
        out.extend_from_slice(data);
        let sum = checksum(&out[from..]);
        out.extend_from_slice(&sum.to_be_bytes());
    }
    out
}

pub fn png_base64(width: u32, height: u32, pixels: &[u8]) -> String {
    STANDARD.encode(png(width, height, pixels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// The head as the standard has it, and the rows as a decoder undoes them.
    #[test]
    fn pixels_come_back() {
        let pixels: Vec<u8> = (0..4 * 3 * 3).map(|n| (n * 37) as u8).collect();
        let file = png(4, 3, &pixels);
        assert_eq!(&file[..16], b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR");
        assert_eq!(&file[16..29], [0, 0, 0, 4, 0, 0, 0, 3, 8, 2, 0, 0, 0]);
        assert_eq!(&file[file.len() - 12..], b"\0\0\0\0IEND\xae\x42\x60\x82");
        let length = u32::from_be_bytes(file[33..37].try_into().unwrap()) as usize;
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(&file[41..41 + length]).read_to_end(&mut rows).unwrap();
        let mut seen = Vec::new();
        for row in rows.chunks(13) {
            assert_eq!(row[0], 1);
            let mut line = row[1..].to_vec();
            (3..12).for_each(|at| line[at] = line[at].wrapping_add(line[at - 3]));
            seen.extend(line);
        }
        assert_eq!(seen, pixels);
        png(512, 512, b"too few");
    }
}
