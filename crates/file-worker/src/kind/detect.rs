//! True type from content: magic numbers first, then the insides of the two container families (zip, OLE2), then text.
//!
//! Bounded: looks at the first bytes, at a container's list of names, and at 64 KiB of text; never unpacks.

use super::{Kind, containers, extension_of, text};

/// A PDF's header may stand anywhere in the first kilobyte; readers look no further.
const PDF_HEADER_WITHIN: usize = 1024;

/// What `bytes` are. `name` only tells apart what content cannot (a one-line `.bat`, an encoded script's language).
pub fn detect(bytes: &[u8], name: &str) -> Kind {
    if bytes.is_empty() {
        return Kind::Empty;
    }
    let extension = extension_of(name);
    if let Some(kind) = by_magic(bytes, &extension) {
        return kind;
    }
    if text::names_an_interpreter(bytes) {
        return text::detect(bytes, &extension);
    }
    let head = &bytes[..bytes.len().min(PDF_HEADER_WITHIN)];
    let is_text = text::looks_like_text(bytes);
    if let Some(at) = memchr::memmem::find(head, b"%PDF-")
        && (!is_text || head[..at].iter().all(u8::is_ascii_whitespace) || at + 9 < bytes.len())
    {
        return Kind::Pdf;
    }
    if is_text {
        return text::detect(bytes, &extension);
    }
    by_structure(bytes, &extension).unwrap_or_else(|| by_name_alone(&extension))
}

