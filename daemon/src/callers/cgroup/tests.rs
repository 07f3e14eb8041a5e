use proptest::prelude::*;

use super::*;

const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";
const UNDERSCORED: &str = "2c48913c_b29f_11e7_9350_020968147796";
const VICTIM: &str = "a2830d0d-b0f0-4ff0-81b5-0ee4e299cf80";
const VICTIM_UNDERSCORED: &str = "a2830d0d_b0f0_4ff0_81b5_0ee4e299cf80";
const STATIC: &str = "0123456789abcdef0123456789abcdef";
const ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// With the names above in the places of their letters.
fn text(pattern: &str) -> String {
    let mut text = pattern.to_owned();
    for (letter, name) in [
        ("UID", UID),
        ("SLICE", UNDERSCORED),
        ("VICTIM", VICTIM),
        ("FOE", VICTIM_UNDERSCORED),
        ("STATIC", STATIC),
        ("ID", ID),
    ] {
        text = text.replace(letter, name);
    }
    text
}

fn of(pattern: &str) -> Origin {
    origin(&text(pattern), &[])
}

fn below(prefixes: &[&str], pattern: &str) -> Origin {
    origin(&text(pattern), &prefixes.iter().map(|&prefix| prefix.to_owned()).collect::<Vec<_>>())
}

fn pod(uid: &str) -> Origin {
    Origin::Pod(uid.into())
}

fn unit(name: &str) -> Origin {
    Origin::Host { unit: Some(name.into()) }
}

const HOST: Origin = Origin::Host { unit: None };

#[test]
fn a_container_of_a_pod_is_told_by_every_layout_that_runtimes_make() {
    for line in [
        "11:pids:/kubepods/burstable/podUID/ID",
        "11:pids:/kubepods/besteffort/podUID/ID",
        "0::/kubepods/podUID/ID",
        "0::/kubepods/podUID/crio-ID",
        "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podSLICE.slice/cri-containerd-ID.scope",
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podSLICE.slice/crio-ID.scope",
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podSLICE.slice/crio-ID.scope/container",
        "0::/kubepods.slice/kubepods-podSLICE.slice/docker-ID.scope",
        "0::/kubepods-besteffort-podSLICE.slice:cri-containerd:ID",
        "0::/kubepods-podSLICE.slice:cri-containerd:ID",
    ] {
        assert_eq!(of(line), pod(UID), "{line}");
    }
    assert_eq!(of("0::/kubepods/burstable/podSTATIC/ID"), pod(STATIC));
    assert_eq!(of("0::/kubepods.slice/kubepods-podSTATIC.slice/crio-ID.scope"), pod(STATIC));
}

#[test]
fn a_path_from_outside_a_private_cgroup_namespace_may_lack_its_beginning() {
    for line in [
        "0::/../../podUID/ID",
        "0::/../../../burstable/podUID/ID",
        "0::/../../../kubepods/podUID/ID",
        "0::/../../kubepods-burstable-podSLICE.slice/cri-containerd-ID.scope",
        "0::/../../../kubepods-burstable.slice/kubepods-burstable-podSLICE.slice/cri-containerd-ID.scope",
        "0::/../../../../kubepods.slice/kubepods-podSLICE.slice/crio-ID.scope",
    ] {
        assert_eq!(of(line), pod(UID), "{line}");
        let inside = line.replace("/..", "");
        if !inside.starts_with("0::/kubepods/") && !inside.starts_with("0::/kubepods.slice/") {
            assert_eq!(of(&inside), Origin::Unclear, "{inside}");
        }
    }
}

