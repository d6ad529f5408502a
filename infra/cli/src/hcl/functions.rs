//! Terraform functions over strings, numbers and collections. `None` means that the value is unknown.

use serde_json::{Map, Value};

use super::operators::{of_number, truth};
use super::values::{number_of, text_of};

/// The value of a function call. `known` has one flag for each argument: whether its whole value is known.
pub(super) fn call(name: &str, arguments: &[Value], known: &[bool]) -> Option<Value> {
    let all_known = known.iter().all(|known| *known);
    match (name, arguments) {
        // These functions copy their parts unchanged, known or not.
        ("join", [separator, list]) if known.first() == Some(&true) => {
            let texts = list.as_array()?.iter().map(text_of).collect::<Option<Vec<_>>>()?;
            Some(Value::from(texts.join(separator.as_str()?)))
        }
        ("format", [Value::String(format), rest @ ..]) if known.first() == Some(&true) => formatted(format, rest),
        ("merge", objects) => {
            let mut merged = Map::new();
            for object in objects.iter().filter(|object| !object.is_null()) {
                merged.extend(object.as_object()?.clone());
            }
            Some(Value::Object(merged))
        }
        ("concat", lists) => {
            let lists = lists.iter().map(Value::as_array).collect::<Option<Vec<_>>>()?;
            Some(lists.into_iter().flatten().cloned().collect())
        }
        ("tostring", [value]) => {
            if value.is_null() {
                Some(Value::Null)
            } else {
                text_of(value).map(Value::from)
            }
        }
        ("tolist" | "tomap" | "sensitive" | "nonsensitive", [value]) => Some(value.clone()),
        ("coalesce", values) => {
            let mut values =
                values.iter().zip(known).filter(|(value, _)| !value.is_null() && value.as_str() != Some(""));
            values.next().filter(|(_, known)| **known).map(|(value, _)| value.clone())
        }
        _ if all_known => {
            texts(name, arguments).or_else(|| collections(name, arguments)).or_else(|| numbers(name, arguments))
        }
        _ => None,
    }
}

fn texts(name: &str, arguments: &[Value]) -> Option<Value> {
    let text = |index: usize| arguments.get(index).and_then(text_of);
    let first = text(0)?;
    let result = match (name, arguments.len()) {
        ("lower", 1) => first.to_lowercase(),
        ("upper", 1) => first.to_uppercase(),
        ("title", 1) => {
            let words = first.split(' ').map(|word| {
                let mut letters = word.chars();
                letters.next().map_or_else(String::new, |letter| letter.to_uppercase().to_string() + letters.as_str())
            });
            words.collect::<Vec<_>>().join(" ")
        }
        ("trimspace", 1) => first.trim().to_owned(),
        ("chomp", 1) => first.trim_end_matches(['\r', '\n']).to_owned(),
        ("trim", 2) => first.trim_matches(|c| text(1).is_some_and(|set| set.contains(c))).to_owned(),
        ("trimprefix", 2) => first.strip_prefix(text(1)?.as_str()).unwrap_or(&first).to_owned(),
        ("trimsuffix", 2) => first.strip_suffix(text(1)?.as_str()).unwrap_or(&first).to_owned(),
        // Terraform reads a search string between slashes as a regular expression.
        ("replace", 3) if !text(1)?.starts_with('/') => first.replace(&text(1)?, &text(2)?),
        ("substr", 3) => {
            let (offset, length) = (arguments.get(1)?.as_i64()?, arguments.get(2)?.as_i64()?);
            let offset = usize::try_from(offset).ok()?;
            let rest = first.chars().skip(offset);
            if length < 0 { rest.collect() } else { rest.take(usize::try_from(length).ok()?).collect() }
        }
        ("split", 2) => return Some(text(1)?.split(first.as_str()).map(Value::from).collect()),
        ("startswith", 2) => return Some(Value::Bool(first.starts_with(&text(1)?))),
        ("endswith", 2) => return Some(Value::Bool(first.ends_with(&text(1)?))),
        ("strcontains", 2) => return Some(Value::Bool(first.contains(&text(1)?))),
        ("tonumber", 1) => return Some(number_of(&first)).filter(Value::is_number),
        ("tobool", 1) => return arguments.first().and_then(truth).map(Value::Bool),
        ("length", 1) if arguments.first()?.is_string() => return Some(Value::from(first.chars().count())),
        ("jsondecode", 1) => return serde_json::from_str(&first).ok(),
        _ => return None,
    };
    Some(Value::String(result))
}

