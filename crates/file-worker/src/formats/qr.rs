//! QR codes in pictures: what they say joins the message as a link or a text. Codes that link a device to a WhatsApp
//! account, or ask for a payment, are named as such.
//!
//! Most pictures hold no code, so a cheap look for finder patterns comes first; only then is a code decoded, also inverted
//! and enlarged.

use super::bytes::cut;
use super::links;
use super::report::Report;

/// Pictures with more pixels are not decoded at all.
pub const PIXELS_MAX: usize = 40_000_000;
/// Codes told from one picture.
const CODES_MAX: usize = 16;
/// The longer side that detection works on; larger pictures are shrunk to it, small ones enlarged.
const SIDE_MAX: usize = 1600;
const SIDE_SMALL: usize = 300;
/// Codes with larger modules gain nothing from being enlarged.
const SMALL_MODULE_PIXELS: usize = 3;

/// An encoded picture (PNG, JPEG, WebP, GIF, BMP).
pub fn in_picture(data: &[u8], report: &mut dyn Report) {
    if let Some((width, height, luma)) = super::pixels::luma(data, report) {
        in_luma(width, height, &luma, report);
    }
}

/// Grey values, row by row.
pub fn in_luma(width: usize, height: usize, luma: &[u8], report: &mut dyn Report) {
    if width < 21 || height < 21 || luma.len() < width.saturating_mul(height) {
        return;
    }
    let mut codes = Vec::new();
    let (w, h, smaller) = shrink(width, height, luma);
    read(w, h, &smaller, &mut codes, report);
    if codes.is_empty() && w < width {
        // Shrunk, a small code on a large photograph is a smudge: it is looked for where its corners are.
        read_part(width, height, luma, &mut codes, report);
    }
    for code in codes {
        say(&code, report);
    }
}

/// Codes of a picture that is looked at whole.
fn read(width: usize, height: usize, luma: &[u8], codes: &mut Vec<String>, report: &mut dyn Report) {
    for inverted in [false, true] {
        if !codes.is_empty() || report.stop() {
            continue;
        }
        let step = (height / 400).max(1);
        let Some(Corners { module, .. }) = find_finders(width, height, luma, inverted, step) else { continue };
        let turned: Vec<u8>;
        let pixels = if inverted {
            turned = luma.iter().map(|v| 255 - v).collect();
            turned.as_slice()
        } else {
            luma
        };
        decode(width, height, pixels, codes);
        let side = width.max(height);
        if codes.is_empty() && side <= SIDE_MAX / 2 && module <= SMALL_MODULE_PIXELS {
            let (w, h, larger) = enlarge(width, height, pixels, if side <= SIDE_SMALL { 4 } else { 2 });
            decode(w, h, &larger, codes);
        }
    }
}

/// The part of a large picture where corners of a code stand, at its full size.
fn read_part(width: usize, height: usize, luma: &[u8], codes: &mut Vec<String>, report: &mut dyn Report) {
    // Three modules are the height of a corner's core; no code that a camera sees has less than two pixels in each.
    const STEP_MAX: usize = 5;
    let step = (height / 400).clamp(1, STEP_MAX);
    for inverted in [false, true] {
        if report.stop() {
            return;
        }
        let Some(corners) = find_finders(width, height, luma, inverted, step) else { continue };
        // The fourth corner may stand outside of the other three's frame where the code is turned.
        let (across, down) = (corners.right - corners.left, corners.bottom - corners.top);
        let margin = 8 * corners.module + across.max(down) / 2;
        let (left, top) = (corners.left.saturating_sub(margin), corners.top.saturating_sub(margin));
        let (right, bottom) = ((corners.right + margin).min(width), (corners.bottom + margin).min(height));
        if (right - left).max(bottom - top) > SIDE_MAX {
            continue;
        }
        let part: Vec<u8> = (top..bottom)
            .flat_map(|y| luma.get(y * width + left..y * width + right).unwrap_or_default().iter().copied())
            .collect();
        read(right - left, bottom - top, &part, codes, report);
        if !codes.is_empty() {
            return;
        }
    }
}

