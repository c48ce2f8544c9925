//! Grey pixels out of encoded pictures, within bounds: a picture that claims more pixels than any screen or camera has is
//! a bomb, and never decoded.

use super::bytes::{u16_be, u16_le, u32_be, u32_le};
use super::jpeg;
use super::qr::PIXELS_MAX;
use super::report::Report;
use guarita_message::{FileClass, GapReason};
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// No camera makes more; above it a picture is judged by how little file it needs for them.
const PIXELS_HONEST_MAX: u64 = 220_000_000;
/// Pixels for each byte of file beyond which the picture is empty and only meant to fill memory.
const PIXELS_PER_BYTE_MAX: u64 = 150;
/// A picture whose grey values can be had.
pub enum Opened {
    /// Each when it is asked for.
    InParts(Box<jpeg::Picture>),
    Whole {
        width: usize,
        height: usize,
        luma: Vec<u8>,
    },
}

/// `None` where it cannot or need not be decoded. What has a side longer than `side_max` is given whole: it is shrunk
/// before anything is looked for, which takes all of its pixels.
pub fn open(data: &[u8], side_max: usize, report: &mut dyn Report) -> Option<Opened> {
    let format = image::guess_format(data).ok()?;
    let (width, height) = size(data, format)?;
    if pixels(width, height) > PIXELS_MAX as u64 || !report.spend(width.saturating_mul(height)) {
        return None;
    }
    match format {
        ImageFormat::Jpeg => {
            let in_parts = if width.max(height) <= side_max { jpeg::Picture::read(data, width * height) } else { None };
            in_parts.map(|picture| Opened::InParts(Box::new(picture))).or_else(|| jpeg_luma(data))
        }
        ImageFormat::Png => png_luma(data).or_else(|| any_luma(data, format)),
        ImageFormat::WebP | ImageFormat::Gif | ImageFormat::Bmp => any_luma(data, format),
        _ => None,
    }
}

/// Row by row, so that the colours are never there as a whole. `None` where rows do not come in their order.
fn png_luma(data: &[u8]) -> Option<Opened> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(data), png::Limits { bytes: PIXELS_MAX * 8 });
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    // Whoever shows it does not care for sums either.
    decoder.ignore_checksums(true);
    let mut reader = decoder.read_info().ok()?;
    if reader.info().interlaced {
        return None;
    }
    let (width, height) = (super::bytes::index(reader.info().width), super::bytes::index(reader.info().height));
    let samples = reader.output_color_type().0.samples();
    let mut luma = Vec::with_capacity(width * height);
    for _ in 0..height {
        add_luma(reader.next_row().ok()??.data(), samples, &mut luma);
    }
    Some(Opened::Whole { width, height, luma })
}

fn any_luma(data: &[u8], format: ImageFormat) -> Option<Opened> {
    let mut reader = ImageReader::with_format(Cursor::new(data), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(PIXELS_MAX as u64 * 8);
    reader.limits(limits);
    let picture = reader.decode().ok()?;
    let (width, height) = (super::bytes::index(picture.width()), super::bytes::index(picture.height()));
    let luma = match &picture {
        DynamicImage::ImageRgb8(_) | DynamicImage::ImageRgba8(_) | DynamicImage::ImageLumaA8(_) => {
            let mut luma = Vec::with_capacity(width * height);
            add_luma(picture.as_bytes(), usize::from(picture.color().channel_count()), &mut luma);
            luma
        }
        _ => picture.into_luma8().into_raw(),
    };
    Some(Opened::Whole { width, height, luma })
}

/// Grey values of pixels of one to four bytes: grey or red, green and blue, and how opaque, which does not matter here.
fn add_luma(pixels: &[u8], samples: usize, luma: &mut Vec<u8>) {
    // Parts of 65,536, as in sRGB.
    let grey = |r: u8, g: u8, b: u8| {
        ((u32::from(r) * 13_933 + u32::from(g) * 46_871 + u32::from(b) * 4_732 + 32_768) >> 16) as u8
    };
    match samples {
        1 => luma.extend_from_slice(pixels),
        2 => luma.extend(pixels.as_chunks::<2>().0.iter().map(|[grey, _]| *grey)),
        3 => luma.extend(pixels.as_chunks::<3>().0.iter().map(|[r, g, b]| grey(*r, *g, *b))),
        4 => luma.extend(pixels.as_chunks::<4>().0.iter().map(|[r, g, b, _]| grey(*r, *g, *b))),
        _ => {}
    }
}

fn jpeg_luma(data: &[u8]) -> Option<Opened> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::Luma)
        .set_max_width(1 << 16)
        .set_max_height(1 << 16);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
    let luma = decoder.decode().ok()?;
    let (width, height) = decoder.dimensions()?;
    Some(Opened::Whole { width, height, luma })
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
            assert!(open(&png_header(width, height), 1600, &mut seen).is_none());
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
            assert!(open(data, 1600, &mut Seen::default()).is_none());
        }
    }
}