/// Fixed bytes at fixed places.
const MAGIC: &[(usize, &[u8], Kind)] = &[
    (0, b"%PDF-", Kind::Pdf),
    // Programs
    (0, b"\xca\xfe\xd0\x0d", Kind::JavaClass),
    (0, b"dex\n", Kind::Dex),
    (0, b"dey\n", Kind::Dex),
    (0, b"cdex", Kind::Dex),
    (0, b"vdex", Kind::Dex),
    (0, b"\xfe\xed\xfa\xce", Kind::MachO),
    (0, b"\xfe\xed\xfa\xcf", Kind::MachO),
    (0, b"\xce\xfa\xed\xfe", Kind::MachO),
    (0, b"\xcf\xfa\xed\xfe", Kind::MachO),
    (0, b"\xca\xfe\xba\xbf", Kind::MachO),
    (0, b"L\0\0\0\x01\x14\x02\0", Kind::Lnk),
    (0, b"\xac\xed\x00\x05", Kind::JavaSerialized),
    (0, b"Cr24", Kind::ChromeExtension),
    (0, b"ITSF", Kind::Chm),
    (0, b"\x3f\x5f\x03\0", Kind::WinHelp),
    (0, b"FWS", Kind::Swf),
    (0, b"CWS", Kind::Swf),
    (0, b"ZWS", Kind::Swf),
    (0, b"\0asm", Kind::Wasm),
    (0, b"BC\xc0\xde", Kind::LlvmBitcode),
    (0, b"\x1bLua", Kind::LuaBytecode),
    (0, b"FasdUAS 1.", Kind::AppleScript),
    (0, b"\xed\xab\xee\xdb", Kind::Rpm),
    // Documents
    (0, b"{\\rt", Kind::Rtf),
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", Kind::OneNote),
    (0, b"\xa1\x2f\xff\x43\xd9\xef\x76\x4c", Kind::OneNote),
    (0, b"%!PS", Kind::PostScript),
    (0, b"\xc5\xd0\xd3\xc6", Kind::PostScript),
    (0, b"\x78\x9f\x3e\x22", Kind::Tnef),
    (0, b"ITOLITLS", Kind::OtherDocument),
    (0, b"\xffWPC", Kind::OtherDocument),
    (0, b"\x06\x06\xed\xf5\xd8\x1d\x46\xe5", Kind::OtherDocument),
    (60, b"BOOKMOBI", Kind::Mobi),
    (60, b"TEXtREAd", Kind::Mobi),
    (0, b"AT&TFORM", Kind::OtherDocument),
    (0, b"L\0R\0F\0", Kind::OtherDocument),
    (0, b"\0\0\x02\0\x06\x04", Kind::OtherDocument),
    (0, b"\0\0\x1a\0", Kind::OtherDocument),
    // Archives
    (0, b"PK\x03\x04", Kind::Zip),
    (0, b"PK\x05\x06", Kind::Zip),
    (0, b"PK\x07\x08", Kind::Zip),
    (0, b"PK00PK\x03\x04", Kind::Zip),
    (0, b"7z\xbc\xaf\x27\x1c", Kind::SevenZip),
    (0, b"Rar!\x1a\x07", Kind::Rar),
    (0, b"RE~^", Kind::Rar),
    (0, b"\x1f\x8b", Kind::Gzip),
    (0, b"\x1f\x9d", Kind::Compress),
    (0, b"\x1f\xa0", Kind::Compress),
    (0, b"BZh", Kind::Bzip2),
    (0, b"\xfd7zXZ\0", Kind::Xz),
    (0, b"LZIP", Kind::Lzip),
    (0, b"\x28\xb5\x2f\xfd", Kind::Zstd),
    (0, b"\x04\x22\x4d\x18", Kind::Lz4),
    (0, b"\x02\x21\x4c\x18", Kind::Lz4),
    (0, b"\xff\x06\0\0sNaPpY", Kind::Snappy),
    (0, b"SZDD\x88\xf0\x27\x33", Kind::Szdd),
    (0, b"SZ \x88\xf0\x27\x33\xd1", Kind::Szdd),
    (0, b"KWAJ\x88\xf0\x27\xd1", Kind::Szdd),
    (0, b"MSCF", Kind::Cab),
    (0, b"ISc(", Kind::Cab),
    (0, b"\x60\xea", Kind::Arj),
    (7, b"**ACE**", Kind::Ace),
    (0, b"ALZ\x01", Kind::Alz),
    (0, b"EGGA", Kind::Alz),
    (20, b"\xdc\xa7\xc4\xfd", Kind::Zoo),
    (0, b"zPQ", Kind::Zoo),
    (0, b"7kSt", Kind::Zoo),
    (0, b"StuffIt", Kind::Zoo),
    (0, b"SIT!", Kind::Zoo),
    (0, b"070701", Kind::Cpio),
    (0, b"070702", Kind::Cpio),
    (0, b"070707", Kind::Cpio),
    (0, b"\xc7\x71", Kind::Cpio),
    (0, b"\x71\xc7", Kind::Cpio),
    (0, b"xar!\0", Kind::Xar),
    (0, b"MSWIM\0\0\0", Kind::Wim),
    (0, b"hsqs", Kind::SquashFs),
    (0, b"sqsh", Kind::SquashFs),
    // Disk images
    (0, b"conectix", Kind::Vhd),
    (0, b"vhdxfile", Kind::Vhdx),
    (0, b"KDMV", Kind::Vmdk),
    (0, b"QFI\xfb", Kind::Qcow),
    // Pictures
    (0, b"\xff\xd8\xff", Kind::Jpeg),
    (0, b"\x89PNG\r\n\x1a\n", Kind::Png),
    (0, b"GIF87a", Kind::Gif),
    (0, b"GIF89a", Kind::Gif),
    (0, b"GIF8", Kind::Gif),
    (0, b"\xff\xd8", Kind::Jpeg),
    (0, b"II*\0", Kind::Tiff),
    (0, b"MM\0*", Kind::Tiff),
    (0, b"II+\0", Kind::Tiff),
    (0, b"MM\0+", Kind::Tiff),
    (0, b"IIRO", Kind::Tiff),
    (0, b"IIU\0", Kind::Tiff),
    (0, b"8BPS", Kind::Psd),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", Kind::Jp2),
    (0, b"\xff\x4f\xff\x51", Kind::Jp2),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", Kind::Jxl),
    (0, b"\xff\x0a", Kind::Jxl),
    (0, b"\xd7\xcd\xc6\x9a", Kind::Wmf),
    (40, b" EMF", Kind::Wmf),
    (0, b"gimp xcf ", Kind::OtherImage),
    (0, b"BPG\xfb", Kind::OtherImage),
    (0, b"\x76\x2f\x31\x01", Kind::OtherImage),
    (0, b"DDS ", Kind::OtherImage),
    (0, b"FLIF", Kind::OtherImage),
    // Sound
    (0, b"ID3", Kind::Mp3),
    (0, b"#!AMR", Kind::Amr),
    (0, b"fLaC", Kind::Flac),
    (0, b"MThd", Kind::Midi),
    (0, b".snd", Kind::OtherAudio),
    (0, b"MAC ", Kind::OtherAudio),
    (0, b"wvpk", Kind::OtherAudio),
    (0, b"MPCK", Kind::OtherAudio),
    (0, b"MP+", Kind::OtherAudio),
    (0, b"TTA1", Kind::OtherAudio),
    (0, b"OFR ", Kind::OtherAudio),
    (0, b"tBaK", Kind::OtherAudio),
    (0, b"DSD ", Kind::OtherAudio),
    (0, b"FRM8", Kind::OtherAudio),
    (0, b"Extended Module: ", Kind::OtherAudio),
    (0, b"IMPM", Kind::OtherAudio),
    (0, b"Creative Voice File", Kind::OtherAudio),
    (0, b"\x0b\x77", Kind::OtherAudio),
    // Film
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind::Asf),
    (0, b"\0\0\x01\xba", Kind::Mpeg),
    (0, b"\0\0\x01\xb3", Kind::Mpeg),
    (0, b"FLV\x01", Kind::Flv),
    (0, b".RMF", Kind::OtherVideo),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01", Kind::OtherVideo),
    (0, b"\xb7\xd8\x00\x20\x37\x49\xda\x11", Kind::OtherVideo),
    // Data
    (0, b"SQLite format 3\0", Kind::Sqlite),
    (0, b"\xd4\xc3\xb2\xa1", Kind::Pcap),
    (0, b"\xa1\xb2\xc3\xd4", Kind::Pcap),
    (0, b"\x4d\x3c\xb2\xa1", Kind::Pcap),
    (0, b"\x0a\x0d\x0d\x0a", Kind::Pcap),
    (0, b"\0\x01\0\0\0", Kind::Font),
    (0, b"OTTO\0", Kind::Font),
    (0, b"true\0", Kind::Font),
    (0, b"ttcf", Kind::Font),
    (0, b"wOFF", Kind::Font),
    (0, b"wOF2", Kind::Font),
];

