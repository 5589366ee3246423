//! A bounded writer of wire-form octets. Used where a message part is put together field by field; what does not fit
//! is not written and says so.

use super::message::{Class, Rtype};
use super::name::Name;

/// There was no room; nothing was written by the call that returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room left in the buffer")]
pub struct Full;

/// Appends octets to a buffer that it never overruns.
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the beginning of `buffer`.
    pub fn new(buffer: &'a mut [u8]) -> Writer<'a> {
        Writer { buffer, at: 0 }
    }

    /// Octets written so far.
    pub fn len(&self) -> usize {
        self.at
    }

    /// True before the first octet.
    pub fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// Appends octets.
    ///
    /// # Errors
    /// [`Full`] when they do not all fit.
    pub fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        self.buffer.get_mut(self.at..self.at + octets.len()).ok_or(Full)?.copy_from_slice(octets);
        self.at += octets.len();
        Ok(())
    }

    /// Appends a 16-bit number in network order.
    ///
    /// # Errors
    /// [`Full`].
    pub fn put_u16(&mut self, value: u16) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    /// Appends a 32-bit number in network order.
    ///
    /// # Errors
    /// [`Full`].
    pub fn put_u32(&mut self, value: u32) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    /// Appends a name, uncompressed.
    ///
    /// # Errors
    /// [`Full`].
    pub fn put_name(&mut self, name: &Name) -> Result<(), Full> {
        self.put(name.as_wire())
    }

    /// Appends type, class and TTL of a record whose owner has been written.
    ///
    /// # Errors
    /// [`Full`].
    pub fn put_record_head(&mut self, rtype: Rtype, class: Class, ttl_secs: u32) -> Result<(), Full> {
        self.put_u16(rtype.0)?;
        self.put_u16(class.0)?;
        self.put_u32(ttl_secs)
    }

    /// Writes what `rdata` writes, with its length in the two octets before it (RFC 1035 §4.1.3).
    ///
    /// # Errors
    /// [`Full`], also when the data is longer than 65,535 octets.
    pub fn put_rdata(&mut self, rdata: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        let length_at = self.at;
        self.put_u16(0)?;
        rdata(self)?;
        let len = u16::try_from(self.at - length_at - 2).map_err(|_| Full)?;
        self.buffer[length_at..length_at + 2].copy_from_slice(&len.to_be_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_written_with_its_length() {
        let mut buffer = [0; 64];
        let mut writer = Writer::new(&mut buffer);
        writer.put_name(&Name::from_text("a.b").unwrap()).unwrap();
        writer.put_record_head(Rtype::TXT, Class::CH, 5).unwrap();
        writer.put_rdata(|w| w.put(b"\x02hi")).unwrap();
        let len = writer.len();
        assert_eq!(&buffer[..len], b"\x01a\x01b\x00\x00\x10\x00\x03\x00\x00\x00\x05\x00\x03\x02hi");
    }

    #[test]
    fn full_buffer_takes_nothing_more() {
        let mut buffer = [0; 3];
        let mut writer = Writer::new(&mut buffer);
        assert!(writer.is_empty());
        assert_eq!(writer.put_u16(1), Ok(()));
        assert_eq!(writer.put_u16(2), Err(Full));
        assert_eq!(writer.len(), 2);
        assert_eq!(writer.put(&[9]), Ok(()));
        assert_eq!(writer.put(&[9]), Err(Full));
    }
}
