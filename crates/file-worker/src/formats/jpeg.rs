//! A JPEG's grey values where they are asked for, without making those that nobody asks for: its coefficients are read,
//! its colours skipped, and a row or a place becomes pixels when it is looked at. That is a fraction of decoding it.
//!
//! It reads what cameras and phones write, baseline and progressive, and nothing else. Whatever is odd or broken is `None`:
//! the caller then decodes the picture as a viewer would, who shows what is there of a broken one.

use super::bytes::{take, u16_be};
use super::qr::Grey;

/// Blocks on a side hold eight pixels.
const SIDE: usize = 8;
const BLOCK: usize = SIDE * SIDE;
/// libjpeg's own script has ten; each costs time.
const SCANS_MAX: usize = 40;
const COMPONENTS_MAX: usize = 3;

/// Where in a block, row by row, a coefficient stands.
const ZIGZAG: [u8; BLOCK] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// A picture of which the coefficients are known.
pub struct Picture {
    width: usize,
    height: usize,
    blocks: Blocks,
    waves: Waves,
    /// Pixels of blocks that were looked at whole, and which of them those are.
    made: Vec<u8>,
    is_made: Vec<bool>,
    row: Vec<u8>,
}

impl Picture {
    /// `None`: broken, unusual, or of more than `pixels_max`.
    pub fn read(data: &[u8], pixels_max: usize) -> Option<Picture> {
        let (frame, blocks, table) = Reader::new(data, pixels_max).read()?;
        let Frame { width, height, .. } = frame;
        let count = blocks.across * blocks.down;
        let (made, is_made, row) = (vec![0; count * BLOCK], vec![false; count], vec![0; width.next_multiple_of(SIDE)]);
        Some(Picture { width, height, blocks, waves: Waves::new(&table), made, is_made, row })
    }
}

impl Grey for Picture {
    fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn row(&mut self, y: usize) -> &[u8] {
        let first = y / SIDE * self.blocks.across;
        for (x, pixels) in self.row.chunks_exact_mut(SIDE).enumerate() {
            pixels.copy_from_slice(&self.blocks.row_of(first + x, y % SIDE, &self.waves));
        }
        &self.row[..self.width]
    }

    /// The whole block is kept, as a neighbour is asked for next.
    fn at(&mut self, x: usize, y: usize) -> u8 {
        let block = y / SIDE * self.blocks.across + x / SIDE;
        if !self.is_made[block] {
            self.is_made[block] = true;
            for row in 0..SIDE {
                let pixels = self.blocks.row_of(block, row, &self.waves);
                self.made[block * BLOCK + row * SIDE..][..SIDE].copy_from_slice(&pixels);
            }
        }
        self.made[block * BLOCK + y % SIDE * SIDE + x % SIDE]
    }
}

/// Coefficients of the brightness, in zigzag order, as they stand in the file.
struct Blocks {
    across: usize,
    down: usize,
    kept: Kept,
}

enum Kept {
    /// Baseline: most coefficients are zero and are left out. Each block's span of the entries.
    Sparse { spans: Vec<(u32, u32)>, entries: Vec<Entry> },
    /// Progressive: every scan adds to every block.
    Dense(Vec<i16>),
}

#[derive(Clone, Copy)]
struct Entry {
    at: u8,
    value: i16,
}