fn by_magic(bytes: &[u8], extension: &str) -> Option<Kind> {
    // These share their first bytes with others and need a look further in.
    if bytes.starts_with(b"MZ") || bytes.starts_with(b"ZM") {
        if let Some(kind) = dos_family(bytes, extension) {
            return Some(kind);
        }
    } else if bytes.starts_with(b"\x7fELF") {
        return Some(if bytes.get(8..10) == Some(b"AI") { Kind::AppImage } else { Kind::Elf });
    } else if bytes.starts_with(b"\xca\xfe\xba\xbe") {
        return Some(java_or_fat_macho(bytes));
    } else if bytes.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Some(containers::ole_kind(bytes));
    } else if bytes.starts_with(b"RIFF") || bytes.starts_with(b"RIFX") || bytes.starts_with(b"RF64") {
        return riff_kind(bytes);
    } else if bytes.starts_with(b"FORM") {
        return match bytes.get(8..12) {
            Some(b"AIFF" | b"AIFC") => Some(Kind::OtherAudio),
            Some(b"DJVU" | b"DJVM") => Some(Kind::OtherDocument),
            _ => None,
        };
    } else if bytes.starts_with(b"OggS") {
        let theora = memchr::memmem::find(&bytes[..bytes.len().min(512)], b"\x80theora").is_some();
        return Some(if theora { Kind::OggVideo } else { Kind::Ogg });
    } else if bytes.starts_with(b"\x1a\x45\xdf\xa3") {
        let webm = memchr::memmem::find(&bytes[..bytes.len().min(128)], b"webm").is_some();
        return Some(if webm { Kind::Webm } else { Kind::Mkv });
    } else if bytes.starts_with(b"!<arch>\n") || bytes.starts_with(b"!<thin>\n") {
        let deb = bytes.get(8..21).is_some_and(|name| name.starts_with(b"debian-binary"));
        return Some(if deb { Kind::Deb } else { Kind::Ar });
    }
    if let Some(kind) = iso_media_kind(bytes) {
        return Some(kind);
    }
    let &(_, _, kind) = MAGIC.iter().find(|(at, magic, _)| bytes.get(*at..).is_some_and(|b| b.starts_with(magic)))?;
    let sure = match kind {
        Kind::Zip => return Some(containers::zip_kind(bytes, extension)),
        Kind::Bzip2 => bytes.len() == 3 || bytes.get(3).is_some_and(u8::is_ascii_digit),
        Kind::Swf => bytes.get(3).is_some_and(|version| (1..=60).contains(version)),
        Kind::Arj => bytes.len() < 8 || plausible_arj(bytes),
        Kind::Jxl => bytes[0] != 0xff || !text::looks_like_text(bytes),
        Kind::Cpio => bytes[0] == b'0' || bytes.len() > 26,
        Kind::OtherAudio if bytes.starts_with(b"\x0b\x77") => extension == "ac3",
        Kind::OtherAudio if bytes.starts_with(b"MP+") => bytes.get(3).is_some_and(|b| b & 0x0f >= 7),
        Kind::Mp3 => bytes.get(3).is_none_or(|version| *version < 0x10),
        // These are whole magics only where nothing follows them.
        Kind::Gif if bytes.get(4..6) != Some(b"7a") && bytes.get(4..6) != Some(b"9a") => bytes.len() < 6,
        Kind::Jpeg if bytes.get(2) != Some(&0xff) => bytes.len() < 4,
        Kind::Pdf | Kind::Rtf | Kind::PostScript => true,
        // A magic of letters in a longer text is a word, not a magic.
        _ if magic_is_letters(bytes) => !text::looks_like_text(bytes) || bytes.len() < 16,
        _ => true,
    };
    sure.then_some(kind)
}

