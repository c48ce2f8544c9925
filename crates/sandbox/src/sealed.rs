//! A file's bytes as a sealed memory file: filled by the gateway in small blocks, never changed after, read by one worker.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::{self, Read, Write};

/// Bytes copied at a time: what one file adds to the gateway's memory.
const BLOCK_BYTES: usize = 64 << 10;

pub enum Filled {
    Sealed(File),
    TooLarge,
}

/// Copies `from` into a memory file and seals it. More than `bytes_max` is too large; an error is the reader's.
pub fn fill(mut from: impl Read, bytes_max: u64) -> io::Result<Filled> {
    let fd = memfd_create("file", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(fd);
    let mut block = vec![0; BLOCK_BYTES];
    let mut total = 0u64;
    loop {
        match from.read(&mut block) {
            Ok(0) => break,
            Ok(count) => {
                total += count as u64;
                if total > bytes_max {
                    return Ok(Filled::TooLarge);
                }
                file.write_all(&block[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(Filled::Sealed(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Mapped;
    use std::os::fd::AsFd;

    #[test]
    fn what_goes_in_is_what_is_mapped_and_cannot_change() {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        let Filled::Sealed(mut file) = fill(bytes.as_slice(), 1 << 20).unwrap() else { panic!("it is small enough") };
        let mapped = Mapped::of_sealed(file.as_fd(), bytes.len()).unwrap();
        assert_eq!(mapped.bytes(), bytes);
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }

    #[test]
    fn an_empty_file_maps_to_nothing() {
        let Filled::Sealed(file) = fill(&b""[..], 1).unwrap() else { panic!("it is small enough") };
        assert_eq!(Mapped::of_sealed(file.as_fd(), 0).unwrap().bytes(), b"");
    }

    #[test]
    fn one_byte_too_many_is_too_large() {
        assert!(matches!(fill(&b"abc"[..], 2).unwrap(), Filled::TooLarge));
        assert!(matches!(fill(&b"ab"[..], 2).unwrap(), Filled::Sealed(_)));
    }
}
