//! What a keeper serves, whatever its sources do. Time is virtual.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use control_plane::certificates::{Keeper, KeeperSettings};
use control_plane::xds::{Found, KnownSecret, SecretProblem, Secrets as _, problem};
use ports::PortErrorKind;
use ports::certificates::{Bundle, CertificateKind};
use tokio::time::{Instant, sleep, timeout};
use xds::SecretMaterial;
use xds::SecretRef;

use crate::vault::{CERTIFICATE, Issuer, OTHER, ROOT, Vault, fingerprint};

const REFRESH: Duration = Duration::from_mins(1);

fn start(vault: &Arc<Vault>, bindings: &[&str]) -> Arc<Keeper> {
    Keeper::start(vault.sources(bindings), KeeperSettings { refresh: REFRESH, ..KeeperSettings::default() })
}

fn acm(arn: &str) -> SecretRef {
    SecretRef::AcmCertificate(arn.to_owned())
}

fn bundle(name: &str) -> SecretRef {
    SecretRef::Bundle(name.to_owned())
}

/// What is found once it is as wanted, within ten intervals.
async fn once(keeper: &Keeper, secret: &SecretRef, wanted: impl Fn(&Found) -> bool) -> Found {
    let mut changes = keeper.changes();
    let found = async {
        loop {
            changes.mark_unchanged();
            let found = keeper.find(secret);
            if wanted(&found) {
                return found;
            }
            changes.changed().await.unwrap();
        }
    };
    timeout(REFRESH * 10, found).await.unwrap_or_else(|_| panic!("{secret:?} is {:?}", keeper.find(secret)))
}

async fn known(keeper: &Keeper, secret: &SecretRef) -> KnownSecret {
    match once(keeper, secret, |found| matches!(found, Found::Known(_, None))).await {
        Found::Known(known, _) => known,
        other => panic!("{other:?}"),
    }
}

async fn troubled(keeper: &Keeper, secret: &SecretRef) -> SecretProblem {
    let has_problem = |found: &Found| matches!(found, Found::Known(_, Some(_)) | Found::Missing(_));
    match once(keeper, secret, has_problem).await {
        Found::Known(_, Some(problem)) | Found::Missing(problem) => problem,
        other => panic!("{other:?}"),
    }
}

fn prints(known: &KnownSecret) -> Vec<&str> {
    known.certificates.iter().map(|certificate| certificate.fingerprint.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_noticed_and_a_key_fetched_only_then() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let first = root.issue("a.local");
    vault.put(CERTIFICATE, &first);
    let keeper = start(&vault, &[]);
    assert_eq!(keeper.find(&acm(CERTIFICATE)), Found::Pending);
    assert_eq!(prints(&known(&keeper, &acm(CERTIFICATE)).await), [first.fingerprint()]);
    sleep(REFRESH * 5).await;
    assert_eq!(vault.calls("export"), 1);
    assert!((4..=7).contains(&vault.calls("chain")), "{}", vault.calls("chain"));
    let second = root.issue("a.local");
    vault.put(CERTIFICATE, &second);
    let began = Instant::now();
    once(
        &keeper,
        &acm(CERTIFICATE),
        |found| matches!(found, Found::Known(known, _) if prints(known) == [second.fingerprint()]),
    )
    .await;
    assert!(began.elapsed() <= REFRESH.mul_f64(1.1), "{:?}", began.elapsed());
    assert_eq!(vault.calls("export"), 2);
}

#[tokio::test(start_paused = true)]
async fn on_demand_nothing_is_waited_for() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    vault.put(CERTIFICATE, &root.issue("a.local"));
    let keeper = start(&vault, &[]);
    known(&keeper, &acm(CERTIFICATE)).await;
    let second = root.issue("a.local");
    vault.put(CERTIFICATE, &second);
    let began = Instant::now();
    assert_eq!(keeper.refresh(), 1);
    once(
        &keeper,
        &acm(CERTIFICATE),
        |found| matches!(found, Found::Known(known, _) if prints(known) == [second.fingerprint()]),
    )
    .await;
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_asks_for_patience_gets_it_and_the_last_good_one_stays() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let first = root.issue("a.local");
    vault.put(CERTIFICATE, &first);
    let keeper = start(&vault, &[]);
    known(&keeper, &acm(CERTIFICATE)).await;
    vault.fail(Some(PortErrorKind::Throttled));
    assert_eq!(troubled(&keeper, &acm(CERTIFICATE)).await.id, problem::UNAVAILABLE);
    let before = vault.calls("chain");
    sleep(REFRESH * 30).await;
    let asked = vault.calls("chain") - before;
    assert!((3..=7).contains(&asked), "asked {asked} times in 30 intervals");
    assert!(
        matches!(keeper.find(&acm(CERTIFICATE)), Found::Known(known, Some(_)) if prints(&known) == [first.fingerprint()])
    );
    vault.fail(None);
    sleep(REFRESH * 11).await;
    assert!(matches!(keeper.find(&acm(CERTIFICATE)), Found::Known(_, None)));
}

