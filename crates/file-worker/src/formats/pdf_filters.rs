//! What PDF packs its streams with, undone: deflate, LZW, run lengths, base 85 and hexadecimal, PNG predictors. Forgiving,
//! as viewers are: what comes before an error is kept. Each output is bounded.

use super::report::Report;
use flate2::{Decompress, FlushDecompress, Status};

/// A decoded stream is read up to here.
pub const STREAM_BYTES_MAX: usize = 48 << 20;

/// zlib, or bare deflate where the header is broken; what comes before an error is kept.
pub fn inflate(packed: &[u8], report: &mut dyn Report) -> Option<Vec<u8>> {
    let zlib = packed.first().is_some_and(|b| b & 0x0f == 8);
    run_inflate(Decompress::new(zlib), packed, report)
}

/// Bare deflate, as zip entries hold it.
pub fn inflate_raw(packed: &[u8], report: &mut dyn Report) -> Option<Vec<u8>> {
    run_inflate(Decompress::new(false), packed, report)
}

fn run_inflate(mut decoder: Decompress, packed: &[u8], report: &mut dyn Report) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut block = vec![0u8; 64 << 10];
    loop {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let input = packed.get(usize::try_from(read).unwrap_or(usize::MAX)..).unwrap_or_default();
        let status = decoder.decompress(input, &mut block, FlushDecompress::None);
        let count = usize::try_from(decoder.total_out() - written).unwrap_or(0);
        // What comes beyond is not kept, but counted: a bomb must show.
        if out.len() < STREAM_BYTES_MAX {
            out.extend_from_slice(block.get(..count).unwrap_or_default());
        }
        if !report.spend(count) {
            return None;
        }
        let stuck = count == 0 && decoder.total_in() == read;
        if !matches!(status, Ok(Status::Ok | Status::BufError)) || stuck {
            return Some(out);
        }
    }
}

pub fn hex_decode(text: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = text
        .iter()
        .take_while(|b| **b != b'>')
        .filter_map(|b| char::from(*b).to_digit(16))
        .map(|d| (d & 15) as u8)
        .collect();
    digits.chunks(2).map(|two| two[0] << 4 | two.get(1).copied().unwrap_or(0)).collect()
}

pub fn ascii85(text: &[u8]) -> Vec<u8> {
    let (mut out, mut group, mut count) = (Vec::new(), 0u32, 0usize);
    let text = text.strip_prefix(b"<~").unwrap_or(text);
    for byte in text.iter().take_while(|b| **b != b'~') {
        match byte {
            b'z' if count == 0 => out.extend([0; 4]),
            b'!'..=b'u' => {
                group = group.wrapping_mul(85).wrapping_add(u32::from(byte - b'!'));
                count += 1;
                if count == 5 {
                    out.extend(group.to_be_bytes());
                    (group, count) = (0, 0);
                }
            }
            _ => {}
        }
    }
    if count > 1 {
        for _ in count..5 {
            group = group.wrapping_mul(85).wrapping_add(84);
        }
        out.extend_from_slice(&group.to_be_bytes()[..count - 1]);
    }
    out
}

pub fn run_length(data: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(length) = data.get(at).copied().filter(|b| *b != 128) {
        if length < 128 {
            let count = usize::from(length) + 1;
            out.extend_from_slice(data.get(at + 1..(at + 1 + count).min(data.len())).unwrap_or_default());
            at += 1 + count;
        } else {
            let Some(byte) = data.get(at + 1) else { break };
            out.extend(std::iter::repeat_n(*byte, 257 - usize::from(length)));
            at += 2;
        }
        if out.len() > STREAM_BYTES_MAX {
            break;
        }
    }
    out
}

/// LZW with early change, as PDF writes it.
pub fn lzw(data: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    // Each code is where its text stands in `out`, and how long it is.
    let mut table: Vec<(usize, usize)> = Vec::new();
    let (mut bits, mut held, mut width) = (0u32, 0u32, 9u32);
    let mut previous: Option<(usize, usize)> = None;
    for byte in data {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        if held < width {
            continue;
        }
        let code = bits >> (held - width) & ((1 << width) - 1);
        held -= width;
        bits &= (1 << held) - 1;
        match code {
            256 => {
                table.clear();
                width = 9;
                previous = None;
                continue;
            }
            257 => break,
            _ => {}
        }
        let start = out.len();
        if code < 256 {
            out.push((code & 0xff) as u8);
        } else {
            let known = table.get(super::bytes::index(code - 258)).copied();
            let Some((at, length)) = known.or(previous.map(|(at, length)| (at, length + 1))) else { break };
            for i in at..at + length {
                // The code being made right now repeats its own first byte.
                let byte = out.get(i).copied().unwrap_or(0);
                out.push(byte);
            }
        }
        if let Some((at, length)) = previous {
            table.push((at, length + 1));
        }
        previous = Some((start, out.len() - start));
        width = match table.len() + 259 {
            0..=511 => 9,
            512..=1023 => 10,
            1024..=2047 => 11,
            _ => 12,
        };
        if out.len() > STREAM_BYTES_MAX || table.len() > 4096 {
            break;
        }
    }
    out
}

/// Undoes PNG row filters.
pub fn unpredict(bytes: Vec<u8>, parameters: Option<(usize, usize)>) -> Vec<u8> {
    let Some((row, pixel)) = parameters.filter(|(row, _)| *row > 0) else { return bytes };
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut above = vec![0u8; row];
    for line in bytes.chunks(row + 1) {
        let (Some(kind), Some(body)) = (line.first(), line.get(1..)) else { break };
        let mut current = body.to_vec();
        current.resize(row, 0);
        for i in 0..row {
            let left = if i >= pixel { current[i - pixel] } else { 0 };
            let corner = if i >= pixel { above[i - pixel] } else { 0 };
            let add = match kind {
                1 => left,
                2 => above[i],
                3 => ((u16::from(left) + u16::from(above[i])) / 2) as u8,
                4 => paeth(left, above[i], corner),
                _ => 0,
            };
            current[i] = current[i].wrapping_add(add);
        }
        out.extend_from_slice(&current);
        above = current;
    }
    out
}

fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let (a, b, c) = (i16::from(left), i16::from(above), i16::from(corner));
    let guess = a + b - c;
    let (da, db, dc) = ((guess - a).abs(), (guess - b).abs(), (guess - c).abs());
    if da <= db && da <= dc {
        left
    } else if db <= dc {
        above
    } else {
        corner
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;
    use std::io::Write;

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn filters_undo_what_they_name() {
        assert_eq!(hex_decode(b"48 69>zz"), b"Hi");
        assert_eq!(ascii85(b"87cURD]i,\"Ebo80~>"), b"Hello World!");
        assert_eq!(run_length(&[1, b'a', b'b', 254, b'c', 128, 9]), b"abccc");
        assert_eq!(
            lzw(&[0x80, 0x0b, 0x60, 0x50, 0x22, 0x0c, 0x0c, 0x85, 0x01]),
            [45, 45, 45, 45, 45, 65, 45, 45, 45, 66]
        );
        assert_eq!(unpredict(vec![1, 1, 1, 2, 1, 1], Some((2, 1))), [1, 2, 2, 3]);
        assert_eq!(inflate(&zlib(b"hello"), &mut Seen::default()).as_deref(), Some(&b"hello"[..]));
    }
}
