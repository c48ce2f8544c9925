//! The blob store against its promises: what was written is what is read, anything else is an error; nothing half
//! written has a name; memory does not grow with the file.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use guarita_media::{BlobReader, BlobStore, DiskBlobs, MediaKeys};
use guarita_message::ContentHash;
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const CHUNK: usize = 64 * 1024;
const HEADER: usize = 96;

fn keys() -> MediaKeys {
    MediaKeys::derive(&[1; 32])
}

fn open(folder: &Path) -> DiskBlobs {
    DiskBlobs::open(folder, &keys()).unwrap()
}

fn store(blobs: &dyn BlobStore, content: &[u8]) -> ContentHash {
    let mut writer = blobs.writer().unwrap();
    // Uneven pieces, so that chunk borders fall anywhere.
    for piece in content.chunks(10_007) {
        writer.write_all(piece).unwrap();
    }
    let stored = writer.finish().unwrap();
    assert_eq!(stored.bytes, content.len() as u64);
    assert_eq!(stored.hash.0[..], Sha256::digest(content)[..]);
    stored.hash
}

fn read_all(mut reader: Box<dyn BlobReader>) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    reader.read_to_end(&mut out)?;
    Ok(out)
}

fn file_of(folder: &Path, hash: &ContentHash) -> PathBuf {
    let name = hash.to_string();
    folder.join(&name[..2]).join(name)
}

fn sample(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[test]
fn every_length_comes_back_as_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    for bytes in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 5 * CHUNK + 77] {
        let content = sample(bytes);
        let hash = store(&blobs, &content);
        assert_eq!(read_all(blobs.open(&hash).unwrap()).unwrap(), content);
        assert_eq!(blobs.bytes(&hash).unwrap(), Some(bytes as u64));
    }
}

#[test]
fn any_range_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    let content = sample(3 * CHUNK + 100);
    let hash = store(&blobs, &content);
    let mut reader = blobs.open(&hash).unwrap();
    for offset in [0, 5, CHUNK - 1, CHUNK, 2 * CHUNK + 1, content.len() - 1, content.len(), 10, content.len() + 5] {
        reader.seek_to(offset as u64).unwrap();
        let mut out = vec![0; 70_000];
        let mut read = 0;
        while read < out.len() {
            match reader.read(&mut out[read..]).unwrap() {
                0 => break,
                n => read += n,
            }
        }
        let expect = content.get(offset..).unwrap_or(&[]);
        assert_eq!(out[..read], expect[..expect.len().min(70_000)], "from {offset}");
    }
}

#[test]
fn nothing_readable_lies_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    let hash = store(&blobs, &b"a sentence that stays private ".repeat(100));
    let raw = fs::read(file_of(folder.path(), &hash)).unwrap();
    assert!(!raw.windows(10).any(|w| w == b"a sentence"));
    let again = store(&blobs, &b"a sentence that stays private ".repeat(100));
    assert_ne!(fs::read(file_of(folder.path(), &again)).unwrap(), raw, "a key of its own each time");
}

/// Writes a blob, damages its file with `damage`, and expects an error instead of other bytes.
fn check_damage(what: &str, damage: impl Fn(&mut Vec<u8>)) {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    let hash = store(&blobs, &sample(3 * CHUNK + 9));
    let path = file_of(folder.path(), &hash);
    let mut raw = fs::read(&path).unwrap();
    damage(&mut raw);
    fs::write(&path, raw).unwrap();
    let outcome = blobs.open(&hash).and_then(read_all);
    assert_eq!(outcome.expect_err(what).kind(), io::ErrorKind::InvalidData, "{what}");
}

#[test]
fn tampering_is_seen() {
    let sealed = CHUNK + 16;
    check_damage("a bit of the first chunk", |raw| raw[HEADER + 5] ^= 1);
    check_damage("a bit of the last tag", |raw| *raw.last_mut().unwrap() ^= 1);
    check_damage("the salt", |raw| raw[10] ^= 1);
    check_damage("the header", |raw| raw[50] ^= 1);
    check_damage("the magic", |raw| raw[0] ^= 1);
    check_damage("the last byte cut off", |raw| raw.truncate(raw.len() - 1));
    check_damage("the last chunk cut off", |raw| raw.truncate(HEADER + 3 * sealed));
    check_damage("all chunks cut off", |raw| raw.truncate(HEADER));
    check_damage("the header cut", |raw| raw.truncate(20));
    check_damage("everything cut", |raw| raw.clear());
    check_damage("bytes behind the end", |raw| raw.extend_from_slice(&[0; 40]));
    check_damage("two chunks exchanged", |raw| {
        let (first, second) =
            (raw[HEADER..HEADER + sealed].to_vec(), raw[HEADER + sealed..HEADER + 2 * sealed].to_vec());
        raw[HEADER..HEADER + sealed].copy_from_slice(&second);
        raw[HEADER + sealed..HEADER + 2 * sealed].copy_from_slice(&first);
    });
    check_damage("a chunk left out", |raw| drop(raw.drain(HEADER + sealed..HEADER + 2 * sealed)));
}

