//! `cargo xtask release`: everything that an installation needs, in one folder.
//!
//! ```text
//!  cargo lambda, profile `lambda` --> packages/VERSION/ARCHITECTURE/FUNCTION.zip
//!                                 --> bin/ARCHITECTURE/meshwarden
//!  infra/template.yaml -----------> meshwarden.yaml, without the transform of SAM
//!  cargo rustc, static -----------> images/control-plane.tar (architecture of this machine)
//!  the Helm chart ----------------> charts/NAME-VERSION.tgz
//!  Cargo.lock --------------------> sbom.cdx.json
//!  all of it ---------------------> SHA256SUMS; release.json lists built and missing parts
//! ```
//!
//! The same programs give the same bytes: archives have no times and a fixed order.

mod archives;
mod sbom;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::image;
use stack::command::Run;
use stack::console::{say, step};
use stack::failure::{Failure, Result};
use stack::workspace::Workspace;

/// The chart, and its name.
const CHART: (&str, &str) = ("infra/deploy/helm/meshwarden-control-plane", "meshwarden-control-plane");

/// The program of operators.
const COMMAND: &str = "meshwarden";

/// The content of a release.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The version, as in the keys of the packages
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    version: String,
    /// The architectures to build; without it, both. One that cannot be built is reported in release.json
    #[arg(long, value_enum)]
    architecture: Vec<Architecture>,
    /// Build only these functions, without the other programs
    #[arg(long, value_name = "FUNCTION")]
    only: Vec<String>,
    /// Package the programs in this folder instead of building them. They are of the one `--architecture` that is named
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// The folder to write, which must not exist or be empty
    #[arg(long, value_name = "DIR", default_value = "dist")]
    to: PathBuf,
}

/// An architecture of Lambda.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Architecture {
    /// AWS Graviton
    #[value(name = "arm64")]
    Arm64,
    /// 64-bit Intel and AMD
    #[value(name = "x86_64")]
    X8664,
}

impl Architecture {
    /// The name in the keys of packages, as in the template's parameter.
    const fn name(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X8664 => "x86_64",
        }
    }

    /// Rust's target.
    const fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X8664 => "x86_64-unknown-linux-gnu",
        }
    }

    /// The machine in the header of an ELF program.
    const fn machine(self) -> u8 {
        match self {
            Self::Arm64 => 183,
            Self::X8664 => 62,
        }
    }
}

/// Writes a release.
pub(crate) fn run(workspace: &Workspace, args: &ReleaseArgs) -> Result<()> {
    let folder = workspace.file("").join(&args.to);
    require_empty(&folder)?;
    let functions = functions(workspace, &args.only)?;
    let both = [Architecture::Arm64, Architecture::X8664];
    let wanted = if args.architecture.is_empty() { &both[..] } else { &args.architecture };
    if let (Some(path), true) = (&args.programs, wanted.len() != 1) {
        let why = "`--programs` needs the one `--architecture` of these programs".to_owned();
        return Err(Failure::Unreadable { path: path.clone(), why });
    }
    let (mut built, mut missing) = (Vec::new(), Vec::new());
    for architecture in wanted {
        let programs = match &args.programs {
            Some(programs) => Ok(programs.clone()),
            None => build(workspace, *architecture, &functions, args.only.is_empty()),
        };
        let packed = programs.and_then(|programs| pack(&folder, &programs, *architecture, &functions, args));
        match packed {
            Ok(()) => built.push(architecture.name()),
            // An interrupt is not a property of the machine.
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(failure) => missing.push((architecture.name(), failure.to_string())),
        }
    }
    for (name, why) in &missing {
        say(format_args!("{name} was not built: {why}"));
    }
    if built.is_empty() {
        let seen = missing.into_iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ");
        return Err(Failure::Unexpected { expected: "an architecture can be built".to_owned(), seen });
    }
    step("plain template", |progress| {
        Run::new(workspace.venv_program("python"), workspace.root())
            .args(["-B", "infra/dev/release/plain_template.py", "--version", &args.version])
            .arg_pair("--output", folder.join("meshwarden.yaml"))
            .condensed(progress)
    })?;
    write(&folder.join(format!("charts/{}-{}.tgz", CHART.1, args.version)), &chart(workspace)?)?;
    write(&folder.join("sbom.cdx.json"), sbom::document(workspace, &args.version)?.as_bytes())?;
    let image = args.only.is_empty() && args.programs.is_none();
    if image {
        image::run(workspace, None, Some(folder.join("images/control-plane")))?;
    }
    let missing: Vec<_> = missing.iter().map(|(name, why)| json!({ "architecture": name, "reason": why })).collect();
    let summary = json!({
        "version": args.version,
        "profile": if args.programs.is_some() { "given programs" } else { "lambda" },
        "functions": functions,
        "architectures": built,
        "image": image,
        "notBuilt": missing,
    });
    write(&folder.join("release.json"), format!("{summary:#}\n").as_bytes())?;
    let sums = checksums(&folder)?;
    write(&folder.join("SHA256SUMS"), sums.as_bytes())?;
    say(format_args!("{}: {} files, for {}", folder.display(), sums.lines().count(), built.join(" and ")));
    Ok(())
}

