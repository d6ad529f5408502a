//! Findings about the certificates of a mesh, also if certificates cannot be read.

use compliance_sweep::{ComplianceSweep, FanOut};
use jiff::{SignedDuration, Timestamp};
use policy::BUILT_IN;
use ports::certificates::{
    AuthorityArn, Bundle, CertificateArn, CertificateAuthority as _, CertificateStore as _, IdempotencyToken, Import,
    Issuance, KeyAlgorithm, KeyMaker as _, Order, SigningAlgorithm, SubjectNames, Template, VersionId,
};
use ports_memory::certificates::Validity;
use ports_memory::{Call, Effect, Failure, Fault, MemoryPorts};
use runner::Runner;
use serde_json::json;

use super::shop::{found, function, function_by, morning, put, reasons, rules, shop, sweep};

const NAME: &str = "pay.shop.local";

fn authority(ports: &MemoryPorts, name: &str) -> AuthorityArn {
    let validity = Validity { from: morning() - SignedDuration::from_hours(24 * 365), until: later(24 * 3650) };
    ports.certificates.authorities.root(name, &KeyAlgorithm::EcPrime256v1, validity).unwrap()
}

fn later(hours: i64) -> Timestamp {
    morning() + SignedDuration::from_hours(hours)
}

/// An imported certificate with this end.
async fn import(ports: &MemoryPorts, authority: &AuthorityArn, not_after: Timestamp) -> CertificateArn {
    let names = SubjectNames { common_name: None, dns: vec![NAME.to_owned()], uris: Vec::new() };
    let fresh = ports.certificates.keys.make(&KeyAlgorithm::EcPrime256v1, &names).unwrap();
    let order = Order {
        authority: authority.clone(),
        request: fresh.request,
        template: Template::EndEntity,
        signing: SigningAlgorithm::Sha256WithEcdsa,
        not_after,
        token: IdempotencyToken::parse("t1").unwrap(),
    };
    let issued = ports.certificates.authorities.issue(&order).await.unwrap();
    let Issuance::Issued(chain) = ports.certificates.authorities.issued(&issued).await.unwrap() else { panic!() };
    let import = Import { onto: None, chain, key: fresh.key, tags: [].into() };
    ports.certificates.certificates.import(&import).await.unwrap()
}

/// `web` calls `pay`: the listener of `pay` presents the certificate, and `web` trusts the authority.
fn call(ports: &MemoryPorts, arn: &CertificateArn, authority: &AuthorityArn) {
    let tls = json!({"mode": "STRICT", "certificate": {"acm": {"certificateArn": arn.as_str()}}});
    let listener = json!({"portMapping": {"port": 8080, "protocol": "http"}, "tls": tls});
    let pay = json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": NAME}}});
    put(ports, "mesh/shop/virtualNode/pay", &pay);
    put(ports, "mesh/shop/virtualService/pay.local", &json!({"provider": {"virtualNode": {"virtualNodeName": "pay"}}}));
    let trust = json!({"acm": {"certificateAuthorityArns": [authority.as_str()]}});
    let policy = json!({"tls": {"enforce": true, "validation": {"trust": trust}}});
    let backend = json!({"virtualService": {"virtualServiceName": "pay.local", "clientPolicy": policy}});
    put(ports, "mesh/shop/virtualNode/web", &json!({"backends": [backend]}));
}

/// `web` calls `pay`, which has a listener with an ACM certificate that ends at this time.
async fn shop_with(not_after: Timestamp) -> (MemoryPorts, CertificateArn, AuthorityArn) {
    let ports = shop();
    let authority = authority(&ports, "root");
    let arn = import(&ports, &authority, not_after).await;
    call(&ports, &arn, &authority);
    (ports, arn, authority)
}

fn has(ports: &MemoryPorts, rule: &str) -> bool {
    rules(ports).iter().any(|found| found == rule)
}

