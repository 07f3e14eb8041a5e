//! Makes the keys of an issuer of tokens, and tokens of it: something to run the secured greeter on.

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use evercert_fixtures::{TokenIssuer, claims};

/// Makes a key set (jwks.json), the newest key of it (key.pem), and tokens, each in a file of its own.
#[derive(Parser)]
struct Args {
    /// The directory to write to; made if it is not there
    directory: PathBuf,

    /// A token's file and subject, and the roles that it gives, such as caller=greeter:call
    #[arg(value_name = "NAME=ROLE,…", value_parser = token, default_value = "caller=greeter:call")]
    tokens: Vec<Token>,

    /// Who issues them: their `iss`
    #[arg(long, default_value = "https://issuer.example.org")]
    issuer: String,

    /// Whom they are for: their `aud`
    #[arg(long, default_value = "greeter")]
    audience: String,

    /// The time they are valid for
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1h")]
    lifetime: Duration,

    /// Stay, and make another key and other tokens this often; the key before stays in the set
    #[arg(long, value_parser = humantime::parse_duration)]
    renew: Option<Duration>,
}

#[derive(Clone)]
struct Token {
    name: String,
    roles: Vec<String>,
}

fn token(text: &str) -> Result<Token, String> {
    let (name, roles) = text.split_once('=').ok_or("a name, `=`, and roles between commas")?;
    let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !is_plain || name == "jwks" {
        return Err(format!("{name:?} is not a name of letters, digits and hyphens"));
    }
    let roles = roles.split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect();
    Ok(Token { name: name.to_owned(), roles })
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("make-tokens: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(&args.directory)?;
    let mut issuers: Vec<TokenIssuer> = Vec::new();
    for number in 1.. {
        issuers.insert(0, TokenIssuer::es256(&format!("key-{number}")));
        issuers.truncate(2);
        write(args, &issuers)?;
        println!("{}: key-{number}", args.directory.display());
        let Some(pause) = args.renew else { break };
        std::thread::sleep(pause);
    }
    Ok(())
}

/// Keys first: no token is there before its key.
fn write(args: &Args, issuers: &[TokenIssuer]) -> Result<(), Box<dyn Error>> {
    let at = |name: &str| args.directory.join(name);
    replace(&at("jwks.json"), &TokenIssuer::jwks_of(issuers), 0o644)?;
    replace(&at("key.pem"), &issuers[0].public_key_pem(), 0o644)?;
    for Token { name, roles } in &args.tokens {
        let mut said = claims(&args.issuer, &args.audience, name, SystemTime::now(), args.lifetime);
        said["roles"] = roles.clone().into();
        replace(&at(name), &issuers[0].sign(&said), 0o600)?;
    }
    Ok(())
}

/// Whole or not at all, as whoever follows it sees it.
fn replace(path: &Path, content: &str, mode: u32) -> std::io::Result<()> {
    let next = path.with_extension("next");
    fs::write(&next, content)?;
    fs::set_permissions(&next, Permissions::from_mode(mode))?;
    fs::rename(&next, path)
}
