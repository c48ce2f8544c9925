//! QR codes in pictures: what they say joins the message as a link or a text. Codes that link a device to a WhatsApp
//! account, or ask for a payment, are named as such.
//!
//! Most pictures hold no code, so a cheap look for finder patterns comes first; only then is a code decoded, also inverted
//! and enlarged.

use super::bytes::cut;
use super::links;
use super::pixels::Opened;
use super::report::Report;
use std::borrow::Cow;

/// Pictures with more pixels are not decoded at all.
pub const PIXELS_MAX: usize = 40_000_000;
/// Codes told from one picture.
const CODES_MAX: usize = 16;
/// The longer side that detection works on; larger pictures are shrunk to it, small ones enlarged.
const SIDE_MAX: usize = 1600;
const SIDE_SMALL: usize = 300;
/// No code has fewer modules.
const SIDE_MIN: usize = 21;
/// Pixels of possible codes, enlarged ones included, that are tried in the smallest picture.
const PIXELS_TRIED_MIN: usize = 400_000;
/// Codes with larger modules gain nothing from being enlarged.
const SMALL_MODULE_PIXELS: usize = 3;

/// An encoded picture (PNG, JPEG, WebP, GIF, BMP).
pub fn in_picture(data: &[u8], report: &mut dyn Report) {
    match super::pixels::open(data, SIDE_MAX, report) {
        Some(Opened::InParts(mut picture)) => {
            let mut codes = Vec::new();
            read(picture.as_mut(), &mut codes, report);
            say_all(&codes, report);
        }
        Some(Opened::Whole { width, height, luma }) => in_luma(width, height, &luma, report),
        None => {}
    }
}

/// Grey values, row by row.
pub fn in_luma(width: usize, height: usize, luma: &[u8], report: &mut dyn Report) {
    if luma.len() < width.saturating_mul(height) {
        return;
    }
    let mut codes = Vec::new();
    let (w, h, smaller) = shrink(width, height, luma);
    read(&mut Whole { width: w, height: h, luma: &smaller }, &mut codes, report);
    if codes.is_empty() && w < width {
        // Shrunk, a small code on a large photograph is a smudge.
        read(&mut Whole { width, height, luma }, &mut codes, report);
    }
    say_all(&codes, report);
}

fn say_all(codes: &[String], report: &mut dyn Report) {
    for code in codes {
        say(code, report);
    }
}

/// Codes of a picture, each read where three of its corners stand.
fn read(grey: &mut dyn Grey, codes: &mut Vec<String>, report: &mut dyn Report) {
    let (width, height) = grey.size();
    if width < SIDE_MIN || height < SIDE_MIN || report.stop() {
        return;
    }
    for (inverted, finders) in [false, true].into_iter().zip(find_finders(grey)) {
        let squares = squares(grey, inverted, &finders);
        let Some(module) = squares.iter().map(Corners::module).min() else { continue };
        // What is tried around corners that are none, by chance or on purpose, costs no more than the whole picture does.
        let mut budget = (width * height / 2).max(PIXELS_TRIED_MIN);
        let mut done: Vec<Frame> = Vec::new();
        for corners in squares {
            let frame = corners.frame(width, height);
            let (w, h) = frame.size();
            if done.iter().any(|done| corners.all().iter().all(|finder| done.holds(finder))) || w.max(h) > SIDE_MAX {
                continue;
            }
            let times = enlargement(w, h, corners.module());
            let cost = w * h + if times > 1 { w * h * times * times } else { 0 };
            let Some(left) = budget.checked_sub(cost).filter(|_| !report.stop()) else { break };
            budget = left;
            if decode_enlarged(w, h, &part(grey, &frame, inverted), corners.module(), codes) {
                done.push(frame);
            }
        }
        // Seen as a whole, light and dark are told apart otherwise.
        if codes.is_empty() && width.max(height) <= SIDE_MAX && !report.stop() {
            let whole = Frame { left: 0, right: width, top: 0, bottom: height };
            decode_enlarged(width, height, &part(grey, &whole, inverted), module, codes);
        }
        if !codes.is_empty() {
            return;
        }
    }
}

/// Row by row, what is within a frame, dark on light.
fn part(grey: &mut dyn Grey, frame: &Frame, inverted: bool) -> Vec<u8> {
    let (width, height) = frame.size();
    let mut out = Vec::with_capacity(width * height);
    for y in frame.top..frame.bottom {
        out.extend_from_slice(grey.row(y).get(frame.left..frame.right).unwrap_or_default());
    }
    if inverted {
        out.iter_mut().for_each(|value| *value = 255 - *value);
    }
    out
}

