//! The manual pages and the completions that packages install are what the command line and the default configuration say. To write
//! them anew: `EVERCERT_REGENERATE=1 cargo test -p evercertd --lib pages`.

mod commands;
mod configuration;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clap_complete::Shell;

use super::completions;

/// The manual to which each page belongs.
const MANUAL: &str = "evercert";

/// The release that each page describes.
const SOURCE: &str = concat!("evercertd ", env!("CARGO_PKG_VERSION"));

fn made() -> BTreeMap<String, Vec<u8>> {
    let pages = commands::pages().into_iter().chain([configuration::page()]);
    let scripts = [(Shell::Bash, "evercertd"), (Shell::Zsh, "_evercertd"), (Shell::Fish, "evercertd.fish")];
    let scripts = scripts.map(|(shell, file)| (format!("completions/{file}"), completions::script(shell)));
    pages.map(|(file, page)| (format!("man/{file}"), page)).chain(scripts).collect()
}

#[test]
fn the_committed_manual_pages_and_completions_are_what_the_program_says() {
    let packaging = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging"));
    let made = made();
    if std::env::var_os("EVERCERT_REGENERATE").is_some() {
        for (file, text) in &made {
            fs::create_dir_all(packaging.join(file).parent().unwrap()).unwrap();
            fs::write(packaging.join(file), text).unwrap();
        }
    }
    for (file, text) in &made {
        let committed = fs::read(packaging.join(file)).unwrap_or_default();
        assert!(
            committed == *text,
            "packaging/{file} is not what the program says; see the top of daemon/src/cli/pages.rs"
        );
    }
    for directory in ["man", "completions"] {
        for file in fs::read_dir(packaging.join(directory)).unwrap() {
            let file = format!("{directory}/{}", file.unwrap().file_name().display());
            assert!(made.contains_key(&file), "packaging/{file} is of no command that there is");
        }
    }
}
