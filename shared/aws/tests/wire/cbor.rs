//! An encoder for the part of CBOR that CloudWatch's responses need.

use serde_json::Value;

/// Encodes a JSON value; an object with the one member `epoch` is a timestamp.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => vec![0xf6],
        Value::Bool(value) => vec![if *value { 0xf5 } else { 0xf4 }],
        Value::Number(number) => match number.as_u64() {
            Some(number) => head(0, number),
            None => [vec![0xfb], number.as_f64().unwrap().to_be_bytes().to_vec()].concat(),
        },
        Value::String(text) => [head(3, text.len() as u64), text.as_bytes().to_vec()].concat(),
        Value::Array(items) => {
            let items = items.iter().flat_map(encode);
            [head(4, value.as_array().unwrap().len() as u64), items.collect()].concat()
        }
        Value::Object(members) => {
            if let Some(seconds) = members.get("epoch") {
                return [vec![0xc1], encode(seconds)].concat();
            }
            let items =
                members.iter().flat_map(|(name, value)| [encode(&Value::from(name.as_str())), encode(value)].concat());
            [head(5, members.len() as u64), items.collect()].concat()
        }
    }
}

fn head(major: u8, length: u64) -> Vec<u8> {
    let major = major << 5;
    let bytes = length.to_be_bytes();
    match length {
        0..=23 => vec![major | bytes[7]],
        24..=0xff => vec![major | 0x18, bytes[7]],
        0x100..=0xffff => [vec![major | 0x19], bytes[6..].to_vec()].concat(),
        _ => [vec![major | 0x1b], bytes.to_vec()].concat(),
    }
}
