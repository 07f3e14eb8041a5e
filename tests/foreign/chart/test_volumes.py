"""The daemon has the directories of the node that it needs, as it needs them."""

from rendered import Rendered, config_map, container, mounts, of_each_set, of_kind, volumes


class Volumes(Rendered):
    @of_each_set
    def test_the_pods_directory_is_seen_where_it_is_read_only_and_as_it_changes(self, name, manifests):
        path = self.values[name].get("kubeletRootDir", "/var/lib/kubelet") + "/pods"
        self.assertEqual(
            mounts(manifests)["pods"],
            {"name": "pods", "mountPath": path, "readOnly": True, "mountPropagation": "HostToContainer"},
        )
        self.assertEqual(volumes(manifests)["pods"]["hostPath"], {"path": path, "type": "Directory"})
        self.assertIn(f'directory = "{path}"', config_map(manifests)["data"]["evercertd.toml"])

    @of_each_set
    def test_what_need_not_be_written_cannot_be(self, _, manifests):
        found = {name for name, mount in mounts(manifests).items() if not mount.get("readOnly")}
        self.assertEqual(found, {"agent", "admin", "state"})

    @of_each_set
    def test_nothing_is_propagated_to_the_node(self, _, manifests):
        for mount in container(manifests)["volumeMounts"]:
            self.assertNotEqual(mount.get("mountPropagation"), "Bidirectional")

    @of_each_set
    def test_sockets_and_state_outlast_the_pod_in_directories_that_only_root_may_write(self, name, manifests):
        for volume, default in (("agent", "/run/evercert/agent"), ("admin", "/run/evercert-admin"), ("state", "/var/lib/evercert")):
            path = self.values[name].get(f"{volume}Dir", default)
            self.assertEqual(volumes(manifests)[volume]["hostPath"], {"path": path, "type": "DirectoryOrCreate"})
            self.assertEqual(mounts(manifests)[volume]["mountPath"], default)

    def test_without_logs_of_pods_there_is_no_mount_of_them(self):
        self.assertNotIn("pod-logs", volumes(self.all["k0s"]))
        self.assertIn('logs = ""', config_map(self.all["k0s"])["data"]["evercertd.toml"])

    @of_each_set
    def test_pods_get_the_directory_of_the_socket_from_the_csi_driver(self, name, manifests):
        for driver in of_kind(manifests, "CSIDriver"):
            (one,) = [one for one in of_kind(manifests, "DaemonSet") if one["metadata"]["name"].endswith("-csi")]
            spec = one["spec"]["template"]["spec"]
            args = [argument for each in spec["containers"] for argument in each["args"]]
            self.assertIn(f"-plugin-name={driver['metadata']['name']}", args)
            root = self.values[name].get("kubeletRootDir", "/var/lib/kubelet")
            plugin = f"{root}/plugins/{driver['metadata']['name']}"
            self.assertIn(f"--kubelet-registration-path={plugin}/csi.sock", args)
            paths = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"]}
            self.assertEqual(paths["csi"], plugin)
            self.assertEqual(paths["agent"], volumes(manifests)["agent"]["hostPath"]["path"])
