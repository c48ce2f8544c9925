//! Blobs: bytes kept encrypted on disk under the SHA-256 of their plaintext, written and read as streams.
//!
//! A blob's file is `ab/abcdef…`:
//! ```text
//! magic (8) | salt (32) | sealed { length u64, SHA-256 } (56) | chunk 0 | chunk 1 | …
//! ```
//! Each chunk is up to 64 KiB of plaintext and a tag. The key of a blob is derived from the store's key and the salt, so
//! nonces never meet; a chunk's nonce holds its index and whether it is the last. Cutting, reordering, exchanging chunks
//! or whole files is therefore seen: the header names the content it belongs to. This module must not know what a blob
//! means, who may read it or how long it lives.

use crate::keys::{self, MediaKeys};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, aead::AeadInOut};
use guarita_message::ContentHash;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Where contents are kept. Everything here blocks: call it from a blocking thread.
pub trait BlobStore: Send + Sync {
    /// Begins a blob. Dropping the writer before `finish` leaves nothing behind.
    fn writer(&self) -> io::Result<Box<dyn BlobWriter>>;
    /// Opens a blob from its first byte; `NotFound` if it is not here, `InvalidData` if it was tampered with.
    fn open(&self, hash: &ContentHash) -> io::Result<Box<dyn BlobReader>>;
    /// Length of a blob, `None` if it is not here.
    fn bytes(&self, hash: &ContentHash) -> io::Result<Option<u64>>;
    /// Removes a blob; `false` if it was not here. Open readers may go on.
    fn delete(&self, hash: &ContentHash) -> io::Result<bool>;
    /// Removes blobs last written before `older_than`, but for those `keep` speaks for; it is told when that was.
    fn sweep(
        &self,
        older_than: SystemTime,
        keep: &mut dyn FnMut(&ContentHash, SystemTime) -> bool,
    ) -> io::Result<SweptBlobs>;
}

/// A blob being written.
pub trait BlobWriter: Send {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes it durable under its name. Writing the same content twice, at once too, is fine.
    fn finish(self: Box<Self>) -> io::Result<StoredBlob>;
}

/// A blob being read. Reads fail with `InvalidData` where the bytes on disk are not those that were written.
pub trait BlobReader: io::Read + Send {
    /// Length of the whole plaintext.
    fn length(&self) -> u64;
    /// Goes on reading at this offset of the plaintext; beyond the end, reads give 0.
    fn seek_to(&mut self, offset: u64) -> io::Result<()>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    pub hash: ContentHash,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweptBlobs {
    pub removed: u64,
    pub kept: u64,
}

/// Plaintext bytes of a chunk.
const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
const MAGIC: &[u8; 8] = b"guablob1";
const SALT: usize = 32;
const SEALED: usize = 8 + 32 + TAG;
const HEADER: usize = MAGIC.len() + SALT + SEALED;
/// Folder of unfinished blobs; emptied at start.
const UNFINISHED: &str = "unfinished";

/// Blobs as files in a folder.
pub struct DiskBlobs {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    key: [u8; 32],
    /// Held while a file gets or loses its name, so that a sweep never removes what was just renewed.
    naming: Mutex<()>,
}

impl DiskBlobs {
    /// Opens (or makes) the folder and removes what a crash left unfinished. One process a folder.
    pub fn open(folder: impl Into<PathBuf>, keys: &MediaKeys) -> io::Result<Self> {
        let folder = folder.into();
        make_folder(&folder)?;
        let unfinished = folder.join(UNFINISHED);
        make_folder(&unfinished)?;
        for entry in fs::read_dir(&unfinished)? {
            fs::remove_file(entry?.path())?;
        }
        sync_folder(&folder)?;
        Ok(DiskBlobs { shared: Arc::new(Shared { folder, key: keys.blobs, naming: Mutex::new(()) }) })
    }
}

impl BlobStore for DiskBlobs {
    fn writer(&self) -> io::Result<Box<dyn BlobWriter>> {
        Ok(Box::new(DiskWriter::begin(self.shared.clone())?))
    }

    fn open(&self, hash: &ContentHash) -> io::Result<Box<dyn BlobReader>> {
        Ok(Box::new(DiskReader::open(&self.shared, hash)?))
    }

