//! Imports into a real control plane, over the SDK.

mod corpus;
mod crashes;
mod faulty_api;
mod round_trip;
mod writers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser as _;
use imports::{CarriedOutcome, CarriedRow, Desired, Held, comparable};
use jiff::Timestamp;
use mesh::name::ResourcePath;
use mesh::resource::Tags;
use mesh::spec::Spec;
use meshwarden_tests::stack::{ControlPlane, sdk_config};
use policy::Policy;

use super::api::{MeshApi, held};
use super::error::ImportError;
use super::input::desired;
use super::report::ImportReport;
use super::run::{ImportRequest, run};
use crate::args::{Args, Command};
use crate::check::Input;

/// The built-in policy, which is parsed once.
static POLICY: OnceLock<Policy> = OnceLock::new();

/// The API of a control plane.
async fn api_of(plane: &ControlPlane) -> aws::AppMesh {
    aws::Aws::with_config(sdk_config(&plane.endpoint).await).mesh()
}

/// The resources of files, read with the options of the command line.
fn read(paths: &[&Path], flags: &[&str]) -> Result<Desired, ImportError> {
    let paths: Vec<String> = paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let words =
        ["meshwarden", "import"].into_iter().chain(paths.iter().map(String::as_str)).chain(flags.iter().copied());
    let Command::Import(args) = Args::try_parse_from(words).unwrap().command else { panic!("not an import") };
    let input = Input {
        paths: &args.input.paths,
        around: &args.input.around,
        allow_empty: true,
        allow_unread_modules: false,
        fill_placeholders: true,
    };
    Ok(desired(&input, args.input.drop_unknown, None)?.desired)
}

/// Imports resources, with the flags of the command line.
async fn import(api: &dyn MeshApi, desired: &Desired, flags: &[&str]) -> Result<ImportReport, ImportError> {
    let words = ["meshwarden", "import", "-"].into_iter().chain(flags.iter().copied());
    let Command::Import(args) = Args::try_parse_from(words).unwrap().command else { panic!("not an import") };
    let confirm = |_: &[&ResourcePath]| super::confirm(&[], args.write.yes);
    let request = ImportRequest {
        desired,
        options: imports::PlanOptions { prune: args.plan.prune, create_meshes: args.plan.create_meshes },
        policy: POLICY.get_or_init(|| Policy::built_in().unwrap()),
        now: Timestamp::UNIX_EPOCH,
        dry_run: args.write.dry_run,
        allow_cuts: args.write.allow_cuts,
        confirm: &confirm,
        progress: &|_, _| {},
        continue_with: "meshwarden import -".to_owned(),
    };
    run(api, &request).await
}

/// The specs and tags of everything that an API holds.
async fn state(api: &dyn MeshApi) -> BTreeMap<ResourcePath, (Spec, Tags)> {
    all_held(api).await.into_iter().map(|(path, one)| (path, (comparable(&one.spec), one.tags))).collect()
}

async fn all_held(api: &dyn MeshApi) -> Held {
    let meshes = api.meshes().await.unwrap().into_iter().map(|found| found.path.mesh().clone());
    held(api, &meshes.collect()).await.unwrap()
}

/// The specs and tags that files declare, with the API's own default.
fn declared(desired: &Desired) -> BTreeMap<ResourcePath, (Spec, Tags)> {
    let resources = desired.resources.iter();
    resources.map(|(path, one)| (path.clone(), (comparable(&one.spec), one.tags.clone().unwrap_or_default()))).collect()
}

/// The rows of members that the API does not hold as the file says, except accounts.
fn different(rows: &[CarriedRow]) -> Vec<&CarriedRow> {
    rows.iter().filter(|row| row.outcome == CarriedOutcome::Differs && row.member != "meshOwner").collect()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/readers/tests/readers/fixtures")
}

/// A temporary folder, which is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("meshwarden-import-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.join(name);
        std::fs::write(&file, text).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
