//! Makes a CA and a certificate for `localhost`, laid out as the kubelet mounts a cert-manager Secret: something to run the
//! examples on.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use evercert_fixtures::{Authority, KubeletVolume, Leaf};

/// Makes a CA and a mounted Secret with a certificate for localhost, then renews it again and again.
#[derive(Parser)]
struct Args {
    /// The directory to lay out; made if it is not there
    directory: PathBuf,

    /// Stay, and renew the certificate this often
    #[arg(long, value_parser = humantime::parse_duration)]
    renew: Option<Duration>,
}

fn main() {
    let args = Args::parse();
    let authority = Authority::new("Example CA");
    let issue = || {
        let issued = authority.issue(Leaf::for_dns("localhost").ip(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        println!("{}: serial {:X}", args.directory.display(), issued.serial_number());
        issued.files()
    };
    let volume = KubeletVolume::at(&args.directory, &issue()).with_mode(0o600);
    while let Some(pause) = args.renew {
        std::thread::sleep(pause);
        volume.swap(&issue());
    }
}