impl Blocks {
    /// A row of eight pixels: the sum of the block's waves along that row.
    fn row_of(&self, block: usize, row: usize, waves: &Waves) -> [u8; SIDE] {
        let down = &waves.down[row];
        let mut sums = [0f32; SIDE];
        match &self.kept {
            Kept::Sparse { spans, entries } => {
                let (from, to) = spans.get(block).copied().unwrap_or_default();
                let own = entries.get(from as usize..to as usize).unwrap_or_default();
                if let [Entry { at: 0, value }] = own {
                    return [grey(f32::from(*value) * waves.flat); SIDE];
                }
                for Entry { at, value } in own {
                    let at = usize::from(*at) % BLOCK;
                    sums[usize::from(ZIGZAG[at]) % SIDE] += f32::from(*value) * down[at];
                }
            }
            Kept::Dense(values) => {
                let own = values.get(block * BLOCK..(block + 1) * BLOCK).unwrap_or_default();
                for (at, value) in own.iter().enumerate().filter(|(_, value)| **value != 0) {
                    sums[usize::from(ZIGZAG[at]) % SIDE] += f32::from(*value) * down[at];
                }
            }
        }
        // Waves are the same, or the same turned over, on both halves of a row.
        let (mut even, mut odd) = ([0f32; 4], [0f32; 4]);
        for wave in (0..SIDE).step_by(2) {
            for x in 0..4 {
                even[x] += sums[wave] * waves.across[wave][x];
                odd[x] += sums[wave + 1] * waves.across[wave + 1][x];
            }
        }
        let mut out = [0; SIDE];
        for x in 0..4 {
            out[x] = grey(even[x] + odd[x]);
            out[SIDE - 1 - x] = grey(even[x] - odd[x]);
        }
        out
    }
}

