//! The secrets that a cache serves while its sources change and fail, in virtual time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use control_plane::certificates::{SecretCache, SecretCacheSettings};
use control_plane::xds::{KnownSecret, SecretLookup, SecretProblem, Secrets as _, problem};
use ports::PortErrorKind;
use ports::certificates::{Bundle, CertificateKind};
use tokio::time::{Instant, sleep, timeout};
use xds::SecretMaterial;
use xds::SecretRef;

use crate::vault::{CERTIFICATE, Issuer, OTHER, ROOT, Vault, fingerprint};

const REFRESH: Duration = Duration::from_mins(1);

fn start(vault: &Arc<Vault>, bindings: &[&str]) -> Arc<SecretCache> {
    SecretCache::start(
        vault.sources(bindings),
        SecretCacheSettings { refresh: REFRESH, ..SecretCacheSettings::default() },
    )
}

fn acm(arn: &str) -> SecretRef {
    SecretRef::AcmCertificate(arn.to_owned())
}

fn bundle(name: &str) -> SecretRef {
    SecretRef::Bundle(name.to_owned())
}

/// The lookup of a secret, once it is as wanted, within ten intervals.
async fn once(cache: &SecretCache, secret: &SecretRef, wanted: impl Fn(&SecretLookup) -> bool) -> SecretLookup {
    let mut changes = cache.changes();
    let found = async {
        loop {
            changes.mark_unchanged();
            let found = cache.find(secret);
            if wanted(&found) {
                return found;
            }
            changes.changed().await.unwrap();
        }
    };
    timeout(REFRESH * 10, found).await.unwrap_or_else(|_| panic!("{secret:?} is {:?}", cache.find(secret)))
}

async fn known(cache: &SecretCache, secret: &SecretRef) -> KnownSecret {
    match once(cache, secret, |found| matches!(found, SecretLookup::Known(_, None))).await {
        SecretLookup::Known(known, _) => known,
        other => panic!("{other:?}"),
    }
}

async fn with_problem(cache: &SecretCache, secret: &SecretRef) -> SecretProblem {
    let has_problem =
        |found: &SecretLookup| matches!(found, SecretLookup::Known(_, Some(_)) | SecretLookup::Missing(_));
    match once(cache, secret, has_problem).await {
        SecretLookup::Known(_, Some(problem)) | SecretLookup::Missing(problem) => problem,
        other => panic!("{other:?}"),
    }
}

