//! Placeholders of files that another program renders, such as `envsubst`.

use std::collections::BTreeMap;

use super::files::Text;

/// Replaces `${NAME}` and `$NAME` with the given parameters, in files of forms without parameters.
pub(super) fn fill(text: &mut Text, parameters: &BTreeMap<String, String>) {
    let has_parameters = ["AWS::AppMesh::", "AWSTemplateFormatVersion", "aws_appmesh_", "terraform_version"];
    let is_text = text.content.contains('$') && !has_parameters.iter().any(|sign| text.content.contains(sign));
    if is_text && !parameters.is_empty() {
        text.content = filled(&text.content, parameters);
    }
}

fn filled(text: &str, parameters: &BTreeMap<String, String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        let braced = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let bare = after.split_once(|letter: char| !is_part(letter)).map_or(after, |(name, _)| name);
        let (name, left) = braced.unwrap_or((bare, after.get(bare.len()..).unwrap_or_default()));
        if let Some(value) = parameters.get(name) {
            filled.push_str(value);
            rest = left;
        } else {
            filled.push('$');
            rest = after;
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_given_names_are_replaced() {
        let parameters = BTreeMap::from([("NAME".to_owned(), "shop".to_owned()), ("N".to_owned(), "x".to_owned())]);
        let table = [
            ("a.${NAME}.b", "a.shop.b"),
            ("$NAME-$NAMES $N", "shop-$NAMES x"),
            ("^/a$ ${OTHER} $", "^/a$ ${OTHER} $"),
            ("${NAME", "${NAME"),
            ("$$NAME", "$shop"),
        ];
        for (text, expected) in table {
            assert_eq!(filled(text, &parameters), expected, "{text}");
        }
    }
}
