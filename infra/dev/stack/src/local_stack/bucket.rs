//! The bucket of the packages and the policy.

/// The name of the bucket.
pub(super) const BUCKET: &str = "meshwarden-packages";

/// The key of the policy.
pub(super) const POLICY: &str = "policy.yaml";

/// The location of the policy, in the form of `MESHWARDEN_POLICY`.
pub(super) fn policy_location() -> String {
    format!("s3://{BUCKET}/{POLICY}")
}
