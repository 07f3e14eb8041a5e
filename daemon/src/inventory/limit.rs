//! The limits on what is looked at.

/// A limit by which one look left something out that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LookLimit {
    /// The directories that one pattern of `directories` matches.
    DirectoryMatches,
    /// The entries of one of the kubelet's directories: pods, or volumes of a pod.
    PodDirectoryEntries,
    /// The volumes of all pods.
    PodVolumes,
    /// The entries of one directory of a pod's volume.
    PodVolumeEntries,
    /// The bytes that are read of one volume in one look.
    PodVolumeBytes,
    /// The credentials of one volume, with those that it held once.
    PodVolumeCredentials,
    /// The log directories of pods that are not known, and the pods whose names are.
    PodLogs,
}
