//! HMAC_DRBG with SHA-512: bytes that follow from a seed and from nothing else.
//!
//! Neither reseeding nor additional input is here: one seed serves one purpose.
//!
//! Source: NIST SP 800-90A revision 1, section 10.1.2.

use hmac::{Hmac, Mac as _};
use sha2::Sha512;

/// Bytes of a digest of SHA-512.
const DIGEST: usize = 64;

/// A generator that is seeded.
#[derive(Clone)]
pub struct HmacDrbg {
    key: [u8; DIGEST],
    value: [u8; DIGEST],
}

impl HmacDrbg {
    /// A generator of its own for each entropy, nonce and purpose. They are joined without
    /// separation: two of them must have one length among all that share the third.
    pub fn new(entropy: &[u8], nonce: &[u8], purpose: &[u8]) -> Self {
        let mut generator = Self {
            key: [0; DIGEST],
            value: [1; DIGEST],
        };
        generator.update(&[entropy, nonce, purpose]);
        generator
    }

    /// The next bytes. One call for many bytes gives others than many calls for few.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(DIGEST) {
            self.value = mac(&self.key, &[&self.value]);
            part.copy_from_slice(&self.value[..part.len()]);
        }
        self.update(&[]);
    }

    fn update(&mut self, data: &[&[u8]]) {
        let is_empty = data.iter().all(|part| part.is_empty());
        for round in [0u8, 1] {
            let mut parts: Vec<&[u8]> = vec![&self.value];
            let round_byte = [round];
            parts.push(&round_byte);
            parts.extend(data);
            self.key = mac(&self.key, &parts);
            self.value = mac(&self.key, &[&self.value]);
            if is_empty {
                break;
            }
        }
    }
}

fn mac(key: &[u8; DIGEST], parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("a key of any length is taken");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: NIST, "HMAC_DRBG examples", SHA-512 without prediction resistance, additional input
    /// and personalization string, as Oasis Core has it among its tests.
    #[test]
    fn the_published_example_is_met() {
        let entropy: Vec<u8> = (0..=0x6e).collect();
        let nonce: Vec<u8> = (0x20..=0x2f).collect();
        let mut generator = HmacDrbg::new(&entropy, &nonce, &[]);
        assert_eq!(
            hex::encode_upper(generator.key),
            "A7E118A531DEF956DCFF94BB3D801F775DC68F91696A434CC25E270E639044E1\
             A7240266D3AA202D46C1054B610247535007DF12CFC8DA45982A587FC81C47D5"
        );
        assert_eq!(
            hex::encode_upper(generator.value),
            "110793EAA60DC9DBCD4208104088A23DAECC1226EAF1D03BBA9D83A695999165\
             71907346B15A0439362B9C8EE330E52DEACC639B98E8030A95780CD7C24B04D5"
        );
        let mut bytes = [0; 128];
        generator.fill(&mut bytes);
        assert_eq!(
            hex::encode_upper(bytes),
            "A463395AA79F237A22E5BD24462BD303E1BE5103BA37299BED170E10713EE9CD\
             A62FABD5171231E1F6D82629BC521D41178D002D92918F397824E449004E9AE1\
             851F7BFA11CD616EF519A9E2A05951D9108AB38959CA7E9E80B18ADFCC622389\
             495795CBFB7D39AF6C8571DDCE035CA6890C7A1AF80861F0629EF1B6952BA206"
        );
        generator.fill(&mut bytes);
        assert_eq!(
            hex::encode_upper(bytes),
            "FB5BD98D2CB25EC4955CD15204D68C497281CA0CE2201DACA5E412DDFDEBAF98\
             D724D21662E45ABA9AE200D941C4CF76039808F29A8000346A6CC97D44417737\
             A89F90472AC6088B45C666C561686F191745228F11ED556A519DA9AA1646D15B\
             901382D87726D17DC5139FDEE1E8BDB0F328D4B105865BD1D815641E6B1DBA23"
        );
    }
}