#[test]
fn what_stands_before_kubepods_counts_only_by_setting() {
    let kind = "11:pids:/docker/ID/kubepods/besteffort/podUID/ID\n0::/system.slice/containerd.service\n";
    assert_eq!(of(kind), Origin::Unclear);
    assert_eq!(below(&["/docker/*"], kind), pod(UID));
    assert_eq!(below(&[&text("/docker/ID/")], kind), pod(UID));
    assert_eq!(below(&["/docker", "/podman/*"], kind), Origin::Unclear);
    let nested = "11:pids:/docker/ID/kubepods/podUID/ID\n0::/docker/ID/system.slice/containerd.service";
    assert_eq!(below(&["/docker/*"], nested), pod(UID));
    // Another container of the host is no pod of that node.
    assert_eq!(below(&["/docker/*"], "0::/docker/ID"), Origin::Container);
    // The names of slices tell where they lie.
    let slices = "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podSLICE.slice/cri-containerd-ID.scope";
    assert_eq!(below(&["/kubelet.slice"], slices), pod(UID));
    assert_eq!(of(slices), Origin::Unclear);
    assert_eq!(below(&["/kubelet.slice"], "0::/../../kubelet-kubepods-podSLICE.slice/crio-ID.scope"), pod(UID));
    assert_eq!(
        below(&["/kubelet.slice"], "0::/kubelet.slice/kubepods.slice/kubepods-podSLICE.slice/crio-ID.scope"),
        Origin::Unclear
    );
}

#[test]
fn what_looks_like_a_pod_but_is_not_one_as_a_whole_is_unclear() {
    for line in [
        // Made by a pod below its own group.
        "0::/kubepods/burstable/podUID/ID/podVICTIM/ID",
        "0::/kubepods/burstable/podUID/ID/kubepods/podVICTIM/ID",
        "0::/kubepods/burstable/podUID/ID/podUID/ID",
        "0::/kubepods/burstable/podUID/podVICTIM/ID",
        "0::/kubepods/podUID/ID/ID",
        "0::/kubepods/podUID/ID/init.scope",
        "0::/kubepods.slice/kubepods-podSLICE.slice/crio-ID.scope/kubepods.slice/kubepods-podFOE.slice/crio-ID.scope",
        "0::/../../podUID/ID/podVICTIM/ID",
        "0::/../../podUID/ID/../../podVICTIM/ID",
        // Made by a login user below what the system manager delegates.
        "0::/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-podFOE.slice/cri-containerd-ID.scope",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/kubepods/podVICTIM/ID",
        "0::/user.slice/user-1000.slice/user@1000.service/kubepods-podFOE.slice:cri-containerd:ID",
        "0::/../user.slice/user-1000.slice/user@1000.service/podVICTIM/ID",
        // Made by a service.
        "0::/system.slice/payments.service/kubepods/podVICTIM/ID",
        "0::/system.slice/containerd.service/kubepods-podFOE.slice:cri-containerd:ID",
        "0::/machine.slice/kubepods.slice/kubepods-podFOE.slice/crio-ID.scope",
        // Without a UID, or with two.
        "0::/kubepods/burstable/ID",
        "0::/kubepods/burstable/pod/ID",
        "0::/kubepods.slice/kubepods-burstable.slice/crio-ID.scope",
        "0::/kubepods/podUIDVICTIM/ID",
        "0::/kubepods.slice/kubepods-podSLICE.slice/crio-ID.scope/container/container",
        "0::/kubepods.slice/kubepods-podSLICE.slice/crio-ID.scope/other",
        "0::/kubepods.slice/kubepods-podSLICE.slice/container",
        "0::/kubepods.slice/kubepods-podSLICE-podFOE.slice/crio-ID.scope",
        // Without a container.
        "0::/kubepods/burstable/podUID",
        "0::/kubepods.slice/kubepods-podSLICE.slice",
        "0::/kubepods/podUID/cgroup.procs",
        "0::/kubepods/podUID/0f1e2d3c",
        "0::/kubepods.slice/kubepods-podSLICE.slice/crio-conmon-ID.scope",
        "0::/kubepods.slice/kubepods-podSLICE.slice/lxc-ID.scope",
        "0::/kubepods.slice/kubepods-podSLICE.slice/ID",
        "0::/kubepods/podUID/cri-containerd-ID.scope",
        // Dots, in the middle and where they lead to nothing else.
        "0::/kubepods/podUID/../podVICTIM/ID",
        "0::/kubepods/./podUID/ID",
        "0::/kubepods//podUID/ID",
        "0::/kubepods/podUID/ID/",
        "0::/..kubepods/podUID/ID",
        "0::/system.slice/../kubepods/podUID/ID",
        // Dashes for underscores, and the reverse.
        "0::/kubepods/podSLICE/ID",
        "0::/kubepods.slice/kubepods-pod2c48913c-b29f_11e7_9350_020968147796.slice/crio-ID.scope",
        "0::/kubepods.slice/kubepods-podUID.slice/crio-ID.scope",
        "0::/kubepods/pod2c48913c-b29f_11e7-9350-020968147796/ID",
        "0::/kubepods/pod2c48913cb-29f-11e7-9350-020968147796/ID",
        // Another class than the one it lies in.
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-besteffort-podSLICE.slice/crio-ID.scope",
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-podSLICE.slice/crio-ID.scope",
        "0::/kubepods.slice/kubepods-burstable-podSLICE.slice/crio-ID.scope",
        "0::/kubepods/guaranteed/podUID/ID",
        "0::/kubepods/burstable/besteffort/podUID/ID",
        // Without the root of all pods, seen from inside.
        "0::/podUID/ID",
        "0::/burstable/podUID/ID",
        "0::/kubepods-podSLICE.slice/crio-ID.scope",
        "0::/kubepods/podUID/ID (deleted)",
    ] {
        assert_eq!(of(line), Origin::Unclear, "{line}");
    }
    for line in ["0::/kubepods/podUID/ID", "0::/kubepods.slice/kubepods-podSLICE.slice/crio-ID.scope"] {
        let shouted = text(line).replace(UID, &UID.to_uppercase()).replace(UNDERSCORED, &UNDERSCORED.to_uppercase());
        assert_eq!(origin(&shouted, &[]), Origin::Unclear);
        assert_eq!(origin(&text(line).replace(ID, &ID.to_uppercase()), &[]), Origin::Unclear);
        assert_eq!(origin(&text(line).replace("kubepods", "KubePods"), &[]), Origin::Unclear);
    }
}