#[tokio::test(start_paused = true)]
async fn certificate_in_acm_is_read_with_its_chain() {
    for (hours, rule) in [(24 * 20, "certificate-expiring"), (24 * 200, "")] {
        let (ports, arn, _) = shop_with(later(hours)).await;
        sweep(&function(&ports).await).await.unwrap();
        for about in ["certificate-expiring", "certificate-expired", "certificate-unread", "edge-broken"] {
            assert_eq!(has(&ports, about), about == rule, "{about} {hours}: {:?}", rules(&ports));
        }
        if rule == "certificate-expiring" {
            let finding = found(&ports).into_iter().find(|one| one["rule"] == rule).unwrap();
            assert_eq!(finding["facts"]["source"], json!(format!("acm:{arn}")));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn trust_anchors_are_read_from_the_private_ca() {
    let (ports, _, _) = shop_with(later(24 * 200)).await;
    let other = authority(&ports, "other");
    let trust = json!({"acm": {"certificateAuthorityArns": [other.as_str()]}});
    let policy = json!({"tls": {"enforce": true, "validation": {"trust": trust}}});
    let backend = json!({"virtualService": {"virtualServiceName": "pay.local", "clientPolicy": policy}});
    put(&ports, "mesh/shop/virtualNode/web", &json!({"backends": [backend]}));
    sweep(&function(&ports).await).await.unwrap();
    assert!(has(&ports, "edge-broken"), "{:?}", rules(&ports));
}

/// Two CAs under one root: a client that trusts one CA does not trust certificates of the other.
#[tokio::test(start_paused = true)]
async fn trust_in_a_private_ca_does_not_include_its_root() {
    for (named, issuer, holds) in [("one", "one", true), ("one", "other", false), ("root", "other", true)] {
        let ports = shop();
        let root = authority(&ports, "root");
        let below = |name: &str| match name {
            "root" => root.clone(),
            name => {
                let validity = Validity { from: later(-24), until: later(24 * 3000) };
                let key = KeyAlgorithm::EcPrime256v1;
                ports.certificates.authorities.subordinate(&root, name, &key, validity).unwrap()
            }
        };
        let named_arn = below(named);
        let issuing = if named == issuer { named_arn.clone() } else { below(issuer) };
        call(&ports, &import(&ports, &issuing, later(24 * 200)).await, &named_arn);
        sweep(&function(&ports).await).await.unwrap();
        assert_eq!(has(&ports, "edge-broken"), !holds, "{named} {issuer}: {:?}", rules(&ports));
    }
}

/// ACM never exports the key of an imported certificate. The finding depends on the policy's binding of a secret, and no
/// secret is read.
#[tokio::test(start_paused = true)]
async fn imported_certificate_without_a_bound_secret_is_found() {
    for (named, there, wanted) in [
        (false, false, Some("certificate-not-distributable")),
        (true, false, Some("certificate-unread")),
        (true, true, None),
    ] {
        let (ports, arn, _) = shop_with(later(24 * 200)).await;
        if there {
            let version = VersionId::parse("8f0d5f7a-2f0e-4a0a-9a43-8f4c3a8f7c11").unwrap();
            ports.certificates.bundles.create("pay-key");
            ports.certificates.bundles.set_text("pay-key", &version, &Bundle::default().text());
        }
        let binding = format!("certificates: {{ imported: [{{ certificate: {arn}, secret: pay-key }}] }}");
        let policy = BUILT_IN.replace("certificates: { expiryDays: 30 }", &binding);
        sweep(&function_by(&ports, if named { &policy } else { BUILT_IN }, FanOut::Direct).await).await.unwrap();
        for rule in ["certificate-not-distributable", "certificate-unread"] {
            assert_eq!(has(&ports, rule), wanted == Some(rule), "{named} {there}: {:?}", rules(&ports));
        }
        assert!(!ports.faults.calls().iter().any(|call| call.to_string().starts_with("read secret")));
    }
}

fn acm(call: &Call) -> bool {
    call.name.contains("certificate")
}

async fn disturbed(function: &Runner<ComplianceSweep>, ports: &MemoryPorts, failure: Failure) -> Vec<String> {
    ports.clock.advance(SignedDuration::from_hours(6));
    ports.faults.whenever(acm, Fault::Fails(failure, Effect::NotDone));
    let report = sweep(function).await.unwrap();
    ports.faults.reset();
    assert_eq!(reasons(&report).last().copied(), Some("Changed"), "{failure:?}");
    assert!(report.decisions[0].facts["unreadCount"].as_u64() > Some(0), "{failure:?}");
    report.decisions[0].facts["resolved"].as_array().unwrap().iter().map(ToString::to_string).collect()
}

/// Denied, slow or deleted: the certificate is reported as unknown, and its earlier findings stay.
#[tokio::test(start_paused = true)]
async fn unreadable_certificate_is_unknown_and_resolves_no_finding() {
    for (failure, why) in [
        (Failure::Denied, "allow acm:DescribeCertificate"),
        (Failure::Unavailable, "ACM cannot be reached"),
        (Failure::TimedOut, "ACM cannot be reached"),
        (Failure::Throttled, "throttles requests"),
    ] {
        let (ports, _, _) = shop_with(later(24 * 20)).await;
        let function = function(&ports).await;
        sweep(&function).await.unwrap();
        assert!(has(&ports, "certificate-expiring") && !has(&ports, "certificate-unread"));
        let expiring = || {
            let hub = ports.security_hub.findings().into_values();
            hub.filter(|one| one["GeneratorId"] == "meshwarden/certificate-expiring").collect::<Vec<_>>()
        };
        let before = expiring();

        let resolved = disturbed(&function, &ports, failure).await;
        assert!(resolved.is_empty(), "{failure:?}: {resolved:?}");
        let unread = found(&ports).into_iter().find(|one| one["rule"] == "certificate-unread").unwrap();
        assert!(unread["message"].as_str().unwrap().contains(why), "{failure:?}: {unread}");
        assert_eq!(expiring(), before, "{failure:?}: neither seen again nor archived");

        ports.clock.advance(SignedDuration::from_hours(6));
        let report = sweep(&function).await.unwrap();
        let facts = &report.decisions[0].facts;
        assert_eq!((&facts["newCount"], &facts["resolvedCount"]), (&json!(0), &json!(1)), "{failure:?}: {facts}");
        assert!(has(&ports, "certificate-expiring") && !has(&ports, "certificate-unread"));
    }
}

/// One unreadable certificate does not affect the findings about the others.
#[tokio::test(start_paused = true)]
async fn deleted_certificate_does_not_prevent_resolution_of_other_findings() {
    let (ports, arn, _) = shop_with(later(24 * 20)).await;
    let gone = arn.as_str().replace(arn.as_str().rsplit('/').next().unwrap(), "gone");
    let tls = json!({"mode": "STRICT", "certificate": {"acm": {"certificateArn": gone}}});
    let listener = json!({"portMapping": {"port": 8080, "protocol": "http"}, "tls": tls});
    put(&ports, "mesh/shop/virtualNode/old", &json!({"listeners": [listener]}));
    let function = function(&ports).await;
    sweep(&function).await.unwrap();
    assert!(has(&ports, "certificate-expiring") && has(&ports, "certificate-unread"));
    put(&ports, "mesh/shop/virtualNode/pay", &json!({"serviceDiscovery": {"dns": {"hostname": NAME}}}));
    ports.clock.advance(SignedDuration::from_hours(6));
    let report = sweep(&function).await.unwrap();
    let resolved = report.decisions[0].facts["resolved"].to_string();
    assert!(resolved.contains("certificate-expiring on mesh/shop/virtualNode/pay"), "{resolved}");
}

#[tokio::test(start_paused = true)]
async fn only_the_certificate_of_a_secret_is_read() {
    let ports = shop();
    let tls = json!({"mode": "STRICT", "certificate": {"sds": {"secretName": "web"}}});
    let listener = json!({"portMapping": {"port": 8080, "protocol": "http"}, "tls": tls});
    put(&ports, "mesh/shop/virtualNode/web", &json!({"listeners": [listener]}));
    let bound = "certificates: { bundles: [{ secretName: web, secret: mesh-web }] }";
    let policy = BUILT_IN.replace("certificates: { expiryDays: 30 }", bound);
    assert!(policy.contains(bound));
    let function = function_by(&ports, &policy, FanOut::Direct).await;
    sweep(&function).await.unwrap();
    assert!(has(&ports, "certificate-unread"), "the secret is not there");
    let version = VersionId::parse("8f0d5f7a-2f0e-4a0a-9a43-8f4c3a8f7c11").unwrap();
    ports.certificates.bundles.create("mesh-web");
    ports.certificates.bundles.set_text("mesh-web", &version, &Bundle::default().text());
    ports.clock.advance(SignedDuration::from_hours(6));
    let before = ports.faults.calls().len();
    sweep(&function).await.unwrap();
    assert!(!has(&ports, "certificate-unread"));
    let read: Vec<String> = ports
        .faults
        .calls()
        .into_iter()
        .skip(before)
        .map(|call| call.to_string())
        .filter(|call| call.contains("mesh-web"))
        .collect();
    assert_eq!(read, ["describe secret mesh-web"]);
}
