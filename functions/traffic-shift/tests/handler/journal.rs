//! The journal: every change of a state has an entry, and its observation gives the same decision again.

use mesh::alarm::AlarmState;
use mesh::name::MeshName;
use policy::RolloutId;
use ports::{ReportStore as _, StateKey};
use records::{ObservedRef, RawObservation, replay};

use crate::shop::{Shop, route, short};

#[tokio::test(start_paused = true)]
async fn recorded_decisions_are_made_again() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&short()).await.unwrap();
    function.minutes(1).await;
    shop.set_alarm(AlarmState::Alarm);
    function.minutes(2).await;
    let rollout = StateKey::rollout(&MeshName::parse("shop").unwrap(), &RolloutId::parse("r1").unwrap());
    let (mut entries, mut codes) = (0, Vec::new());
    for key in [rollout, StateKey::route(&route("all"))] {
        for entry in shop.ports.state.journal_of(&key) {
            let body = entry.read().unwrap();
            codes.extend(body.decisions().iter().map(|decision| decision.reason.clone()));
            let observed = match body.observed() {
                Some(ObservedRef::Here(observed)) => observed.clone(),
                Some(ObservedRef::At { .. }) => {
                    let name = body.observed().unwrap().object_name().unwrap().to_owned();
                    let text = shop.ports.reports.get(&name).await.unwrap();
                    RawObservation::from(serde_json::from_slice::<serde_json::Value>(&text).unwrap())
                }
                Some(ObservedRef::Lost { error }) => panic!("{error}"),
                None => continue,
            };
            for replayed in replay(&body, &observed).unwrap() {
                assert!(replayed.is_same(), "{replayed:?}");
                entries += 1;
            }
        }
    }
    assert!(entries >= 4, "{entries}");
    for code in ["Shifting", "Watching", "RollingBack", "GateFailed"] {
        assert!(codes.iter().any(|known| known == code), "{code} is not in {codes:?}");
    }
}
