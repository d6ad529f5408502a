//! A server that restarts between any two writes.

use proptest::prelude::*;

use super::*;
use crate::state::tests::{quotas, writes};
use crate::store::Store;

fn start(folder: &Scratch) -> Store {
    let (disk, records) = open(folder).unwrap();
    Store::with_storage(Box::new(disk), &records, quotas()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn restarts_make_no_difference(writes in prop::collection::vec((writes(), prop::bool::weighted(0.1)), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = Scratch::new();
        let mut store = Some(start(&folder));
        let mut state = State::new(quotas());
        for (n, (write, restart)) in writes.iter().enumerate() {
            if *restart {
                drop(store.take());
                store = Some(start(&folder));
            }
            let store = store.as_ref().unwrap();
            let expected = state.write(write, &stamp(n)).map(|written| written.answer);
            prop_assert_eq!(runtime.block_on(store.write(write, &stamp(n))), expected);
            prop_assert!(store.inspect(|stored| *stored == state), "after write {}", n);
        }
        drop(store);
        prop_assert!(start(&folder).inspect(|stored| *stored == state), "at the end");
    }
}