#[test]
fn a_container_without_a_pod_is_a_container() {
    for line in [
        "0::/../crio-ID.scope",
        "0::/../ID",
        "0::/docker/ID",
        "0::/system.slice/docker-ID.scope",
        "0::/docker/ID/system.slice/payments.service",
        "0::/machine.slice/libpod-ID.scope",
        "0::/system.slice/containerd.service/k8s.io:cri-containerd:ID",
    ] {
        assert_eq!(of(line), Origin::Container, "{line}");
    }
}

#[test]
fn a_unit_is_the_service_directly_below_the_system_slice() {
    assert_eq!(of("0::/system.slice/payments.service"), unit("payments.service"));
    assert_eq!(of("0::/system.slice/payments.service/workers"), unit("payments.service"));
    assert_eq!(of("0::/../../../system.slice/payments.service"), unit("payments.service"));
    assert_eq!(of("0::/system.slice/_memory.service"), unit("memory.service"));
    for line in [
        "0::/",
        "0::/..",
        "0::/init.scope",
        "0::/user.slice/user-1000.slice/session-3.scope",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/payments.service",
        "0::/user.slice/user-1000.slice/user@1000.service/system.slice/payments.service",
        "0::/system.slice/system-getty.slice/payments.service",
        "0::/system.slice/system.slice/payments.service",
        "0::/payments.service",
        "0::/system.slice",
        "0::/system.slice/payments.socket",
        "0::/SYSTEM.slice/payments.service",
        "0::/system.slice/podman.socket",
    ] {
        assert_eq!(of(line), HOST, "{line}");
    }
    assert_eq!(of("0::/system.slice/podman.service"), unit("podman.service"));
    assert_eq!(of("0::/system.slice/pod-payments.service"), unit("pod-payments.service"));
}

#[test]
fn the_hierarchies_that_the_system_manager_keeps_tell_the_unit_together() {
    let told =
        "12:pids:/system.slice\n1:name=systemd:/system.slice/payments.service\n0::/system.slice/payments.service\n";
    assert_eq!(of(told), unit("payments.service"));
    assert_eq!(of("1:name=systemd:/system.slice/payments.service\n0::/\n"), unit("payments.service"));
    assert_eq!(of("1:name=systemd:/system.slice/payments.service\n0::/system.slice/other.service\n"), HOST);
    assert_eq!(of("1:name=systemd:/user.slice\n0::/system.slice/payments.service\n"), HOST);
    assert_eq!(of("4:memory:/system.slice/payments.service\n0::/\n"), HOST);
}