    fn bytes(&self, hash: &ContentHash) -> io::Result<Option<u64>> {
        match DiskReader::open(&self.shared, hash) {
            Ok(reader) => Ok(Some(reader.length)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn delete(&self, hash: &ContentHash) -> io::Result<bool> {
        let _naming = self.shared.naming.lock().unwrap_or_else(PoisonError::into_inner);
        removed(&self.shared.path(hash))
    }

    fn sweep(
        &self,
        older_than: SystemTime,
        keep: &mut dyn FnMut(&ContentHash, SystemTime) -> bool,
    ) -> io::Result<SweptBlobs> {
        let mut swept = SweptBlobs::default();
        for folder in fs::read_dir(&self.shared.folder)? {
            let folder = folder?;
            if folder.file_name() == UNFINISHED || !folder.file_type()?.is_dir() {
                continue;
            }
            for entry in fs::read_dir(folder.path())? {
                let entry = entry?;
                // A name that is no hash is not ours; leave it alone.
                let Some(hash) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
                let Some(stored) = stored_at(&entry.path())?.filter(|stored| *stored < older_than) else { continue };
                if keep(&hash, stored) {
                    swept.kept += 1;
                    continue;
                }
                let _naming = self.shared.naming.lock().unwrap_or_else(PoisonError::into_inner);
                // Stored anew meanwhile: that is no longer the one that was asked about.
                if stored_at(&entry.path())? == Some(stored) && removed(&entry.path())? {
                    swept.removed += 1;
                }
            }
        }
        Ok(swept)
    }
}

impl Shared {
    fn path(&self, hash: &ContentHash) -> PathBuf {
        let name = hash.to_string();
        self.folder.join(&name[..2]).join(name)
    }

    fn cipher(&self, salt: &[u8; SALT]) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&keys::mac(&self.key, &[b"blob ", salt]).into())
    }

    /// Renames a finished file to its name and makes that durable.
    fn publish(&self, unfinished: &Path, hash: &ContentHash) -> io::Result<()> {
        let path = self.path(hash);
        let folder = path.parent().expect("a blob's path has its two-digit folder");
        if !folder.is_dir() {
            make_folder(folder)?;
            sync_folder(&self.folder)?;
        }
        {
            let _naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
            fs::rename(unfinished, &path)?;
        }
        sync_folder(folder)
    }
}

struct DiskWriter {
    shared: Arc<Shared>,
    path: PathBuf,
    /// Whether the file got its name; if not, it is removed on drop.
    published: bool,
    file: File,
    cipher: ChaCha20Poly1305,
    salt: [u8; SALT],
    digest: Sha256,
    /// Plaintext of the chunk being filled; sealed in place.
    chunk: Vec<u8>,
    index: u32,
    length: u64,
}

impl DiskWriter {
    fn begin(shared: Arc<Shared>) -> io::Result<Self> {
        let salt = keys::random::<SALT>()?;
        let name = hex::encode(keys::random::<16>()?);
        let path = shared.folder.join(UNFINISHED).join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let cipher = shared.cipher(&salt);
        let mut writer = DiskWriter {
            shared,
            path,
            published: false,
            file,
            cipher,
            salt,
            digest: Sha256::new(),
            chunk: Vec::with_capacity(CHUNK + TAG),
            index: 0,
            length: 0,
        };
        // The header's place; it is written when length and hash are known.
        writer.file.write_all(&[0; HEADER])?;
        Ok(writer)
    }

