//! Converts the part of CBOR (RFC 8949) that CloudWatch's protocol needs, from and to JSON.

use serde_json::{Map, Value};

/// Encodes a value. Members with names that end in `Timestamp` or `Timestamps` are times, in seconds.
#[must_use]
pub fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, value, false);
    bytes
}

fn write(bytes: &mut Vec<u8>, value: &Value, is_time: bool) {
    match value {
        Value::Null => bytes.push(0xf6),
        Value::Bool(flag) => bytes.push(if *flag { 0xf5 } else { 0xf4 }),
        Value::Number(number) if is_time || !number.is_u64() => {
            if is_time {
                // Tag 1: seconds since 1970.
                bytes.push(0xc1);
            }
            bytes.push(0xfb);
            bytes.extend(number.as_f64().unwrap().to_be_bytes());
        }
        Value::Number(number) => head(bytes, 0, number.as_u64().unwrap()),
        Value::String(text) => {
            head(bytes, 3, text.len() as u64);
            bytes.extend(text.as_bytes());
        }
        Value::Array(items) => {
            head(bytes, 4, items.len() as u64);
            for item in items {
                write(bytes, item, is_time);
            }
        }
        Value::Object(members) => {
            head(bytes, 5, members.len() as u64);
            for (name, value) in members {
                head(bytes, 3, name.len() as u64);
                bytes.extend(name.as_bytes());
                write(bytes, value, name.ends_with("Timestamp") || name.ends_with("Timestamps"));
            }
        }
    }
}

fn head(bytes: &mut Vec<u8>, major: u8, value: u64) {
    bytes.push(major << 5 | 0x1b);
    bytes.extend(value.to_be_bytes());
}

/// Decodes a value; tags are left out.
#[must_use]
pub fn decode(bytes: &[u8]) -> Value {
    read(&mut bytes.iter().copied()).unwrap()
}

/// Decodes one value; `None` at the break code that ends a collection of indefinite length.
fn read(bytes: &mut impl Iterator<Item = u8>) -> Option<Value> {
    let first = bytes.next().unwrap();
    let (major, info) = (first >> 5, first & 0x1f);
    let mut number = |count: usize| bytes.by_ref().take(count).fold(0_u64, |value, byte| value << 8 | u64::from(byte));
    let length = match info {
        0..=23 => Some(u64::from(info)),
        24 => Some(number(1)),
        25 => Some(number(2)),
        26 => Some(number(4)),
        27 => Some(number(8)),
        _ => None,
    };
    let count = length.map_or(usize::MAX, |length| usize::try_from(length).unwrap());
    Some(match major {
        0 => Value::from(length.unwrap()),
        1 => Value::from(-1 - i64::try_from(length.unwrap()).unwrap()),
        2 | 3 => {
            let text: Vec<u8> = match length {
                Some(_) => bytes.take(count).collect(),
                None => std::iter::from_fn(|| read(bytes))
                    .flat_map(|part| part.as_str().unwrap().as_bytes().to_vec())
                    .collect(),
            };
            Value::from(String::from_utf8(text).unwrap())
        }
        4 => {
            let mut items = Vec::new();
            while items.len() < count {
                let Some(item) = read(bytes) else { break };
                items.push(item);
            }
            Value::from(items)
        }
        5 => {
            let mut members = Map::new();
            while members.len() < count {
                let Some(name) = read(bytes) else { break };
                members.insert(name.as_str().unwrap().to_owned(), read(bytes).unwrap());
            }
            Value::from(members)
        }
        6 => return read(bytes),
        _ => match info {
            20 => Value::from(false),
            21 => Value::from(true),
            26 => Value::from(f64::from(f32::from_bits(u32::try_from(length.unwrap()).unwrap()))),
            27 => Value::from(f64::from_bits(length.unwrap())),
            31 => return None,
            _ => Value::Null,
        },
    })
}
