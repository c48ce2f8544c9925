//! The two ciphers of zip: the old stream cipher and WinZip's AES. Decrypts with a password that may be wrong.

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// PBKDF2 rounds that WinZip fixed.
const ROUNDS: usize = 1000;

/// The old cipher: `None` if the header's check byte does not come out.
pub fn zip_crypto(packed: &[u8], check_byte: u8, password: &[u8]) -> Option<Vec<u8>> {
    let (header, body) = packed.split_at_checked(12)?;
    let mut keys = Keys::new(password);
    let mut last = 0;
    for byte in header {
        last = keys.decrypt(*byte);
    }
    (last == check_byte).then(|| body.iter().map(|byte| keys.decrypt(*byte)).collect())
}

struct Keys(u32, u32, u32);

impl Keys {
    fn new(password: &[u8]) -> Keys {
        let mut keys = Keys(0x1234_5678, 0x2345_6789, 0x3456_7890);
        password.iter().for_each(|byte| keys.update(*byte));
        keys
    }

    fn update(&mut self, byte: u8) {
        self.0 = crc_step(self.0, byte);
        self.1 = self.1.wrapping_add(self.0 & 0xff).wrapping_mul(0x0808_8405).wrapping_add(1);
        self.2 = crc_step(self.2, (self.1 >> 24) as u8);
    }

    fn decrypt(&mut self, byte: u8) -> u8 {
        let temp = (self.2 | 2) as u16;
        let plain = byte ^ (temp.wrapping_mul(temp ^ 1) >> 8) as u8;
        self.update(plain);
        plain
    }
}

fn crc_step(crc: u32, byte: u8) -> u32 {
    CRC_TABLE[((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8)
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
};

/// WinZip's AES in counter mode: `None` if the password's check or the content's code does not come out.
pub fn aes(packed: &[u8], strength: u8, password: &[u8]) -> Option<Vec<u8>> {
    let (salt_bytes, key_bytes) = match strength {
        1 => (8, 16),
        2 => (12, 24),
        3 => (16, 32),
        _ => return None,
    };
    let (salt, rest) = packed.split_at_checked(salt_bytes)?;
    let (check, rest) = rest.split_at_checked(2)?;
    let (body, code) = rest.split_at_checked(rest.len().checked_sub(10)?)?;
    let derived = pbkdf2(password, salt, 2 * key_bytes + 2);
    if derived[2 * key_bytes..] != *check {
        return None;
    }
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(&derived[key_bytes..2 * key_bytes]).ok()?;
    mac.update(body);
    if mac.finalize().into_bytes()[..10] != *code {
        return None;
    }
    let mut plain = body.to_vec();
    match strength {
        1 => count_through::<aes::Aes128>(&derived[..key_bytes], &mut plain),
        2 => count_through::<aes::Aes192>(&derived[..key_bytes], &mut plain),
        _ => count_through::<aes::Aes256>(&derived[..key_bytes], &mut plain),
    }?;
    Some(plain)
}

/// Counter mode with a little-endian counter that starts at one, as WinZip has it.
fn count_through<C: BlockCipherEncrypt + KeyInit>(key: &[u8], bytes: &mut [u8]) -> Option<()> {
    let cipher = C::new_from_slice(key).ok()?;
    for (number, chunk) in bytes.chunks_mut(16).enumerate() {
        let mut block = aes::cipher::Block::<C>::default();
        for (to, from) in block.iter_mut().zip((number as u128 + 1).to_le_bytes()) {
            *to = from;
        }
        cipher.encrypt_block(&mut block);
        chunk.iter_mut().zip(block.iter()).for_each(|(byte, key)| *byte ^= key);
    }
    Some(())
}

fn pbkdf2(password: &[u8], salt: &[u8], bytes: usize) -> Vec<u8> {
    let prf = |data: &[&[u8]]| -> [u8; 20] {
        let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(password).expect("HMAC takes keys of any length");
        data.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    };
    let mut out = Vec::with_capacity(bytes + 20);
    let mut number = 1u32;
    while out.len() < bytes {
        let mut last = prf(&[salt, &number.to_be_bytes()]);
        let mut block = last;
        for _ in 1..ROUNDS {
            last = prf(&[&last]);
            block.iter_mut().zip(last).for_each(|(to, from)| *to ^= from);
        }
        out.extend_from_slice(&block);
        number += 1;
    }
    out.truncate(bytes);
    out
}
