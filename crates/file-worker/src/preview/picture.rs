//! A picture, decoded within bounds, turned as its camera says, and made small. Only its pixels go on.

use crate::formats::pixels::size;
use crate::formats::qr::PIXELS_MAX;
use crate::walk::Context;
use guarita_message::{GapReason, Preview, Shown};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, Rgb, RgbImage};
use std::io::Cursor;

pub(super) fn draw(data: &[u8], ctx: &mut Context<'_>) -> Result<Shown, GapReason> {
    let format = image::guess_format(data).map_err(|_| GapReason::Corrupt)?;
    let (width, height) = size(data, format).ok_or(GapReason::Corrupt)?;
    let pixels = width.saturating_mul(height);
    // Four bytes for each, and the same again while it is made small.
    if pixels > PIXELS_MAX || !ctx.spend(pixels as u64 * 4) {
        return Err(GapReason::Limits);
    }
    let mut reader = ImageReader::with_format(Cursor::new(data), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(PIXELS_MAX as u64 * 8);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|_| GapReason::Corrupt)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(|_| GapReason::Corrupt)?;
    let side = Preview::SIDE_MAX;
    let mut small =
        if picture.width() > side || picture.height() > side { picture.thumbnail(side, side) } else { picture };
    small.apply_orientation(orientation);
    let small = on_white(&small);
    let (width, height) = small.dimensions();
    if width == 0 || height == 0 {
        return Err(GapReason::Corrupt);
    }
    Ok(Shown::Picture { width, height, pixels: small.into_raw() })
}

/// What shines through a picture is white, as in most chats.
fn on_white(picture: &DynamicImage) -> RgbImage {
    let over = picture.to_rgba8();
    let mix = |colour: u8, alpha: u8| {
        let alpha = u16::from(alpha);
        ((u16::from(colour) * alpha + 255 * (255 - alpha)) / 255) as u8
    };
    RgbImage::from_fn(over.width(), over.height(), |x, y| {
        let [red, green, blue, alpha] = over.get_pixel(x, y).0;
        Rgb([mix(red, alpha), mix(green, alpha), mix(blue, alpha)])
    })
}
