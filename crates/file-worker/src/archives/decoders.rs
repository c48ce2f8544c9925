//! Decompressors behind one face: `Read`. Memory each may take is bounded here; time and output by the walk's budget.

use std::io::{self, BufReader, Read};

/// Dictionary that an LZMA stream may ask for, in KiB.
const LZMA_KIB_MAX: u32 = 96 << 10;
/// Memory of a PPMd model.
const PPMD_BYTES_MAX: u32 = 96 << 20;

/// A decoder for a zip's compression method; the error says which method nobody here can unpack.
pub fn zip_method<'a>(method: u16, packed: Box<dyn Read + 'a>, unpacked: u64) -> Result<Box<dyn Read + 'a>, String> {
    Ok(match method {
        0 => packed,
        8 => Box::new(flate2::read::DeflateDecoder::new(packed)),
        9 => Box::new(deflate64::Deflate64Decoder::new(packed)),
        12 => Box::new(bzip2::read::MultiBzDecoder::new(packed)),
        14 => zip_lzma(packed, unpacked).map_err(|error| format!("LZMA: {error}"))?,
        93 => zstd(packed)?,
        95 => Box::new(xz(packed)),
        98 => zip_ppmd(packed).map_err(|error| format!("PPMd: {error}"))?,
        other => return Err(format!("compression method {other} is not known")),
    })
}

pub fn gzip<'a>(packed: impl Read + 'a) -> Box<dyn Read + 'a> {
    Box::new(flate2::read::MultiGzDecoder::new(packed))
}

pub fn zlib<'a>(packed: impl Read + 'a) -> Box<dyn Read + 'a> {
    Box::new(flate2::read::ZlibDecoder::new(packed))
}

pub fn bzip2<'a>(packed: impl Read + 'a) -> Box<dyn Read + 'a> {
    Box::new(bzip2::read::MultiBzDecoder::new(packed))
}

pub fn xz<'a>(packed: impl Read + 'a) -> impl Read + 'a {
    lzma_rust2::XzReader::new(packed, true)
}

pub fn lzip<'a>(packed: impl Read + 'a) -> Box<dyn Read + 'a> {
    Box::new(lzma_rust2::LzipReader::new(packed))
}

pub fn lzma<'a>(packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(Box::new(lzma_rust2::LzmaReader::new_mem_limit(packed, LZMA_KIB_MAX, None)?))
}

pub fn lz4<'a>(packed: impl Read + 'a) -> Box<dyn Read + 'a> {
    Box::new(lz4_flex::frame::FrameDecoder::new(packed))
}

/// One frame after another; window sizes are bounded by the decoder itself (100 MiB).
pub fn zstd<'a>(packed: impl Read + 'a) -> Result<Box<dyn Read + 'a>, String> {
    let decoder =
        ruzstd::decoding::StreamingDecoder::new(BufReader::new(packed)).map_err(|error| format!("zstd: {error}"))?;
    Ok(Box::new(decoder))
}

/// Zip puts a version and the properties before the raw LZMA stream.
fn zip_lzma<'a>(mut packed: Box<dyn Read + 'a>, unpacked: u64) -> io::Result<Box<dyn Read + 'a>> {
    let mut head = [0; 4];
    packed.read_exact(&mut head)?;
    let mut properties = [0; 5];
    if u16::from_le_bytes([head[2], head[3]]) != 5 {
        return Err(io::Error::other("unknown properties"));
    }
    packed.read_exact(&mut properties)?;
    let dictionary = u32::from_le_bytes([properties[1], properties[2], properties[3], properties[4]]);
    if dictionary / 1024 > LZMA_KIB_MAX {
        return Err(io::Error::other("its dictionary is too large"));
    }
    let reader = lzma_rust2::LzmaReader::new_with_props(packed, unpacked, properties[0], dictionary, None)?;
    Ok(Box::new(reader))
}

/// Zip packs order, memory and restoration method into two bytes.
fn zip_ppmd<'a>(mut packed: Box<dyn Read + 'a>) -> Result<Box<dyn Read + 'a>, String> {
    let mut head = [0; 2];
    packed.read_exact(&mut head).map_err(|error| error.to_string())?;
    let parameters = u16::from_le_bytes(head);
    let order = u32::from(parameters & 0x0f) + 1;
    let memory = (u32::from(parameters >> 4 & 0xff) + 1) << 20;
    if memory > PPMD_BYTES_MAX {
        return Err("its model is too large".to_owned());
    }
    let restoration =
        if parameters >> 12 == 0 { ppmd_rust::RestoreMethod::Restart } else { ppmd_rust::RestoreMethod::CutOff };
    let reader = ppmd_rust::Ppmd8Decoder::new(packed, order, memory, restoration).map_err(|error| error.to_string())?;
    Ok(Box::new(reader))
}
