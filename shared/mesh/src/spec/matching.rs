//! What a request must look like for a route or gateway route to take it.

use super::bounded::{HeaderName, Text};
use crate::spec::shapes::{structure, union, words};

words! {
    /// An HTTP method.
    pub enum HttpMethod {
        /// GET.
        "GET" => Get,
        /// HEAD.
        "HEAD" => Head,
        /// POST.
        "POST" => Post,
        /// PUT.
        "PUT" => Put,
        /// DELETE.
        "DELETE" => Delete,
        /// CONNECT.
        "CONNECT" => Connect,
        /// OPTIONS.
        "OPTIONS" => Options,
        /// TRACE.
        "TRACE" => Trace,
        /// PATCH.
        "PATCH" => Patch,
    }
}

words! {
    /// The scheme of a request.
    pub enum HttpScheme {
        /// http.
        "http" => Http,
        /// https.
        "https" => Https,
    }
}

union! {
    /// The whole path of a request.
    pub enum HttpPathMatch {
        /// Equal to this.
        "exact" => Exact(Text<1, 255>),
        /// Matching this RE2 expression.
        "regex" => Regex(Text<1, 255>),
    }
}

structure! {
    /// A header that a request must have. Without `match`, any value will do.
    pub struct HeaderMatch {
        /// Turns the match around.
        "invert" => invert: Option<bool>,
        /// What its value must be.
        "match" => value: Option<ValueMatch>,
        /// The header.
        "name" => name: HeaderName,
    }
}

structure! {
    /// A gRPC metadata entry that a request must have. Without `match`, any value will do.
    pub struct MetadataMatch {
        /// Turns the match around.
        "invert" => invert: Option<bool>,
        /// What its value must be.
        "match" => value: Option<ValueMatch>,
        /// The entry.
        "name" => name: Text<1, 50>,
    }
}

union! {
    /// What the value of a header or metadata entry must be.
    pub enum ValueMatch {
        /// Equal to this.
        "exact" => Exact(Text<1, 255>),
        /// Beginning with this.
        "prefix" => Prefix(Text<1, 255>),
        /// A number in this range.
        "range" => Range(MatchRange),
        /// Matching this RE2 expression.
        "regex" => Regex(Text<1, 255>),
        /// Ending with this.
        "suffix" => Suffix(Text<1, 255>),
    }
}

structure! {
    /// A range of numbers.
    pub struct MatchRange {
        /// The first number after it.
        "end" => end: super::bounded::Int<{ i64::MIN }, { i64::MAX }>,
        /// The first number in it.
        "start" => start: super::bounded::Int<{ i64::MIN }, { i64::MAX }>,
    }
}

structure! {
    /// A query parameter that a request must have. Without `match`, any value will do.
    pub struct QueryParameterMatch {
        /// What its value must be.
        "match" => value: Option<QueryParameterValue>,
        /// The parameter.
        "name" => name: String,
    }
}

structure! {
    /// What the value of a query parameter must be.
    pub struct QueryParameterValue {
        /// Equal to this.
        "exact" => exact: Option<String>,
    }
}

union! {
    /// The host name of a request to a virtual gateway.
    pub enum HostnameMatch {
        /// Equal to this.
        "exact" => Exact(Text<1, 253>),
        /// Ending with this.
        "suffix" => Suffix(Text<1, 253>),
    }
}
