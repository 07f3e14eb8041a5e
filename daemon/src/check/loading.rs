//! What the daemon would make of an input: which files are which part of an identity, read as it reads them.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use evercert_core::finding::{Check, Finding, Severity};
use evercert_core::identity::IdentityId;
use evercert_core::layout::{self, file_name};
use evercert_core::material::{Certificates, Holding};
use evercert_core::mount::{self, FILE_LIMIT, FileRead, Reading};
use evercert_core::spec::{BundleFile, CredentialFiles, CrlFile, FileSet, IdentitySpec, RequireChain};
use evercert_core::text;
use zeroize::Zeroizing;

use super::Question;
use super::inputs::{Input, is_of_identity};
use super::report::Kind;
use crate::inventory::pods::credential_folder;

mod kubeconfig;

/// The path that findings about standard input name.
pub(super) const STANDARD: &str = "/dev/stdin";

/// One thing to be judged.
pub(super) struct Loaded {
    /// The input as it was written.
    pub(super) input: String,
    pub(super) kind: Kind,
    pub(super) what: What,
    /// Whether there was something to judge; a directory always is, also an empty one.
    pub(super) is_readable: bool,
    /// What is to be said of how it was taken.
    pub(super) note: Option<Finding>,
    /// The line of a certificate whose file is another's, such as a kubeconfig.
    pub(super) line: Option<usize>,
}

/// The content of it.
pub(super) enum What {
    /// The files of an identity, or some of them.
    Set { spec: Box<IdentitySpec>, reading: Box<Reading> },
    /// A private key without its leaf.
    Key(FileRead),
    /// Nothing, and why.
    Nothing(Finding),
}

/// Reads an input.
pub(super) fn load(input: &Input, question: &Question) -> Vec<Loaded> {
    match input {
        Input::Standard => match standard_input() {
            Ok(read) => of_content("-", read, None, question),
            Err(error) => vec![unreadable("-", Path::new(STANDARD), &error)],
        },
        Input::Directory(path) => directory(path, question),
        Input::File(path) => file(path, question),
        Input::Unmatched(pattern) => {
            let sentence = format!("nothing matches {}; correct the pattern", text::path(pattern));
            vec![nothing(text::path(pattern), Finding::new(Check::FileMissing, Severity::Reject, sentence))]
        }
    }
}

fn directory(path: &Path, question: &Question) -> Vec<Loaded> {
    let absolute = match std::path::absolute(path) {
        Ok(absolute) => absolute,
        Err(error) => return vec![unreadable(&text::path(path), path, &error)],
    };
    let folder = Some(&absolute).filter(|directory| !is_of_identity(directory)).and_then(|it| credential_folder(it));
    let mut files = folder.unwrap_or_else(|| FileSet::cert_manager(&absolute));
    if let Some(bundle) = &question.bundle {
        files.bundle = Some(BundleFile::Dedicated(bundle.clone()));
    }
    let reading = mount::read(&files);
    vec![set(text::path(path), Kind::Identity, files, reading, question)]
}

fn file(path: &Path, question: &Question) -> Vec<Loaded> {
    let name = text::path(path);
    let absolute = match std::path::absolute(path) {
        Ok(absolute) => absolute,
        Err(error) => return vec![unreadable(&name, path, &error)],
    };
    let directory = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    let beside = FileSet {
        credential: Some(CredentialFiles::Chain(absolute.clone())),
        bundle: Some(bundle(question, &directory)),
        crls: vec![layout::crl(&directory)],
        ..FileSet::default()
    };
    let mut reading = mount::read(&beside);
    match reading.chain.take() {
        Some(read) => of_content(&name, read, Some((beside, reading)), question),
        None => Vec::new(),
    }
}

fn bundle(question: &Question, directory: &Path) -> BundleFile {
    question.bundle.clone().map_or_else(|| layout::bundle(directory), BundleFile::Dedicated)
}

