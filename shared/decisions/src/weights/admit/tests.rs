use super::*;
use crate::failover::fixtures::{at, node, split};
use crate::weights::{DrillLayer, Edit, Move, Moves, Phase, RolloutLayer};
use mesh::amounts::Percent;
use mesh::name::{RouteId, VirtualNodeName};
use mesh::split::WeightSplit;

fn rollout(id: &str) -> RolloutLayer {
    RolloutLayer {
        id: id.to_owned(),
        moves: Moves::new(vec![Move { from: node("v1"), to: node("v2") }]).unwrap(),
        percent: Percent::new(25).unwrap(),
        since: at(0),
        acknowledged: None,
        attend_by: at(300),
        to_capacity: None,
    }
}

fn declared() -> WeightSplit {
    split(&[("v1", 100), ("v2", 0), ("v3", 0)])
}

/// The layers that a column stands for.
fn layers(column: Column) -> Layers {
    let mut layers = Layers::declared(declared());
    match column {
        Column::Held => layers.held = Some(Edit { seen: at(0), until: at(600) }),
        Column::Failover => drop(layers.failover.phases.insert(node("v3"), Phase::drained(at(5)))),
        Column::Rollout => layers.rollout = Some(rollout("r1")),
        Column::Drill => {
            layers.drill =
                Some(DrillLayer { id: "d1".to_owned(), node: node("v3"), since: at(0), restore_by: at(900) });
        }
    }
    layers
}

fn kill_switch() -> KillSwitchFact {
    KillSwitchFact { by: "dana".to_owned(), reason: "incident".to_owned() }
}

/// The admission in short: `go`, `ends CODE`, `waits CODE`, `waits CODE and pages`, `refused CODE`.
fn text(admission: &Admission) -> String {
    match admission {
        Admission::Go { ends } if ends.is_empty() => "go".to_owned(),
        Admission::Go { ends } => {
            let ends: Vec<String> =
                ends.iter().map(|end| format!("{} {}", end.layer.name(), end.reason.code())).collect();
            format!("ends {}", ends.join(", "))
        }
        Admission::Wait { reason, pages, .. } => {
            format!("waits {}{}", reason.code(), if *pages { " and pages" } else { "" })
        }
        Admission::Refuse { reason } => format!("refused {}", reason.code()),
    }
}

/// Every cell of the table: the writer, and its admission in the columns held, failover, rollout and drill.
#[test]
fn each_cell_of_the_table() {
    let (v1, v2, v3) = ([node("v1")], [node("v2")], [node("v3")]);
    let (same, other) = (declared(), split(&[("v1", 50), ("v2", 50), ("v3", 0)]));
    let drain = |nodes| Writer::FailoverDrain { nodes };
    let edited = "waits PersonEdited";
    let edited_pages = "waits PersonEdited and pages";
    let cases: Vec<(Writer<'_>, [&str; 4])> = vec![
        (drain(&v1), [edited_pages, "go", "go", "ends drill DrillFailed"]),
        (drain(&v2), [edited_pages, "go", "ends rollout TargetFailed", "ends drill DrillFailed"]),
        (drain(&v3), [edited_pages, "go", "go", "ends drill Interrupted"]),
        (Writer::FailbackStep, [edited, "go", "go", "waits DrillActive"]),
        (Writer::BackDown { nodes: &v3 }, [edited_pages, "go", "go", "go"]),
        (Writer::BackDown { nodes: &v2 }, [edited_pages, "go", "ends rollout TargetFailed", "go"]),
        (
            Writer::DrillStart,
            ["refused PersonEdited", "refused FailoverActive", "refused RolloutActive", "refused DrillActive"],
        ),
        (Writer::DrillEnd, [edited_pages, "go", "go", "ends drill DrillEnded"]),
        (Writer::RolloutStep { id: "r1" }, [edited, "waits FailoverActive", "go", "waits DrillActive"]),
        (
            Writer::RolloutStep { id: "r2" },
            [edited, "waits FailoverActive", "refused RolloutActive", "waits DrillActive"],
        ),
        (Writer::Rollback, [edited_pages, "go", "ends rollout RolledBack", "go"]),
        (Writer::Promotion, [edited, "waits FailoverActive", "ends rollout Promoted", "waits DrillActive"]),
        (
            Writer::OperatorEdit,
            ["go", "ends failover Interrupted", "ends rollout Interrupted", "ends drill Interrupted"],
        ),
        (Writer::OperatorHold, ["go", "go", "go", "refused DrillActive"]),
        (Writer::Restore, ["go", "ends failover Aborted", "ends rollout Aborted", "ends drill Interrupted"]),
        (Writer::DeclaredWrite { split: &same }, ["go", "go", "go", "ends drill Interrupted"]),
        (
            Writer::DeclaredWrite { split: &other },
            ["go", "go", "ends rollout DeclaredChanged", "ends drill Interrupted"],
        ),
    ];
    for kind in WriterKind::ALL {
        assert!(cases.iter().any(|(writer, _)| writer.kind() == kind), "{kind:?} has no case");
    }
    for (writer, expected) in cases {
        let steady = admit(&writer, &Layers::declared(declared()), None, at(10));
        assert_eq!(text(&steady), "go", "{writer:?} on a route as declared");
        for (column, expected) in Column::ALL.into_iter().zip(expected) {
            let admission = admit(&writer, &layers(column), None, at(10));
            assert_eq!(text(&admission), expected, "{writer:?} meets {column:?}");
        }
    }
}

