//! The container image of the control plane, laid out without a container engine.
//!
//! ```text
//!  program (static) --+
//!  root certificates -+--> layer (tar, gzip) --> config --> manifest --> index.json     FOLDER/, and FOLDER.tar
//! ```
//!
//! The image has no shell, no package manager and no library: only the program, the root certificates, and a folder for
//! data that belongs to the user of the program. The same inputs give the same bytes.

mod layout;
pub(crate) mod tar;

use std::fs;
use std::path::{Path, PathBuf};

use layout::{Image, Labels};
use stack::command::Run;
use stack::console::{say, step};
use stack::failure::{Failure, Result};
use stack::workspace::Workspace;

/// The target of the program: that of this machine. Its C library is linked statically.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The places of the root certificates on common systems.
const ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Builds the program unless one is given, and lays the image out in a folder and as an archive.
pub(crate) fn run(workspace: &Workspace, program: Option<PathBuf>, to: Option<PathBuf>) -> Result<()> {
    let program = match program {
        Some(program) => program,
        None => build(workspace)?,
    };
    let folder = to.unwrap_or_else(|| workspace.file("target/image/control-plane"));
    let digest = lay_out(workspace, &program, &folder)?;
    say(format_args!("{}\n{}.tar\nmanifest {digest}", folder.display(), folder.display()));
    Ok(())
}

/// Builds the program with a static C library. Only the program itself is compiled for it: the libraries are those of
/// every other release build.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    step("cargo rustc control-plane, static", |progress| {
        Run::cargo(workspace.root())
            .args(["rustc", "--locked", "--release", "--package", "control-plane", "--bin", "control-plane"])
            .args(["--", "-C", "target-feature=+crt-static", "-C", "strip=symbols"])
            .building(progress)
    })?;
    Ok(workspace.file("target/release/control-plane"))
}

/// Lays an image out, and returns the digest of its manifest.
fn lay_out(workspace: &Workspace, program: &Path, folder: &Path) -> Result<String> {
    let executable = fs::read(program).map_err(Failure::file("read", program))?;
    require_static(program, &executable)?;
    let roots = ROOTS.iter().find_map(|path| fs::read(path).ok());
    let roots = roots.ok_or_else(|| Failure::Missing {
        program: "ca-certificates".to_owned(),
        remedy: "install the package with the root certificates of the web",
    })?;
    let labels = Labels { version: env!("CARGO_PKG_VERSION").to_owned(), revision: revision(workspace) };
    let image = Image::new(&executable, &roots, &labels)?;
    image.write(folder)?;
    Ok(image.manifest_digest().to_owned())
}

/// The commit of the checkout, if it is one.
fn revision(workspace: &Workspace) -> Option<String> {
    let found = Run::new("git", workspace.root()).args(["rev-parse", "HEAD"]).filter("").ok()?;
    let found = found.trim();
    (found.len() == 40).then(|| found.to_owned())
}

/// Refuses a program that needs a loader or a library: an image without them could not start it.
fn require_static(path: &Path, program: &[u8]) -> Result<()> {
    match needs_loader(program) {
        Some(false) => Ok(()),
        Some(true) => Err(Failure::Unreadable {
            path: path.to_owned(),
            why: format!("it is linked dynamically; build it for {TARGET} with `-C target-feature=+crt-static`"),
        }),
        None => Err(Failure::Unreadable { path: path.to_owned(), why: "it is not a 64-bit ELF program".to_owned() }),
    }
}

/// Whether an ELF program names a loader (a program header of type `PT_INTERP`). `None` for other files.
fn needs_loader(program: &[u8]) -> Option<bool> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, bytes: usize| -> Option<u64> {
        let field = program.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for header in 0..count {
        let at = usize::try_from(table.checked_add(header.checked_mul(size)?)?).ok()?;
        if number(at, 4)? == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests;