#[test]
fn a_file_under_another_ones_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    let (clean, virus) = (store(&blobs, b"scanned and clean"), store(&blobs, b"withheld"));
    fs::copy(file_of(folder.path(), &virus), file_of(folder.path(), &clean)).unwrap();
    assert_eq!(blobs.open(&clean).map(|_| ()).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn another_key_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hash = store(&open(folder.path()), b"content");
    let other = DiskBlobs::open(folder.path(), &MediaKeys::derive(&[2; 32])).unwrap();
    assert_eq!(other.open(&hash).map(|_| ()).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn what_was_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let unfinished = folder.path().join("unfinished");
    let count = || fs::read_dir(&unfinished).unwrap().count();
    let blobs = open(folder.path());
    let mut writer = blobs.writer().unwrap();
    writer.write_all(&sample(200_000)).unwrap();
    assert_eq!(count(), 1);
    drop(writer);
    assert_eq!(count(), 0, "given up");
    let mut crashed = blobs.writer().unwrap();
    crashed.write_all(b"half").unwrap();
    std::mem::forget(crashed);
    assert_eq!(count(), 1);
    open(folder.path());
    assert_eq!(count(), 0, "removed at the next start");
}

#[test]
fn the_same_content_written_at_once_is_one_blob() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    let content = sample(300_000);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| store(&blobs, &content));
        }
    });
    let hash = ContentHash(Sha256::digest(&content).into());
    assert_eq!(read_all(blobs.open(&hash).unwrap()).unwrap(), content);
}

#[test]
fn deleting_and_sweeping_take_what_they_should() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    let [gone, old, kept, young] = [b"gone" as &[u8], b"old", b"kept", b"young"].map(|content| store(&blobs, content));
    assert!(blobs.delete(&gone).unwrap());
    assert!(!blobs.delete(&gone).unwrap());
    assert_eq!(blobs.open(&gone).map(|_| ()).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(blobs.bytes(&gone).unwrap(), None);
    let week_ago = SystemTime::now() - Duration::from_secs(7 * 86_400);
    for hash in [&old, &kept] {
        fs::File::open(file_of(folder.path(), hash)).unwrap().set_modified(week_ago).unwrap();
    }
    fs::write(folder.path().join(&young.to_string()[..2]).join("a note"), "not ours").unwrap();
    let before = SystemTime::now() - Duration::from_secs(86_400);
    let mut open_reader = blobs.open(&old).unwrap();
    let swept = blobs.sweep(before, &mut |hash, stored| *hash == kept && stored == week_ago).unwrap();
    assert_eq!((swept.removed, swept.kept), (1, 1));
    assert_eq!(blobs.bytes(&old).unwrap(), None);
    assert!(blobs.bytes(&kept).unwrap().is_some() && blobs.bytes(&young).unwrap().is_some());
    let mut rest = String::new();
    open_reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "old", "an open reader goes on");
}

/// A full disk is an error at the write, and heals once there is room. Needs the right to mount.
#[test]
fn a_full_disk_is_an_error_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(folder.path())
        .output()
        .is_ok_and(|out| out.status.success());
    if !mounted {
        eprintln!("SKIPPED a_full_disk_is_an_error_and_heals: mounting a tmpfs is not allowed here");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        let blobs = open(&folder.path().join("blobs"));
        let mut writer = blobs.writer().unwrap();
        let failed = writer.write_all(&sample(4 << 20)).and_then(|()| writer.finish().map(|_| ())).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::StorageFull);
        let hash = store(&blobs, &sample(1 << 20));
        assert_eq!(read_all(blobs.open(&hash).unwrap()).unwrap(), sample(1 << 20));
    });
    let unmounted = std::process::Command::new("umount").arg(folder.path()).status().unwrap();
    assert!(unmounted.success());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_hundred_megabytes_take_no_memory() {
    let resident = || {
        let pages: u64 = fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    };
    let folder = tempfile::tempdir().unwrap();
    let blobs = open(folder.path());
    let piece = sample(CHUNK);
    let before = resident();
    let mut highest = before;
    let mut writer = blobs.writer().unwrap();
    for _ in 0..1600 {
        writer.write_all(&piece).unwrap();
        highest = highest.max(resident());
    }
    let stored = writer.finish().unwrap();
    let mut reader = blobs.open(&stored.hash).unwrap();
    let mut out = vec![0; 32 * 1024];
    while reader.read(&mut out).unwrap() > 0 {
        highest = highest.max(resident());
    }
    // Other tests of this file run at the same time; they hold a few megabytes at most.
    let grown = highest - before;
    assert!(grown < 16 << 20, "100 MiB took {} KiB", grown >> 10);
}
