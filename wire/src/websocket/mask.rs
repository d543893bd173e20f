//! Owns masking (RFC 6455 section 5.3), which is its own inverse.

/// Masks or unmasks `bytes` in place (RFC 6455 section 5.3). `phase` is how many payload bytes of the same frame came
/// before them, so that a payload may be treated in pieces.
pub fn apply_mask(bytes: &mut [u8], mut key: [u8; 4], phase: usize) {
    key.rotate_left(phase % 4);
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_length_and_cut_agrees_with_the_formula_of_the_rfc() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..40_usize {
            let plain: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let masked: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            for cut in 0..=len {
                let mut bytes = masked.clone();
                let (head, tail) = bytes.split_at_mut(cut);
                apply_mask(head, key, 0);
                apply_mask(tail, key, cut);
                assert_eq!(bytes, plain);
            }
        }
    }
}
