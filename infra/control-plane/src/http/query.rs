//! Query parameters.

use mesh::name::AccountId;

use crate::error::ApiError;
use crate::percent;

/// The decoded parameters of a request. Parameters that no operation knows are ignored.
#[derive(Debug, Default)]
pub(super) struct Query {
    parameters: Vec<(String, String)>,
}

impl Query {
    /// Parses the part after the question mark.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        let mut query = Self::default();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (percent::decode_query(name), percent::decode_query(value)) else {
                return Err(ApiError::invalid("query", format!("{pair:?} is not percent-encoded UTF-8")));
            };
            if query.text(&name).is_some() {
                return Err(ApiError::invalid(name, "is given more than once"));
            }
            query.parameters.push((name, value));
        }
        Ok(query)
    }

    /// The value of an optional parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a required parameter.
    pub(super) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name).ok_or_else(|| ApiError::invalid(name, "is required"))
    }

    /// The account that owns the mesh, according to the request.
    pub(super) fn mesh_owner(&self) -> Result<Option<AccountId>, ApiError> {
        self.text("meshOwner")
            .map(AccountId::parse)
            .transpose()
            .map_err(|error| ApiError::invalid("meshOwner", error.to_string()))
    }
}
