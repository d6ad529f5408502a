//! Traffic follows the addresses in DNS.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::instances::{add_listener, applications};
use crate::load::Load;
use crate::proxy::Envoy;
use crate::specs::client;
use crate::stage::{PortBlock, Stage, TIMEOUT};

const SERVICE: &str = "orders.shop.local";
const CALLER: &str = "mesh/shop/virtualNode/caller";

/// The timeout for traffic to leave an address that DNS dropped: Envoy queries every five seconds.
const DROPPED: Duration = Duration::from_secs(15);

/// Answers every query for IPv4 addresses with the same list, and every other with an empty one.
struct DnsServer {
    port: u16,
    addresses: Arc<Mutex<Vec<Ipv4Addr>>>,
    serving: JoinHandle<()>,
}

impl DnsServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let addresses = Arc::<Mutex<Vec<Ipv4Addr>>>::default();
        let known = Arc::clone(&addresses);
        let serving = tokio::spawn(async move {
            let mut query = [0_u8; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let answer = answer(&query[..length], &known.lock().unwrap().clone());
                drop(socket.send_to(&answer, from).await);
            }
        });
        Self { port, addresses, serving }
    }

    fn set(&self, addresses: &[&str]) {
        *self.addresses.lock().unwrap() = addresses.iter().map(|address| address.parse().unwrap()).collect();
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The answer to a query for one name; the name, type and class follow the twelve bytes of the header.
fn answer(query: &[u8], addresses: &[Ipv4Addr]) -> Vec<u8> {
    const A: [u8; 2] = [0, 1];
    let labels = query[12..].iter().position(|byte| *byte == 0).unwrap();
    let end = 12 + labels + 1 + 4;
    let is_for_ipv4 = query[end - 4..end - 2] == A;
    let addresses = if is_for_ipv4 { addresses } else { &[] };
    let count = u8::try_from(addresses.len()).unwrap();
    let mut answer = query[..2].to_vec();
    // A recursive response with one question and the answers.
    answer.extend([0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(&query[12..end]);
    for address in addresses {
        // The name is that of the query; type A, class IN, TTL of one second, four bytes.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(address.octets());
    }
    answer
}

#[tokio::test]
async fn an_address_that_dns_drops_is_unused_even_if_its_health_check_passes() {
    let dns = DnsServer::start().await;
    dns.set(&["127.0.0.2", "127.0.0.3"]);
    let Some(stage) = Stage::set_intercepting().await else { return };
    let (port, _applications) = applications(["127.0.0.2", "127.0.0.3"]).await;
    let check = json!({
        "protocol": "http", "path": "/health", "healthyThreshold": 2, "unhealthyThreshold": 2,
        "intervalMillis": 5000, "timeoutMillis": 2000,
    });
    let spec = json!({
        "listeners": [{"portMapping": {"port": port, "protocol": "http"}, "healthCheck": check}],
        "serviceDiscovery": {"dns": {"hostname": "orders.internal.example", "responseType": "ENDPOINTS"}},
    });
    stage.node("orders", spec).await;
    stage.service_on_node(SERVICE, "orders").await;
    stage.node("caller", client(&[SERVICE])).await;
    let ports = PortBlock::take(1);
    let at = ports.first();
    let cluster = format!("cds_egress_shop_orders_http_{port}");
    let envoy = Envoy::start_amended(&stage, CALLER, &[], |config| {
        add_listener(config, at, &cluster);
        config["typed_dns_resolver_config"] = json!({
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": dns.port}}],
                "dns_resolver_options": {"no_default_search_domain": true},
            },
        });
    })
    .await;
    let hosts = async || {
        let (_, text) = envoy.get(&stage, "/clusters").await;
        let of_cluster = text.lines().filter(|line| line.starts_with(&format!("{cluster}::127.")));
        let healthy = of_cluster.filter(|line| line.ends_with("::health_flags::healthy"));
        healthy.map(|line| line.split("::").nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + TIMEOUT;
    while hosts().await.len() < 2 {
        assert!(
            Instant::now() < deadline,
            "the addresses are not resolved: {}",
            envoy.get(&stage, "/clusters").await.1
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let load = Load::on(&stage.client, &format!("127.0.0.1:{at}"));
    load.served_more_by("127.0.0.2", 20).await;
    load.served_more_by("127.0.0.3", 20).await;

    dns.set(&["127.0.0.3"]);
    let deadline = Instant::now() + DROPPED;
    loop {
        let (_, text) = envoy.get(&stage, "/clusters").await;
        if !text.contains(&format!("{cluster}::127.0.0.2:")) {
            break;
        }
        assert!(Instant::now() < deadline, "127.0.0.2 is still used: {:?}", hosts().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.served_more_by("127.0.0.3", 20).await;
    let before = load.by("127.0.0.2");
    load.served_more(50).await;
    assert_eq!(load.by("127.0.0.2"), before, "the dropped address still receives requests");
    assert_eq!(load.end().await, BTreeMap::new(), "requests failed");
}
