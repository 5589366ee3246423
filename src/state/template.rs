//! RRsets put into wire form once, so that an answer is a copy.
//!
//! The owner of every record is a compression pointer into the question, which is always at offset 12 of a reply.
//! Names below the zone's apex inside the data may point there as well; since the apex begins at a different place of
//! each query name, a template lists where its apex pointers stand, and a copy fills them in.

use crate::wire::message::{Class, Rtype};
use crate::wire::name::Name;

/// A compression pointer to the query name, which follows the header directly.
pub const POINTER_TO_QNAME: [u8; 2] = [0xC0, 12];

/// Records of one RRset, ready to be copied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    octets: Box<[u8]>,
    /// Offsets of two-octet apex pointers.
    apex_pointers: Box<[u16]>,
    record_count: u16,
}

/// What stands for a name that lies at the apex or, for an SOA's mailbox, one label below it.
#[derive(Clone, Copy, Debug)]
pub enum TemplateName<'a> {
    /// A name written out in full.
    Full(&'a Name),
    /// One label below the apex: the label, then a pointer.
    BelowApex(&'a [u8]),
}

impl Template {
    /// Octets of the RRset.
    pub fn len_octets(&self) -> usize {
        self.octets.len()
    }

    /// Records of the RRset.
    pub fn record_count(&self) -> u16 {
        self.record_count
    }

    /// Copies the RRset to the beginning of `into`, its apex `apex_offset` octets into the query name. Returns the
    /// octets written, or `None` when `into` is too short (then nothing of use is in it).
    #[inline]
    pub fn write(&self, apex_offset: usize, into: &mut [u8]) -> Option<usize> {
        let into = into.get_mut(..self.octets.len())?;
        into.copy_from_slice(&self.octets);
        let pointer = (0xC000 | (12 + apex_offset) as u16).to_be_bytes();
        for &at in &self.apex_pointers {
            into[usize::from(at)..][..2].copy_from_slice(&pointer);
        }
        Some(self.octets.len())
    }
}

/// Puts an RRset together, record by record.
pub struct TemplateBuilder {
    octets: Vec<u8>,
    apex_pointers: Vec<u16>,
    record_count: u16,
}

impl TemplateBuilder {
    /// An RRset without records.
    #[expect(clippy::new_without_default, reason = "an empty RRset is a start, not a value")]
    pub fn new() -> TemplateBuilder {
        TemplateBuilder { octets: Vec::new(), apex_pointers: Vec::new(), record_count: 0 }
    }

    /// Adds a record at the apex; `rdata` appends its data.
    pub fn apex_record(&mut self, rtype: Rtype, ttl_secs: u32, rdata: impl FnOnce(&mut TemplateBuilder)) {
        self.apex_pointer();
        self.octets.extend(rtype.0.to_be_bytes());
        self.octets.extend(Class::IN.0.to_be_bytes());
        self.octets.extend(ttl_secs.to_be_bytes());
        let length_at = self.octets.len();
        self.octets.extend([0, 0]);
        rdata(self);
        let len = (self.octets.len() - length_at - 2) as u16;
        self.octets[length_at..length_at + 2].copy_from_slice(&len.to_be_bytes());
        self.record_count += 1;
    }

    /// Appends a name to the data.
    pub fn name(&mut self, name: TemplateName<'_>) {
        match name {
            TemplateName::Full(name) => self.octets.extend(name.as_wire()),
            TemplateName::BelowApex(label) => {
                self.octets.push(label.len() as u8);
                self.octets.extend(label);
                self.apex_pointer();
            }
        }
    }

    /// Appends a 32-bit number to the data.
    pub fn u32(&mut self, value: u32) {
        self.octets.extend(value.to_be_bytes());
    }

    /// Freezes the RRset.
    pub fn finish(self) -> Template {
        Template {
            octets: self.octets.into(),
            apex_pointers: self.apex_pointers.into(),
            record_count: self.record_count,
        }
    }

    fn apex_pointer(&mut self) {
        self.apex_pointers.push(self.octets.len() as u16);
        self.octets.extend([0, 0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_follow_the_apex_of_each_query() {
        let mut builder = TemplateBuilder::new();
        builder.apex_record(Rtype::SOA, 60, |rdata| {
            rdata.name(TemplateName::Full(&Name::from_text("ns.x").unwrap()));
            rdata.name(TemplateName::BelowApex(b"hostmaster"));
            rdata.u32(1);
        });
        let template = builder.finish();
        let mut out = [0; 64];
        let len = template.write(4, &mut out).unwrap();
        assert_eq!(len, template.len_octets());
        assert_eq!(
            out[..len],
            *b"\xc0\x10\x00\x06\x00\x01\x00\x00\x00\x3c\x00\x17\x02ns\x01x\x00\x0ahostmaster\xc0\x10\x00\x00\x00\x01"
        );
        assert_eq!(template.write(0, &mut out[..len - 1]), None);
        assert_eq!(template.record_count(), 1);
    }
}
