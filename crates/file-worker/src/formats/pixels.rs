//! Grey pixels out of encoded pictures, within bounds: a picture that claims more pixels than any screen or camera has is
//! a bomb, and never decoded.

use super::bytes::{u16_be, u16_le, u32_be, u32_le};
use super::qr::PIXELS_MAX;
use super::report::Report;
use guarita_message::{FileClass, GapReason};
use image::{ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// No camera makes more; above it a picture is judged by how little file it needs for them.
const PIXELS_HONEST_MAX: u64 = 220_000_000;
/// Pixels for each byte of file beyond which the picture is empty and only meant to fill memory.
const PIXELS_PER_BYTE_MAX: u64 = 150;

/// Width, height and grey values; `None` where it cannot or need not be decoded.
pub fn luma(data: &[u8], report: &mut dyn Report) -> Option<(usize, usize, Vec<u8>)> {
    let format = image::guess_format(data).ok()?;
    let (width, height) = size(data, format)?;
    if pixels(width, height) > PIXELS_MAX as u64 || !report.spend(width.saturating_mul(height)) {
        return None;
    }
    match format {
        ImageFormat::Jpeg => jpeg_luma(data),
        ImageFormat::Png | ImageFormat::WebP | ImageFormat::Gif | ImageFormat::Bmp => {
            let mut reader = ImageReader::with_format(Cursor::new(data), format);
            let mut limits = Limits::default();
            limits.max_alloc = Some(PIXELS_MAX as u64 * 8);
            reader.limits(limits);
            let grey = reader.decode().ok()?.into_luma8();
            let (width, height) = grey.dimensions();
            Some((usize::try_from(width).ok()?, usize::try_from(height).ok()?, grey.into_raw()))
        }
        _ => None,
    }
}

fn jpeg_luma(data: &[u8]) -> Option<(usize, usize, Vec<u8>)> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::Luma)
        .set_max_width(1 << 16)
        .set_max_height(1 << 16);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
    let grey = decoder.decode().ok()?;
    let (width, height) = decoder.dimensions()?;
    Some((width, height, grey))
}

/// States a picture that is meant to fill memory.
pub fn judge_size(data: &[u8], report: &mut dyn Report) {
    let Some((width, height)) = image::guess_format(data).ok().and_then(|format| size(data, format)) else { return };
    let pixels = pixels(width, height);
    if pixels > PIXELS_HONEST_MAX && pixels / (data.len() as u64).max(1) > PIXELS_PER_BYTE_MAX
        || pixels > 4 * PIXELS_HONEST_MAX
    {
        report.fact("files/image-bomb", &format!("{width} × {height} pixels in {} bytes", data.len()));
        report.gap(GapReason::Limits, FileClass::Image, "more pixels than may be decoded");
    }
}

fn pixels(width: usize, height: usize) -> u64 {
    (width as u64).saturating_mul(height as u64)
}

/// Size from the header alone.
pub(crate) fn size(data: &[u8], format: ImageFormat) -> Option<(usize, usize)> {
    let of = |w: u32, h: u32| Some((super::bytes::index(w), super::bytes::index(h)));
    match format {
        // Apple's variant puts a chunk of its own first; it is no PNG to anybody else.
        ImageFormat::Png if super::bytes::take(data, 12, 4)? != b"IHDR" => None,
        ImageFormat::Png => of(u32_be(data, 16)?, u32_be(data, 20)?),
        ImageFormat::Gif => of(u16_le(data, 6)?.into(), u16_le(data, 8)?.into()),
        ImageFormat::Bmp => of(u32_le(data, 18)?, u32_le(data, 22)?.cast_signed().unsigned_abs()),
        ImageFormat::Jpeg => jpeg_size(data),
        _ => {
            let (width, height) = ImageReader::with_format(Cursor::new(data), format).into_dimensions().ok()?;
            of(width, height)
        }
    }
}

fn jpeg_size(data: &[u8]) -> Option<(usize, usize)> {
    let mut at = 2;
    loop {
        while *data.get(at)? != 0xff {
            at += 1;
        }
        let marker = *data.get(at + 1)?;
        match marker {
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Some((usize::from(u16_be(data, at + 7)?), usize::from(u16_be(data, at + 5)?)));
            }
            0xd9 | 0xda => return None,
            _ => at += 2 + usize::from(u16_be(data, at + 2)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    fn png_header(width: u32, height: u32) -> Vec<u8> {
        let mut out = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        out.extend(width.to_be_bytes());
        out.extend(height.to_be_bytes());
        out.extend([8, 2, 0, 0, 0]);
        out
    }

    #[test]
    fn bombs_by_their_size() {
        let check = |width, height, bomb: bool| {
            let mut seen = Seen::default();
            judge_size(&png_header(width, height), &mut seen);
            assert_eq!(seen.has("files/image-bomb"), bomb, "{width} × {height}");
            assert!(luma(&png_header(width, height), &mut seen).is_none());
        };
        check(60_000, 60_000, true);
        check(30_000, 30_000, true);
        check(12_000, 9_000, false);
        check(u32::MAX, u32::MAX, true);
        check(0, 0, false);
    }

    #[test]
    fn broken_headers_end() {
        for data in
            [&b"\xff\xd8"[..], b"\xff\xd8\xff", b"\xff\xd8\xff\xff\xff\xff", b"GIF89a", b"BM", b"\x89PNG\r\n\x1a\n"]
        {
            judge_size(data, &mut Seen::default());
            assert!(luma(data, &mut Seen::default()).is_none());
        }
    }
}
