use mesh::rotation::renewal_reason;

#[test]
fn every_documented_reason_is_explained() {
    for code in ["CAA_ERROR", "PENDING_DOMAIN_VALIDATION", "PCA_ACCESS_DENIED", "SLR_NOT_FOUND", "OTHER"] {
        assert!(!renewal_reason(code).contains("not known here"), "{code}");
    }
    assert!(renewal_reason("SOMETHING_NEW").contains("not known here"));
}