fn collections(name: &str, arguments: &[Value]) -> Option<Value> {
    let list = |index: usize| arguments.get(index).and_then(Value::as_array);
    let object = |index: usize| arguments.get(index).and_then(Value::as_object);
    match (name, arguments) {
        ("length", [Value::Array(items)]) => Some(Value::from(items.len())),
        ("length", [Value::Object(members)]) => Some(Value::from(members.len())),
        ("toset" | "distinct", [Value::Array(items)]) => {
            let mut distinct: Vec<Value> = Vec::new();
            for item in items {
                if !distinct.contains(item) {
                    distinct.push(item.clone());
                }
            }
            Some(Value::Array(distinct))
        }
        ("compact", [Value::Array(items)]) => {
            Some(items.iter().filter(|item| !item.is_null() && item.as_str() != Some("")).cloned().collect())
        }
        ("flatten", [Value::Array(items)]) => {
            let mut flat = Vec::new();
            flatten(items, &mut flat);
            Some(Value::Array(flat))
        }
        ("reverse", [Value::Array(items)]) => Some(items.iter().rev().cloned().collect()),
        ("sort", [Value::Array(items)]) => {
            let mut texts = items.iter().map(text_of).collect::<Option<Vec<_>>>()?;
            texts.sort();
            Some(texts.into_iter().map(Value::from).collect())
        }
        ("element", [Value::Array(items), index]) => {
            let index = usize::try_from(index.as_u64()?).ok()?;
            items.get(index.checked_rem(items.len())?).cloned()
        }
        ("index", [Value::Array(items), value]) => items.iter().position(|item| item == value).map(Value::from),
        ("slice", [Value::Array(items), from, to]) => {
            let (from, to) = (usize::try_from(from.as_u64()?).ok()?, usize::try_from(to.as_u64()?).ok()?);
            items.get(from..to).map(|items| Value::Array(items.to_vec()))
        }
        ("contains", [Value::Array(items), value]) => Some(Value::Bool(items.contains(value))),
        ("keys", [_]) => {
            let mut keys: Vec<&String> = object(0)?.keys().collect();
            keys.sort();
            Some(keys.into_iter().map(|key| Value::from(key.as_str())).collect())
        }
        ("values", [_]) => {
            let mut members: Vec<(&String, &Value)> = object(0)?.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            Some(members.into_iter().map(|(_, value)| value.clone()).collect())
        }
        ("lookup", [_, key, default @ ..]) => object(0)?.get(key.as_str()?).or_else(|| default.first()).cloned(),
        ("zipmap", [_, _]) => {
            let pairs = list(0)?.iter().zip(list(1)?);
            let pairs = pairs.map(|(key, value)| Some((text_of(key)?, value.clone()))).collect::<Option<_>>()?;
            Some(Value::Object(pairs))
        }
        ("jsonencode", [value]) => Some(Value::String(value.to_string())),
        ("one", [Value::Array(items)]) => match items.as_slice() {
            [] => Some(Value::Null),
            [item] => Some(item.clone()),
            _ => None,
        },
        ("coalescelist", lists) => {
            lists.iter().find(|list| list.as_array().is_some_and(|list| !list.is_empty())).cloned()
        }
        _ => None,
    }
}

fn flatten(items: &[Value], flat: &mut Vec<Value>) {
    for item in items {
        match item {
            Value::Array(items) => flatten(items, flat),
            other => flat.push(other.clone()),
        }
    }
}

fn numbers(name: &str, arguments: &[Value]) -> Option<Value> {
    let numbers = arguments.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>()?;
    let result = match (name, numbers.as_slice()) {
        ("max", [first, rest @ ..]) => rest.iter().copied().fold(*first, f64::max),
        ("min", [first, rest @ ..]) => rest.iter().copied().fold(*first, f64::min),
        ("abs", [number]) => number.abs(),
        ("ceil", [number]) => number.ceil(),
        ("floor", [number]) => number.floor(),
        _ => return None,
    };
    of_number(result)
}

/// `format` with the verbs for strings and integers.
fn formatted(format: &str, arguments: &[Value]) -> Option<Value> {
    let (mut text, mut arguments) = (String::new(), arguments.iter());
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        match letters.next()? {
            '%' => text.push('%'),
            's' | 'v' | 'd' => text.push_str(&arguments.next().and_then(text_of)?),
            _ => return None,
        }
    }
    Some(Value::String(text))
}
