//! Requests per second of the control plane's API, relative to a request that does nothing on the same server.

use std::error::Error;
use std::time::{Duration, Instant};

use control_plane::{Server, Settings, state::Region};
use mesh::name::AccountId;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::Row;

/// Concurrent callers.
const CALLERS: usize = 8;

/// The duration of the repetition of each kind of call.
const SPAN: Duration = Duration::from_secs(3);

pub(crate) async fn measure() -> Result<Vec<Row>, Box<dyn Error>> {
    let server = Server::bind(Settings::new(AccountId::parse("123456789012")?, Region::parse("us-east-1")?)).await?;
    let endpoint = server.endpoint();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async {
        stopped.await.ok();
    }));
    let client = Client::new();
    let base = format!("{endpoint}/v20190125/meshes");
    let put = |path: String, body: Value| {
        let request =
            client.put(format!("{base}{path}")).body(body.to_string()).header("content-type", "application/json");
        async move { request.send().await?.error_for_status() }
    };
    put(String::new(), json!({"meshName": "shop"})).await?;
    for node in ["recs-v1", "recs-v2"] {
        let spec = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": "recs.local"}}});
        put("/shop/virtualNodes".to_owned(), json!({"virtualNodeName": node, "spec": spec})).await?;
    }
    let listeners = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]});
    put("/shop/virtualRouters".to_owned(), json!({"virtualRouterName": "recs", "spec": listeners})).await?;
    let spec = |weight: u8| {
        let targets =
            json!([{"virtualNode": "recs-v1", "weight": weight}, {"virtualNode": "recs-v2", "weight": 100 - weight}]);
        json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}})
    };
    for caller in 0..CALLERS {
        let body = json!({"routeName": format!("route-{caller}"), "spec": spec(50)});
        put("/shop/virtualRouter/recs/routes".to_owned(), body).await?;
    }

    let route = |caller: usize| format!("{base}/shop/virtualRouter/recs/routes/route-{caller}");
    let idle = per_second(&client, |_, _| (Method::GET, format!("{endpoint}/healthz"), None)).await?;
    let reads = per_second(&client, |caller, _| (Method::GET, route(caller), None)).await?;
    let writes = per_second(&client, |caller, turn| {
        let weight = u8::try_from(turn % 100).unwrap_or_default();
        (Method::PUT, route(caller), Some(json!({"spec": spec(weight)}).to_string()))
    })
    .await?;
    stop.send(()).ok();
    serving.await??;
    Ok(vec![
        Row {
            what: "control plane, DescribeRoute, 8 callers",
            figure: format!("{reads:.0} a second"),
            relation: format!("{:.0} % of its `/healthz` ({idle:.0} a second)", 100.0 * reads / idle),
        },
        Row {
            what: "control plane, UpdateRoute, 8 callers on 8 routes",
            figure: format!("{writes:.0} a second"),
            relation: format!("{:.0} % of its `/healthz`", 100.0 * writes / idle),
        },
    ])
}

/// The answered requests per second, of all callers together.
async fn per_second(
    client: &Client,
    request: impl Fn(usize, u64) -> (Method, String, Option<String>),
) -> Result<f64, Box<dyn Error>> {
    let began = Instant::now();
    let request = &request;
    let caller = |caller: usize| async move {
        let mut answered = 0_u32;
        while began.elapsed() < SPAN {
            let (method, url, body) = request(caller, u64::from(answered));
            let mut call = client.request(method, url);
            if let Some(body) = body {
                call = call.body(body).header("content-type", "application/json");
            }
            call.send().await?.error_for_status()?.bytes().await?;
            answered += 1;
        }
        Ok::<u32, reqwest::Error>(answered)
    };
    let mut all = 0.0;
    for answered in futures::future::try_join_all((0..CALLERS).map(caller)).await? {
        all += f64::from(answered);
    }
    Ok(all / began.elapsed().as_secs_f64())
}