#[test]
fn lines_agree_or_nothing_is_believed() {
    assert_eq!(of("2:cpu:/kubepods/podUID/ID\n1:name=systemd:/\n0::/\n"), pod(UID));
    assert_eq!(of("2:cpu:/kubepods/podUID/ID\n1:name=systemd:/kubepods/burstable/podUID/ID\n"), pod(UID));
    assert_eq!(of("2:cpu:/kubepods/podUID/ID\n1:name=systemd:/kubepods/podVICTIM/ID\n"), Origin::Unclear);
    assert_eq!(of("2:cpu:/kubepods/podUID/ID\n0::/user.slice/kubepods/podVICTIM/ID\n"), Origin::Unclear);
    assert_eq!(of("2:cpu:/docker/ID\n0::/\n"), Origin::Container);
    assert_eq!(of("0::/lxc.payload.web/system.slice/a.service"), Origin::Container);
    assert_eq!(of("0::/machine.slice/systemd-nspawn@web.service/payload/init.scope"), Origin::Container);
    for broken in
        ["", "\n", "0::", "0:/", "x::/", "::/", "0::kubepods/podUID/ID", "0::/kubepods/podUID/ID\n\n", "nothing"]
    {
        assert_eq!(of(broken), Origin::Unclear, "{broken:?}");
    }
    assert_eq!(origin(&"0::/\n".repeat(TEXT_LIMIT), &[]), Origin::Unclear);
}

/// Paths of what occurs in real ones, in any order.
fn paths() -> impl Strategy<Value = String> {
    let component = prop_oneof![prop::sample::select(vec![
        "kubepods",
        "burstable",
        "besteffort",
        "podUID",
        "podVICTIM",
        "ID",
        "kubepods.slice",
        "kubepods-burstable.slice",
        "kubepods-podSLICE.slice",
        "kubepods-podFOE.slice",
        "kubepods-burstable-podFOE.slice",
        "cri-containerd-ID.scope",
        "crio-ID.scope",
        "kubepods-podSLICE.slice:cri-containerd:ID",
        "kubepods-podFOE.slice:cri-containerd:ID",
        "..",
        "docker",
        "user.slice",
        "user@1000.service",
        "system.slice",
        "payments.service",
        "",
    ]),];
    prop::collection::vec(component, 0..7)
        .prop_map(|parts| text(&parts.iter().map(|part| format!("/{part}")).collect::<String>()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    #[test]
    fn no_text_with_two_uids_is_a_pods(lines in prop::collection::vec(paths(), 1..4), prefixed: bool) {
        let text: String = lines.iter().enumerate().map(|(i, path)| format!("{i}:c{i}:{path}\n")).collect();
        let prefixes: &[String] = if prefixed { &["/docker/*".to_owned(), "/user.slice".to_owned()] } else { &[] };
        let names = |dashed: &str, underscored: &str| text.contains(dashed) || text.contains(underscored);
        if let Origin::Pod(uid) = origin(&text, prefixes) {
            prop_assert_eq!(names(UID, UNDERSCORED), &*uid == UID);
            prop_assert_eq!(names(VICTIM, VICTIM_UNDERSCORED), &*uid == VICTIM);
        }
    }

    #[test]
    fn a_path_below_a_login_user_or_a_service_is_never_a_pods(path in paths(), dots in 0..4_usize) {
        for parent in ["/user.slice/user-1000.slice/user@1000.service", "/system.slice/payments.service"] {
            let line = format!("0::{}{parent}{path}", "/..".repeat(dots));
            prop_assert!(!matches!(origin(&line, &[]), Origin::Pod(_)), "{}", line);
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}", prefix in "\\PC{0,20}") {
        let _ = origin(&text, &[prefix]);
    }
}
