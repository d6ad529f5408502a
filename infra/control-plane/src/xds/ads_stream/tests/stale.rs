//! Streams of a replica that cannot read its store, and the age of streams.

use super::*;

impl StreamFixture {
    /// With a freshness that the test sets.
    async fn with_freshness(stream_age: Option<Duration>) -> (Self, watch::Sender<Freshness>) {
        let mut fixture = Self::with(XdsSettings { stream_age, ..XdsSettings::default() }, None).await;
        let (fresh, freshness) = watch::channel(Freshness::Current);
        Arc::get_mut(&mut fixture.ads.shared).expect("no stream has begun").freshness = freshness;
        (fixture, fresh)
    }
}

impl TestStream {
    /// The first request of a client that has this version.
    fn send_held(&self, kind: ResourceType, version: &str) {
        let node = Node { id: FRONT.to_owned(), ..Node::default() };
        let request = DiscoveryRequest {
            node: Some(node),
            type_url: kind.url().to_owned(),
            version_info: version.to_owned(),
            ..DiscoveryRequest::default()
        };
        self.requests.send(Ok(request)).unwrap();
    }

    /// Waits for the end of the stream, and returns its code and the time until then.
    async fn end(&mut self) -> (Option<tonic::Code>, Duration) {
        let (end, after) = self.next().await;
        (end.map(|end| end.expect_err("the stream ends").code()), after)
    }
}

/// The versions of clusters and listeners that a new client gets.
async fn versions(fixture: &StreamFixture) -> [String; 2] {
    let mut stream = fixture.stream();
    stream.send(ResourceType::Cluster, None);
    let clusters = stream.response(ResourceType::Cluster).await;
    stream.send(ResourceType::Cluster, Some(&clusters));
    stream.send(ResourceType::Listener, None);
    let listeners = stream.response(ResourceType::Listener).await;
    [clusters.version_info, listeners.version_info]
}

#[tokio::test]
async fn connected_proxy_gets_nothing_new_and_looks_for_a_current_replica() {
    let (fixture, fresh) = StreamFixture::with_freshness(None).await;
    let mut stream = fixture.stream();
    stream.settle().await;
    fresh.send_replace(Freshness::Stale);
    fixture.listen_at(9999).await;
    let (code, after) = stream.end().await;
    assert_eq!((code, after.as_secs()), (Some(tonic::Code::Unavailable), 10));
}

#[tokio::test]
async fn proxy_gets_what_it_missed_once_the_state_is_current() {
    let (fixture, fresh) = StreamFixture::with_freshness(None).await;
    let mut stream = fixture.stream();
    stream.settle().await;
    fresh.send_replace(Freshness::Stale);
    fixture.listen_at(9999).await;
    assert!(timeout(Duration::from_secs(9), stream.responses.next()).await.is_err(), "nothing is sent while stale");
    fresh.send_replace(Freshness::Current);
    let clusters = stream.response(ResourceType::Cluster).await;
    stream.send(ResourceType::Cluster, Some(&clusters));
    let listeners = stream.response(ResourceType::Listener).await;
    stream.send(ResourceType::Listener, Some(&listeners));
    let clusters = stream.response(ResourceType::Cluster).await;
    stream.send(ResourceType::Cluster, Some(&clusters));
    assert!(stream.silent().await, "and the stream stays open");
}

#[tokio::test]
async fn stale_replica_serves_new_proxies_and_those_with_its_versions() {
    let (fixture, fresh) = StreamFixture::with_freshness(None).await;
    let [clusters, listeners] = versions(&fixture).await;
    fresh.send_replace(Freshness::Stale);
    assert_eq!(versions(&fixture).await, [clusters.clone(), listeners.clone()], "a new proxy gets the last state");

    let mut returning = fixture.stream();
    returning.send_held(ResourceType::Cluster, &clusters);
    returning.send_held(ResourceType::Listener, &listeners);
    let (code, after) = returning.end().await;
    assert_eq!((code, after.as_secs()), (Some(tonic::Code::Unavailable), 10));

    for held in [[clusters.as_str(), "other"], ["other", listeners.as_str()]] {
        let mut returning = fixture.stream();
        returning.send_held(ResourceType::Cluster, held[0]);
        returning.send_held(ResourceType::Listener, held[1]);
        let (code, after) = returning.end().await;
        assert_eq!((code, after), (Some(tonic::Code::Unavailable), Duration::ZERO), "{held:?} would go back");
    }
}

#[tokio::test]
async fn expired_replica_ends_all_streams_and_refuses_new_ones() {
    let (fixture, fresh) = StreamFixture::with_freshness(None).await;
    let mut stream = fixture.stream();
    stream.settle().await;
    fresh.send_replace(Freshness::Expired);
    let (code, after) = stream.end().await;
    assert_eq!(code, Some(tonic::Code::Unavailable));
    assert!(after <= Duration::from_millis(1), "{after:?}");
    let mut new = fixture.stream();
    new.send(ResourceType::Cluster, None);
    assert_eq!(new.end().await, (Some(tonic::Code::Unavailable), Duration::ZERO));
}

#[tokio::test]
async fn old_stream_ends_without_an_error_after_its_last_changes() {
    let age = Duration::from_mins(30);
    let (fixture, _fresh) = StreamFixture::with_freshness(Some(age)).await;
    let mut stream = fixture.stream();
    for kind in [ResourceType::Cluster, ResourceType::Listener] {
        stream.send(kind, None);
        let response = stream.response(kind).await;
        stream.send(kind, Some(&response));
    }
    let (end, after) = stream.next().await;
    assert!(end.is_none(), "{end:?}");
    assert!((age * 9 / 10..=age * 11 / 10 + Duration::from_secs(1)).contains(&after), "{after:?}");
}
