//! The imports between the source files of each crate, computed from the sources.
//!
//! A re-export (`pub use`) is not an import: an import of the exported name counts for the file that defines it. Modules
//! of tests are left out.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The number of files per crate that still import each other in a circle. Lower a number with each resolved circle.
const LEFT: [(&str, usize); 0] = [];

/// The number of top-level modules per crate that still import each other in a circle.
const MODULES_LEFT: [(&str, usize); 0] = [];

/// The path of a module or an item in its crate, without `crate`.
type ItemPath = Vec<String>;

/// The modules that each module imports from.
type Imports = BTreeMap<ItemPath, BTreeSet<ItemPath>>;

/// A path in a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mention {
    path: Vec<String>,
    is_reexport: bool,
}

/// The module that a source file defines; `None` for a file of tests.
fn module(file: &Path) -> Option<ItemPath> {
    let mut parts: ItemPath = file.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    (!parts.iter().any(|part| part == "tests")).then_some(parts)
}

/// The mentions in a source file: the paths that `use` declares, and those in code.
fn mentions(source: TokenStream) -> Vec<Mention> {
    let tokens: Vec<TokenTree> = source.into_iter().collect();
    let mut found = Vec::new();
    let (mut at, mut is_public, mut is_test) = (0, false, false);
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            // `use<...>` in a type captures lifetimes.
            TokenTree::Ident(word) if word == "use" && !tokens.get(at).is_some_and(is_punctuation('<')) => {
                let end = at + tokens[at..].iter().position(is_punctuation(';')).unwrap();
                let paths = use_paths(&tokens[at..end]).into_iter();
                found.extend(paths.map(|path| Mention { path, is_reexport: is_public }));
                (at, is_public, is_test) = (end + 1, false, false);
            }
            TokenTree::Ident(word) if word == "mod" => {
                let body = tokens.get(at + 1);
                if let Some(TokenTree::Group(body)) = body.filter(|_| !is_test) {
                    // The paths of an inline module begin one level lower.
                    found.extend(mentions(body.stream()).into_iter().filter_map(outside_of_inline_module));
                }
                (at, is_public, is_test) = (at + 2, false, false);
            }
            TokenTree::Ident(word) if word == "pub" => {
                is_public = true;
                at += usize::from(
                    matches!(tokens.get(at), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis),
                );
            }
            TokenTree::Ident(word) => {
                let mut path = vec![word.to_string()];
                while let [TokenTree::Punct(first), TokenTree::Punct(second), TokenTree::Ident(next), ..] =
                    &tokens[at..]
                    && (first.as_char(), second.as_char()) == (':', ':')
                {
                    path.push(next.to_string());
                    at += 3;
                }
                if path.len() > 1 {
                    found.push(Mention { path, is_reexport: false });
                }
                is_public = false;
            }
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Bracket && is_test_attribute(&group.stream()) =>
            {
                is_test = true;
            }
            TokenTree::Group(group) => {
                found.extend(mentions(group.stream()));
                is_public = false;
                is_test &= group.delimiter() == Delimiter::Bracket;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    found
}

fn is_punctuation(wanted: char) -> impl Fn(&TokenTree) -> bool {
    move |token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == wanted)
}

fn is_test_attribute(attribute: &TokenStream) -> bool {
    let text: String = attribute.to_string().split_whitespace().collect();
    text.starts_with("cfg(test") || text.starts_with("cfg(all(test")
}

fn outside_of_inline_module(mention: Mention) -> Option<Mention> {
    let Mention { mut path, is_reexport } = mention;
    match path.first()?.as_str() {
        "self" => None,
        "super" => {
            path.remove(0);
            if path.first().is_none_or(|first| first != "super") {
                path.insert(0, "self".to_owned());
            }
            Some(Mention { path, is_reexport })
        }
        _ => Some(Mention { path, is_reexport }),
    }
}

/// The paths of a `use` tree.
fn use_paths(tree: &[TokenTree]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut prefix = Vec::new();
    let mut tokens = tree.iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "as" => drop(tokens.next()),
            TokenTree::Ident(word) => prefix.push(word.to_string()),
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for branch in inner.split(|token| is_punctuation(',')(token)).filter(|branch| !branch.is_empty()) {
                    paths.extend(use_paths(branch).into_iter().map(|path| [prefix.clone(), path].concat()));
                }
                return paths;
            }
            TokenTree::Punct(mark) if mark.as_char() == '*' => prefix.push("*".to_owned()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    paths.push(prefix);
    paths
}

/// The source files of a crate: what each mentions, by its module.
struct Crate(BTreeMap<ItemPath, Vec<Mention>>);

impl Crate {
    fn read(src: &Path) -> Self {
        let mut files = Vec::new();
        rust_files(src, &mut files);
        let modules = files.into_iter().filter_map(|file| {
            let module = module(file.strip_prefix(src).unwrap())?;
            let text = std::fs::read_to_string(&file).unwrap();
            Some((module, mentions(text.parse().unwrap())))
        });
        Self(modules.collect())
    }

