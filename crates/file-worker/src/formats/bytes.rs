//! Reading numbers and strings out of bytes nobody can trust. Every read is checked; nothing here allocates more than
//! what it was given. Knows no format.

/// `len` bytes from `at`, or `None` where the input ends before.
pub fn take(data: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    data.get(at..at.checked_add(len)?)
}

pub fn u8_at(data: &[u8], at: usize) -> Option<u8> {
    data.get(at).copied()
}

pub fn u16_le(data: &[u8], at: usize) -> Option<u16> {
    take(data, at, 2)?.try_into().ok().map(u16::from_le_bytes)
}

pub fn u32_le(data: &[u8], at: usize) -> Option<u32> {
    take(data, at, 4)?.try_into().ok().map(u32::from_le_bytes)
}

pub fn u64_le(data: &[u8], at: usize) -> Option<u64> {
    take(data, at, 8)?.try_into().ok().map(u64::from_le_bytes)
}

pub fn u16_be(data: &[u8], at: usize) -> Option<u16> {
    take(data, at, 2)?.try_into().ok().map(u16::from_be_bytes)
}

pub fn u32_be(data: &[u8], at: usize) -> Option<u32> {
    take(data, at, 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// A number from a file as an index into memory.
pub fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// UTF-16LE up to the first zero or the end.
pub fn utf16_le(data: &[u8]) -> String {
    let units = data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    char::decode_utf16(units.take_while(|unit| *unit != 0)).map(|c| c.unwrap_or('\u{fffd}')).collect()
}

/// Bytes up to the first zero, each as a Latin-1 character unless the whole is UTF-8.
pub fn c_string(data: &[u8]) -> String {
    let end = memchr::memchr(0, data).unwrap_or(data.len());
    lossy(data.get(..end).unwrap_or_default())
}

/// Text of unknown encoding: a byte order mark decides, then UTF-8, then UTF-16 by its zeros, then Latin-1.
pub fn lossy(data: &[u8]) -> String {
    if let Some(rest) = data.strip_prefix(b"\xff\xfe") {
        return utf16_units(rest, u16::from_le_bytes);
    }
    if let Some(rest) = data.strip_prefix(b"\xfe\xff") {
        return utf16_units(rest, u16::from_be_bytes);
    }
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let head = data.get(..64.min(data.len())).unwrap_or_default();
    let zeros = |offset: usize| head.iter().skip(offset).step_by(2).filter(|b| **b == 0).count();
    if head.len() >= 4 && zeros(1) * 5 > head.len() * 2 && zeros(0) == 0 {
        return utf16_units(data, u16::from_le_bytes);
    }
    if head.len() >= 4 && zeros(0) * 5 > head.len() * 2 && zeros(1) == 0 {
        return utf16_units(data, u16::from_be_bytes);
    }
    match std::str::from_utf8(data) {
        Ok(text) => text.to_owned(),
        // A cut in the middle of a character is not Latin-1.
        Err(error) if error.error_len().is_none() => String::from_utf8_lossy(data).into_owned(),
        Err(_) => data.iter().map(|b| char::from(*b)).collect(),
    }
}

fn utf16_units(data: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = data.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect()
}

/// Where `needle` stands in `data`.
pub fn find(data: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(data, needle)
}

/// Whether `needle` (lower case) stands in `data`, in any letter case.
pub fn contains_ignoring_case(data: &[u8], needle: &[u8]) -> bool {
    let Some((first, rest)) = needle.split_first() else { return true };
    memchr::memchr2_iter(*first, first.to_ascii_uppercase(), data)
        .any(|at| take(data, at + 1, rest.len()).is_some_and(|seen| seen.eq_ignore_ascii_case(rest)))
}

/// `text` cut to `chars`, on a character's edge.
pub fn cut(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_at_the_end() {
        let data = [1, 2, 3, 4];
        assert_eq!(u16_le(&data, 2), Some(0x0403));
        assert_eq!(u16_le(&data, 3), None);
        assert_eq!(u32_be(&data, 0), Some(0x0102_0304));
        assert_eq!(u32_le(&data, usize::MAX), None);
        assert_eq!(u64_le(&data, 0), None);
    }

    #[test]
    fn text_of_any_encoding() {
        let check = |data: &[u8], expect: &str| assert_eq!(lossy(data), expect);
        check(b"plain", "plain");
        check(b"\xff\xfea\0b\0", "ab");
        check(b"a\0b\0c\0", "abc");
        check(b"\xef\xbb\xbfol\xc3\xa1", "olá");
        check(b"ol\xe1!", "olá!");
    }

    #[test]
    fn finds_in_any_case() {
        assert!(contains_ignoring_case(b"xx PowerShell", b"powershell"));
        assert!(!contains_ignoring_case(b"powershel", b"powershell"));
    }
}
