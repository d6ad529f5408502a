//! Episodes: scripts of alarms, edits and invocations, each with its recorded decision below it.
//!
//! A line that begins with `>` is recorded output; everything else is the script. `UPDATE_EPISODES=1` records again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use decisions::failover::{Subject, Verdict};
use mesh::alarm::{AlarmName, AlarmState};

use crate::world::{World, code, node, split};

#[test]
fn episodes_go_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/episodes");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let recorded = std::fs::read_to_string(&file).unwrap();
        let played = play(&recorded);
        if std::env::var_os("UPDATE_EPISODES").is_some() {
            std::fs::write(&file, &played).unwrap();
        } else {
            assert_eq!(played, recorded, "{}: UPDATE_EPISODES=1 records it again", file.display());
        }
    }
}

fn play(script: &str) -> String {
    let mut stage = Stage { world: World::new(&[], ""), last: BTreeMap::new(), out: String::new() };
    for line in script.lines().filter(|line| !line.starts_with('>')) {
        stage.out.push_str(line);
        stage.out.push('\n');
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["#", ..] => {}
            ["policy", ..] => stage.world.add_policy(line.trim_start_matches("policy").trim()),
            ["route", router, targets @ ..] => stage.world.add_route(router, &targets.join(" ")),
            ["calls", caller, callees @ ..] => {
                stage.world.calls.insert(node(caller), callees.iter().map(|callee| node(callee)).collect());
            }
            ["alarm", of, state] => stage.world.alarm(of, self::state(state)),
            ["readiness", name, state] => stage.world.plain_alarm(name, self::state(state)),
            ["mute", of] => {
                let name = AlarmName::parse(of).unwrap();
                stage.world.alarms.get_mut(&name).unwrap().actions_enabled = false;
            }
            ["silent", of] => drop(stage.world.silent.insert(node(of))),
            ["talks", of] => drop(stage.world.silent.remove(&node(of))),
            ["edit", router, targets @ ..] => stage.world.edit(router, &split(&targets.join(" ")).to_string()),
            ["release", router] => stage.world.release(router),
            ["lose-table"] => stage.world.lose_table(),
            ["wake"] => stage.wake(),
            ["minutes", minutes] => {
                for _ in 0..minutes.parse::<u32>().unwrap() {
                    stage.world.wait(60);
                    stage.wake();
                }
            }
            other => panic!("an episode can't do {other:?}"),
        }
    }
    stage.out
}

struct Stage {
    world: World,
    last: BTreeMap<Subject, String>,
    out: String,
}

impl Stage {
    /// Decides once and writes down what changed.
    fn wake(&mut self) {
        for decision in self.world.wake() {
            let code = code(&decision.verdict);
            let acts = matches!(decision.verdict, Verdict::Act(_));
            let is_news = self.last.insert(decision.subject.clone(), code.clone()) != Some(code.clone());
            if !acts && !is_news {
                continue;
            }
            let time = self.world.now.strftime("%H:%M");
            let line = match &decision.subject {
                Subject::Route(id) => {
                    let split = &self.world.routes[id].split;
                    format!("> {time}  {:<12} {code:<18} {split}", id.router.as_str())
                }
                Subject::Node(node) => format!("> {time}  {:<12} {code}", node.as_str()),
            };
            self.out.push_str(line.trim_end());
            self.out.push('\n');
        }
    }
}

fn state(word: &str) -> AlarmState {
    match word {
        "OK" => AlarmState::Ok,
        "ALARM" => AlarmState::Alarm,
        "INSUFFICIENT_DATA" => AlarmState::InsufficientData,
        other => AlarmState::Unrecognised(other.to_owned()),
    }
}
