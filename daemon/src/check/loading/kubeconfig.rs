//! The certificates of a kubeconfig: of every context the client's, and the CAs of its cluster.
//!
//! A cluster's CAs vouch for its servers. Whom its servers trust is not written there, so the client's certificate is held against none.

use std::collections::BTreeSet;
use std::path::Path;

use evercert_core::document::{self, LineColumn};
use evercert_core::finding::{Check, Finding, Severity};
use evercert_core::mount::{self, FileRead};
use evercert_core::spec::{BundleFile, CredentialFiles, FileSet, Usage};
use evercert_core::text;
use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use super::{Kind, Loaded, Question, given_bundle, nothing, set};

/// Words that are in every one.
const MARKS: [&str; 4] = ["clusters", "contexts", "users", "Config"];

#[derive(Deserialize)]
struct Kubeconfig {
    #[serde(default)]
    clusters: Vec<ClusterEntry>,
    #[serde(default)]
    users: Vec<UserEntry>,
    #[serde(default)]
    contexts: Vec<ContextEntry>,
}

#[derive(Deserialize)]
struct ClusterEntry {
    name: String,
    #[serde(default)]
    cluster: Cluster,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    certificate_authority: Option<Spanned<String>>,
    certificate_authority_data: Option<Spanned<String>>,
}

#[derive(Deserialize)]
struct UserEntry {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate: Option<Spanned<String>>,
    client_certificate_data: Option<Spanned<String>>,
    client_key: Option<Spanned<String>>,
    client_key_data: Option<Spanned<String>>,
}

#[derive(Deserialize)]
struct ContextEntry {
    name: String,
    #[serde(default)]
    context: Context,
}

#[derive(Default, Deserialize)]
struct Context {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    user: String,
}

/// What is in a file, if that is a kubeconfig: the users and clusters of its contexts, each once.
pub(super) fn load(name: &str, file: &Path, content: &[u8], question: &Question) -> Option<Vec<Loaded>> {
    let text = std::str::from_utf8(content).ok()?;
    if !MARKS.iter().all(|mark| text.contains(mark)) {
        return None;
    }
    let config: Kubeconfig = match document::read_foreign_yaml(text) {
        Ok(config) => config,
        Err(problem) => {
            let place = LineColumn::of(text, problem.span().start);
            let sentence =
                format!("{}:{place} cannot be read as a kubeconfig: {}", text::path(file), problem.get_ref());
            let finding = Finding::new(Check::Unparsable, Severity::Reject, sentence).in_file(file);
            return Some(vec![nothing(name.to_owned(), finding)]);
        }
    };
    let source = Source { name, file, text, question };
    let mut known = BTreeSet::new();
    let mut loaded = Vec::new();
    for ContextEntry { name, context } in &config.contexts {
        match config.users.iter().find(|user| user.name == context.user) {
            Some(user) if known.insert(("user", &user.name)) => loaded.extend(source.user(name, &user.user)),
            Some(_) => {}
            None => loaded.extend(source.unknown(name, "user", &context.user)),
        }
        match config.clusters.iter().find(|cluster| cluster.name == context.cluster) {
            Some(cluster) if known.insert(("cluster", &cluster.name)) => {
                loaded.extend(source.cluster(name, &cluster.cluster));
            }
            Some(_) => {}
            None => loaded.extend(source.unknown(name, "cluster", &context.cluster)),
        }
    }
    if loaded.is_empty() {
        // Nothing was judged, and so nothing is well.
        let sentence = format!(
            "{} is a kubeconfig none of whose contexts leads to a certificate in it: name another, or correct what its contexts name",
            text::path(file)
        );
        loaded
            .push(nothing(name.to_owned(), Finding::new(Check::Unparsable, Severity::Reject, sentence).in_file(file)));
    }
    Some(loaded)
}

/// The file, and what is asked of it.
struct Source<'a> {
    name: &'a str,
    file: &'a Path,
    text: &'a str,
    question: &'a Question,
}

/// A value of the file: the content, and the line of it where it is written there.
type Value = (FileRead, Option<usize>);

impl Source<'_> {
    fn user(&self, context: &str, user: &User) -> Option<Loaded> {
        let (chain, line) = self.value(user.client_certificate_data.as_ref(), user.client_certificate.as_ref())?;
        let key = self.value(user.client_key_data.as_ref(), user.client_key.as_ref());
        let (mut files, mut reading) = given_bundle(self.question);
        files.credential = Some(match &key {
            Some((key, _)) => CredentialFiles::Pair { chain: chain.path.clone(), key: key.path.clone() },
            None => CredentialFiles::Chain(chain.path.clone()),
        });
        reading.chain = Some(chain);
        reading.key = key.map(|(key, _)| key);
        let mut question = self.question.clone();
        if !question.expectations.usages.contains(&Usage::ClientAuth) {
            question.expectations.usages.push(Usage::ClientAuth);
        }
        let kind = if reading.key.is_some() { Kind::Identity } else { Kind::Chain };
        Some(Loaded { line, ..set(self.input(context), kind, files, reading, &question) })
    }

    fn cluster(&self, context: &str, cluster: &Cluster) -> Option<Loaded> {
        let value = (cluster.certificate_authority_data.as_ref(), cluster.certificate_authority.as_ref());
        let (bundle, line) = self.value(value.0, value.1)?;
        let files = FileSet { bundle: Some(BundleFile::Dedicated(bundle.path.clone())), ..FileSet::default() };
        let mut reading = mount::read(&FileSet::default());
        reading.bundle = Some(bundle);
        Some(Loaded { line, ..set(self.input(context), Kind::Bundle, files, reading, self.question) })
    }

    /// What is named by a context and not there: with that context nobody can connect. A context need not name anything.
    fn unknown(&self, context: &str, what: &str, called: &str) -> Option<Loaded> {
        let sentence = format!(
            "the context {} of {} names the {what} {}, and there is none of that name; correct it, or add the {what}",
            text::word(context),
            text::path(self.file),
            text::word(called)
        );
        let finding = Finding::new(Check::Unparsable, Severity::Reject, sentence).in_file(self.file);
        (!called.is_empty()).then(|| nothing(self.input(context), finding))
    }

    fn input(&self, context: &str) -> String {
        format!("{} (context {})", self.name, text::word(context))
    }

    /// What is written there as data, which goes before a file, as it does for kubectl; of a file its content.
    fn value(&self, data: Option<&Spanned<String>>, path: Option<&Spanned<String>>) -> Option<Value> {
        // What is empty is as good as absent, as it is for kubectl.
        let is_written = |value: &&Spanned<String>| !value.get_ref().is_empty();
        if let Some(data) = data.filter(is_written) {
            let line = LineColumn::of(self.text, data.span().start).line;
            // The readers of certificates and keys take base64 of PEM for what it is.
            let content = Zeroizing::new(data.get_ref().clone().into_bytes());
            return Some((FileRead::given(self.file.to_owned(), content), Some(line)));
        }
        let path = self.file.parent().unwrap_or(Path::new("/")).join(path.filter(is_written)?.get_ref());
        let files = FileSet { bundle: Some(BundleFile::Dedicated(path)), ..FileSet::default() };
        mount::read(&files).bundle.map(|read| (read, None))
    }
}