    /// A mentioned path from the root of the crate; `None` for other crates and local names.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<ItemPath> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([module, rest].concat()),
            "super" => {
                let parent = &module[..module.len().checked_sub(1)?];
                match rest.first().map(String::as_str) {
                    Some("super") => self.absolute(parent, rest),
                    _ => Some([parent, rest].concat()),
                }
            }
            child => {
                let child = [module, &[child.to_owned()]].concat();
                self.0.contains_key(&child).then(|| [module, path].concat())
            }
        }
    }

    /// The module that defines an item: re-exports are followed.
    fn defining_module(&self, item: &[String], depth: usize) -> Option<ItemPath> {
        let length = (0..=item.len()).rev().find(|length| self.0.contains_key(&item[..*length]))?;
        let (module, rest) = item.split_at(length);
        let Some((name, members)) = rest.split_first().filter(|_| depth < 8) else { return Some(module.to_vec()) };
        let exported = self.0[module].iter().filter(|mention| mention.is_reexport).find_map(|mention| {
            let exported = mention.path.last() == Some(name);
            exported.then(|| self.absolute(module, &mention.path)).flatten()
        });
        match exported {
            Some(target) if target != item => self.defining_module(&[target.as_slice(), members].concat(), depth + 1),
            Some(_) | None => Some(module.to_vec()),
        }
    }

    /// The modules that each module imports from. The root of the crate only lists its modules.
    fn imports(&self) -> Imports {
        let of = |module: &ItemPath, mentions: &[Mention]| {
            let used = mentions.iter().filter(|mention| !mention.is_reexport);
            let items = used.filter_map(|mention| self.absolute(module, &mention.path));
            let modules = items.filter_map(|item| self.defining_module(&item, 0));
            modules.filter(|used| used != module && !used.is_empty()).collect()
        };
        self.0.iter().map(|(module, mentions)| (module.clone(), of(module, mentions))).collect()
    }

    /// The imports between the top-level modules.
    fn imports_of_top_modules(&self) -> Imports {
        let mut all = Imports::new();
        for (module, used) in self.imports() {
            let Some(top) = module.first() else { continue };
            let others = used.into_iter().filter_map(|used| used.into_iter().next()).filter(|other| other != top);
            all.entry(vec![top.clone()]).or_default().extend(others.map(|other| vec![other]));
        }
        all
    }
}

/// The modules that import each other in a circle, each with its imports within the circle.
fn circles(imports: &Imports) -> Vec<String> {
    let reached: BTreeMap<&ItemPath, BTreeSet<&ItemPath>> =
        imports.keys().map(|module| (module, reachable(imports, module))).collect();
    let name = |module: &ItemPath| module.join("::");
    let in_circle = reached.iter().filter(|(module, reached)| reached.contains(*module));
    let line = |(module, _): (&&ItemPath, _)| {
        let within = imports[*module].iter().filter(|used| reached[used].contains(*module));
        format!("{} -> {}", name(module), within.map(name).collect::<Vec<_>>().join(", "))
    };
    in_circle.map(line).collect()
}

/// The modules that a module imports, directly or through others.
fn reachable<'a>(imports: &'a Imports, from: &ItemPath) -> BTreeSet<&'a ItemPath> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&ItemPath> = imports[from].iter().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(&imports[module]);
        }
    }
    reached
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// The folders of all crates.
fn crates(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            if path.join("Cargo.toml").is_file() && path.join("src").is_dir() {
                found.push(path.clone());
            }
            crates(&path, found);
        }
    }
}

/// The crates with more circles than a table allows, each with its circles.
fn above(allowed: &[(&str, usize)], circles_of: impl Fn(&Crate) -> Vec<String>) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders = Vec::new();
    crates(root, &mut folders);
    assert!(folders.len() > 15, "{folders:?}");
    let allowed: BTreeMap<&str, usize> = allowed.iter().copied().collect();
    let mut violations = Vec::new();
    for folder in folders {
        let name = folder.strip_prefix(root).unwrap().to_str().unwrap();
        let circles = circles_of(&Crate::read(&folder.join("src")));
        let most = allowed.get(name).copied().unwrap_or_default();
        if circles.len() > most {
            violations.push(format!("{name}: {} files, {most} allowed:\n  {}", circles.len(), circles.join("\n  ")));
        }
    }
    violations.join("\n")
}

#[test]
fn files_do_not_import_each_other_in_a_circle() {
    let violations = above(&LEFT, |files| circles(&files.imports()));
    assert!(violations.is_empty(), "move what two files need into a third:\n{violations}");
}

#[test]
fn modules_do_not_import_from_modules_above_them() {
    let violations = above(&MODULES_LEFT, |files| circles(&files.imports_of_top_modules()));
    assert!(violations.is_empty(), "move what a lower module needs below it:\n{violations}");
}

#[test]
fn imports_are_followed_to_the_defining_file() {
    let parse = |text: &str| mentions(text.parse().unwrap());
    let module = |name: &str| name.split("::").filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect();
    let files: [(&str, &str); 5] = [
        ("", "pub mod a; pub mod b;"),
        ("a", "mod c; pub use self::c::Thing; #[cfg(test)] mod tests { use crate::b::Other; }"),
        ("a::c", "use crate::b::{Other as Renamed, d}; pub struct Thing;"),
        ("b", "pub struct Other; pub mod d { use super::super::a::Thing; } fn f() -> crate::a::Thing { x }"),
        ("e", "use crate::a::Thing;"),
    ];
    let example = Crate(files.into_iter().map(|(name, text)| (module(name), parse(text))).collect());
    assert_eq!(circles(&example.imports()), ["a::c -> b", "b -> a::c"]);
    assert_eq!(circles(&example.imports_of_top_modules()), ["a -> b", "b -> a"]);
}