/// What is in one file: its name tells where it is one of cert-manager's, else its content. `beside` are the bundle and the lists that are
/// beside it.
pub(super) fn of_content(
    name: &str,
    read: FileRead,
    beside: Option<(FileSet, Reading)>,
    question: &Question,
) -> Vec<Loaded> {
    let (path, is_read) = (read.path.clone(), read.outcome.is_ok());
    let holding = read.outcome.as_ref().map(|content| Holding::of(content)).unwrap_or_default();
    if let (Ok(content), true) = (&read.outcome, holding == Holding::default())
        && let Some(loaded) = kubeconfig::load(name, &path, content, question)
    {
        return loaded;
    }
    let is_called = |name: &str| path.file_name().is_some_and(|own| own == name);
    let (mut files, mut reading) = beside.unwrap_or_else(|| given_bundle(question));
    let kind = match holding {
        Holding { certificates: Some(_), keys: true, .. } => Kind::Identity,
        Holding { certificates: Some(_), .. } if is_called(file_name::BUNDLE) => Kind::Bundle,
        Holding { certificates: Some(_), .. } if is_called(file_name::CHAIN) => Kind::Chain,
        Holding { certificates: Some(Certificates::Anchors | Certificates::NamedAnchor), .. } => Kind::Bundle,
        Holding { certificates: Some(_), .. } => Kind::Chain,
        Holding { keys: true, .. } => Kind::Key,
        Holding { crls: true, .. } => Kind::Crls,
        _ if is_called(file_name::KEY) => Kind::Key,
        _ if is_called(file_name::BUNDLE) => Kind::Bundle,
        _ if is_called(file_name::CRL) => Kind::Crls,
        _ => Kind::Unknown,
    };
    let could_be_leaf = holding.certificates == Some(Certificates::NamedAnchor) && !is_called(file_name::BUNDLE);
    let note = (kind == Kind::Bundle && could_be_leaf).then(|| taken_for_anchor(&path));
    match kind {
        Kind::Key => {
            return vec![Loaded {
                input: name.to_owned(),
                kind,
                what: What::Key(read),
                is_readable: is_read,
                note: None,
                line: None,
            }];
        }
        Kind::Bundle => {
            files = FileSet { bundle: Some(BundleFile::Dedicated(path)), ..FileSet::default() };
            (reading.bundle, reading.crls) = (Some(read), Vec::new());
        }
        Kind::Crls => {
            files = FileSet { credential: None, crls: vec![CrlFile::Dedicated(path)], ..files };
            reading.crls = vec![read];
        }
        Kind::Identity | Kind::Chain | Kind::Unknown => {
            let credential = if kind == Kind::Identity { CredentialFiles::Combined } else { CredentialFiles::Chain };
            files.credential = Some(credential(path));
            reading.chain = Some(read);
        }
    }
    let set = set(name.to_owned(), kind, files, reading, question);
    vec![Loaded { is_readable: is_read && kind != Kind::Unknown, note, ..set }]
}

/// The finding about an anchor that could be a leaf: nobody but who wrote the file knows.
fn taken_for_anchor(path: &Path) -> Finding {
    let sentence = "the first certificate is a CA's and has names of a host: it is judged as an anchor, and presented as a leaf peers refuse \
                    it; call the file tls.crt, or have its key in it, to have it judged as a leaf";
    Finding::new(Check::LeafIsCa, Severity::Info, sentence).in_file(path)
}

/// The bundle that is asked for, for what has no directory of its own.
fn given_bundle(question: &Question) -> (FileSet, Reading) {
    let bundle = question.bundle.clone().map(BundleFile::Dedicated);
    let files = FileSet { bundle, ..FileSet::default() };
    let reading = mount::read(&files);
    (files, reading)
}

fn set(input: String, kind: Kind, files: FileSet, reading: Reading, question: &Question) -> Loaded {
    let mut expectations = question.expectations.clone();
    if question.bundle.is_some() {
        expectations.require_chain = RequireChain::Always;
    }
    let spec = IdentitySpec { id: id(), files, expectations, overlap: IdentitySpec::OVERLAP };
    Loaded {
        input,
        kind,
        what: What::Set { spec: Box::new(spec), reading: Box::new(reading) },
        is_readable: true,
        note: None,
        line: None,
    }
}

fn nothing(input: String, finding: Finding) -> Loaded {
    Loaded { input, kind: Kind::Unknown, what: What::Nothing(finding), is_readable: false, note: None, line: None }
}

fn unreadable(input: &str, path: &Path, error: &dyn std::error::Error) -> Loaded {
    let sentence = format!("{} cannot be read: {error}", text::path(path));
    nothing(input.to_owned(), Finding::new(Check::FileUnreadable, Severity::Reject, sentence).in_file(path))
}

/// An identity that is of nobody.
fn id() -> IdentityId {
    #[expect(clippy::expect_used, reason = "a word is a name")]
    IdentityId::node("checked".parse().expect("a name"))
}

/// All of standard input, up to the limit of a file.
fn standard_input() -> io::Result<FileRead> {
    // A buffer that grows would leave copies of a key behind.
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_LIMIT).unwrap_or_default() + 1));
    io::stdin().lock().take(FILE_LIMIT + 1).read_to_end(&mut content)?;
    Ok(FileRead::given(PathBuf::from(STANDARD), content))
}