/// Coefficients stand around the middle grey. A sum with 2^23 has the rounded number in its last bits, which costs less than
/// a conversion that must think of what is no number.
#[inline(always)]
fn grey(value: f32) -> u8 {
    ((value + 128.0).clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

/// Factors of the inverse transform, those of the picture's own table among them.
struct Waves {
    /// For each row of a block: what a coefficient, in zigzag order, adds there.
    down: [[f32; BLOCK]; SIDE],
    /// For each wave along a row: its height at the first four pixels.
    across: [[f32; 4]; SIDE],
    /// A block's only coefficient becomes grey by this factor.
    flat: f32,
}

impl Waves {
    fn new(table: &[u16; BLOCK]) -> Waves {
        let height = |wave: usize, at: usize| {
            let angle = (2 * at + 1) as f32 * wave as f32 * std::f32::consts::PI / 16.0;
            if wave == 0 { std::f32::consts::FRAC_1_SQRT_2 / 2.0 } else { angle.cos() / 2.0 }
        };
        let mut heights = [[0f32; SIDE]; SIDE];
        for (wave, line) in heights.iter_mut().enumerate() {
            for (at, value) in line.iter_mut().enumerate() {
                *value = height(wave, at);
            }
        }
        let mut down = [[0f32; BLOCK]; SIDE];
        for (row, factors) in down.iter_mut().enumerate() {
            for (at, factor) in factors.iter_mut().enumerate() {
                *factor = f32::from(table[at]) * heights[usize::from(ZIGZAG[at]) / SIDE][row];
            }
        }
        let across = heights.map(|line| [line[0], line[1], line[2], line[3]]);
        Waves { down, across, flat: f32::from(table[0]) / 8.0 }
    }
}

struct Frame {
    width: usize,
    height: usize,
    progressive: bool,
    components: Vec<Component>,
}

#[derive(Clone, Copy)]
struct Component {
    id: u8,
    /// Blocks of it in a unit of an interleaved scan.
    across: usize,
    down: usize,
    table: usize,
}

impl Frame {
    fn units(&self) -> (usize, usize) {
        let (across, down) = self.largest();
        (self.width.div_ceil(SIDE * across), self.height.div_ceil(SIDE * down))
    }

    /// Blocks of brightness, those that fill up the last units included.
    fn blocks(&self) -> usize {
        let (units, (across, down)) = (self.units(), self.largest());
        units.0 * units.1 * across * down
    }

    fn largest(&self) -> (usize, usize) {
        let of = |size: fn(&Component) -> usize| self.components.iter().map(size).max().unwrap_or(1);
        (of(|c| c.across), of(|c| c.down))
    }
}

/// One scan's header: which components, which of their coefficients, and from which bit to which.
struct Scan {
    parts: Vec<ScanPart>,
    from: usize,
    to: usize,
    high: u8,
    low: u8,
}

/// A component's number in the frame, and its tables of codes: for the first coefficient and for the others.
struct ScanPart {
    component: usize,
    first: usize,
    waves: usize,
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
    pixels_max: usize,
    tables: [Option<[u16; BLOCK]>; 4],
    first: [Option<Codes>; 4],
    waves: [Option<Codes>; 4],
    units_per_restart: usize,
}

impl<'a> Reader<'a> {
    fn new(data: &'a [u8], pixels_max: usize) -> Reader<'a> {
        let none = || [const { None }; 4];
        Reader { data, at: 2, pixels_max, tables: [None; 4], first: none(), waves: none(), units_per_restart: 0 }
    }

    fn read(mut self) -> Option<(Frame, Blocks, [u16; BLOCK])> {
        let (mut frame, mut blocks_read, mut table): (Option<Frame>, _, _) = (None, None, None);
        let mut scans = 0;
        if self.data.get(..2)? != b"\xff\xd8" {
            return None;
        }
        loop {
            if *self.data.get(self.at)? != 0xff {
                return None;
            }
            let marker = *self.data.get(self.at + 1)?;
            if marker == 0xff {
                self.at += 1;
                continue;
            }
            if marker == 0xd9 {
                // Only a progressive picture is read to its end.
                return Some((frame?, blocks_read?, table?));
            }
            let length = usize::from(u16_be(self.data, self.at + 2)?);
            let body = take(self.data, self.at + 4, length.checked_sub(2)?)?;
            self.at += 2 + length;
            match marker {
                0xc0..=0xc2 if frame.is_none() => {
                    let new = read_frame(body, marker == 0xc2)?;
                    // Units may be larger than a narrow picture.
                    if new.width * new.height > self.pixels_max || new.blocks() * BLOCK > 2 * self.pixels_max {
                        return None;
                    }
                    frame = Some(new);
                }
                0xc4 => self.read_codes(body)?,
                0xdb if scans == 0 => self.read_tables(body)?,
                0xdd => self.units_per_restart = usize::from(u16_be(body, 0)?),
                0xda => {
                    let frame_now = frame.as_ref()?;
                    let scan = read_scan(body, frame_now)?;
                    scans += 1;
                    if scans > SCANS_MAX {
                        return None;
                    }
                    let blocks = blocks_read.get_or_insert_with(|| new_blocks(frame_now, self.data.len()));
                    table.get_or_insert(self.tables[frame_now.components.first()?.table]?);
                    if scan.parts.iter().all(|part| part.component != 0) {
                        self.at = skip_bits(self.data, self.at);
                        continue;
                    }
                    let bits = Unstuffed::new(self.data, self.at);
                    self.at = bits.end;
                    self.read_blocks(frame_now, &scan, &bits, blocks)?;
                    if !frame_now.progressive {
                        return Some((frame?, blocks_read?, table?));
                    }
                }
                // Adobe's mark: only 1 says that the first component is the brightness.
                0xee if body.starts_with(b"Adobe") && body.get(11) != Some(&1) => return None,
                0xe0..=0xef | 0xfe => {}
                _ => return None,
            }
        }
    }

    fn read_tables(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((head, rest)) = body.split_first() {
            let (wide, to) = (usize::from(head >> 4), usize::from(head & 15));
            let bytes = BLOCK * (wide + 1);
            if wide > 1 || rest.len() < bytes {
                return None;
            }
            let mut table = [0u16; BLOCK];
            for (at, value) in table.iter_mut().enumerate() {
                *value = if wide == 0 { u16::from(rest[at]) } else { u16_be(rest, at * 2)? };
            }
            *self.tables.get_mut(to)? = Some(table);
            body = &rest[bytes..];
        }
        Some(())
    }

    fn read_codes(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((head, rest)) = body.split_first() {
            let (counts, rest) = rest.split_at_checked(16)?;
            let total: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let symbols = rest.get(..total).filter(|symbols| symbols.len() <= 256)?;
            let codes = Codes::new(counts, symbols)?;
            let tables = if head >> 4 == 0 { &mut self.first } else { &mut self.waves };
            *tables.get_mut(usize::from(head & 15)).filter(|_| head >> 4 <= 1)? = Some(codes);
            body = &rest[total..];
        }
        Some(())
    }

    /// Reads a scan that holds the brightness.
    fn read_blocks(&self, frame: &Frame, scan: &Scan, bits: &Unstuffed, blocks: &mut Blocks) -> Option<()> {
        let Blocks { kept, .. } = blocks;
        match kept {
            Kept::Sparse { spans, entries } => self.each_block(frame, scan, bits, |input, run, codes, place| {
                let Some(place) = place else { return skip_block(input, codes.first?, codes.waves?) };
                let from = entries.len();
                read_block(input, codes.first?, codes.waves?, &mut run.before, entries)?;
                *spans.get_mut(place)? = (u32::try_from(from).ok()?, u32::try_from(entries.len()).ok()?);
                Some(())
            }),
            Kept::Dense(values) => self.each_block(frame, scan, bits, |input, run, codes, place| {
                let Some(place) = place else { return skip_first(input, scan, codes) };
                let block = values.get_mut(place * BLOCK..(place + 1) * BLOCK)?;
                if scan.from == 0 {
                    add_first(input, scan, codes, run, block)
                } else if scan.high == 0 {
                    add_waves(input, scan, codes.waves?, run, block)
                } else {
                    refine_waves(input, scan, codes.waves?, run, block)
                }
            }),
        }
    }

    /// Hands over each block of a scan in its order, with its place among the blocks of brightness if it is one.
    fn each_block(
        &self,
        frame: &Frame,
        scan: &Scan,
        bits: &Unstuffed,
        mut look: impl FnMut(&mut Bits<'_>, &mut Run, &PartCodes<'_>, Option<usize>) -> Option<()>,
    ) -> Option<()> {
        let alone = scan.parts.len() == 1;
        let (across, down) =
            if alone { (frame.width.div_ceil(SIDE), frame.height.div_ceil(SIDE)) } else { frame.units() };
        let (wide, high) = if alone { (1, 1) } else { frame.largest() };
        let stride = frame.units().0 * frame.largest().0;
        let parts: Vec<(usize, PartCodes<'_>)> = scan
            .parts
            .iter()
            .map(|part| {
                let component = &frame.components[part.component];
                let count = if alone { 1 } else { component.across * component.down };
                let (first, waves) = (self.first[part.first].as_ref(), self.waves[part.waves].as_ref());
                (count, PartCodes { brightness: part.component == 0, first, waves })
            })
            .collect();
        let units = across * down;
        let per_restart = if self.units_per_restart == 0 { units } else { self.units_per_restart };
        if bits.segments.len() != units.div_ceil(per_restart) {
            return None;
        }
        let mut unit = 0;
        for segment in &bits.segments {
            let mut input = Bits::new(bits.bytes.get(segment.clone())?);
            let mut run = Run::default();
            for _ in 0..per_restart.min(units - unit) {
                let corner = unit / across * high * stride + unit % across * wide;
                for (count, codes) in &parts {
                    for n in 0..*count {
                        let place = codes.brightness.then(|| corner + n / wide * stride + n % wide);
                        look(&mut input, &mut run, codes, place)?;
                    }
                }
                unit += 1;
            }
            if input.is_overrun() {
                return None;
            }
        }
        Some(())
    }
}

fn read_frame(body: &[u8], progressive: bool) -> Option<Frame> {
    let (height, width) = (usize::from(u16_be(body, 1)?), usize::from(u16_be(body, 3)?));
    let count = usize::from(*body.get(5)?);
    if body[0] != 8 || width == 0 || height == 0 || !matches!(count, 1 | COMPONENTS_MAX) || body.len() != 6 + 3 * count
    {
        return None;
    }
    let mut components = Vec::new();
    for part in body[6..].chunks_exact(3) {
        let (across, down) = (usize::from(part[1] >> 4), usize::from(part[1] & 15));
        let table = usize::from(part[2]);
        if !(1..=4).contains(&across) || !(1..=4).contains(&down) || table > 3 {
            return None;
        }
        let (across, down) = if count == 1 { (1, 1) } else { (across, down) };
        components.push(Component { id: part[0], across, down, table });
    }
    let frame = Frame { width, height, progressive, components };
    let brightness = frame.components.first()?;
    (frame.largest() == (brightness.across, brightness.down)).then_some(frame)
}

fn read_scan(body: &[u8], frame: &Frame) -> Option<Scan> {
    let count = usize::from(*body.first()?);
    if !(1..=COMPONENTS_MAX).contains(&count) || body.len() != 4 + 2 * count {
        return None;
    }
    let mut parts: Vec<ScanPart> = Vec::new();
    for part in body[1..1 + 2 * count].chunks_exact(2) {
        let component = frame.components.iter().position(|component| component.id == part[0])?;
        let (first, waves) = (usize::from(part[1] >> 4), usize::from(part[1] & 15));
        if first > 3 || waves > 3 || parts.iter().any(|before| before.component >= component) {
            return None;
        }
        parts.push(ScanPart { component, first, waves });
    }
    let [from, to, bits] = *body.last_chunk()?;
    let scan = Scan { parts, from: from.into(), to: to.into(), high: bits >> 4, low: bits & 15 };
    let sound = match (frame.progressive, from) {
        (false, _) => (from, to, bits) == (0, 63, 0),
        (true, 0) => to == 0,
        (true, _) => from <= to && to < 64 && count == 1,
    };
    let steps = scan.low <= 13 && (scan.high == 0 || scan.high == scan.low + 1);
    (sound && steps).then_some(scan)
}

fn new_blocks(frame: &Frame, bytes: usize) -> Blocks {
    let ((across, down), (wide, high)) = (frame.units(), frame.largest());
    let (across, down) = (across * wide, down * high);
    let count = across * down;
    let kept = if frame.progressive {
        Kept::Dense(vec![0; count * BLOCK])
    } else {
        Kept::Sparse { spans: vec![(0, 0); count], entries: Vec::with_capacity(bytes.min(count * BLOCK)) }
    };
    Blocks { across, down, kept }
}

/// What goes from block to block, up to a restart.
#[derive(Default)]
struct Run {
    /// The first coefficient of the block before; each is the difference to it.
    before: i32,
    /// Blocks to come that have nothing new.
    idle: u32,
}

struct PartCodes<'a> {
    brightness: bool,
    first: Option<&'a Codes>,
    waves: Option<&'a Codes>,
}

fn read_block(
    input: &mut Bits<'_>,
    first: &Codes,
    waves: &Codes,
    before: &mut i32,
    entries: &mut Vec<Entry>,
) -> Option<()> {
    *before += first.difference(input)?;
    entries.push(Entry { at: 0, value: i16::try_from(*before).ok()? });
    let mut at = 1;
    while at < BLOCK {
        input.fill();
        let known = waves.values[input.peek(PEEK_BITS)];
        let (value, zeros) = if known.bits > 0 {
            input.drop(known.bits.into());
            (known.value, usize::from(known.zeros))
        } else {
            let symbol = waves.symbol(input)?;
            (extend(input, symbol & 15), zeros_of(symbol))
        };
        at += zeros;
        if value != 0 {
            if at >= BLOCK {
                return None;
            }
            entries.push(Entry { at: at as u8, value });
            at += 1;
        }
    }
    Some(())
}

/// Zeros before a symbol's value; all that are left where it ends the block.
fn zeros_of(symbol: u8) -> usize {
    match symbol {
        0xf0 => 16,
        symbol if symbol & 15 == 0 => BLOCK,
        symbol => usize::from(symbol >> 4),
    }
}

fn skip_block(input: &mut Bits<'_>, first: &Codes, waves: &Codes) -> Option<()> {
    first.difference(input)?;
    let mut at = 1;
    while at < BLOCK {
        input.fill();
        let symbol = waves.symbol(input)?;
        input.drop(u32::from(symbol & 15));
        at += zeros_of(symbol) + usize::from(symbol & 15 != 0);
    }
    Some(())
}

fn skip_first(input: &mut Bits<'_>, scan: &Scan, codes: &PartCodes<'_>) -> Option<()> {
    if scan.high == 0 {
        codes.first?.difference(input)?;
    } else {
        input.fill();
        input.drop(1);
    }
    Some(())
}

fn add_first(input: &mut Bits<'_>, scan: &Scan, codes: &PartCodes<'_>, run: &mut Run, block: &mut [i16]) -> Option<()> {
    if scan.high == 0 {
        run.before += codes.first?.difference(input)?;
        block[0] = i16::try_from(run.before << scan.low).ok()?;
    } else {
        input.fill();
        block[0] |= (input.take(1) as i16) << scan.low;
    }
    Some(())
}

fn add_waves(input: &mut Bits<'_>, scan: &Scan, codes: &Codes, run: &mut Run, block: &mut [i16]) -> Option<()> {
    if run.idle > 0 {
        run.idle -= 1;
        return Some(());
    }
    let mut at = scan.from;
    while at <= scan.to {
        input.fill();
        let symbol = codes.symbol(input)?;
        let (zeros, size) = (symbol >> 4, symbol & 15);
        if size == 0 && zeros < 15 {
            run.idle = (1 << zeros) - 1 + input.take(zeros.into());
            break;
        }
        at += usize::from(zeros);
        if size > 0 {
            if at > scan.to {
                return None;
            }
            block[at] = i16::try_from(i32::from(extend(input, size)) << scan.low).ok()?;
        }
        at += 1;
    }
    Some(())
}

fn refine_waves(input: &mut Bits<'_>, scan: &Scan, codes: &Codes, run: &mut Run, block: &mut [i16]) -> Option<()> {
    let one = 1i16 << scan.low;
    let refine = |input: &mut Bits<'_>, value: &mut i16| {
        input.fill();
        if input.take(1) == 1 && *value & one == 0 {
            *value = value.saturating_add(if *value < 0 { -one } else { one });
        }
    };
    let mut at = scan.from;
    while run.idle == 0 && at <= scan.to {
        input.fill();
        let symbol = codes.symbol(input)?;
        let (mut zeros, size) = (symbol >> 4, symbol & 15);
        let new = match size {
            0 if zeros < 15 => {
                run.idle = (1 << zeros) + input.take(zeros.into());
                break;
            }
            0 => 0,
            1 if input.take(1) == 1 => one,
            1 => -one,
            _ => return None,
        };
        while let Some(value) = block.get_mut(at).filter(|_| at <= scan.to) {
            at += 1;
            if *value != 0 {
                refine(input, value);
            } else if zeros == 0 {
                *value = new;
                break;
            } else {
                zeros -= 1;
            }
        }
    }
    if run.idle > 0 {
        run.idle -= 1;
        for value in block.iter_mut().take(scan.to + 1).skip(at).filter(|value| **value != 0) {
            refine(input, value);
        }
    }
    Some(())
}

/// The bits of a scan: bytes that only keep markers apart are taken out, and restarts cut it into segments.
struct Unstuffed {
    bytes: Vec<u8>,
    segments: Vec<std::ops::Range<usize>>,
    /// Where the next marker stands.
    end: usize,
}

impl Unstuffed {
    fn new(data: &[u8], from: usize) -> Unstuffed {
        let mut bytes = Vec::with_capacity(data.len() - from.min(data.len()));
        let (mut segments, mut start, mut at) = (Vec::new(), 0, from);
        loop {
            let rest = data.get(at..).unwrap_or_default();
            let length = memchr::memchr(0xff, rest).unwrap_or(rest.len());
            bytes.extend_from_slice(&rest[..length]);
            at += length;
            match data.get(at + 1) {
                Some(0) => bytes.push(0xff),
                Some(0xd0..=0xd7) => {
                    segments.push(start..bytes.len());
                    start = bytes.len();
                }
                _ => break,
            }
            at += 2;
        }
        segments.push(start..bytes.len());
        Unstuffed { bytes, segments, end: at }
    }
}

/// Where the marker after a scan stands.
fn skip_bits(data: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(length) = data.get(at..).and_then(|rest| memchr::memchr(0xff, rest)) {
        at += length;
        if !matches!(data.get(at + 1), Some(0 | 0xd0..=0xd7)) {
            return at;
        }
        at += 2;
    }
    data.len()
}

/// Bits from the front of a segment; zeros behind its end.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, the first on top. Below the first `count` may stand some that will be read again.
    bits: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, at: 0, bits: 0, count: 0 }
    }

    /// At least 56 bits are there afterwards: enough for the longest code and its value.
    #[inline(always)]
    fn fill(&mut self) {
        if let Some(next) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk()) {
            self.bits |= u64::from_be_bytes(*next) >> self.count;
            self.at += (63 - self.count as usize) / 8;
            self.count |= 56;
        } else {
            self.fill_from_end();
        }
    }

    #[cold]
    fn fill_from_end(&mut self) {
        while self.count < 56 {
            let next = self.bytes.get(self.at).copied().unwrap_or(0);
            self.bits |= u64::from(next) << (56 - self.count);
            self.at += 1;
            self.count += 8;
        }
    }

    #[inline(always)]
    fn peek(&self, count: u32) -> usize {
        (self.bits >> (64 - count)) as usize
    }

    #[inline(always)]
    fn drop(&mut self, count: u32) {
        self.bits <<= count;
        self.count -= count;
    }

    /// Up to sixteen bits as a number.
    #[inline(always)]
    fn take(&mut self, count: u32) -> u32 {
        let value = (self.bits >> 32 >> (32 - count)) as u32;
        self.drop(count);
        value
    }

    fn is_overrun(&self) -> bool {
        self.at * 8 > self.bytes.len() * 8 + self.count as usize
    }
}