/// A release with files of an older one would have checksums of both.
fn require_empty(folder: &Path) -> Result<()> {
    let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if is_empty {
        return Ok(());
    }
    Err(Failure::Unreadable {
        path: folder.to_owned(),
        why: "it is not empty; remove it, or name another `--to`".to_owned(),
    })
}

/// The functions to release.
fn functions(workspace: &Workspace, only: &[String]) -> Result<Vec<String>> {
    let all = workspace.functions()?;
    if let Some(unknown) = only.iter().find(|name| !all.contains(name)) {
        return Err(Failure::Unexpected {
            expected: format!("`--only` names one of {}", all.join(", ")),
            seen: format!("it names `{unknown}`"),
        });
    }
    Ok(if only.is_empty() { all } else { only.to_vec() })
}

/// Builds the programs of one architecture in the profile that is tested and measured, for the C library of Lambda.
fn build(
    workspace: &Workspace,
    architecture: Architecture,
    functions: &[String],
    with_command: bool,
) -> Result<PathBuf> {
    require_target(workspace, architecture)?;
    let folder = workspace.file("target/release-programs").join(architecture.name());
    step(&format!("cargo lambda build, {}", architecture.name()), |progress| {
        let run = Run::new(workspace.venv_program("cargo-lambda"), workspace.root())
            .args(["lambda", "build", "--profile", "lambda", "--locked", "--output-format", "binary"])
            .args(["--target", architecture.target()])
            .arg_pair("--lambda-dir", &folder);
        let command = Some(COMMAND).filter(|_| with_command);
        let names = functions.iter().map(String::as_str).chain(command);
        names.fold(run, |run, name| run.args(["--package", name, "--bin", name])).building(progress)
    })?;
    Ok(folder)
}

/// cargo-lambda would try to install a missing target, which needs the network and changes the machine.
fn require_target(workspace: &Workspace, architecture: Architecture) -> Result<()> {
    let libraries = Run::new("rustc", workspace.root())
        .args(["--print", "target-libdir", "--target", architecture.target()])
        .filter("")?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    Err(Failure::Missing {
        program: format!("the standard library of {}", architecture.target()),
        remedy: "install it with `rustup target add`",
    })
}

/// Writes the packages of one architecture.
fn pack(
    folder: &Path,
    programs: &Path,
    architecture: Architecture,
    functions: &[String],
    args: &ReleaseArgs,
) -> Result<()> {
    for function in functions {
        let program = read_program(programs, function, architecture)?;
        let name = format!("packages/{}/{}/{function}.zip", args.version, architecture.name());
        write(&folder.join(name), &archives::zip("bootstrap", &program)?)?;
    }
    if args.only.is_empty() {
        let command = read_program(programs, COMMAND, architecture)?;
        let path = folder.join("bin").join(architecture.name()).join(COMMAND);
        write(&path, &command)?;
        make_executable(&path)?;
    }
    Ok(())
}

/// Reads a program: `NAME/bootstrap`, as cargo-lambda writes it, or `NAME`.
fn read_program(folder: &Path, name: &str, architecture: Architecture) -> Result<Vec<u8>> {
    let nested = folder.join(name).join("bootstrap");
    let other = folder.join(name).join(name);
    let path = [nested, other].into_iter().find(|path| path.is_file()).unwrap_or_else(|| folder.join(name));
    let program = fs::read(&path).map_err(Failure::file("read", &path))?;
    // Lambda reports a program of another architecture only when it starts.
    let is_of_architecture =
        program.starts_with(b"\x7fELF\x02\x01") && program.get(18) == Some(&architecture.machine());
    if is_of_architecture {
        return Ok(program);
    }
    Err(Failure::Unreadable { path, why: format!("it is not a program for {}", architecture.name()) })
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Failure::file("make executable", path))
}

/// The chart as `helm package` lays it out.
fn chart(workspace: &Workspace) -> Result<Vec<u8>> {
    let root = workspace.file(CHART.0);
    let mut files = Vec::new();
    for path in all_files(&root)? {
        let name = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
        // Example values of the checks.
        if !name.starts_with("ci/") {
            files.push((format!("{}/{name}", CHART.1), fs::read(&path).map_err(Failure::file("read", &path))?));
        }
    }
    archives::tar_gz(&files)
}

/// The checksums of all files, in the form of `sha256sum --check`.
fn checksums(folder: &Path) -> Result<String> {
    let mut lines = Vec::new();
    for path in all_files(folder)? {
        let content = fs::read(&path).map_err(Failure::file("read", &path))?;
        let name = path.strip_prefix(folder).unwrap_or(&path).display();
        let hex = |text: String, byte: &u8| text + &format!("{byte:02x}");
        let digest = Sha256::digest(&content).iter().fold(String::new(), hex);
        lines.push(format!("{digest}  {name}\n"));
    }
    Ok(lines.concat())
}

/// Every file below a folder, in the order of their names.
fn all_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Failure::file("list", folder))? {
        let path = entry.map_err(Failure::file("list", folder))?.path();
        if path.is_dir() {
            found.extend(all_files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Failure::file("create", parent))?;
    }
    fs::write(path, content).map_err(Failure::file("write", path))
}

#[cfg(test)]
mod tests;
