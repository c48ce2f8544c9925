//! Where an entry stands: its number in order of receipt, and the delivery id that carries it.
//!
//! The id holds time of receipt (48 bits), number (40 bits) and random bits (40), so finding an entry needs no index.

use guarita_message::DeliveryId;

const HALF: u128 = (1 << 40) - 1;

/// Number in order of receipt; the order of a conversation.
pub(crate) type Seq = u64;

/// Entries one folder can take in its life (10,000 a second for three years).
pub(crate) const SEQ_MAX: Seq = (1 << 40) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub seq: Seq,
    pub salt: u64,
    pub millis: u64,
}

/// Times are kept in the 48 bits that an id has for them.
pub(crate) const MILLIS_MAX: u64 = 0xffff_ffff_ffff;

/// What each byte stands for in an id (Crockford's base 32).
const DIGITS: [u8; 256] = {
    let known = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut digits = [NO_DIGIT; 256];
    let mut at = 0;
    while at < known.len() {
        digits[known[at] as usize] = at as u8;
        at += 1;
    }
    digits
};
const NO_DIGIT: u8 = u8::MAX;

impl Place {
    pub fn new(received_ms: u64, seq: Seq, salt: u64) -> Self {
        Place { seq, salt: salt & HALF as u64, millis: received_ms.min(MILLIS_MAX) }
    }

    pub fn id(&self) -> DeliveryId {
        let tail = (u128::from(self.seq) << 40 | u128::from(self.salt)).to_be_bytes();
        let mut random = [0; 10];
        random.copy_from_slice(&tail[6..]);
        DeliveryId::new(self.millis, random)
    }

    /// `None`: not an id of ours.
    pub fn of(id: &DeliveryId) -> Option<Place> {
        let text = id.0.as_bytes();
        if text.len() != 26 {
            return None;
        }
        let mut bits: u128 = 0;
        for (at, byte) in text.iter().enumerate() {
            let digit = DIGITS[usize::from(*byte)];
            if digit == NO_DIGIT || (at == 0 && digit > 7) {
                return None;
            }
            bits = bits << 5 | u128::from(digit);
        }
        Some(Place { seq: (bits >> 40 & HALF) as u64, salt: (bits & HALF) as u64, millis: (bits >> 80) as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_place_and_sorts_by_receipt() {
        for (millis, seq, salt) in
            [(0, 0, 0), (1_795_000_000_000, 1, 77), (u64::MAX, SEQ_MAX, u64::MAX), (9, 1 << 39, 1)]
        {
            let place = Place::new(millis, seq, salt);
            assert_eq!(Place::of(&place.id()), Some(place));
        }
        assert!(Place::new(5, 9, u64::MAX).id() < Place::new(5, 10, 0).id());
        assert!(Place::new(5, 900, 0).id() < Place::new(6, 1, 0).id());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "x", "01ARZ3NDEKTSV4RRFFQ69G5FAI", "81ARZ3NDEKTSV4RRFFQ69G5FAV", "01arz3ndektsv4rrffq69g5fav"]
        {
            assert_eq!(Place::of(&DeliveryId(text.to_owned())), None, "{text}");
        }
    }
}