fn magic_is_letters(bytes: &[u8]) -> bool {
    bytes.iter().take(4).all(|b| b.is_ascii_graphic() || *b == b' ')
}

fn dos_family(bytes: &[u8], extension: &str) -> Option<Kind> {
    if let Some(at) = u32_at(bytes, 0x3c).map(|at| at as usize) {
        match bytes.get(at..) {
            Some(header) if header.starts_with(b"PE\0\0") => return Some(Kind::Pe),
            Some(header) if header.starts_with(b"NE") || header.starts_with(b"LE") || header.starts_with(b"LX") => {
                return Some(Kind::Dos);
            }
            _ => {}
        }
    }
    // A loader takes `MZ` at its word; text that happens to start so has no zero byte early on.
    let binary = !text::looks_like_text(bytes);
    let pe_somewhere = memchr::memmem::find(&bytes[..bytes.len().min(4096)], b"PE\0\0").is_some();
    let named = matches!(extension, "exe" | "com" | "dll" | "scr" | "pif" | "sys" | "bin");
    (binary || named || pe_somewhere).then_some(Kind::Dos)
}

/// A Java class and a universal Mach-O share `CAFEBABE`; a class' version is at least 43, an architecture count is small.
fn java_or_fat_macho(bytes: &[u8]) -> Kind {
    match bytes.get(4..8) {
        Some(&[0, 0, 0, count]) if count < 43 => Kind::MachO,
        _ => Kind::JavaClass,
    }
}

