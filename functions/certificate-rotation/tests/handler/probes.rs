//! Proxies with certificates from a socket next to them: only a TLS handshake shows which one they present.

use crate::shop::{DAY, Shop, path};

const ADDRESS: &str = "pay.shop.local:8080";

/// A shop in which `pay` has its certificate from a socket next to it, and has just received a new one.
async fn rotated(policy: &str) -> Shop {
    let mut shop = Shop::open().await;
    shop.from_socket.insert((path("pay"), "pay".to_owned()));
    shop.set_policy(policy);
    shop.deliver().await;
    shop.wait(DAY * 62);
    shop.go_on(3).await;
    shop
}

async fn verdict(shop: &Shop) -> (String, String) {
    let report = shop.invoke().await.unwrap();
    let one = report.decisions.into_iter().rfind(|one| one.resource == "sds:pay").unwrap();
    (one.decision + " " + &one.reason, one.facts.to_string())
}

fn policy(addresses: &str) -> String {
    format!("  probes:\n    - {{proxy: mesh/shop/virtualNode/pay, addresses: [{addresses}]}}\n")
}

#[tokio::test(start_paused = true)]
async fn without_a_probe_the_certificate_is_unknown() {
    let (verdict, facts) = verdict(&rotated("").await).await;
    assert_eq!(verdict, "verify NotAcknowledged");
    assert!(facts.contains("next to the proxy"), "{facts}");
}

#[tokio::test(start_paused = true)]
async fn certificate_of_every_server_counts() {
    let shop = rotated(&policy(&format!("'{ADDRESS}'"))).await;
    let (new, probe) = (shop.leaf(&Shop::sds("pay")).await.leaf.fingerprint, &shop.ports.certificates.probe);
    let old = shop.leaf(&Shop::sds("web")).await.leaf.fingerprint;
    // No server answers; one server has another certificate; all servers have it.
    assert_eq!(verdict(&shop).await.0, "verify NotAcknowledged");
    probe.set(ADDRESS, Vec::new());
    assert_eq!(verdict(&shop).await.0, "verify NotAcknowledged");
    probe.set(ADDRESS, vec![new.clone(), old]);
    assert_eq!(verdict(&shop).await.0, "verify NotAcknowledged");
    probe.set(ADDRESS, vec![new.clone(), new]);
    assert_eq!(verdict(&shop).await.0, "keep Fresh");
}

#[tokio::test(start_paused = true)]
async fn fewer_servers_than_proxies_are_not_sufficient() {
    let shop = rotated(&policy(&format!("'{ADDRESS}'"))).await;
    let new = shop.leaf(&Shop::sds("pay")).await.leaf.fingerprint;
    shop.ports.certificates.proxies.change(|streams| {
        let second = streams.iter().find(|stream| stream.proxy == path("pay")).unwrap().clone();
        streams.push(second);
    });
    shop.ports.certificates.probe.set(ADDRESS, vec![new]);
    let (verdict, facts) = verdict(&shop).await;
    assert_eq!(verdict, "verify NotAcknowledged");
    assert!(facts.contains("1 of its 2 proxies"), "{facts}");
}

#[tokio::test(start_paused = true)]
async fn probe_of_a_listener_does_not_show_the_client_certificate() {
    let mut shop = Shop::open().await;
    shop.from_socket.insert((path("web"), "web".to_owned()));
    shop.set_policy("  probes:\n    - {proxy: mesh/shop/virtualNode/web, addresses: ['web.shop.local:1']}\n");
    shop.deliver().await;
    let leaf = shop.leaf(&Shop::sds("web")).await.leaf.fingerprint;
    shop.ports.certificates.probe.set("web.shop.local:1", vec![leaf]);
    let report = shop.invoke().await.unwrap();
    let web = report.decisions.iter().find(|one| one.resource == "sds:web").unwrap();
    assert_eq!((web.decision.as_str(), web.reason.as_str()), ("verify", "NotAcknowledged"));
}

#[tokio::test(start_paused = true)]
async fn different_streams_of_a_proxy_are_outstanding() {
    use ports::certificates::{AcknowledgedSecrets, SeenCertificate, SeenSecret};
    let shop = Shop::open().await;
    let web = shop.leaf(&Shop::sds("web")).await.leaf;
    shop.ports.certificates.proxies.change(|streams| {
        let mut second = streams.iter().find(|stream| stream.proxy == path("pay")).unwrap().clone();
        let AcknowledgedSecrets::Known(secrets) = &mut second.secrets else { panic!("{second:?}") };
        let other = SeenCertificate { fingerprint: web.fingerprint.to_string(), not_after: web.not_after };
        secrets.insert("pay".to_owned(), SeenSecret::Acknowledged { certificates: vec![other] });
        streams.push(second);
    });
    let report = shop.invoke().await.unwrap();
    let pay = report.decisions.iter().find(|one| one.resource == "sds:pay").unwrap();
    assert_eq!((pay.decision.as_str(), pay.reason.as_str()), ("verify", "NotAcknowledged"));
}