/// The text of the documentation names the codes that the evaluation gives.
#[test]
fn texts_of_cells_agree_with_their_effects() {
    for writer in WriterKind::ALL {
        for (column, (effect, text)) in Column::ALL.into_iter().zip(row(writer)) {
            let code = match column {
                Column::Held => "PersonEdited",
                Column::Failover => "FailoverActive",
                Column::Rollout => "RolloutActive",
                Column::Drill => "DrillActive",
            };
            let parts: Vec<String> = match effect {
                Effect::Waits => vec!["waits".to_owned(), code.to_owned()],
                Effect::WaitsAndPages => vec!["waits".to_owned(), code.to_owned(), "pages".to_owned()],
                Effect::Refused => vec!["refused".to_owned(), code.to_owned()],
                Effect::ExcludedProceeds | Effect::ExcludedWaits => vec!["excluded".to_owned()],
                Effect::EndsDrillByNode => vec!["DrillFailed".to_owned(), "Interrupted".to_owned()],
                Effect::EndsIfChanged => vec!["DeclaredChanged".to_owned()],
                Effect::OwnRollout => vec!["refused `RolloutActive`".to_owned()],
                Effect::Proceeds | Effect::Ends(_) | Effect::EndsIfTargetFails => Vec::new(),
            };
            for part in parts {
                assert!(text.contains(&part), "{writer:?} {column:?}: `{text}` does not name `{part}`");
            }
        }
    }
}

#[test]
fn ended_hold_is_not_met() {
    let held = layers(Column::Held);
    assert_eq!(text(&admit(&Writer::Rollback, &held, None, at(599))), "waits PersonEdited and pages");
    assert_eq!(text(&admit(&Writer::Rollback, &held, None, at(600))), "go");
}

#[test]
fn kill_switch_stops_all_writers_but_edits_holds_and_declared_writes() {
    let (nodes, declared) = ([node("v1")], declared());
    let writers = [
        (Writer::FailoverDrain { nodes: &nodes }, true),
        (Writer::FailbackStep, true),
        (Writer::BackDown { nodes: &nodes }, true),
        (Writer::DrillStart, true),
        (Writer::DrillEnd, true),
        (Writer::RolloutStep { id: "r1" }, true),
        (Writer::Rollback, true),
        (Writer::Promotion, true),
        (Writer::Restore, true),
        (Writer::OperatorEdit, false),
        (Writer::OperatorHold, false),
        (Writer::DeclaredWrite { split: &declared }, false),
    ];
    let kill = kill_switch();
    for (writer, stopped) in writers {
        let admission = admit(&writer, &Layers::declared(declared.clone()), Some(&kill), at(0));
        let expected = if stopped { "waits KillSwitchOn and pages" } else { "go" };
        assert_eq!(text(&admission), expected, "{writer:?}");
    }
}

#[test]
fn first_column_that_forbids_gives_the_reason() {
    let mut all = layers(Column::Held);
    all.failover.phases.insert(node("v3"), Phase::drained(at(5)));
    all.rollout = Some(rollout("r1"));
    let step = Writer::RolloutStep { id: "r1" };
    assert_eq!(text(&admit(&step, &all, None, at(0))), "waits PersonEdited");
    all.held = None;
    assert_eq!(text(&admit(&step, &all, None, at(0))), "waits FailoverActive");
    let edit = text(&admit(&Writer::OperatorEdit, &all, None, at(0)));
    assert_eq!(edit, "ends failover Interrupted, rollout Interrupted");
}

#[test]
fn each_wait_and_refusal_has_a_command_and_a_documented_code() {
    let route = RouteId::parse("shop/recs/all").unwrap();
    let kill = kill_switch();
    let mut blockers: Vec<Blocker> =
        Column::ALL.into_iter().filter_map(|column| met(column, &layers(column), at(0))).collect();
    let killed = admit(&Writer::Rollback, &layers(Column::Rollout), Some(&kill), at(0));
    blockers.push(killed.blocker().unwrap().clone());
    let commands: Vec<String> = blockers.iter().map(|blocker| blocker.command(&route)).collect();
    let expected = [
        "meshwarden release shop/recs/all",
        "meshwarden restore shop/recs/all",
        "meshwarden rollout abort r1",
        "meshwarden drill stop d1",
        "meshwarden kill off",
    ];
    assert_eq!(commands, expected);
    for blocker in &blockers {
        assert!(Blocker::ENTRIES.iter().any(|entry| entry.code == blocker.code()));
        let json = serde_json::to_value(blocker).unwrap();
        assert_eq!(json["reason"], blocker.code(), "the code is the serialized tag");
    }
}

/// Of two writers, the higher rank never waits for the layer of the lower one.
#[test]
fn higher_rank_is_not_stopped_by_the_layer_of_a_lower_one() {
    let nodes: [VirtualNodeName; 1] = [node("v1")];
    let split = declared();
    let writers = [
        Writer::FailoverDrain { nodes: &nodes },
        Writer::BackDown { nodes: &nodes },
        Writer::Rollback,
        Writer::DrillEnd,
        Writer::OperatorEdit,
        Writer::Restore,
        Writer::DeclaredWrite { split: &split },
    ];
    for writer in writers {
        for column in [Column::Failover, Column::Rollout, Column::Drill] {
            assert!(admit(&writer, &layers(column), None, at(0)).ends().is_some(), "{writer:?} meets {column:?}");
        }
    }
    assert!(WriterKind::Rollback.rank() > WriterKind::FailoverDrain.rank());
    assert!(WriterKind::DrillStart.rank() < WriterKind::RolloutStep.rank());
}
