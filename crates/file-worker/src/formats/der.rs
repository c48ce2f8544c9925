//! The little of DER that names who signed an app: the first certificate of a PKCS#7 signature, and a certificate's subject.

/// Tag, content and the whole element; definite lengths only.
fn element(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let tag = *data.first()?;
    let first = usize::from(*data.get(1)?);
    let (length, header) = if first < 0x80 {
        (first, 2)
    } else {
        let count = first & 0x7f;
        if count == 0 || count > 4 {
            return None;
        }
        let length = data.get(2..2 + count)?.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        (length, 2 + count)
    };
    let end = header.checked_add(length)?;
    Some((tag, data.get(header..end)?, data.get(..end)?))
}

fn children(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let found = element(data)?;
        data = data.get(found.2.len()..)?;
        Some(found)
    })
}

/// The certificates of a PKCS#7 signed-data, as they stand.
pub fn certificates(pkcs7: &[u8]) -> Vec<&[u8]> {
    let read = || -> Option<Vec<&[u8]>> {
        let (_, content, _) = element(pkcs7)?;
        let (_, explicit, _) = children(content).find(|(tag, _, _)| *tag == 0xa0)?;
        let (_, signed, _) = element(explicit)?;
        let (_, list, _) = children(signed).find(|(tag, _, _)| *tag == 0xa0)?;
        Some(children(list).filter(|(tag, _, _)| *tag == 0x30).map(|(_, _, whole)| whole).take(8).collect())
    };
    read().unwrap_or_default()
}

/// The subject's parts (`WhatsApp Inc.`, `Brian Acton`), joined by commas.
pub fn subject(certificate: &[u8]) -> Option<String> {
    let (_, body, _) = element(certificate)?;
    let (_, signed, _) = element(body)?;
    // version [0], serial, algorithm, issuer, validity, subject
    let name = children(signed).filter(|(tag, _, _)| *tag != 0xa0).nth(4)?.1;
    let mut parts = Vec::new();
    for (_, set, _) in children(name).take(16) {
        for (_, pair, _) in children(set).take(4) {
            parts.extend(children(pair).nth(1).map(|(_, text, _)| String::from_utf8_lossy(text).into_owned()));
        }
    }
    Some(parts.join(", "))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag, 0x82];
        out.extend((body.len() as u16).to_be_bytes());
        out.extend(body);
        out
    }

    /// A certificate that holds nothing but a subject.
    pub fn certificate(organisation: &str) -> Vec<u8> {
        let pair = tlv(0x30, &[tlv(0x06, &[0x55, 4, 10]), tlv(0x0c, organisation.as_bytes())].concat());
        let name = tlv(0x30, &tlv(0x31, &pair));
        let fields = [tlv(0xa0, &tlv(2, &[2])), tlv(2, &[1]), tlv(0x30, &[]), tlv(0x30, &[]), tlv(0x30, &[]), name];
        tlv(0x30, &tlv(0x30, &fields.concat()))
    }

    pub fn signature(certificate: &[u8]) -> Vec<u8> {
        let signed = tlv(0x30, &[tlv(2, &[1]), tlv(0x31, &[]), tlv(0x30, &[]), tlv(0xa0, certificate)].concat());
        tlv(0x30, &[tlv(0x06, &[1]), tlv(0xa0, &signed)].concat())
    }

    #[test]
    fn the_signer_is_named() {
        let certificate = certificate("WhatsApp Inc.");
        let signature = signature(&certificate);
        assert_eq!(certificates(&signature), [&certificate[..]]);
        assert_eq!(subject(&certificate).as_deref(), Some("WhatsApp Inc."));
        for end in 0..signature.len() {
            certificates(&signature[..end]);
            subject(&signature[..end]);
        }
    }
}
