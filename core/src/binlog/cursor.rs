//! Reads fields from the front of a byte slice, never past its end.

/// Bytes that do not hold what their format promises. Stop: reading them again gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("{what} ends too early")]
    Short { what: &'static str },
    #[error("{what} cannot be {found}")]
    Invalid { what: &'static str, found: u64 },
}

/// The unread rest of some bytes; `what` names them in errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Cursor<'a> {
        Cursor { rest: bytes, what }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn invalid(&self, found: u64) -> Malformed {
        Malformed::Invalid { what: self.what, found }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed::Short { what: self.what })?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Short { what: self.what })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u48(&mut self) -> Result<u64, Malformed> {
        let [a, b, c, d, e, f] = self.array()?;
        Ok(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length-encoded integer: one byte up to 250, else 252, 253 or 254 and 2, 3 or 8 bytes.
    pub(crate) fn packed(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            small @ 0..=250 => Ok(u64::from(small)),
            252 => self.u16().map(u64::from),
            253 => {
                let [a, b, c] = self.array()?;
                Ok(u64::from(u32::from_le_bytes([a, b, c, 0])))
            }
            254 => self.u64(),
            other => Err(self.invalid(u64::from(other))),
        }
    }

    /// An unsigned integer of MySQL's serialization library: as many ones at the low end of the first
    /// byte as there are bytes behind it, then a zero, then the number; eight ones: 8 bytes follow.
    pub(crate) fn variable(&mut self) -> Result<u64, Malformed> {
        let first = self.u8()?;
        let more = first.trailing_ones();
        let mut number = [0; 8];
        if more == 8 {
            return self.u64();
        }
        number[..more as usize].copy_from_slice(self.take(more as usize)?);
        let high = u64::from_le_bytes(number);
        Ok(high << (7 - more) | u64::from(first) >> (more + 1))
    }

    /// Bytes behind their length-encoded count.
    pub(crate) fn packed_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.packed()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the library's documentation describes it, written the other way round.
    fn write_variable(number: u64) -> Vec<u8> {
        let bits = 64 - number.leading_zeros();
        let more = (bits.max(1) - 1) / 7;
        if more >= 8 {
            return [&[0xff][..], &number.to_le_bytes()].concat();
        }
        let marked = u128::from(number) << (more + 1) | ((1 << more) - 1);
        marked.to_le_bytes()[..=more as usize].to_vec()
    }

    #[test]
    fn variable_integers_take_as_many_bytes_as_their_first_byte_says() {
        for (number, bytes) in [(0, vec![0]), (65, vec![0b1000_0010]), (128, vec![0b0000_0001, 0b0000_0010])]
        {
            assert_eq!(write_variable(number), bytes);
        }
        assert_eq!(write_variable(u64::MAX).len(), 9);
    }

    proptest! {
        #[test]
        fn variable_integers_come_back(number: u64, shift in 0u32..64) {
            let number = number >> shift;
            let mut bytes = write_variable(number);
            bytes.push(9);
            let mut cursor = Cursor::new(&bytes, "test");
            prop_assert_eq!(cursor.variable(), Ok(number));
            prop_assert_eq!(cursor.rest(), &[9]);
        }
    }
}
