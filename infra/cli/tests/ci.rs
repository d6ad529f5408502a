//! The files for CI systems are valid, and their scripts work with the built program.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn yaml(file: &str) -> Value {
    let path = repository().join("infra/ci").join(file);
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A folder with findings in its mesh, and a space and a quote in a name; removed when the test ends.
struct Project(PathBuf);

impl Project {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("meshwarden-ci-{}-{name}", std::process::id()));
        std::fs::create_dir_all(folder.join("a mesh'$(touch hit)")).unwrap();
        let fixture = repository().join("shared/readers/tests/readers/fixtures/loose/api.json");
        std::fs::copy(&fixture, folder.join("a mesh'$(touch hit)/api.json")).unwrap();
        std::fs::copy(&fixture, folder.join("api.json")).unwrap();
        Self(folder)
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.join(file)).unwrap_or_default()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn ended(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn action_declares_its_inputs_and_keeps_them_out_of_scripts() {
    let action = yaml("github/action.yml");
    assert_eq!(action["runs"]["using"], "composite");
    let inputs = action["inputs"].as_object().unwrap();
    for (name, input) in inputs {
        assert!(input["description"].is_string() && input["default"].is_string(), "{name}");
    }
    let text = std::fs::read_to_string(repository().join("infra/ci/github/action.yml")).unwrap();
    for used in text.split("${{ inputs.").skip(1) {
        let name = used.split(" }}").next().unwrap();
        assert!(inputs.contains_key(name), "{name}");
    }
    for step in action["runs"]["steps"].as_array().unwrap() {
        assert_eq!(step["shell"], "bash", "{step}");
        assert!(!step["run"].as_str().unwrap().contains("${{"), "an input would be part of the script: {step}");
    }
}

#[test]
fn github_script_annotates_summarises_and_ends_as_the_check_does() {
    let project = Project::new("github");
    let run = |paths: &str, fail_on: &str| {
        let mut command = Command::new("bash");
        command.arg(repository().join("infra/ci/github/check.sh")).current_dir(&project.0);
        command.env("MESHWARDEN_PROGRAM", env!("CARGO_BIN_EXE_meshwarden")).env("MESHWARDEN_PATHS", paths);
        command.env("MESHWARDEN_FAIL_ON", fail_on).env("MESHWARDEN_ARGUMENTS", "--region=eu-west-1\n");
        command.env("MESHWARDEN_SARIF", "out.sarif").env("MESHWARDEN_HTML", "out.html");
        command.env("GITHUB_STEP_SUMMARY", "summary.md").env_remove("MESHWARDEN_POLICY_FILE");
        ended(&command.output().unwrap())
    };
    let (code, text) = run("a mesh'$(touch hit)\napi.json\n", "high");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("::error file=") && text.contains("file=api.json,line="), "{text}");
    assert!(
        text.contains("file=a mesh'$(touch hit)/api.json,line=") || project.read("out.sarif").contains("touch"),
        "{text}"
    );
    assert!(!project.0.join("hit").exists(), "a path became a command");
    let sarif: Value = serde_json::from_str(&project.read("out.sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    assert!(project.read("out.html").contains("<svg "));
    assert!(project.read("summary.md").contains("\nRead: "), "{}", project.read("summary.md"));
    assert_eq!(run("api.json", "never").0, Some(0));
    assert_eq!(run("vanished.json", "never").0, Some(2), "what cannot be read is never success");
}

#[test]
fn gitlab_job_writes_its_reports_and_ends_as_the_check_does() {
    let job = yaml("gitlab/meshwarden.gitlab-ci.yml")["meshwarden-check"].clone();
    let lines = |part: &str| -> String {
        let lines: Vec<&str> = job[part].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        lines.join("\n") + "\n"
    };
    let project = Project::new("gitlab");
    let script = format!("set -e\n{}{}", lines("before_script"), lines("script"));
    let folder = Path::new(env!("CARGO_BIN_EXE_meshwarden")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let run = |paths: &str, fail_on: &str, path: &str| {
        // The script runs as on a runner: the job's variables in a plain shell.
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(&project.0).env("PATH", path);
        for (name, value) in job["variables"].as_object().unwrap() {
            command.env(name, value.as_str().unwrap());
        }
        command.env("MESHWARDEN_ARGUMENTS", "--region=eu-west-1\n--profile=strict").env("CI_PROJECT_DIR", &project.0);
        ended(&command.env("MESHWARDEN_PATHS", paths).env("MESHWARDEN_FAIL_ON", fail_on).output().unwrap())
    };
    assert_eq!(run("api.json", "high", &path).0, Some(1));
    let report = job["artifacts"]["reports"]["junit"].as_str().unwrap();
    assert!(project.read(report).contains("<failure "), "{report}");
    let page = job["artifacts"]["paths"][0].as_str().unwrap();
    assert!(project.read(page).contains("<svg "), "{page}");
    let (code, text) = run("api.json\na mesh'$(touch hit)", "never", &path);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Read: 2 files") && !project.0.join("hit").exists(), "{text}");
    let (code, text) = run("api.json api.json", "never", &path);
    assert!(code == Some(0) && text.contains("Read: 1 file,"), "{text}");
    assert_eq!(run("vanished.json", "never", &path).0, Some(2));
    assert_eq!(run("api.json", "never", "/usr/bin:/bin").0, Some(2), "without the program it says how to get it");
}

/// The job's build output stays in cached project folders that `check .` skips.
#[test]
fn gitlab_job_caches_its_build() {
    let job = yaml("gitlab/meshwarden.gitlab-ci.yml")["meshwarden-check"].clone();
    let script = job["before_script"][0].as_str().unwrap();
    let cached: Vec<&str> = job["cache"]["paths"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(cached, [".meshwarden/"]);
    assert!(!script.contains("/tmp"), "{script}");
    for written in ["CARGO_HOME=\"$CI_PROJECT_DIR/.meshwarden/", "meshwarden_source=\"$CI_PROJECT_DIR/.meshwarden/"] {
        assert!(script.contains(written), "{written}");
    }
}
