use evercert_fixtures::wait;

use super::*;
use crate::inventory::pods::discovery::tests::Deaf;

const SHORT: Duration = Duration::from_millis(500);
const DRIVER: &str = "a.example.org";
const POD: &str = "pod";

/// A volume whose name begins with "dead" answers when the FIFO in it is written to.
fn look(root: &Path, _: &Sought) -> Result<Contents, Errno> {
    if root.file_name().unwrap().to_str().unwrap().starts_with("dead") {
        drop(std::fs::read(root.join("fifo")).unwrap());
    }
    Ok(Contents::Unchanged)
}

fn owner(driver: &str, pod: &str) -> Owner {
    Owner { driver: Some(driver.into()), pod: pod.into() }
}

fn request(root: &Path, owner: Owner) -> Request {
    Request { root: root.to_owned(), mount: None, owner, sought: Sought::Credentials(None) }
}

fn ask(probe: &Probe, requests: &[Request]) -> (Vec<PathBuf>, Answers) {
    let mut answers = probe.answers(requests.to_vec(), &Deaf::shared());
    let mut roots: Vec<_> = answers.answers.drain(..).map(|answer| answer.root).collect();
    roots.sort();
    (roots, answers)
}

/// Volumes that do not answer, which do when this is dropped.
struct Dead {
    home: tempfile::TempDir,
    roots: Vec<PathBuf>,
}

impl Dead {
    fn volumes(count: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let roots: Vec<_> = (0..count).map(|number| home.path().join(format!("dead{number:03}"))).collect();
        for root in &roots {
            std::fs::create_dir(root).unwrap();
            evercert_fixtures::make_fifo(root.join("fifo"));
        }
        Self { home, roots }
    }

    /// Volumes beside them that answer, as `name` calls them.
    fn good(&self, count: usize, name: &str) -> Vec<PathBuf> {
        (0..count).map(|number| self.home.path().join(format!("{name}{number:03}"))).collect()
    }

    /// Lets those answer in which a thread is.
    fn answer(&self) {
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        for root in &self.roots {
            _ = rustix::fs::open(root.join("fifo"), flags, rustix::fs::Mode::empty());
        }
    }

    fn wait(&self, probe: &Probe) {
        let all_left = || {
            self.answer();
            probe.entered.lock().0.is_empty().then_some(())
        };
        wait::blocking(all_left, || "the end of every look".to_owned());
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        self.answer();
    }
}

#[test]
fn volumes_that_do_not_answer_hold_up_no_other_and_are_asked_again_when_they_do() {
    let dead = Dead::volumes(50);
    let good = dead.good(100, "good");
    let all: Vec<_> = dead.roots.iter().chain(&good).map(|root| request(root, owner(DRIVER, POD))).collect();
    let probe = Probe::with(look, SHORT);
    let (answered, answers) = ask(&probe, &all);
    assert_eq!(answered, good);
    assert_eq!(answers.silent, Silent { stuck: 50, ..Silent::default() });
    // Nobody waits for them a second time.
    let began = Instant::now();
    assert_eq!(ask(&probe, &all).0, good);
    assert!(began.elapsed() < SHORT);

    dead.wait(&probe);
    // They do not answer again, but they are asked.
    let (answered, answers) = ask(&probe, &all);
    assert_eq!((answered, answers.silent.stuck), (good, 50));
    dead.wait(&probe);
}

#[test]
fn another_mount_at_the_place_of_one_that_does_not_answer_is_another_volume() {
    let dead = Dead::volumes(1);
    let probe = Probe::with(look, SHORT);
    let first = request(&dead.roots[0], owner(DRIVER, POD));
    assert_eq!(ask(&probe, std::slice::from_ref(&first)).1.silent.stuck, 1);
    let mount = super::super::mounts::below(Path::new("/")).unwrap().remove(Path::new("/"));
    assert_eq!(ask(&probe, &[first.clone(), Request { mount, ..first }]).1.silent.stuck, 2);
    dead.wait(&probe);
}

#[test]
fn one_pod_and_one_driver_take_no_more_threads_than_are_theirs() {
    let pods = |number: usize| owner(DRIVER, &format!("pod{number}"));
    let entered = |owners: Vec<Owner>| {
        let since = Instant::now().checked_sub(2 * COUNTED).unwrap();
        let place = |(number, owner): (usize, Owner)| ((PathBuf::from(number.to_string()), None), (since, owner));
        Entered(owners.into_iter().enumerate().map(place).collect())
    };
    let mut stuck = Vec::new();
    while entered(stuck.clone()).has_room_for(&pods(0)) {
        stuck.push(pods(0));
    }
    // Of the 205 that are left it is a quarter already.
    assert_eq!(stuck.len(), 51);
    assert!(entered(stuck.clone()).has_room_for(&pods(1)), "another pod's");
    let mut pods_with_one = 1;
    while entered(stuck.clone()).has_room_for(&pods(pods_with_one)) {
        while entered(stuck.clone()).has_room_for(&pods(pods_with_one)) {
            stuck.push(pods(pods_with_one));
        }
        pods_with_one += 1;
    }
    assert_eq!(stuck.len(), STUCK);
    assert!(pods_with_one > STUCK - SHARED, "{pods_with_one} pods have had one of their own looked at");
    let all = entered(stuck);
    assert!(!all.has_room_for(&pods(pods_with_one)));
    let own = Owner { driver: None, pod: "pod0".into() };
    assert!(all.has_room_for(&own) && all.has_room_for(&owner("b.example.org", "pod0")), "another driver's");
}

#[test]
fn no_pod_waits_for_the_many_volumes_of_another() {
    let dead = Dead::volumes(0);
    let of = |name: &str, count| -> Vec<Request> {
        dead.good(count, name).iter().map(|root| request(root, owner(DRIVER, name))).collect()
    };
    let requests = [of("a", 3), of("b", 1), of("c", 2)].concat();
    let order = in_turn(requests, &Entered::default());
    let names: Vec<_> = order.iter().map(|request| request.root.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a000", "b000", "c000", "a001", "c001", "a002"]);
}
