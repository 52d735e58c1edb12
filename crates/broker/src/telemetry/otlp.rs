//! The payload of a push: `MetricsData` of OpenTelemetry's protocol 1.0 in protobuf's encoding, walked where it lies.
//!
//! Nothing is built up from it, since an empty message of two bytes would become many times as large in memory.

/// Data points of one payload; honest clients have a few thousand.
const SAMPLES_MAX: usize = 100_000;

/// Why bytes are not a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadOtlp {
    #[error("a field is longer than what is left")]
    Truncated,
    #[error("a number or a field's tag is malformed")]
    Malformed,
    #[error("a metric's name is not UTF-8")]
    Name,
    #[error("more than {SAMPLES_MAX} data points")]
    TooMany,
}

/// One data point of one metric; its attributes are passed over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample<'a> {
    pub(super) name: &'a str,
    pub(super) value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// What a counter has grown by since the last push.
    Growth(f64),
    /// What was measured.
    Measured(f64),
    /// Many measurements.
    Histogram { sum: f64, count: u64 },
}

/// Hands every data point to `visit`, in order; those before an error too.
pub(super) fn walk(payload: &[u8], mut visit: impl FnMut(Sample<'_>)) -> Result<(), BadOtlp> {
    let mut left = SAMPLES_MAX;
    // MetricsData.resource_metrics, ResourceMetrics.scope_metrics, ScopeMetrics.metrics.
    for resource in messages(payload, 1) {
        for scope in messages(resource?, 2) {
            for metric in messages(scope?, 2) {
                walk_metric(metric?, &mut left, &mut visit)?;
            }
        }
    }
    Ok(())
}

/// What a data point of its kind says, if anything.
type ReadPoint = fn(&[u8], &Sum) -> Result<Option<Value>, BadOtlp>;

fn walk_metric(
    metric: &[u8],
    left: &mut usize,
    visit: &mut impl FnMut(Sample<'_>),
) -> Result<(), BadOtlp> {
    let mut name = "";
    // A field may come anywhere, and of a repeated one the last counts.
    for field in Fields(metric) {
        if let (1, Wire::Bytes(bytes)) = field? {
            name = std::str::from_utf8(bytes).map_err(|_| BadOtlp::Name)?;
        }
    }
    for field in Fields(metric) {
        let (points, read): (&[u8], ReadPoint) = match field? {
            (5, Wire::Bytes(gauge)) => (gauge, |point, _| Ok(number(point)?.map(Value::Measured))),
            (7, Wire::Bytes(sum)) => (sum, sum_point),
            (9, Wire::Bytes(histogram)) => (histogram, |point, _| histogram_point(point)),
            _ => continue,
        };
        let sum = Sum::read(points)?;
        for point in messages(points, 1) {
            *left = left.checked_sub(1).ok_or(BadOtlp::TooMany)?;
            if let Some(value) = read(point?, &sum)? {
                visit(Sample { name, value });
            }
        }
    }
    Ok(())
}

/// What a `Sum` says of all its points.
struct Sum {
    is_delta: bool,
    is_monotonic: bool,
}

impl Sum {
    fn read(sum: &[u8]) -> Result<Self, BadOtlp> {
        const DELTA: u64 = 1;
        let mut read = Self {
            is_delta: false,
            is_monotonic: false,
        };
        for field in Fields(sum) {
            match field? {
                (2, Wire::Varint(temporality)) => read.is_delta = temporality == DELTA,
                (3, Wire::Varint(monotonic)) => read.is_monotonic = monotonic != 0,
                _ => {}
            }
        }
        Ok(read)
    }
}

/// Clients are asked for deltas; what does not grow, or counts from a beginning we do not know, can only be looked at.
fn sum_point(point: &[u8], sum: &Sum) -> Result<Option<Value>, BadOtlp> {
    let number = number(point)?;
    Ok(number.map(|number| {
        if sum.is_delta && sum.is_monotonic {
            Value::Growth(number)
        } else {
            Value::Measured(number)
        }
    }))
}

/// `NumberDataPoint`: `as_double` or `as_int`.
fn number(point: &[u8]) -> Result<Option<f64>, BadOtlp> {
    let mut number = None;
    for field in Fields(point) {
        match field? {
            (4, Wire::Fixed64(bits)) => number = Some(f64::from_bits(bits)),
            (6, Wire::Fixed64(bits)) => number = Some(bits.cast_signed() as f64),
            _ => {}
        }
    }
    Ok(number)
}

/// `HistogramDataPoint`: `count` and `sum`; its buckets are passed over.
fn histogram_point(point: &[u8]) -> Result<Option<Value>, BadOtlp> {
    let (mut count, mut sum) = (0, 0.0);
    for field in Fields(point) {
        match field? {
            (4, Wire::Fixed64(bits)) => count = bits,
            (5, Wire::Fixed64(bits)) => sum = f64::from_bits(bits),
            _ => {}
        }
    }
    Ok((count > 0).then_some(Value::Histogram { sum, count }))
}

/// The messages in one repeated field.
fn messages(message: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8], BadOtlp>> {
    Fields(message).filter_map(move |field| match field {
        Ok((found, Wire::Bytes(bytes))) if found == number => Some(Ok(bytes)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// A field's value as it is encoded.
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// The fields of a message, up to its end or the first that cannot be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), BadOtlp>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Wire<'a>), BadOtlp> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                let (bytes, rest) = self.0.split_first_chunk().ok_or(BadOtlp::Truncated)?;
                self.0 = rest;
                Wire::Fixed64(u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| BadOtlp::Truncated)?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or(BadOtlp::Truncated)?;
                self.0 = rest;
                Wire::Bytes(bytes)
            }
            5 => {
                self.0 = self.0.get(4..).ok_or(BadOtlp::Truncated)?;
                Wire::Fixed32
            }
            // Groups, which the protocol does not use.
            _ => return Err(BadOtlp::Malformed),
        };
        Ok((tag >> 3, value))
    }

    fn varint(&mut self) -> Result<u64, BadOtlp> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(BadOtlp::Truncated)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BadOtlp::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut field = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length > 0x7f {
            field.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        field.push(length as u8);
        field.extend(bytes);
        field
    }

    fn fixed64(number: u8, bits: u64) -> Vec<u8> {
        [&[number << 3 | 1][..], &bits.to_le_bytes()].concat()
    }

    /// `MetricsData` with one metric.
    fn payload(metric: &[u8]) -> Vec<u8> {
        let scope = [field(1, b"scope"), field(2, metric)].concat();
        field(1, &[field(1, b"resource"), field(2, &scope)].concat())
    }

    fn samples(payload: &[u8]) -> Result<Vec<(String, Value)>, BadOtlp> {
        let mut all = Vec::new();
        walk(payload, |sample| {
            all.push((sample.name.to_owned(), sample.value))
        })?;
        Ok(all)
    }

    #[test]
    fn growth_measurements_and_histograms_are_told_apart() {
        let point = [field(7, b"attribute"), fixed64(6, 5)].concat();
        let delta = [field(1, &point), vec![2 << 3, 1, 3 << 3, 1]].concat();
        let metric = [field(7, &delta), field(1, b"sent")].concat();
        let growth = ("sent".to_owned(), Value::Growth(5.0));
        assert_eq!(
            samples(&payload(&metric)),
            Ok(vec![growth]),
            "the name may come last"
        );

        let cumulative = [field(1, &point), vec![2 << 3, 2, 3 << 3, 1]].concat();
        let metric = [field(1, b"sent"), field(7, &cumulative)].concat();
        let measured = ("sent".to_owned(), Value::Measured(5.0));
        assert_eq!(samples(&payload(&metric)), Ok(vec![measured]));

        let points = [1.5_f64, -2.0].map(|value| field(1, &fixed64(4, value.to_bits())));
        let metric = [field(1, b"rate"), field(5, &points.concat())].concat();
        let values = samples(&payload(&metric)).expect("two points");
        assert_eq!(values.len(), 2);
        assert_eq!(values[1].1, Value::Measured(-2.0));

        let point = [fixed64(4, 3), fixed64(5, 4.5_f64.to_bits())].concat();
        let metric = [field(1, b"size"), field(9, &field(1, &point))].concat();
        let histogram = Value::Histogram { sum: 4.5, count: 3 };
        assert_eq!(
            samples(&payload(&metric)),
            Ok(vec![("size".to_owned(), histogram)])
        );
    }

    #[test]
    fn what_is_no_payload_is_an_error() {
        for (bytes, error) in [
            (&[0x0a, 5, 1][..], BadOtlp::Truncated),
            (&[0x0a][..], BadOtlp::Truncated),
            (&[0x0b][..], BadOtlp::Malformed),
            (&[0xff; 11][..], BadOtlp::Malformed),
            (
                &[
                    0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
                ][..],
                BadOtlp::Truncated,
            ),
        ] {
            assert_eq!(samples(bytes), Err(error), "{bytes:?}");
        }
        assert_eq!(samples(&payload(&field(1, &[0xff]))), Err(BadOtlp::Name));
        let many = field(5, &[0x0a, 0].repeat(SAMPLES_MAX + 1));
        assert_eq!(samples(&payload(&many)), Err(BadOtlp::TooMany));
        assert_eq!(samples(&[]), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe_to_walk(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = walk(&bytes, |_| {});
            let _ = walk(&payload(&bytes), |_| {});
        }
    }
}