    fn seal_chunk(&mut self, last: bool) -> io::Result<()> {
        self.cipher.encrypt_in_place(&chunk_nonce(self.index, last), b"", &mut self.chunk).map_err(|_| sealing())?;
        self.file.write_all(&self.chunk)?;
        self.chunk.clear();
        self.index = self.index.checked_add(1).filter(|i| *i < u32::MAX).ok_or_else(sealing)?;
        Ok(())
    }
}

impl BlobWriter for DiskWriter {
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            // A full chunk waits for the next byte: only then is it known not to be the last.
            if self.chunk.len() == CHUNK {
                self.seal_chunk(false)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<StoredBlob> {
        self.seal_chunk(true)?;
        let hash = ContentHash(std::mem::take(&mut self.digest).finalize().into());
        let mut sealed = Vec::with_capacity(SEALED);
        sealed.extend_from_slice(&self.length.to_be_bytes());
        sealed.extend_from_slice(&hash.0);
        self.cipher.encrypt_in_place(&header_nonce(), MAGIC, &mut sealed).map_err(|_| sealing())?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(MAGIC)?;
        self.file.write_all(&self.salt)?;
        self.file.write_all(&sealed)?;
        self.file.sync_all()?;
        self.shared.publish(&self.path, &hash)?;
        self.published = true;
        Ok(StoredBlob { hash, bytes: self.length })
    }
}

impl Drop for DiskWriter {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: what stays is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

struct DiskReader {
    file: File,
    cipher: ChaCha20Poly1305,
    length: u64,
    /// Where the next read begins.
    offset: u64,
    /// The chunk in `chunk`, decrypted; `None` before the first read.
    loaded: Option<u32>,
    chunk: Vec<u8>,
}

impl DiskReader {
    fn open(shared: &Shared, hash: &ContentHash) -> io::Result<Self> {
        let mut file = File::open(shared.path(hash))?;
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(|_| damaged("it is cut short"))?;
        let (magic, rest) = header.split_at(MAGIC.len());
        let (salt, sealed) = rest.split_at(SALT);
        if magic != MAGIC {
            return Err(damaged("it is not a blob of this version"));
        }
        let cipher = shared.cipher(salt.try_into().expect("split at the salt's length"));
        let mut sealed = sealed.to_vec();
        cipher
            .decrypt_in_place(&header_nonce(), MAGIC, &mut sealed)
            .map_err(|_| damaged("its header does not decrypt; is the key file the one of this folder?"))?;
        let (length, own_hash) = sealed.split_at(8);
        if own_hash != hash.0 {
            return Err(damaged("it holds other content than its name says"));
        }
        let length = u64::from_be_bytes(length.try_into().expect("split at eight bytes"));
        if file.metadata()?.len() != file_length(length) {
            return Err(damaged("it is cut short or has grown"));
        }
        Ok(DiskReader { file, cipher, length, offset: 0, loaded: None, chunk: Vec::new() })
    }

    fn load(&mut self, index: u32) -> io::Result<()> {
        let last = last_chunk(self.length);
        let start = u64::from(index) * CHUNK as u64;
        let bytes = (self.length - start).min(CHUNK as u64) as usize;
        self.loaded = None;
        self.chunk.resize(bytes + TAG, 0);
        self.file.seek(SeekFrom::Start(HEADER as u64 + u64::from(index) * (CHUNK + TAG) as u64))?;
        self.file.read_exact(&mut self.chunk).map_err(|_| damaged("it is cut short"))?;
        self.cipher
            .decrypt_in_place(&chunk_nonce(index, u64::from(index) == last), b"", &mut self.chunk)
            .map_err(|_| damaged("a part of it does not decrypt"))?;
        self.loaded = Some(index);
        Ok(())
    }
}

impl BlobReader for DiskReader {
    fn length(&self) -> u64 {
        self.length
    }

    fn seek_to(&mut self, offset: u64) -> io::Result<()> {
        self.offset = offset;
        Ok(())
    }
}

impl Read for DiskReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.offset >= self.length || out.is_empty() {
            return Ok(0);
        }
        let index = u32::try_from(self.offset / CHUNK as u64).map_err(|_| damaged("it is too long"))?;
        if self.loaded != Some(index) {
            self.load(index)?;
        }
        let within = (self.offset % CHUNK as u64) as usize;
        let bytes = out.len().min(self.chunk.len() - within);
        out[..bytes].copy_from_slice(&self.chunk[within..within + bytes]);
        self.offset += bytes as u64;
        Ok(bytes)
    }
}

/// Index of the last chunk; an empty blob has one empty chunk.
fn last_chunk(length: u64) -> u64 {
    length.saturating_sub(1) / CHUNK as u64
}

fn file_length(length: u64) -> u64 {
    (last_chunk(length) + 1).saturating_mul(TAG as u64).saturating_add(length).saturating_add(HEADER as u64)
}

fn chunk_nonce(index: u32, last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&index.to_be_bytes());
    nonce[11] = u8::from(last);
    nonce.into()
}

/// Differs from every chunk's nonce in its last byte.
fn header_nonce() -> Nonce {
    let mut nonce = [0; 12];
    nonce[11] = 2;
    nonce.into()
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn removed(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// When a blob was stored last; `None`: it is gone.
fn stored_at(path: &Path) -> io::Result<Option<SystemTime>> {
    match fs::metadata(path) {
        Ok(metadata) => metadata.modified().map(Some),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn sealing() -> io::Error {
    io::Error::other("a blob could not be sealed: it is too long")
}

fn damaged(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a stored file is damaged: {how}"))
}