/// A value of `size` bits: the lower half of them is negative.
#[inline(always)]
fn extend(input: &mut Bits<'_>, size: u8) -> i16 {
    let value = input.take(size.into()) as i32;
    let negative = size > 0 && value < 1 << (size - 1);
    (if negative { value + 1 - (1 << size) } else { value }) as i16
}

/// Bits that are looked up at once; most codes, and many together with their value, have no more.
const PEEK_BITS: u32 = 10;

/// A table of Huffman codes.
struct Codes {
    /// By the next bits: a symbol, and how long its code is; 0 where it is longer than that.
    short: Vec<(u8, u8)>,
    /// By the next bits: a value with the zeros before it, where all of that is in them.
    values: Vec<Known>,
    /// For each length: where its codes end (as sixteen bits), its first code, and the first one's symbol.
    lengths: [(u32, u32, u32); 17],
    symbols: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct Known {
    value: i16,
    zeros: u8,
    bits: u8,
}

impl Codes {
    fn new(counts: &[u8], symbols: &[u8]) -> Option<Codes> {
        let mut lengths = [(0, 0, 0); 17];
        let mut short = vec![(0, 0); 1 << PEEK_BITS];
        let (mut code, mut index) = (0u32, 0u32);
        for (length, count) in (1u32..).zip(counts) {
            let end = code + u32::from(*count);
            if end > 1 << length {
                return None;
            }
            *lengths.get_mut(length as usize)? = (end << (16 - length), code, index);
            if length <= PEEK_BITS {
                let room = PEEK_BITS - length;
                for (code, symbol) in (code..end).zip(symbols.get(index as usize..)?) {
                    short[(code << room) as usize..((code + 1) << room) as usize].fill((*symbol, length as u8));
                }
            }
            index += u32::from(*count);
            code = end << 1;
        }
        let mut values = vec![Known::default(); 1 << PEEK_BITS];
        for (next, (known, (symbol, length))) in values.iter_mut().zip(&short).enumerate() {
            let (size, bits) = (symbol & 15, length + (symbol & 15));
            if *length > 0 && u32::from(bits) <= PEEK_BITS {
                let mut input = Bits { bytes: &[], at: 0, bits: (next as u64) << (64 - PEEK_BITS), count: 56 };
                input.drop((*length).into());
                *known = Known { value: extend(&mut input, size), zeros: zeros_of(*symbol) as u8, bits };
            }
        }
        Some(Codes { short, values, lengths, symbols: symbols.to_vec() })
    }

