//! The conditions of routes and gateway routes on requests.

use super::bounded::{HeaderName, Text};
use crate::spec::shapes::{structure, union, words};

words! {
    /// An HTTP method.
    pub enum HttpMethod {
        /// The method `GET`.
        "GET" => Get,
        /// The method `HEAD`.
        "HEAD" => Head,
        /// The method `POST`.
        "POST" => Post,
        /// The method `PUT`.
        "PUT" => Put,
        /// The method `DELETE`.
        "DELETE" => Delete,
        /// The method `CONNECT`.
        "CONNECT" => Connect,
        /// The method `OPTIONS`.
        "OPTIONS" => Options,
        /// The method `TRACE`.
        "TRACE" => Trace,
        /// The method `PATCH`.
        "PATCH" => Patch,
    }
}

words! {
    /// The scheme of a request.
    pub enum HttpScheme {
        /// Plain HTTP.
        "http" => Http,
        /// HTTP over TLS.
        "https" => Https,
    }
}

union! {
    /// The condition on the whole path of a request.
    pub enum HttpPathMatch {
        /// The path equals this text.
        "exact" => Exact(Text<1, 255>),
        /// The path matches this RE2 expression.
        "regex" => Regex(Text<1, 255>),
    }
}

structure! {
    /// A condition on a header. Without `match`, the header must only be present.
    pub struct HeaderMatch {
        /// Whether the condition is inverted.
        "invert" => invert: Option<bool>,
        /// The condition on its value.
        "match" => value: Option<ValueMatch>,
        /// The header.
        "name" => name: HeaderName,
    }
}

structure! {
    /// A condition on a gRPC metadata entry. Without `match`, the entry must only be present.
    pub struct MetadataMatch {
        /// Whether the condition is inverted.
        "invert" => invert: Option<bool>,
        /// The condition on its value.
        "match" => value: Option<ValueMatch>,
        /// The entry.
        "name" => name: Text<1, 50>,
    }
}

union! {
    /// The condition on the value of a header or metadata entry.
    pub enum ValueMatch {
        /// The value equals this text.
        "exact" => Exact(Text<1, 255>),
        /// The value begins with this text.
        "prefix" => Prefix(Text<1, 255>),
        /// The value is a number in this range.
        "range" => Range(MatchRange),
        /// The value matches this RE2 expression.
        "regex" => Regex(Text<1, 255>),
        /// The value ends with this text.
        "suffix" => Suffix(Text<1, 255>),
    }
}

structure! {
    /// A range of numbers.
    pub struct MatchRange {
        /// The first number after the range.
        "end" => end: super::bounded::Int<{ i64::MIN }, { i64::MAX }>,
        /// The first number in the range.
        "start" => start: super::bounded::Int<{ i64::MIN }, { i64::MAX }>,
    }
}

structure! {
    /// A condition on a query parameter. Without `match`, the parameter must only be present.
    pub struct QueryParameterMatch {
        /// The condition on its value.
        "match" => value: Option<QueryParameterValue>,
        /// The parameter.
        "name" => name: String,
    }
}

structure! {
    /// The condition on the value of a query parameter.
    pub struct QueryParameterValue {
        /// The value equals this text.
        "exact" => exact: Option<String>,
    }
}

union! {
    /// The condition on the host name of a request to a virtual gateway.
    pub enum HostnameMatch {
        /// The host name equals this text.
        "exact" => Exact(Text<1, 253>),
        /// The host name ends with this text.
        "suffix" => Suffix(Text<1, 253>),
    }
}