fn riff_kind(bytes: &[u8]) -> Option<Kind> {
    match bytes.get(8..12) {
        Some(b"WEBP") => Some(Kind::Webp),
        Some(b"WAVE") => Some(Kind::Wav),
        Some(b"AVI ") => Some(Kind::Avi),
        Some(b"RMID") => Some(Kind::Midi),
        Some(b"ACON") => Some(Kind::Ico),
        Some(_) => Some(Kind::OtherVideo),
        None => Some(Kind::Wav),
    }
}

/// The family of boxes: MP4, 3GP, HEIC, AVIF, QuickTime.
fn iso_media_kind(bytes: &[u8]) -> Option<Kind> {
    let boxed = bytes.get(4..8)?;
    if boxed == b"ftyp" {
        let brand = bytes.get(8..12).unwrap_or_default();
        return Some(match brand {
            b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1" => {
                let listed = &bytes[..bytes.len().min(64)];
                if memchr::memmem::find(listed, b"avif").is_some() { Kind::Avif } else { Kind::Heic }
            }
            b"avif" | b"avis" => Kind::Avif,
            b"M4A " | b"M4B " | b"M4P " => Kind::M4a,
            b"qt  " => Kind::Mov,
            b"crx " => Kind::Tiff,
            b"jp2 " | b"jpx " => Kind::Jp2,
            b"jxl " => Kind::Jxl,
            brand if brand.starts_with(b"3g") => Kind::ThreeGp,
            _ => Kind::Mp4,
        });
    }
    let size = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    let old = matches!(boxed, b"moov" | b"mdat" | b"wide" | b"pnot" | b"skip" | b"free") && (size <= 1 || size >= 8);
    (old && (size as usize <= bytes.len().max(1 << 20))).then_some(Kind::Mov)
}

fn plausible_arj(bytes: &[u8]) -> bool {
    let size = u16::from_le_bytes([bytes[2], bytes[3]]);
    (20..=2600).contains(&size) && (20..=100).contains(&bytes[4])
}

/// What has no magic at its start, or one too weak to trust alone.
fn by_structure(bytes: &[u8], extension: &str) -> Option<Kind> {
    if bytes.get(257..262) == Some(b"ustar") || plausible_old_tar(bytes) {
        return Some(Kind::Tar);
    }
    if let Some(kind) = disk_image(bytes) {
        return Some(kind);
    }
    if bytes.starts_with(b"BM") && bytes.len() >= 26 && u32_at(bytes, 14).is_some_and(|n| (12..=256).contains(&n)) {
        return Some(Kind::Bmp);
    }
    if matches!(bytes.get(..4), Some([0, 0, 1 | 2, 0])) && bytes.get(4).is_some_and(|n| (1..=64).contains(n)) {
        return Some(Kind::Ico);
    }
    if bytes.get(2..5) == Some(b"-lh") || bytes.get(2..5) == Some(b"-lz") || bytes.get(2..5) == Some(b"-pm") {
        return (bytes.get(6) == Some(&b'-')).then_some(Kind::Lzh);
    }
    if bytes[0] == 0xff && bytes.get(1).is_some_and(|b| b & 0xe0 == 0xe0) {
        let second = bytes[1];
        return Some(match (second & 0xf6, second & 0x06) {
            (0xf0, _) => Kind::Aac,
            (_, 0) => Kind::Unknown,
            _ => Kind::Mp3,
        });
    }
    if bytes.starts_with(b"ADIF") {
        return Some(Kind::Aac);
    }
    if bytes[0] == 0x47 && bytes.get(188) == Some(&0x47) && bytes.get(376) == Some(&0x47) {
        return Some(Kind::Mpeg);
    }
    if bytes[0] == 0x80 && matches!(bytes.get(1), Some(2..=5)) && plausible_pickle(bytes) {
        return Some(Kind::Pickle);
    }
    if matches!(extension, "pyc" | "pyo") && bytes.get(2..4) == Some(b"\r\n") {
        return Some(Kind::PythonBytecode);
    }
    if bytes.len() > 13 && bytes[0] == 0x5d && bytes.get(1..3) == Some(&[0, 0]) && bytes.get(10..13).is_some() {
        let size = u64::from_le_bytes(bytes.get(5..13)?.try_into().ok()?);
        if size == u64::MAX || size < 1 << 40 {
            return Some(Kind::Lzma);
        }
    }
    if bytes[0] == 0x78 && matches!(bytes.get(1), Some(0x01 | 0x5e | 0x9c | 0xda)) {
        // A DMG begins with compressed blocks; its trailer tells.
        return Some(Kind::Zlib);
    }
    None
}