    /// The next symbol, of which [`Bits::fill`] got the bits.
    #[inline(always)]
    fn symbol(&self, input: &mut Bits<'_>) -> Option<u8> {
        let (symbol, length) = self.short[input.peek(PEEK_BITS)];
        if length > 0 {
            input.drop(length.into());
            return Some(symbol);
        }
        self.long_symbol(input)
    }

    fn long_symbol(&self, input: &mut Bits<'_>) -> Option<u8> {
        let next = input.peek(16) as u32;
        for length in PEEK_BITS + 1..=16 {
            let (end, code, index) = self.lengths[length as usize];
            if next < end {
                input.drop(length);
                let at = index + (next >> (16 - length)).checked_sub(code)?;
                return self.symbols.get(at as usize).copied();
            }
        }
        None
    }

    /// The difference between a block's first coefficient and the one before.
    #[inline(always)]
    fn difference(&self, input: &mut Bits<'_>) -> Option<i32> {
        input.fill();
        let size = self.symbol(input)?;
        (size <= 15).then(|| i32::from(extend(input, size)))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use zune_jpeg::JpegDecoder;
    use zune_jpeg::zune_core::bytestream::ZCursor;
    use zune_jpeg::zune_core::colorspace::ColorSpace;
    use zune_jpeg::zune_core::options::DecoderOptions;

    /// The same code on the same ground as encoders write it, which `image` cannot: with colours at half the size,
    /// progressive, with restarts.
    pub const SAMPLES: &[(&str, &[u8])] = &[
        ("4:2:0", include_bytes!("../../tests/pictures/420.jpg")),
        ("4:2:2, restarts", include_bytes!("../../tests/pictures/422-restarts.jpg")),
        ("4:2:0, progressive", include_bytes!("../../tests/pictures/420-progressive.jpg")),
        ("grey, progressive", include_bytes!("../../tests/pictures/grey-progressive.jpg")),
        ("4:4:4, progressive, restarts", include_bytes!("../../tests/pictures/444-progressive-restarts.jpg")),
    ];
    const PIXELS: usize = 1 << 20;

    #[test]
    fn the_same_grey_as_a_whole_decoder() {
        for (name, data) in SAMPLES {
            let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
            let expect = JpegDecoder::new_with_options(ZCursor::new(data), options).decode().expect("it decodes");
            let mut picture = Picture::read(data, PIXELS).expect("it is read");
            let (width, height) = picture.size();
            assert_eq!(width * height, expect.len(), "{name}");
            for y in 0..height {
                let row = picture.row(y).to_vec();
                for (x, value) in row.iter().enumerate() {
                    let other = expect[y * width + x];
                    assert!(value.abs_diff(other) <= 3, "{name}: {value} and {other} at {x}, {y}");
                    assert_eq!(picture.at(x, y), *value, "{name}: at {x}, {y}");
                }
            }
        }
    }

    #[test]
    fn what_is_cut_short_is_left_to_the_other_decoder() {
        for (name, data) in SAMPLES {
            for length in (0..data.len() - 2).step_by(41) {
                assert!(Picture::read(&data[..length], PIXELS).is_none(), "{name}: {length}");
            }
            assert!(Picture::read(data, 100).is_none(), "{name}: more pixels than asked for");
        }
    }

    #[test]
    fn broken_bytes_end() {
        let mut state = 1u32;
        let mut next = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for (_, data) in SAMPLES {
            for round in 0..60 {
                let mut broken = data.to_vec();
                // Half of them in the headers, where lengths and tables stand.
                let reach = if round % 2 == 0 { 700 } else { data.len() };
                for _ in 0..=next(4) {
                    broken[next(reach)] = next(256) as u8;
                }
                if let Some(mut picture) = Picture::read(&broken, PIXELS) {
                    let (width, height) = picture.size();
                    assert_eq!(picture.row(height - 1).len(), width);
                    picture.at(width - 1, height - 1);
                }
            }
        }
    }
}