/// Whether there was a code, as it is or, where its modules are small, enlarged.
fn decode_enlarged(width: usize, height: usize, luma: &[u8], module: usize, codes: &mut Vec<String>) -> bool {
    if decode(width, height, luma, codes) {
        return true;
    }
    let times = enlargement(width, height, module);
    if times == 1 {
        return false;
    }
    let (width, height, larger) = enlarge(width, height, luma, times);
    decode(width, height, &larger, codes)
}

/// How many times as large something is looked at again.
fn enlargement(width: usize, height: usize, module: usize) -> usize {
    match width.max(height) {
        side if side > SIDE_MAX / 2 || module > SMALL_MODULE_PIXELS => 1,
        side if side <= SIDE_SMALL => 4,
        _ => 2,
    }
}

/// Grey values that are asked for by row or by place.
pub trait Grey {
    /// Width and height.
    fn size(&self) -> (usize, usize);
    fn row(&mut self, y: usize) -> &[u8];
    /// Only asked within [`Grey::size`].
    fn at(&mut self, x: usize, y: usize) -> u8;
}

/// A picture that is there in full.
struct Whole<'a> {
    width: usize,
    height: usize,
    luma: &'a [u8],
}

impl Grey for Whole<'_> {
    fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }
    fn row(&mut self, y: usize) -> &[u8] {
        self.luma.get(y * self.width..(y + 1) * self.width).unwrap_or_default()
    }
    fn at(&mut self, x: usize, y: usize) -> u8 {
        self.luma.get(y * self.width + x).copied().unwrap_or(255)
    }
}

/// A part of a picture; `right` and `bottom` are outside.
pub struct Frame {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Frame {
    fn size(&self) -> (usize, usize) {
        (self.right - self.left, self.bottom - self.top)
    }

    fn holds(&self, finder: &Finder) -> bool {
        (self.left..self.right).contains(&finder.x) && (self.top..self.bottom).contains(&finder.y)
    }
}

/// Three corners of a code: the one between the others, and those.
struct Corners {
    between: Finder,
    ends: [Finder; 2],
}

impl Corners {
    fn all(&self) -> [Finder; 3] {
        [self.between, self.ends[0], self.ends[1]]
    }

    fn module(&self) -> usize {
        self.all().map(|finder| finder.module).into_iter().min().unwrap_or(1)
    }