/// Three corners of a code: pixels of a module, and the frame of the corners' middles.
struct Corners {
    module: usize,
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

/// What a code says, by its form.
pub fn say(code: &str, report: &mut dyn Report) {
    let code = code.trim();
    let lower = cut(code, 512).to_ascii_lowercase();
    if is_device_link(code, &lower) {
        report.fact("files/qr-device-link", "a code that links a device to an account");
    } else if code.starts_with("000201") && lower.contains("br.gov.bcb.pix") {
        report.fact("files/qr-pix", &pix_receiver(code).unwrap_or_default());
    } else if lower.starts_with("wifi:") {
        report.fact("files/qr-wifi", "");
    }
    if lower.starts_with("http://") || lower.starts_with("https://") {
        links::say(code, report);
    } else if lower.starts_with("www.") {
        links::say(&format!("http://{code}"), report);
    } else {
        report.text(code);
    }
}

/// WhatsApp Web's codes: `2@` and four or more base64 fields, or a link that carries them; Signal and Telegram likewise.
fn is_device_link(code: &str, lower: &str) -> bool {
    let fields = code.split(',').count();
    let bare =
        code.strip_prefix("2@").or_else(|| code.strip_prefix("1@")).is_some_and(|rest| fields >= 3 && rest.len() > 60);
    let linked = lower.contains("wa.me/settings/linked_devices")
        || lower.contains("whatsapp.com/linked_devices")
        || lower.starts_with("sgnl://linkdevice")
        || lower.starts_with("tg://login")
        || lower.contains("signal.link/call") && lower.contains("link");
    bare || linked || lower.contains("#2@") || lower.contains("/2@")
}

/// The receiver's name of a BR Code: field 59.
fn pix_receiver(code: &str) -> Option<String> {
    let (mut at, mut steps) = (0usize, 0);
    loop {
        let id = code.get(at..at + 2)?;
        let length: usize = code.get(at + 2..at + 4)?.parse().ok()?;
        let value = code.get(at + 4..at + 4 + length)?;
        if id == "59" {
            return Some(value.to_owned());
        }
        at += 4 + length;
        steps += 1;
        if steps > 40 {
            return None;
        }
    }
}

/// Looks for three places, alike in size and at the corners of a square, whose runs of dark and light are 1:1:3:1:1 across
/// and down. One row in `step` is read.
fn find_finders(width: usize, height: usize, luma: &[u8], inverted: bool, step: usize) -> Option<Corners> {
    let mut seen: Vec<Finder> = Vec::new();
    let mut found = Vec::new();
    for y in (0..height).step_by(step) {
        let Some(row) = luma.get(y * width..(y + 1) * width) else { break };
        found.clear();
        ratio_runs(row, inverted, &mut found);
        for across in found.iter().take(CANDIDATES_PER_ROW_MAX) {
            let near = seen
                .iter()
                .any(|known| known.x.abs_diff(across.x) < 4 * across.module && known.y.abs_diff(y) < 5 * across.module);
            if near || !holds_down(width, height, luma, inverted, across, y) {
                continue;
            }
            let new = Finder { y, ..*across };
            let alike = |other: &&Finder| other.module * 2 >= new.module && new.module * 2 >= other.module;
            let others: Vec<&Finder> = seen.iter().filter(alike).collect();
            let square = others.iter().enumerate().find_map(|(i, first)| {
                let second = others[..i].iter().find(|second| is_corner(&new, first, second))?;
                Some([&new, *first, *second])
            });
            if let Some(three) = square {
                let (xs, ys) = (three.map(|finder| finder.x), three.map(|finder| finder.y));
                return Some(Corners {
                    module: new.module,
                    left: xs.into_iter().min()?,
                    right: xs.into_iter().max()?,
                    top: ys.into_iter().min()?,
                    bottom: ys.into_iter().max()?,
                });
            }
            seen.push(new);
            if seen.len() > FINDERS_MAX {
                return None;
            }
        }
    }
    None
}

/// Whether three places stand as three corners of a square do, seen a little from the side.
fn is_corner(a: &Finder, b: &Finder, c: &Finder) -> bool {
    let distance = |p: &Finder, q: &Finder| {
        let (dx, dy) = (p.x.abs_diff(q.x) as u64, p.y.abs_diff(q.y) as u64);
        dx * dx + dy * dy
    };
    let mut sides = [distance(a, b), distance(b, c), distance(a, c)];
    sides.sort_unstable();
    let [short, middle, long] = sides;
    let module = a.module.max(b.module).max(c.module) as u64;
    let far_enough = short >= (7 * module) * (7 * module);
    far_enough && middle <= 2 * short && long.abs_diff(short + middle) * 5 <= (short + middle) * 2
}

const CANDIDATES_PER_ROW_MAX: usize = 64;
/// More places than this are a texture, not codes.
const FINDERS_MAX: usize = 200;

/// A place that may be a finder pattern: its middle, the width of a module, and the grey between its dark and light.
#[derive(Clone, Copy)]
struct Finder {
    x: usize,
    y: usize,
    module: usize,
    threshold: u8,
}

/// Runs 1:1:3:1:1 in a row. Light and dark are told apart block by block, as light falls unevenly on photographs.
fn ratio_runs(row: &[u8], inverted: bool, found: &mut Vec<Finder>) {
    let mut runs = [0usize; 5];
    let mut dark = false;
    let block = 128.max(row.len() / 8);
    let mut threshold = 128u8;
    for (at, value) in row.iter().enumerate() {
        if at % block == 0 {
            let part = &row[at..(at + block).min(row.len())];
            let low = part.iter().copied().min().unwrap_or(0);
            let high = part.iter().copied().max().unwrap_or(255);
            threshold = if high - low < 40 { threshold } else { low + (high - low) / 2 };
        }
        let now = (*value < threshold) != inverted;
        if now != dark {
            if dark {
                judge_runs(&runs, at, threshold, found);
            }
            runs.rotate_left(1);
            runs[4] = 0;
            dark = now;
        }
        runs[4] += 1;
    }
    if dark {
        judge_runs(&runs, row.len(), threshold, found);
    }
}

fn judge_runs(runs: &[usize; 5], end: usize, threshold: u8, found: &mut Vec<Finder>) {
    if let Some(module) = module_of(runs) {
        let x = end - runs[4] - runs[3] - runs[2] / 2 - 1;
        found.push(Finder { x, y: 0, module, threshold });
    }
}

/// Pixels of a module, where five runs stand to each other as 1:1:3:1:1.
fn module_of(runs: &[usize; 5]) -> Option<usize> {
    let total: usize = runs.iter().sum();
    if total < 7 || runs.contains(&0) {
        return None;
    }
    // In fourteenths of the whole: a module is two of them, and may be off by half, plus a pixel's rounding.
    let fits = |run: usize, modules: usize| (run * 14).abs_diff(modules * total * 2) <= total * modules.min(2) + 10;
    let all = fits(runs[0], 1) && fits(runs[1], 1) && fits(runs[2], 3) && fits(runs[3], 1) && fits(runs[4], 1);
    all.then_some(total.div_ceil(7))
}

/// Whether the column through a candidate shows the same runs.
fn holds_down(width: usize, height: usize, luma: &[u8], inverted: bool, at: &Finder, y: usize) -> bool {
    let dark = |y: usize| luma.get(y * width + at.x).is_some_and(|value| (*value < at.threshold) != inverted);
    // From the middle outwards: the half core, the light ring, the dark ring.
    let side = |up: bool| -> Option<[usize; 3]> {
        let mut runs = [0usize; 3];
        let (mut ring, mut distance) = (0, 1);
        while distance <= at.module * 8 {
            let next = if up { y.checked_sub(distance) } else { Some(y + distance).filter(|y| *y < height) };
            let Some(next) = next else { break };
            if dark(next) != (ring % 2 == 0) {
                ring += 1;
                if ring == 3 {
                    break;
                }
            }
            runs[ring] += 1;
            distance += 1;
        }
        (runs[2] > 0).then_some(runs)
    };
    let (Some(up), Some(down)) = (side(true), side(false)) else { return false };
    dark(y) && module_of(&[up[2], up[1], up[0] + 1 + down[0], down[1], down[2]]).is_some()
}

fn decode(width: usize, height: usize, luma: &[u8], codes: &mut Vec<String>) {
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        luma.get(y * width + x).copied().unwrap_or(255)
    });
    for grid in image.detect_grids().into_iter().take(CODES_MAX) {
        let mut bytes = Vec::new();
        if grid.decode_to(&mut bytes).is_ok() && !bytes.is_empty() {
            let text = super::bytes::lossy(&bytes);
            if codes.len() < CODES_MAX && !codes.contains(&text) {
                codes.push(text);
            }
        }
    }
}