#[tokio::test(start_paused = true)]
async fn what_was_never_had_is_asked_for_in_a_hurry() {
    let vault = Vault::new();
    vault.fail(Some(PortErrorKind::Unavailable));
    let keeper = start(&vault, &[]);
    assert_eq!(troubled(&keeper, &acm(CERTIFICATE)).await.id, problem::UNAVAILABLE);
    vault.put(CERTIFICATE, &Issuer::new("root").issue("a.local"));
    vault.fail(None);
    let began = Instant::now();
    known(&keeper, &acm(CERTIFICATE)).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_broken_bundle_keeps_the_last_good_one() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let (good, other) = (root.issue("a.local"), root.issue("a.local"));
    let keeper = start(&vault, &["web=secret"]);
    vault.put_bundle("secret", good.bundle(None));
    known(&keeper, &bundle("web")).await;
    let mixed = Bundle { chain: Some(other.chain.clone()), ..good.bundle(None) };
    let torn = Bundle { key: None, ..good.bundle(None) };
    let of_another_kind = Bundle { chain: None, key: None, request: None, trust: Some(root.pem()) };
    for broken in [mixed, torn, of_another_kind] {
        vault.put_bundle("secret", broken);
        keeper.refresh();
        let problem = troubled(&keeper, &bundle("web")).await;
        assert_eq!(problem.id, problem::BROKEN);
        assert!(
            matches!(keeper.find(&bundle("web")), Found::Known(known, _) if prints(&known) == [good.fingerprint()])
        );
        vault.put_bundle("secret", good.bundle(None));
        keeper.refresh();
        known(&keeper, &bundle("web")).await;
    }
    vault.put_bundle("secret", other.bundle(None));
    keeper.refresh();
    once(
        &keeper,
        &bundle("web"),
        |found| matches!(found, Found::Known(known, None) if prints(known) == [other.fingerprint()]),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_bundle() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let leaf = root.issue("a.local");
    vault.put_bundle("both", leaf.bundle(Some(root.pem())));
    vault.put_bundle("trust", Bundle { trust: Some(root.pem()), ..Bundle::default() });
    let keeper = start(&vault, &["a=both", "b=both#trust", "c=trust", "d=trust#certificate"]);
    for (name, trust) in [("a", false), ("b", true), ("c", true)] {
        let is_trust = matches!(known(&keeper, &bundle(name)).await.material, SecretMaterial::Trust { .. });
        assert_eq!(is_trust, trust, "{name}");
    }
    assert_eq!(troubled(&keeper, &bundle("d")).await.id, problem::BROKEN);
    assert_eq!(troubled(&keeper, &bundle("nobody's")).await.id, problem::NO_SOURCE);
}

#[tokio::test(start_paused = true)]
async fn an_imported_certificate_needs_a_bundle_that_has_it() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let imported = root.issue("a.local");
    vault.put_kind(CERTIFICATE, CertificateKind::Imported, &imported);
    vault.put_bundle("secret", root.issue("a.local").bundle(None));
    let keeper = start(&vault, &["web=secret"]);
    assert_eq!(troubled(&keeper, &acm(CERTIFICATE)).await.id, problem::NOT_DISTRIBUTABLE);
    vault.put_bundle("secret", imported.bundle(None));
    assert_eq!(prints(&known(&keeper, &acm(CERTIFICATE)).await), [imported.fingerprint()]);
    vault.put(OTHER, &imported);
    vault.fail(Some(PortErrorKind::Denied));
    assert_eq!(troubled(&keeper, &acm(OTHER)).await.id, problem::UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn trust_in_authorities_and_in_the_issuer_of_a_certificate() {
    let (vault, one, two) = (Vault::new(), Issuer::new("one"), Issuer::new("two"));
    let second = ROOT.replace("0a", "0b");
    vault.put_authority(ROOT, &one);
    vault.put_authority(&second, &two);
    vault.put(CERTIFICATE, &two.issue("a.local"));
    let keeper = start(&vault, &[]);
    let both = SecretRef::AcmTrust(vec![ROOT.to_owned(), second]);
    assert_eq!(prints(&known(&keeper, &both).await), [fingerprint(&one.pem()), fingerprint(&two.pem())]);
    let issuer = SecretRef::AcmIssuer(CERTIFICATE.to_owned());
    assert_eq!(prints(&known(&keeper, &issuer).await), [fingerprint(&two.pem())]);
    assert_eq!(vault.calls("export"), 0, "nobody needs a key for that");
    let below = two.subordinate("below");
    vault.put_authority_below(&ROOT.replace("0a", "0d"), &below, two.pem());
    let of_below = SecretRef::AcmTrust(vec![ROOT.replace("0a", "0d")]);
    assert_eq!(
        prints(&known(&keeper, &of_below).await),
        [fingerprint(&below.pem())],
        "not what its root signed beside it"
    );
    let unknown = SecretRef::AcmTrust(vec![ROOT.to_owned(), ROOT.replace("0a", "0c")]);
    assert_eq!(troubled(&keeper, &unknown).await.id, problem::UNAVAILABLE, "half a trust is none");
}

#[tokio::test(start_paused = true)]
async fn what_is_past_its_validity_is_served_and_told() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    vault.put(CERTIFICATE, &root.issue_until("a.local", 2020));
    let keeper = start(&vault, &[]);
    assert_eq!(troubled(&keeper, &acm(CERTIFICATE)).await.id, problem::EXPIRED);
    assert!(matches!(keeper.find(&acm(CERTIFICATE)), Found::Known(..)));
    vault.put(CERTIFICATE, &root.issue("a.local"));
    known(&keeper, &acm(CERTIFICATE)).await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_needs_is_forgotten_after_a_while() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    for arn in [CERTIFICATE, OTHER] {
        vault.put(arn, &root.issue("a.local"));
    }
    let keeper = start(&vault, &[]);
    known(&keeper, &acm(CERTIFICATE)).await;
    known(&keeper, &acm(OTHER)).await;
    let needed = BTreeSet::from([acm(OTHER)]);
    for _ in 0..11 {
        assert_eq!(keeper.told().len(), 2);
        keeper.in_use(&needed);
        sleep(Duration::from_mins(1)).await;
    }
    keeper.in_use(&needed);
    let left: Vec<_> = keeper.told().into_iter().map(|report| report.name).collect();
    assert_eq!(left, [OTHER]);
}

#[tokio::test(start_paused = true)]
async fn no_key_is_ever_shown() {
    let (vault, root) = (Vault::new(), Issuer::new("root"));
    let issued = root.issue("a.local");
    vault.put(CERTIFICATE, &issued);
    vault.put_bundle("secret", issued.bundle(None));
    let keeper = start(&vault, &["web=secret"]);
    known(&keeper, &acm(CERTIFICATE)).await;
    known(&keeper, &bundle("web")).await;
    let shown = format!(
        "{keeper:?} {:?} {:?} {:?}",
        keeper.told(),
        keeper.find(&acm(CERTIFICATE)),
        keeper.find(&bundle("web"))
    );
    let line = issued.key.lines().nth(1).unwrap();
    assert!(!shown.contains("PRIVATE KEY") && !shown.contains(line));
}