    /// Where the code is, with the light around it.
    fn frame(&self, width: usize, height: usize) -> Frame {
        let [a, b, c] = self.all();
        let module = a.module.max(b.module).max(c.module);
        let span = |at: fn(&Finder) -> usize, end: usize| {
            let (a, b, c) = (at(&a), at(&b), at(&c));
            // Seen from the side, the fourth corner is not where a square's would be.
            let fourth = (b + c).saturating_sub(a);
            let (low, high) = (a.min(b).min(c).min(fourth), a.max(b).max(c).max(fourth));
            let margin = 8 * module + (high - low) / 6;
            (low.saturating_sub(margin), (high + margin).min(end))
        };
        let (left, right) = span(|finder| finder.x, width);
        let (top, bottom) = span(|finder| finder.y, height);
        Frame { left, right, top, bottom }
    }
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

/// Looks for places whose runs of dark and light are 1:1:3:1:1 across and down; dark on light, and light on dark.
fn find_finders(grey: &mut dyn Grey) -> [Vec<Finder>; 2] {
    // Three modules are the height of a corner's core; no code that a camera sees has less than two pixels in each.
    const STEP_MAX: usize = 5;
    let (_, height) = grey.size();
    let mut found = [Vec::new(), Vec::new()];
    let mut seen = [Vec::new(), Vec::new()];
    for y in (0..height).step_by((height / 400).clamp(1, STEP_MAX)) {
        found.iter_mut().for_each(Vec::clear);
        ratio_runs(grey.row(y), &mut found);
        for (inverted, (found, seen)) in [false, true].into_iter().zip(found.iter().zip(&mut seen)) {
            for across in found.iter().take(CANDIDATES_PER_ROW_MAX) {
                add_finder(grey, inverted, across, y, seen);
            }
        }
    }
    seen
}

fn add_finder(grey: &mut dyn Grey, inverted: bool, across: &Finder, y: usize, seen: &mut Vec<Finder>) {
    let near =
        |known: &Finder| known.x.abs_diff(across.x) < 4 * across.module && known.y.abs_diff(y) < 5 * across.module;
    if seen.len() >= FINDERS_MAX || seen.iter().any(near) {
        return;
    }
    let Some(middle) = holds_down(grey, inverted, across, y) else { return };
    if has_ring(grey, inverted, across, middle) {
        seen.push(Finder { y: middle, ..*across });
    }
}

/// Every three finders that stand as three corners of a code do, the most regular first.
fn squares(grey: &mut dyn Grey, inverted: bool, finders: &[Finder]) -> Vec<Corners> {
    let mut out = Vec::new();
    for (n, a) in finders.iter().enumerate() {
        for (m, b) in finders[..n].iter().enumerate() {
            if !is_alike(a, b) {
                continue;
            }
            for c in &finders[..m] {
                if !is_alike(a, c) || !is_alike(b, c) || out.len() >= SQUARES_MAX {
                    continue;
                }
                if let Some((corners, odd)) = as_corners([a, b, c])
                    && legs_hold(grey, inverted, &corners)
                {
                    out.push((odd, corners));
                }
            }
        }
    }
    out.sort_by_key(|(odd, _)| *odd);
    out.into_iter().map(|(_, corners)| corners).collect()
}

fn is_alike(a: &Finder, b: &Finder) -> bool {
    a.module * 2 >= b.module && b.module * 2 >= a.module
}

/// Three places that stand as three corners of a square do, seen a little from the side; and how much they differ from one.
fn as_corners(three: [&Finder; 3]) -> Option<(Corners, u64)> {
    let distance = |p: &Finder, q: &Finder| {
        let (dx, dy) = (p.x.abs_diff(q.x) as u64, p.y.abs_diff(q.y) as u64);
        dx * dx + dy * dy
    };
    let [a, b, c] = three;
    // Each side with the corner that is not on it: the longest is opposite to the corner between the others.
    let mut sides = [(distance(b, c), a, [b, c]), (distance(a, c), b, [a, c]), (distance(a, b), c, [a, b])];
    sides.sort_unstable_by_key(|(length, ..)| *length);
    let [(short, ..), (middle, ..), (long, between, ends)] = sides;
    let module = a.module.max(b.module).max(c.module) as u64;
    let far_enough = short >= (7 * module) * (7 * module);
    let odd = long.abs_diff(short + middle) * 5;
    let square = far_enough && middle <= 2 * short && odd <= (short + middle) * 2;
    let corners = Corners { between: *between, ends: ends.map(|finder| *finder) };
    square.then(|| (corners, (odd + middle - short) * 100 / (short + middle)))
}

/// Whether the lines between the corners begin and end as a code's do: half a core, a light ring, a dark one, and light.
/// One of four may be spoiled.
fn legs_hold(grey: &mut dyn Grey, inverted: bool, corners: &Corners) -> bool {
    let Corners { between, ends: [a, b] } = corners;
    let mut lengths = Vec::new();
    for (from, to) in [(between, a), (between, b), (a, between), (b, between)] {
        lengths.extend(ring_towards(grey, inverted, from, to));
    }
    let (low, high) =
        lengths.iter().fold((f32::MAX, 0f32), |(low, high), length| (low.min(*length), high.max(*length)));
    let module = lengths.iter().sum::<f32>() / lengths.len() as f32 / RING_MODULES;
    lengths.len() >= 3
        && high <= low * 1.8 + 2.0
        && (alternates(grey, inverted, between, a, b, module) || alternates(grey, inverted, between, b, a, module))
}

/// Whether light and dark take turns between two corners, module by module, on the side where the third corner is: by
/// this a reader counts the modules. Data beside it has half as many turns, and photographs fewer.
fn alternates(grey: &mut dyn Grey, inverted: bool, from: &Finder, to: &Finder, third: &Finder, module: f32) -> bool {
    let ((ax, ay), (bx, by)) = (from.direction(to), from.direction(third));
    let whole = from.distance(to);
    // From light to light, next to the rings.
    let modules = whole / module - 8.0;
    if !(5.0..=MODULES_MAX).contains(&modules) {
        return false;
    }
    let (width, height) = grey.size();
    [2.4f32, 3.0, 3.6].into_iter().any(|aside| {
        let (mut turns, mut before, mut at) = (0f32, false, 4.0 * module);
        while at < whole - 4.0 * module {
            let (x, y) = (from.x as f32 + ax * at + bx * aside * module, from.y as f32 + ay * at + by * aside * module);
            let (x, y) = ((x + 0.5) as usize, (y + 0.5) as usize);
            if x < width && y < height {
                let share = at / whole;
                let threshold = f32::from(from.threshold) * (1.0 - share) + f32::from(to.threshold) * share;
                let dark = (f32::from(grey.at(x, y)) < threshold) != inverted;
                turns += f32::from(u8::from(dark != before));
                before = dark;
            }
            at += 0.5;
        }
        turns + 1.0 >= modules * 0.55 && turns <= modules * 1.6 + 3.0
    })
}

/// How far a finder reaches towards another, if its rings are as they should be.
fn ring_towards(grey: &mut dyn Grey, inverted: bool, from: &Finder, to: &Finder) -> Option<f32> {
    let (dx, dy) = from.direction(to);
    let whole = from.distance(to);
    let furthest = (whole / 2.0).min(from.module as f32 * 6.0 + 3.0);
    let (mut ends, mut ring) = ([0f32; 3], 0);
    let mut at = 1.0;
    while at < furthest {
        let (x, y) = (from.x as f32 + dx * at, from.y as f32 + dy * at);
        let dark = (grey.at((x + 0.5) as usize, (y + 0.5) as usize) < from.threshold) != inverted;
        if dark != (ring % 2 == 0) {
            ends[ring] = at;
            ring += 1;
            if ring == 3 {
                break;
            }
        }
        at += 0.5;
    }
    let [light, dark, end] = ends;
    let near = |value: f32, modules: f32| (value - end * modules / RING_MODULES).abs() <= end * 0.15 + 1.5;
    (ring == 3 && near(light, 1.5) && near(dark, 2.5) && whole >= end * 3.0).then_some(end)
}

/// From a corner's middle to the light around it.
const RING_MODULES: f32 = 3.5;
/// No code has more between two corners; a little more, as a module is only estimated.
const MODULES_MAX: f32 = 180.0;
const CANDIDATES_PER_ROW_MAX: usize = 64;
/// More places than this are a texture, not codes.
const FINDERS_MAX: usize = 200;
const SQUARES_MAX: usize = 100;

/// A place that may be a finder pattern: its middle, the width of a module, and the grey between its dark and light.
#[derive(Clone, Copy)]
struct Finder {
    x: usize,
    y: usize,
    module: usize,
    threshold: u8,
}

impl Finder {
    fn distance(&self, other: &Finder) -> f32 {
        (other.x as f32 - self.x as f32).hypot(other.y as f32 - self.y as f32)
    }