/// Averages blocks until the longer side is small enough.
fn shrink(width: usize, height: usize, luma: &[u8]) -> (usize, usize, Vec<u8>) {
    let factor = width.max(height).div_ceil(SIDE_MAX);
    if factor <= 1 {
        return (width, height, luma.get(..width * height).unwrap_or_default().to_vec());
    }
    let (w, h) = (width / factor, height / factor);
    let mut out = Vec::with_capacity(w * h);
    for y in 0..h {
        for x in 0..w {
            let mut sum = 0u32;
            for dy in 0..factor {
                let start = (y * factor + dy) * width + x * factor;
                sum += luma.get(start..start + factor).unwrap_or_default().iter().map(|v| u32::from(*v)).sum::<u32>();
            }
            out.push((sum / (factor * factor) as u32) as u8);
        }
    }
    (w, h, out)
}

/// Repeats pixels and adds a light margin, which codes cut to their edge lack.
fn enlarge(width: usize, height: usize, luma: &[u8], factor: usize) -> (usize, usize, Vec<u8>) {
    const MARGIN: usize = 4;
    let margin = MARGIN * factor;
    let (w, h) = (width * factor + 2 * margin, height * factor + 2 * margin);
    let mut out = vec![255; w * h];
    for y in 0..height * factor {
        for x in 0..width * factor {
            out[(y + margin) * w + x + margin] = luma[(y / factor) * width + x / factor];
        }
    }
    (w, h, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    const LINK: &str = "https://example.com/pay?id=123";

    /// A code as grey pixels, `scale` pixels a module, with its quiet margin.
    fn code(text: &str, scale: usize) -> (usize, usize, Vec<u8>) {
        let code = qrcode::QrCode::new(text).expect("fits");
        let modules = code.width();
        let side = (modules + 8) * scale;
        let mut luma = vec![255u8; side * side];
        for (i, module) in code.to_colors().into_iter().enumerate() {
            let (x, y) = (i % modules + 4, i / modules + 4);
            for dy in 0..scale {
                for dx in 0..scale {
                    luma[(y * scale + dy) * side + x * scale + dx] =
                        if module == qrcode::Color::Dark { 20 } else { 235 };
                }
            }
        }
        (side, side, luma)
    }

    fn links(width: usize, height: usize, luma: &[u8]) -> Vec<String> {
        let mut seen = Seen::default();
        in_luma(width, height, luma, &mut seen);
        seen.links
    }

    /// Turned by `degrees` onto a light ground half as large again.
    fn turned((width, height, luma): &(usize, usize, Vec<u8>), degrees: f64) -> (usize, usize, Vec<u8>) {
        let side = width.max(height) * 3 / 2;
        let (sin, cos) = degrees.to_radians().sin_cos();
        let middle = side as f64 / 2.0;
        let mut out = vec![240u8; side * side];
        for y in 0..side {
            for x in 0..side {
                let (dx, dy) = (x as f64 - middle, y as f64 - middle);
                let sx = dx * cos + dy * sin + *width as f64 / 2.0;
                let sy = dy * cos - dx * sin + *height as f64 / 2.0;
                if sx >= 0.0 && sy >= 0.0 && (sx as usize) < *width && (sy as usize) < *height {
                    out[y * side + x] = luma[sy as usize * width + sx as usize];
                }
            }
        }
        (side, side, out)
    }

    #[test]
    fn codes_of_any_size() {
        for scale in [1, 2, 3, 4, 8, 20, 60] {
            let (width, height, luma) = code(LINK, scale);
            assert_eq!(links(width, height, &luma), [LINK], "{scale} pixels a module");
        }
    }

    #[test]
    fn codes_turned_and_inverted() {
        let plain = code(LINK, 6);
        let inverted = (plain.0, plain.1, plain.2.iter().map(|v| 255 - v).collect::<Vec<_>>());
        assert_eq!(links(inverted.0, inverted.1, &inverted.2), [LINK], "inverted");
        for degrees in [15.0, 30.0, 45.0, 90.0, 137.0, 180.0, 260.0] {
            let (width, height, luma) = turned(&plain, degrees);
            assert_eq!(links(width, height, &luma), [LINK], "{degrees} degrees");
        }
    }

    #[test]
    fn a_small_code_on_a_large_photograph() {
        let (w, h, luma) = code(LINK, 4);
        let (width, height) = (1400, 1000);
        let mut photo: Vec<u8> =
            (0..width * height).map(|i| (90 + (i % width) / 12 + (i / width * 7) % 23) as u8).collect();
        for y in 0..h {
            photo[(y + 700) * width + 900..][..w].copy_from_slice(&luma[y * w..(y + 1) * w]);
        }
        assert_eq!(links(width, height, &photo), [LINK]);
    }

    #[test]
    fn a_tiny_code_on_a_photograph_larger_than_is_looked_at_whole() {
        let (w, h, luma) = code(LINK, 3);
        let (width, height) = (4000, 3000);
        for (x, y) in [(3600, 2700), (17, 9), (2000, 1503)] {
            let mut photo: Vec<u8> =
                (0..width * height).map(|i| (90 + (i % width) / 40 + (i / width * 7) % 23) as u8).collect();
            for row in 0..h {
                photo[(row + y) * width + x..][..w].copy_from_slice(&luma[row * w..(row + 1) * w]);
            }
            assert_eq!(links(width, height, &photo), [LINK], "at {x}, {y}");
        }
    }

    #[test]
    fn several_codes() {
        let (first, second) = (code("https://a.example/1", 5), code("https://b.example/2", 5));
        let (width, height) = (first.0 + second.0, first.1.max(second.1));
        let mut both = vec![235u8; width * height];
        for (at, code) in [(0, &first), (first.0, &second)] {
            for y in 0..code.1 {
                both[y * width + at..][..code.0].copy_from_slice(&code.2[y * code.0..(y + 1) * code.0]);
            }
        }
        let mut found = links(width, height, &both);
        found.sort();
        assert_eq!(found, ["https://a.example/1", "https://b.example/2"]);
    }

    #[test]
    fn what_codes_say() {
        let check = |code: &str, rules: &[&str], links: &[&str]| {
            let mut seen = Seen::default();
            say(code, &mut seen);
            assert_eq!(
                (seen.rules(), seen.links.iter().map(String::as_str).collect::<Vec<_>>()),
                (rules.to_vec(), links.to_vec()),
                "{code}"
            );
        };
        check("https://example.com/a", &[], &["https://example.com/a"]);
        check("hello", &[], &[]);
        let key = "A".repeat(44);
        check(&format!("2@{key}{key},{key},{key},{key}"), &["files/qr-device-link"], &[]);
        check(
            "00020126330014br.gov.bcb.pix0111123456789095204000053039865802BR5903ANA6006BRASIL62070503***6304ABCD",
            &["files/qr-pix"],
            &[],
        );
        assert_eq!(pix_receiver("000201520400005903ANA"), Some("ANA".to_owned()));
    }

    #[test]
    fn pictures_without_codes_are_left_early() {
        let noise: Vec<u8> = (0..300 * 300u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut seen = Seen::default();
        in_luma(300, 300, &noise, &mut seen);
        in_luma(300, 300, &vec![255; 90_000], &mut seen);
        in_luma(usize::MAX, 2, &[], &mut seen);
        assert!(seen.texts.is_empty() && seen.links.is_empty());
    }
}
