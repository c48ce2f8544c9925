//! The bundled test signatures: enough to show that scanning works, nothing against real malware.
//!
//! Used when the database folder holds none, so that a fresh clone and an air-gapped test have a working clamd. EICAR is
//! kept masked in the program: neither the repository nor the binary should make a virus scanner speak.

use std::{fs, io, path::Path};

/// Names of the signatures below. clamd adds `.UNOFFICIAL` to what does not come from a signed database; for these
/// names the suffix is taken off again, so that a test reads the same with and without the real database.
pub(crate) const NAMES: [&str; 2] = [EICAR_NAME, TEST_FILE_NAME];
/// As the official daily database names it.
pub(crate) const EICAR_NAME: &str = "Win.Test.EICAR_HDB-1";
const TEST_FILE_NAME: &str = "Clamav.Test.File-6";

const MASK: u8 = 0x15;
const EICAR_MASKED: [u8; 68] = [
    77, 32, 90, 52, 69, 48, 85, 84, 69, 78, 33, 73, 69, 79, 77, 32, 33, 61, 69, 75, 60, 34, 86, 86, 60, 34, 104, 49,
    80, 92, 86, 84, 71, 56, 70, 65, 84, 91, 81, 84, 71, 81, 56, 84, 91, 65, 92, 67, 92, 71, 64, 70, 56, 65, 80, 70, 65,
    56, 83, 92, 89, 80, 52, 49, 93, 62, 93, 63,
];

/// The EICAR test string: harmless, and found by every virus scanner.
pub fn eicar() -> Vec<u8> {
    EICAR_MASKED.iter().map(|byte| byte ^ MASK).collect()
}

/// Writes the set into `folder`; it is complete or an error.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let hashes = format!(
        "44d88612fea8a8f36de82e1278abb02f:68:{EICAR_NAME}\naa15bcf478d165efd2065190eb473bcb:544:{TEST_FILE_NAME}\n"
    );
    // EICAR may be followed by white space; the hash above only knows the bare string.
    let bodies = format!("{EICAR_NAME}:0:0:{}\n", hex::encode(eicar()));
    crate::database::replace_file(&folder.join("guarita-test.hdb"), hashes.as_bytes())?;
    crate::database::replace_file(&folder.join("guarita-test.ndb"), bodies.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn eicar_is_eicar() {
        let expect = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
        assert_eq!(hex::encode(Sha256::digest(eicar())), expect);
    }
}
