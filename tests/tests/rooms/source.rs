//! Which room of a crate uses which, by the paths in its production sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::lexer::{self, Token};

/// One path from a room to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: String,
    pub to: String,
    pub at: SourceLine,
}

/// Where a path is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceLine {
    pub file: PathBuf,
    pub line: usize,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// The rooms of a crate, which are the modules that its `lib.rs` declares, and the arrows between them.
#[derive(Debug, Default)]
pub struct Rooms {
    pub names: BTreeSet<String>,
    pub arrows: Vec<Arrow>,
    /// The room of each name that `lib.rs` exports again.
    exported: BTreeMap<String, String>,
    /// The modules that are still to be read.
    modules: Vec<Module>,
}

/// A file, and the module that it is, from the root of the crate.
#[derive(Debug, Clone)]
struct Module {
    file: PathBuf,
    path: Vec<String>,
}

impl Rooms {
    /// Reads the crate whose sources are in `src`.
    pub fn read(src: &Path) -> Self {
        let mut rooms = Self::default();
        let lib = Module { file: src.join("lib.rs"), path: Vec::new() };
        let text = text(&lib.file);
        let tokens = production(lexer::tokens(&text));
        rooms.declare(&tokens);
        rooms.walk(src, &tokens, lib);
        while let Some(module) = rooms.modules.pop() {
            let text = self::text(&module.file);
            rooms.walk(src, &production(lexer::tokens(&text)), module);
        }
        rooms.arrows.sort();
        rooms
    }

    /// Notes the modules of `lib.rs`, and whose the names are that it exports again.
    fn declare(&mut self, tokens: &[Token<'_>]) {
        let follows = |word| move |pair: &&[Token<'_>]| pair[0].text == word;
        self.names.extend(tokens.windows(2).filter(follows("mod")).map(|pair| pair[1].text.to_owned()));
        for (at, _) in tokens.windows(2).enumerate().filter(|(_, pair)| follows("use")(pair)) {
            let room = tokens[at + 1].text;
            let path = tokens[at..].split(|token| token.text == ";").next().unwrap_or_default();
            let ends = path.windows(2).filter(|pair| [",", "}"].contains(&pair[1].text)).map(|pair| pair[0].text);
            let names = ends.chain(path.last().map(|token| token.text));
            if self.names.contains(room) {
                self.exported.extend(names.map(|name| (name.to_owned(), room.to_owned())));
            }
        }
    }

    fn walk(&mut self, src: &Path, tokens: &[Token<'_>], mut module: Module) {
        // Whether each brace that is open is that of a module.
        let mut braces = Vec::new();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let text = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.text);
            match (token.text, text(1), text(2)) {
                ("mod", name, "{") => {
                    module.path.push(name.to_owned());
                    braces.push(true);
                    at += 2;
                }
                ("mod", name, ";") => {
                    let path: Vec<_> = module.path.iter().cloned().chain([name.to_owned()]).collect();
                    self.modules.push(Module { file: file_of(src, &path), path });
                }
                ("{", ..) => braces.push(false),
                ("}", ..) => drop(braces.pop().filter(|is_module| *is_module).map(|_| module.path.pop())),
                ("crate", "::", _) => self.note(&tokens[at + 2..], token.line, &module),
                ("super", "::", _) => {
                    let ups = tokens[at..].chunks(2).take_while(|step| step[0].text == "super").count();
                    if ups == module.path.len() {
                        self.note(&tokens[at + 2 * ups..], token.line, &module);
                    }
                    at += 2 * ups - 1;
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Notes a path from the root of the crate: to a name, or to several in braces.
    fn note(&mut self, path: &[Token<'_>], line: usize, module: &Module) {
        let Some(from) = module.path.first() else { return };
        for name in firsts(path) {
            let to = self.exported.get(name).filter(|_| !self.names.contains(name)).map_or(name, String::as_str);
            if to != from {
                let at = SourceLine { file: module.file.clone(), line };
                self.arrows.push(Arrow { from: from.clone(), to: to.to_owned(), at });
            }
        }
    }
}

/// The first names of a path: one, or those in its braces.
fn firsts<'a>(path: &[Token<'a>]) -> Vec<&'a str> {
    let (mut depth, mut names, mut is_first) = (0, Vec::new(), true);
    for Token { text, .. } in path {
        match *text {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," => is_first = depth == 1,
            _ if is_first => {
                names.push(*text);
                is_first = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// `tokens` without what is for tests alone.
fn production(tokens: Vec<Token<'_>>) -> Vec<Token<'_>> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut rest = &tokens[..];
    while let Some((first, after)) = rest.split_first() {
        let is_test = rest.iter().map(|token| token.text).take(7).eq(["#", "[", "cfg", "(", "test", ")", "]"]);
        if is_test {
            rest = &rest[7..];
            rest = &rest[item(rest)..];
        } else {
            kept.push(first.clone());
            rest = after;
        }
    }
    kept
}

/// How many tokens the item has that `tokens` begin with: to its `;`, or to its closing brace.
fn item(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return at,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        let is_followed_by_end = tokens.get(at + 1).is_some_and(|next| next.text == ";");
        if depth == 0 && (token.text == ";" || token.text == "}" && !is_followed_by_end) {
            return at + 1;
        }
    }
    tokens.len()
}

/// Where the module at `path` is.
fn file_of(src: &Path, path: &[String]) -> PathBuf {
    let module = src.join(path.join("/"));
    let beside = module.with_extension("rs");
    if beside.exists() { beside } else { module.join("mod.rs") }
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
