//! The DescribeLogDirs (key 35) response as Kafka 4.4 has it: version 5 says which directories are cordoned.

use kafka_protocol::messages::DescribeLogDirsResponse;
use kafka_protocol::protocol::buf::ByteBufMut;
use kafka_protocol::protocol::{Encodable, HeaderVersion};

use crate::fields::encoded_len;
use crate::varint::put_unsigned;

/// The response, v1–v5. Use this one instead of `messages::DescribeLogDirsResponse`, which ends at v4.
///
/// v5 `is_cordoned` (KIP-1066): whether a directory takes no new replicas.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogDirsResponse {
    /// What v4 says.
    pub described: DescribeLogDirsResponse,
    /// By place in `described.results`; missing places are not cordoned.
    pub cordoned: Vec<bool>,
}

/// The version whose layout v5 extends.
const EXTENDED: i16 = 4;

impl HeaderVersion for LogDirsResponse {
    fn header_version(version: i16) -> i16 {
        DescribeLogDirsResponse::header_version(version.min(EXTENDED))
    }
}

impl Encodable for LogDirsResponse {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        if version <= EXTENDED {
            return self.described.encode(buf, version);
        }
        buf.put_i32(self.described.throttle_time_ms);
        buf.put_i16(self.described.error_code);
        put_unsigned(buf, self.described.results.len() + 1);
        for (at, result) in self.described.results.iter().enumerate() {
            let mut fields = Vec::new();
            result.encode(&mut fields, EXTENDED)?;
            // The new field stands before the tagged fields, of which there are none: one byte.
            fields.pop();
            buf.put_slice(&fields);
            buf.put_u8(u8::from(self.cordoned.get(at).copied().unwrap_or(false)));
            buf.put_u8(0);
        }
        buf.put_u8(0);
        Ok(())
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        if version <= EXTENDED {
            return self.described.compute_size(version);
        }
        encoded_len(self, version)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    #[test]
    fn version_5_is_version_4_with_a_byte_in_each_directory() {
        let dir = |name: &'static str| {
            DescribeLogDirsResult::default().with_log_dir(StrBytes::from_static_str(name))
        };
        let described = DescribeLogDirsResponse::default().with_results(vec![dir("/a"), dir("/b")]);
        let response = LogDirsResponse {
            described: described.clone(),
            cordoned: vec![false, true],
        };
        let (mut v4, mut v5) = (Vec::new(), Vec::new());
        described.encode(&mut v4, 4).expect("encodes");
        response.encode(&mut v5, 5).expect("encodes");
        assert_eq!(v5.len(), v4.len() + 2);
        assert_eq!(response.compute_size(5).expect("a size"), v5.len());
        // The second directory ends with its flag, its tags and the response's tags.
        assert_eq!(v5[v5.len() - 3..], [1, 0, 0]);
        assert_eq!(v5[..7], v4[..7]);
    }
}
