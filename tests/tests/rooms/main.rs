//! Each crate is built as ARCHITECTURE.md draws it: its rooms, which are the modules of `lib.rs`, use each other as the table there
//! lets them, and never in a circle.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod lexer;
mod source;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use source::Rooms;
use table::{differences, table};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The faults of a crate of these files, against this table.
fn wrong(files: &[(&str, &str)], rows: &str) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = home.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let text = format!(
        "## Rooms\n\n### The rooms of `x`\n\n| room | may use |\n|---|---|\n{rows}\n\n### Else\n\n| `a` | `b` |\n"
    );
    let root = format!("{}/", home.path().display());
    differences(&table(&text, "x"), &Rooms::read(home.path())).iter().map(|line| line.replace(&root, "")).collect()
}

#[test]
fn every_crate_is_built_as_the_tables_of_the_architecture_draw_it() {
    let architecture = fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap();
    let root = format!("{}/", repository().display());
    let crates = ["core", "api", "daemon", "sdk"];
    let wrong: Vec<_> = crates
        .iter()
        .flat_map(|krate| {
            let rooms = Rooms::read(&repository().join(krate).join("src"));
            differences(&table(&architecture, krate), &rooms).into_iter().map(move |line| format!("{krate}: {line}"))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n").replace(&root, ""));
}

const LIB: (&str, &str) = ("lib.rs", "pub mod a;\nmod b;\n#[cfg(test)]\nmod proofs;\npub use b::{B, c::{C as D}};\n");

#[test]
fn arrows_that_the_table_has_are_fine_and_tests_and_words_are_no_arrows() {
    let a = "//! crate::b::x\nuse crate::b::B;\n#[cfg(test)]\nuse crate::{q};\nfn f() { g(\"crate::q\"); }\n#[cfg(test)]\nmod tests { use crate::q; }\n";
    assert_eq!(wrong(&[LIB, ("a.rs", a), ("b.rs", "")], "| `a` | `b` |\n| `b` | nothing |"), [""; 0]);
}

#[test]
fn an_arrow_that_the_table_does_not_have_is_told_with_its_file_and_line() {
    let sentence = "`a` uses `b`, which the table of ARCHITECTURE.md does not let it";
    for (a, inner, place) in [
        ("use crate::b::B;", "", "a.rs:1"),
        ("\nuse crate::{a::x, b};", "", "a.rs:2"),
        ("fn f() { panic!(\"{}\", crate::b::g()) }", "", "a.rs:1"),
        ("use crate::D;", "", "a.rs:1"),
        ("use super::b;", "", "a.rs:1"),
        ("mod inner;", "\n\nuse super::super::b::B;", "a/inner.rs:3"),
        ("mod inner;", "mod deep { fn f() { super::super::super::b::g(); } }", "a/inner.rs:1"),
        ("mod inner;", "#[cfg(test)]\nuse super::{q, r};\nuse crate::b;", "a/inner.rs:3"),
    ] {
        let found =
            wrong(&[LIB, ("a.rs", a), ("a/inner.rs", inner), ("b.rs", "")], "| `a` | nothing |\n| `b` | nothing |");
        assert_eq!(found, [format!("{place}: {sentence}")], "{a} {inner}");
    }
}

#[test]
fn a_row_that_no_arrow_needs_is_told_and_so_is_a_room_that_is_not_there_or_not_listed() {
    assert_eq!(
        wrong(
            &[LIB, ("a.rs", "mod inner;"), ("a/inner.rs", "use super::x;"), ("b.rs", "")],
            "| `a` | `b` |\n| `c` | nothing |"
        ),
        [
            "ARCHITECTURE.md:7: nothing of `a` uses `b`",
            "ARCHITECTURE.md:8: there is no room `c`",
            "the table of ARCHITECTURE.md does not know the room `b`",
        ]
    );
}

#[test]
fn a_circle_is_told_though_the_table_has_its_arrows() {
    let lib = ("lib.rs", "mod a; mod b; mod c; mod d;");
    let files =
        [lib, ("a.rs", "use crate::b;"), ("b.rs", "use crate::{c, d};"), ("c.rs", "use crate::a;"), ("d.rs", "")];
    assert_eq!(
        wrong(&files, "| `a` | `b` |\n| `b` | `c`, `d` |\n| `c` | `a` |\n| `d` | nothing |"),
        [
            "these rooms use each other in a circle:\n  a.rs:1: `a` uses `b`\n  b.rs:1: `b` uses `c`\n  c.rs:1: `c` uses `a`"
        ]
    );
}