fn prints(known: &KnownSecret) -> Vec<&str> {
    known.certificates.iter().map(|certificate| certificate.fingerprint.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_detected_and_a_key_is_fetched_only_then() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let first = root.issue("a.local");
    vault.put(CERTIFICATE, &first);
    let cache = start(&vault, &[]);
    assert_eq!(cache.find(&acm(CERTIFICATE)), SecretLookup::Pending);
    assert_eq!(prints(&known(&cache, &acm(CERTIFICATE)).await), [first.fingerprint()]);
    sleep(REFRESH * 5).await;
    assert_eq!(vault.calls("export"), 1);
    assert!((4..=7).contains(&vault.calls("chain")), "{}", vault.calls("chain"));
    let second = root.issue("a.local");
    vault.put(CERTIFICATE, &second);
    let began = Instant::now();
    once(
        &cache,
        &acm(CERTIFICATE),
        |found| matches!(found, SecretLookup::Known(known, _) if prints(known) == [second.fingerprint()]),
    )
    .await;
    assert!(began.elapsed() <= REFRESH.mul_f64(1.1), "{:?}", began.elapsed());
    assert_eq!(vault.calls("export"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_on_demand_is_immediate() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    vault.put(CERTIFICATE, &root.issue("a.local"));
    let cache = start(&vault, &[]);
    known(&cache, &acm(CERTIFICATE)).await;
    let second = root.issue("a.local");
    vault.put(CERTIFICATE, &second);
    let began = Instant::now();
    assert_eq!(cache.refresh(), 1);
    once(
        &cache,
        &acm(CERTIFICATE),
        |found| matches!(found, SecretLookup::Known(known, _) if prints(known) == [second.fingerprint()]),
    )
    .await;
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn throttling_makes_requests_less_frequent_and_the_last_valid_version_is_served() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let first = root.issue("a.local");
    vault.put(CERTIFICATE, &first);
    let cache = start(&vault, &[]);
    known(&cache, &acm(CERTIFICATE)).await;
    vault.fail(Some(PortErrorKind::Throttled));
    assert_eq!(with_problem(&cache, &acm(CERTIFICATE)).await.id, problem::UNAVAILABLE);
    let before = vault.calls("chain");
    sleep(REFRESH * 30).await;
    let requests = vault.calls("chain") - before;
    assert!((3..=7).contains(&requests), "{requests} requests in 30 intervals");
    assert!(
        matches!(cache.find(&acm(CERTIFICATE)), SecretLookup::Known(known, Some(_)) if prints(&known) == [first.fingerprint()])
    );
    vault.fail(None);
    sleep(REFRESH * 11).await;
    assert!(matches!(cache.find(&acm(CERTIFICATE)), SecretLookup::Known(_, None)));
}

#[tokio::test(start_paused = true)]
async fn a_secret_without_any_version_is_requested_at_short_intervals() {
    let vault = Vault::new();
    vault.fail(Some(PortErrorKind::Unavailable));
    let cache = start(&vault, &[]);
    assert_eq!(with_problem(&cache, &acm(CERTIFICATE)).await.id, problem::UNAVAILABLE);
    vault.put(CERTIFICATE, &Issuer::new("root").issue("a.local"));
    vault.fail(None);
    let began = Instant::now();
    known(&cache, &acm(CERTIFICATE)).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_broken_bundle_leaves_the_last_valid_version_in_use() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let (good, other) = (root.issue("a.local"), root.issue("a.local"));
    let cache = start(&vault, &["web=secret"]);
    vault.put_bundle("secret", good.bundle(None));
    known(&cache, &bundle("web")).await;
    let mixed = Bundle { chain: Some(other.chain.clone()), ..good.bundle(None) };
    let incomplete = Bundle { key: None, ..good.bundle(None) };
    let of_another_kind = Bundle { chain: None, key: None, request: None, trust: Some(root.pem()) };
    for broken in [mixed, incomplete, of_another_kind] {
        vault.put_bundle("secret", broken);
        cache.refresh();
        let problem = with_problem(&cache, &bundle("web")).await;
        assert_eq!(problem.id, problem::BROKEN);
        assert!(
            matches!(cache.find(&bundle("web")), SecretLookup::Known(known, _) if prints(&known) == [good.fingerprint()])
        );
        vault.put_bundle("secret", good.bundle(None));
        cache.refresh();
        known(&cache, &bundle("web")).await;
    }
    vault.put_bundle("secret", other.bundle(None));
    cache.refresh();
    once(
        &cache,
        &bundle("web"),
        |found| matches!(found, SecretLookup::Known(known, None) if prints(known) == [other.fingerprint()]),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_name_selects_a_part_of_a_bundle() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let leaf = root.issue("a.local");
    vault.put_bundle("both", leaf.bundle(Some(root.pem())));
    vault.put_bundle("trust", Bundle { trust: Some(root.pem()), ..Bundle::default() });
    let cache = start(&vault, &["a=both", "b=both#trust", "c=trust", "d=trust#certificate"]);
    for (name, trust) in [("a", false), ("b", true), ("c", true)] {
        let is_trust = matches!(known(&cache, &bundle(name)).await.material, SecretMaterial::Trust { .. });
        assert_eq!(is_trust, trust, "{name}");
    }
    assert_eq!(with_problem(&cache, &bundle("d")).await.id, problem::BROKEN);
    assert_eq!(with_problem(&cache, &bundle("unbound")).await.id, problem::NO_SOURCE);
}

#[tokio::test(start_paused = true)]
async fn an_imported_certificate_needs_a_bundle_with_its_key() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let imported = root.issue("a.local");
    vault.put_kind(CERTIFICATE, CertificateKind::Imported, &imported);
    vault.put_bundle("secret", root.issue("a.local").bundle(None));
    let cache = start(&vault, &["web=secret"]);
    assert_eq!(with_problem(&cache, &acm(CERTIFICATE)).await.id, problem::NOT_DISTRIBUTABLE);
    vault.put_bundle("secret", imported.bundle(None));
    assert_eq!(prints(&known(&cache, &acm(CERTIFICATE)).await), [imported.fingerprint()]);
    vault.put(OTHER, &imported);
    vault.fail(Some(PortErrorKind::Denied));
    assert_eq!(with_problem(&cache, &acm(OTHER)).await.id, problem::UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn trust_in_authorities_and_in_the_issuer_of_a_certificate() {
    let (vault, one, two) = (Vault::new(), Issuer::new("one"), Issuer::new("two"));
    let second = ROOT.replace("0a", "0b");
    vault.put_authority(ROOT, &one);
    vault.put_authority(&second, &two);
    vault.put(CERTIFICATE, &two.issue("a.local"));
    let cache = start(&vault, &[]);
    let both = SecretRef::AcmTrust(vec![ROOT.to_owned(), second]);
    assert_eq!(prints(&known(&cache, &both).await), [fingerprint(&one.pem()), fingerprint(&two.pem())]);
    let issuer = SecretRef::AcmIssuer(CERTIFICATE.to_owned());
    assert_eq!(prints(&known(&cache, &issuer).await), [fingerprint(&two.pem())]);
    assert_eq!(vault.calls("export"), 0, "no key is needed for that");
    let subordinate = two.subordinate("subordinate");
    vault.put_authority_below(&ROOT.replace("0a", "0d"), &subordinate, two.pem());
    let trust_of_subordinate = SecretRef::AcmTrust(vec![ROOT.replace("0a", "0d")]);
    assert_eq!(
        prints(&known(&cache, &trust_of_subordinate).await),
        [fingerprint(&subordinate.pem())],
        "siblings of the subordinate CA are not trusted"
    );
    let unknown = SecretRef::AcmTrust(vec![ROOT.to_owned(), ROOT.replace("0a", "0c")]);
    assert_eq!(with_problem(&cache, &unknown).await.id, problem::UNAVAILABLE, "incomplete trust is not served");
}

#[tokio::test(start_paused = true)]
async fn an_expired_certificate_is_served_and_reported() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    vault.put(CERTIFICATE, &root.issue_until("a.local", 2020));
    let cache = start(&vault, &[]);
    assert_eq!(with_problem(&cache, &acm(CERTIFICATE)).await.id, problem::EXPIRED);
    assert!(matches!(cache.find(&acm(CERTIFICATE)), SecretLookup::Known(..)));
    vault.put(CERTIFICATE, &root.issue("a.local"));
    known(&cache, &acm(CERTIFICATE)).await;
}

#[tokio::test(start_paused = true)]
async fn an_unused_secret_is_removed_after_a_while() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    for arn in [CERTIFICATE, OTHER] {
        vault.put(arn, &root.issue("a.local"));
    }
    let cache = start(&vault, &[]);
    known(&cache, &acm(CERTIFICATE)).await;
    known(&cache, &acm(OTHER)).await;
    let needed = BTreeSet::from([acm(OTHER)]);
    for _ in 0..11 {
        assert_eq!(cache.reports().len(), 2);
        cache.in_use(&needed);
        sleep(Duration::from_mins(1)).await;
    }
    cache.in_use(&needed);
    let left: Vec<_> = cache.reports().into_iter().map(|report| report.name).collect();
    assert_eq!(left, [OTHER]);
}

#[tokio::test(start_paused = true)]
async fn debug_output_and_reports_contain_no_key() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let issued = root.issue("a.local");
    vault.put(CERTIFICATE, &issued);
    vault.put_bundle("secret", issued.bundle(None));
    let cache = start(&vault, &["web=secret"]);
    known(&cache, &acm(CERTIFICATE)).await;
    known(&cache, &bundle("web")).await;
    let shown =
        format!("{cache:?} {:?} {:?} {:?}", cache.reports(), cache.find(&acm(CERTIFICATE)), cache.find(&bundle("web")));
    let line = issued.key.lines().nth(1).unwrap();
    assert!(!shown.contains("PRIVATE KEY") && !shown.contains(line));
}
