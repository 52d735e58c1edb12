use super::requests::REQUESTS;
use super::responses::RESPONSES;
use super::shape::{Field, Kind, MessageShape, NEVER, Scalar, StructShape};
use super::*;
use crate::header::response_header_version;

#[test]
fn every_request_equals_the_schema_that_kafka_prints() {
    let schemas = include_str!("../../testdata/kafka-4.4-request-schemas.txt");
    // Kafka has them, and the decoder does not.
    assert_eq!(compare(REQUESTS, schemas), [(22, 6), (27, 2), (28, 6)]);
}

#[test]
fn every_response_equals_the_schema_that_kafka_prints() {
    let schemas = include_str!("../../testdata/kafka-4.4-response-schemas.txt");
    assert_eq!(compare(RESPONSES, schemas), [(27, 2), (28, 6), (35, 5)]);
}

/// Compares every row with Kafka's; returns the versions only Kafka has.
fn compare(shapes: &'static [MessageShape], schemas: &str) -> Vec<(i16, i16)> {
    let mut only_kafka = Vec::new();
    let mut compared = 0;
    for line in schemas.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.splitn(5, ' ');
        let mut word = || words.next().expect("five columns");
        let (key, name, version, headers, schema) = (word(), word(), word(), word(), word());
        let key: i16 = key.parse().expect("a key");
        let version: i16 = version.trim_start_matches('v').parse().expect("a version");
        let shape = shapes
            .iter()
            .find(|shape| shape.api_key == key)
            .expect("a row for every key");
        if !shape.versions.contains(version) {
            only_kafka.push((key, version));
            continue;
        }
        assert_eq!(
            show_struct(shape.body, version, shape),
            schema,
            "{name} v{version}"
        );
        if let Some(flexible) = is_flexible(key, version) {
            let ours = (
                1 + i16::from(flexible),
                response_header_version(key, version),
            );
            assert_eq!(
                format!("h{}/{}", ours.0, ours.1),
                headers,
                "{name} v{version}"
            );
        }
        compared += 1;
    }
    let versions = shapes
        .iter()
        .map(|shape| (shape.versions.first..=shape.versions.last).count());
    assert_eq!(
        compared,
        versions.sum::<usize>(),
        "a version that Kafka does not have"
    );
    only_kafka
}

fn show_struct(shape: &'static StructShape, version: i16, request: &MessageShape) -> String {
    let flexible = version >= request.flexible_from;
    let mut fields: Vec<String> = shape
        .plain_fields(version)
        .map(|field| show_field(field, version, request))
        .collect();
    if flexible {
        let tagged = shape
            .fields
            .iter()
            .filter(|field| field.versions.contains(version));
        let tagged = tagged.filter_map(|field| {
            Some(format!(
                "{}={}",
                field.tag?,
                show_field(field, version, request)
            ))
        });
        fields.push(format!(
            "_tagged_fields:tags[{}]",
            tagged.collect::<Vec<_>>().join(", ")
        ));
    }
    format!("{{{}}}", fields.join(", "))
}

fn show_field(field: &'static Field, version: i16, request: &MessageShape) -> String {
    let nullable = version >= field.nullable_from;
    format!(
        "{}:{}",
        field.name,
        show_kind(&field.kind, nullable, version, request)
    )
}

fn show_kind(kind: &'static Kind, nullable: bool, version: i16, request: &MessageShape) -> String {
    let compact = if version >= request.flexible_from {
        "COMPACT_"
    } else {
        ""
    };
    let null = if nullable { "NULLABLE_" } else { "" };
    match kind {
        Kind::Scalar(scalar) => show_scalar(*scalar).to_owned(),
        Kind::String => format!("{compact}{null}STRING"),
        Kind::Bytes => format!("{compact}{null}BYTES"),
        Kind::Records => format!("{compact}{null}RECORDS"),
        Kind::Struct(inner) => format!(
            "{}{}",
            if nullable { "?" } else { "" },
            show_struct(inner, version, request)
        ),
        Kind::Array(element) => format!(
            "{}array{}<{}>",
            if compact.is_empty() { "" } else { "c" },
            if nullable { "?" } else { "" },
            show_kind(element, false, version, request)
        ),
    }
}

fn show_scalar(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Boolean => "BOOLEAN",
        Scalar::Int8 => "INT8",
        Scalar::Int16 => "INT16",
        Scalar::Int32 => "INT32",
        Scalar::Int64 => "INT64",
        Scalar::Float64 => "FLOAT64",
        Scalar::Uuid => "UUID",
    }
}