    /// The way to another, one pixel long.
    fn direction(&self, other: &Finder) -> (f32, f32) {
        let whole = self.distance(other);
        ((other.x as f32 - self.x as f32) / whole, (other.y as f32 - self.y as f32) / whole)
    }
}

/// Runs 1:1:3:1:1 in a row: dark on light, and light on dark. Light and dark are told apart block by block, as light falls
/// unevenly on photographs.
fn ratio_runs(row: &[u8], found: &mut [Vec<Finder>; 2]) {
    let mut runs = [0usize; 5];
    let (mut start, mut dark, mut threshold) = (0, false, 128u8);
    let block = 128.max(row.len() / 8);
    for (n, part) in row.chunks(block).enumerate() {
        let low = part.iter().fold(u8::MAX, |low, value| low.min(*value));
        let high = part.iter().fold(0, |high, value| high.max(*value));
        threshold = if high - low < 40 { threshold } else { low + (high - low) / 2 };
        for (m, group) in part.chunks(GROUP).enumerate() {
            let below = below(group, threshold);
            // A bit for each pixel that differs from the one before.
            let mut edges = below ^ (below << 1 | u64::from(dark));
            if group.len() < GROUP {
                edges &= (1 << group.len()) - 1;
            }
            while edges != 0 {
                let at = n * block + m * GROUP + edges.trailing_zeros() as usize;
                edges &= edges - 1;
                runs = [runs[1], runs[2], runs[3], runs[4], at - start];
                judge_runs(&runs, at, threshold, &mut found[usize::from(!dark)]);
                (start, dark) = (at, !dark);
            }
        }
    }
    runs = [runs[1], runs[2], runs[3], runs[4], row.len() - start];
    judge_runs(&runs, row.len(), threshold, &mut found[usize::from(!dark)]);
}

/// Pixels that are compared at once.
const GROUP: usize = 64;

/// A bit for each pixel, the first one lowest, that is darker than the threshold.
fn below(group: &[u8], threshold: u8) -> u64 {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const ONES: u64 = 0x0101_0101_0101_0101;
    let limit = ONES * u64::from(threshold);
    let of_eight = |eight: u64| {
        // In the top bit of each byte: whether the other seven reach the limit's, then whether all eight do.
        let reach = (eight | HIGH) - (limit & !HIGH);
        let below = !((eight & !limit) | (!(eight ^ limit) & reach)) & HIGH;
        ((below >> 7).wrapping_mul(0x0102_0408_1020_4080)) >> 56
    };
    let (eights, rest) = group.as_chunks::<8>();
    let mut out = 0;
    for (n, eight) in eights.iter().enumerate() {
        out |= of_eight(u64::from_le_bytes(*eight)) << (8 * n);
    }
    for (n, value) in rest.iter().enumerate() {
        out |= u64::from(*value < threshold) << (8 * eights.len() + n);
    }
    out
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

/// The middle of the core, if the column through a candidate shows the same runs.
fn holds_down(grey: &mut dyn Grey, inverted: bool, at: &Finder, y: usize) -> Option<usize> {
    let (_, height) = grey.size();
    let mut dark = |y: usize| (grey.at(at.x, y) < at.threshold) != inverted;
    if !dark(y) {
        return None; // another block's threshold
    }
    // From the middle outwards: the half core, the light ring, the dark ring.
    let mut side = |up: bool| -> Option<[usize; 3]> {
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
    let (up, down) = (side(true)?, side(false)?);
    module_of(&[up[2], up[1], up[0] + 1 + down[0], down[1], down[2]])?;
    Some((y + down[0] + y - up[0]) / 2)
}

/// Whether a light ring and a dark one lie around a candidate's middle towards the four corners, too; letters have such runs
/// across and down by chance. One corner may be missing.
fn has_ring(grey: &mut dyn Grey, inverted: bool, at: &Finder, middle: usize) -> bool {
    let (width, height) = grey.size();
    let mut holds = |right: bool, down: bool| {
        let mut starts = [0usize; 2];
        let mut ring = 0;
        // Diagonal steps; in one are seven fifths of a pixel. A square's corner is at 1.4 times the distance of its side,
        // and a turned one's side may be here while its corner was measured.
        for step in 1..=at.module * 4 + 2 {
            let x = if right { at.x.checked_add(step) } else { at.x.checked_sub(step) };
            let y = if down { middle.checked_add(step) } else { middle.checked_sub(step) };
            let (Some(x), Some(y)) = (x.filter(|x| *x < width), y.filter(|y| *y < height)) else { return false };
            if ((grey.at(x, y) < at.threshold) != inverted) != (ring == 0) {
                starts[ring] = step * 7 / 5;
                ring += 1;
                if ring == 2 {
                    break;
                }
            }
        }
        let [light, dark] = starts;
        ring == 2
            && light * 2 + 2 >= at.module
            && light <= at.module * 3 + 1
            && dark + 1 >= at.module
            && dark <= at.module * 5 + 1
    };
    [(false, false), (false, true), (true, false), (true, true)].iter().filter(|(x, y)| holds(*x, *y)).count() >= 3
}

/// Adds what codes say; whether there was one.
fn decode(width: usize, height: usize, luma: &[u8], codes: &mut Vec<String>) -> bool {
    let mut found = false;
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
        luma.get(y * width + x).copied().unwrap_or(255)
    });
    for grid in image.detect_grids().into_iter().take(CODES_MAX) {
        let mut bytes = Vec::new();
        if grid.decode_to(&mut bytes).is_ok() && !bytes.is_empty() {
            found = true;
            let text = super::bytes::lossy(&bytes);
            if codes.len() < CODES_MAX && !codes.contains(&text) {
                codes.push(text);
            }
        }
    }
    found
}

/// Averages blocks until the longer side is small enough.
fn shrink(width: usize, height: usize, luma: &[u8]) -> (usize, usize, Cow<'_, [u8]>) {
    let factor = width.max(height).div_ceil(SIDE_MAX);
    if factor <= 1 {
        return (width, height, luma.into());
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
    (w, h, out.into())
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

    /// What is found in a JPEG of these grey values.
    fn links_in_jpeg(width: usize, height: usize, luma: &[u8], quality: u8, colour: bool) -> Vec<String> {
        let (w, h) = (width as u32, height as u32);
        let grey = image::GrayImage::from_raw(w, h, luma.to_vec()).expect("its size");
        let mut data = Vec::new();
        let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut data, quality);
        if colour {
            encoder.encode_image(&image::DynamicImage::ImageLuma8(grey).into_rgb8()).expect("memory");
        } else {
            encoder.encode_image(&grey).expect("memory");
        }
        let mut seen = Seen::default();
        in_picture(&data, &mut seen);
        seen.links
    }

    /// A code of `scale` pixels a module in the lower right of a photograph's like.
    fn on_photograph(scale: usize) -> (usize, usize, Vec<u8>) {
        let (w, h, luma) = code(LINK, scale);
        let (width, height) = (w + w / 2 + 40, h + h / 3 + 40);
        let mut photo: Vec<u8> =
            (0..width * height).map(|i| (60 + i % width * 120 / width + (i / width * 7 + i) % 31) as u8).collect();
        for y in 0..h {
            photo[(y + height - h - 13) * width + width - w - 21..][..w].copy_from_slice(&luma[y * w..(y + 1) * w]);
        }
        (width, height, photo)
    }

    #[test]
    fn codes_in_jpegs_of_any_size_and_quality() {
        for scale in [2, 3, 4, 8, 20, 24] {
            let (width, height, luma) = on_photograph(scale);
            for quality in [50, 72, 95] {
                for colour in [false, true] {
                    let found = links_in_jpeg(width, height, &luma, quality, colour);
                    assert_eq!(found, [LINK], "{scale} pixels a module, quality {quality}, colour {colour}");
                }
            }
        }
        let (width, height, luma) = code(LINK, 60);
        assert_eq!(links_in_jpeg(width, height, &luma, 50, true), [LINK], "60 pixels a module");
    }

    #[test]
    fn codes_in_jpegs_turned_pale_and_inverted() {
        let plain = code(LINK, 5);
        for degrees in [8.0, 30.0, 45.0, 90.0, 137.0] {
            let (width, height, luma) = turned(&plain, degrees);
            assert_eq!(links_in_jpeg(width, height, &luma, 60, true), [LINK], "{degrees} degrees");
        }
        let (width, height, luma) = plain;
        let pale: Vec<u8> = luma.iter().map(|value| 90 + value / 3).collect();
        assert_eq!(links_in_jpeg(width, height, &pale, 75, true), [LINK], "pale");
        let inverted: Vec<u8> = luma.iter().map(|value| 255 - value).collect();
        assert_eq!(links_in_jpeg(width, height, &inverted, 75, true), [LINK], "inverted");
    }

    #[test]
    fn codes_in_jpegs_as_others_write_them() {
        for (name, data) in crate::formats::jpeg::tests::SAMPLES {
            let mut seen = Seen::default();
            in_picture(data, &mut seen);
            assert_eq!(seen.links, [LINK], "{name}");
            // What a viewer shows of a broken picture is looked at, too: here only its end mark is missing.
            let mut seen = Seen::default();
            in_picture(&data[..data.len() - 2], &mut seen);
            assert_eq!(seen.links, [LINK], "{name}, without its end");
        }
    }

    #[test]
    fn codes_in_pngs() {
        let (width, height, luma) = code(LINK, 3);
        let grey = image::GrayImage::from_raw(width as u32, height as u32, luma).expect("its size");
        let grey = image::DynamicImage::ImageLuma8(grey);
        for picture in [
            grey.to_luma8().into(),
            grey.to_luma_alpha8().into(),
            grey.to_rgb8().into(),
            grey.to_rgba8().into(),
            image::DynamicImage::from(grey.to_rgb16()),
        ] {
            for format in [image::ImageFormat::Png, image::ImageFormat::WebP, image::ImageFormat::Bmp] {
                let mut data = std::io::Cursor::new(Vec::new());
                if picture.write_to(&mut data, format).is_err() {
                    continue; // not every format has every kind of pixels
                }
                let mut seen = Seen::default();
                in_picture(data.get_ref(), &mut seen);
                assert_eq!(seen.links, [LINK], "{format:?}, {:?}", picture.color());
            }
        }
    }

    #[test]
    fn darker_pixels_are_bits() {
        let group: Vec<u8> = (0..60).map(|n| (n * 37 % 256) as u8).collect();
        for threshold in [0, 1, 37, 127, 128, 129, 200, 255] {
            let expect = group.iter().enumerate().fold(0, |out, (n, v)| out | u64::from(*v < threshold) << n);
            assert_eq!(below(&group, threshold), expect, "{threshold}");
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