fn disk_image(bytes: &[u8]) -> Option<Kind> {
    for sector in [16usize, 17, 18, 19, 20] {
        match bytes.get(sector * 2048 + 1..sector * 2048 + 6) {
            Some(b"CD001") => return Some(Kind::Iso),
            Some(b"BEA01" | b"NSR02" | b"NSR03" | b"TEA01") => return Some(Kind::Udf),
            _ => {}
        }
    }
    let tail = bytes.get(bytes.len().saturating_sub(512)..)?;
    if bytes.len() > 512 && tail.starts_with(b"conectix") {
        return Some(Kind::Vhd);
    }
    if tail.starts_with(b"koly\0\0\0\x04") {
        return Some(Kind::Dmg);
    }
    if bytes.get(1024..1026) == Some(b"H+")
        || bytes.get(1024..1026) == Some(b"HX")
        || bytes.get(32..36) == Some(b"NXSB")
    {
        return Some(Kind::Dmg);
    }
    if bytes.len() >= 1024 && bytes.get(510..512) == Some(b"\x55\xaa") {
        let fat =
            [54, 82].iter().any(|at| bytes.get(*at..*at + 3) == Some(b"FAT")) || bytes.get(3..8) == Some(b"NTFS ");
        let partitioned = bytes.get(512..520) == Some(b"EFI PART") || has_partition(bytes);
        if fat || partitioned {
            return Some(Kind::RawDisk);
        }
    }
    None
}

fn has_partition(bytes: &[u8]) -> bool {
    let Some(table) = bytes.get(446..510) else { return false };
    let entries = table.chunks_exact(16);
    let used = entries.clone().filter(|e| e[4] != 0).count();
    let sane = entries.clone().all(|e| matches!(e[0], 0 | 0x80));
    used > 0 && sane && bytes[0] != 0
}

/// Version 7 tars have no magic: the header's checksum decides.
fn plausible_old_tar(bytes: &[u8]) -> bool {
    let Some(header) = bytes.get(..512) else { return false };
    if header[0] == 0 || header[0] > 0x7e {
        return false;
    }
    let Ok(field) = std::str::from_utf8(&header[148..156]) else { return false };
    let Ok(stated) = u32::from_str_radix(field.trim_matches(['\0', ' ']), 8) else { return false };
    let sum: u32 =
        header.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { u32::from(*b) }).sum();
    sum == stated
}

fn plausible_pickle(bytes: &[u8]) -> bool {
    bytes.last() == Some(&b'.') || bytes.get(2) == Some(&0x95) || bytes.get(2) == Some(&b'c')
}

/// Content says nothing at all; a few headerless kinds are told by name.
fn by_name_alone(extension: &str) -> Kind {
    match extension {
        "com" => Kind::Com,
        _ => Kind::Unknown,
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}