#[test]
fn an_array_length_of_two_billion_in_four_bytes_is_refused() {
    let refused = check(3, 0, &[0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(
        refused,
        Err(Malformed::TooManyElements {
            field: "topics",
            count: 0x7fff_ffff,
            left: 0
        })
    );
    let refused = check(3, 9, &[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(
        refused,
        Err(Malformed::TooManyElements {
            field: "topics",
            count: 0xffff_fffe,
            left: 0
        })
    );
}

#[test]
fn many_tiny_elements_are_refused_before_they_become_large_ones() {
    // 64 MiB of topics with empty names: 2 bytes each on the wire, 72 bytes or so as a struct.
    let count: u32 = 32 << 20;
    let mut body = count.to_be_bytes().to_vec();
    body.resize(4 + 2 * count as usize, 0);
    let refused = check(3, 0, &body);
    assert_eq!(
        refused,
        Err(Malformed::OverBudget {
            field: "topics",
            budget: budget(body.len())
        })
    );
}

#[test]
fn unknown_tagged_fields_are_charged_for_the_map_they_end_up_in() {
    // One topic of an empty name and one empty unknown tag: 5 bytes on the wire, a map node each.
    let count: usize = 1 << 20;
    let mut body = vec![0x81, 0x80, 0x40];
    for _ in 0..count {
        body.extend_from_slice(&[1, 1, 99, 0]);
    }
    body.extend_from_slice(&[0, 0, 0, 0]);
    assert_eq!(
        check(3, 9, &body),
        Err(Malformed::OverBudget {
            field: "topics",
            budget: budget(body.len())
        })
    );
    let few = [&[3, 1, 1, 99, 0, 1, 1, 99, 0][..], &[0, 0, 0, 0]].concat();
    assert_eq!(check(3, 9, &few), Ok(()));
}

#[test]
fn null_is_refused_where_the_version_does_not_allow_it() {
    assert_eq!(check(3, 1, &[0xff; 4]), Ok(()));
    assert_eq!(
        check(3, 0, &[0xff; 4]),
        Err(Malformed::UnexpectedNull { field: "topics" })
    );
    assert_eq!(
        check(3, 0, &[0xff, 0xff, 0xff, 0xfe]),
        Err(Malformed::BadLength {
            field: "topics",
            length: -2
        })
    );
}

#[test]
fn a_string_longer_than_kafka_allows_is_refused_although_its_bytes_are_there() {
    // SaslHandshake has no compact version, ApiVersions v3 has.
    let length: u32 = 0x8000 + 1;
    let mut body = vec![
        (length as u8 & 0x7f) | 0x80,
        (length >> 7) as u8 | 0x80,
        (length >> 14) as u8,
    ];
    body.resize(body.len() + 0x8000, b'a');
    body.extend_from_slice(&[1, 0]);
    assert_eq!(
        check(18, 3, &body),
        Err(Malformed::BadLength {
            field: "client_software_name",
            length: 0x8000
        })
    );
}

#[test]
fn a_string_that_is_not_utf8_is_refused() {
    assert_eq!(
        check(17, 1, &[0, 2, 0xc3, 0x28]),
        Err(Malformed::NotUtf8 { field: "mechanism" })
    );
}

#[test]
fn a_varint_of_six_bytes_or_more_than_32_bits_is_refused() {
    let error = Err(Malformed::VarintTooLong {
        field: "client_software_name",
    });
    assert_eq!(check(18, 3, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), error);
    assert_eq!(check(18, 3, &[0xff, 0xff, 0xff, 0xff, 0x10]), error);
    // Longer than needed is legal as long as it fits.
    assert_eq!(check(18, 3, &[0x81, 0x80, 0x00, 1, 0]), Ok(()));
}

#[test]
fn a_known_tagged_field_has_the_size_it_states() {
    let body = |tagged: &[u8]| [&[0; 25][..], &[1, 1, 1], tagged].concat();
    assert_eq!(check(1, 13, &body(&[1, 0, 2, 2, b'c'])), Ok(()));
    assert_eq!(
        check(1, 13, &body(&[1, 0, 3, 2, b'c', 0])),
        Err(Malformed::TagSize {
            field: "cluster_id",
            stated: 3,
            actual: 2
        })
    );
    assert_eq!(
        check(1, 13, &body(&[1, 1, 0])),
        Err(Malformed::TagNotInVersion {
            field: "replica_state",
            tag: 1
        })
    );
}

#[test]
fn an_optional_structure_is_present_absent_or_refused() {
    let body = |cursor: &[u8]| [&[1, 0, 0, 0, 5][..], cursor, &[0]].concat();
    assert_eq!(check(75, 0, &body(&[0xff])), Ok(()));
    assert_eq!(check(75, 0, &body(&[1, 2, b't', 0, 0, 0, 0, 0])), Ok(()));
    assert_eq!(
        check(75, 0, &body(&[2])),
        Err(Malformed::BadPresence {
            field: "cursor",
            marker: 2
        })
    );
}

#[test]
fn a_key_or_version_without_a_row_is_refused() {
    for (api_key, version) in [
        (-1, 0),
        (4, 0),
        (0, 2),
        (0, 14),
        (3, -1),
        (94, 0),
        (i16::MAX, i16::MAX),
        (i16::MIN, i16::MIN),
    ] {
        assert_eq!(
            check(api_key, version, &[]),
            Err(Malformed::UnknownRequest { api_key, version })
        );
        assert_eq!(is_flexible(api_key, version), None);
    }
    assert_eq!(versions(0), Some(3..=13));
    assert_eq!(versions(4), None);
}

#[test]
fn the_rows_are_in_order_and_each_key_has_one() {
    assert!(REQUESTS.is_sorted_by(|a, b| a.api_key < b.api_key));
    assert!(REQUESTS.iter().all(|shape| shape.flexible_from == NEVER || shape.flexible_from <= shape.versions.last));
}
