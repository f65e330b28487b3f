//! Namespaces of its own, and an empty root directory.

use std::fs;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, getegid, geteuid, pivot_root, sethostname};

use super::{EnterError, Step};
use crate::{Feature, JailReport};

/// Id of user and group inside, `nobody` by convention.
const INNER_ID: u32 = 65534;

/// Where the empty root is mounted before it becomes the root. Exists on every host that this
/// crate works on; its content is hidden by the mount in this namespace only.
const MOUNT_POINT: &str = "/proc";

/// Leaves every namespace of the host. The pid namespace takes effect for the next child.
pub(super) fn unshare_all(report: &mut JailReport) -> Result<(), EnterError> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    match unshare(CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {
            // An ordinary user may map its own id only, and its group only after giving up
            // changes of supplementary groups. See user_namespaces(7).
            fs::write("/proc/self/setgroups", "deny").step("fixing groups")?;
            fs::write("/proc/self/uid_map", format!("{INNER_ID} {user} 1")).step("mapping user")?;
            fs::write("/proc/self/gid_map", format!("{INNER_ID} {group} 1"))
                .step("mapping group")?;
        }
        Err(errno) => report.miss(Feature::UserNamespace, errno),
    }
    for (flag, feature) in [
        (CloneFlags::CLONE_NEWPID, Feature::PidNamespace),
        (CloneFlags::CLONE_NEWNS, Feature::MountNamespace),
        (CloneFlags::CLONE_NEWNET, Feature::NetworkNamespace),
        (CloneFlags::CLONE_NEWIPC, Feature::IpcNamespace),
        (CloneFlags::CLONE_NEWUTS, Feature::UtsNamespace),
        (CloneFlags::CLONE_NEWCGROUP, Feature::CgroupNamespace),
    ] {
        match unshare(flag) {
            Ok(()) if feature == Feature::UtsNamespace => {
                sethostname("jail").step("naming the host")?;
            }
            Ok(()) => {}
            Err(errno) => report.miss(feature, errno),
        }
    }
    Ok(())
}

/// Makes an empty, read-only directory the root and forgets the host's.
pub(super) fn empty_root(report: &mut JailReport) {
    if report
        .missing
        .iter()
        .any(|missing| missing.feature == Feature::MountNamespace)
    {
        report.miss(Feature::EmptyRoot, "there is no mount namespace of its own");
    } else if let Err(errno) = replace_root() {
        report.miss(Feature::EmptyRoot, errno);
    }
}

fn replace_root() -> nix::Result<()> {
    let none: Option<&str> = None;
    // Nothing mounted here is seen outside, nor the other way round.
    mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    // The only inode is the directory itself, so nothing can be created in it.
    let options = Some("size=4k,nr_inodes=1,mode=0555");
    mount(Some("empty"), MOUNT_POINT, Some("tmpfs"), flags, options)?;
    chdir(MOUNT_POINT)?;
    // Puts the old root on top of the new one, from where it is detached. See pivot_root(2).
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    mount(
        none,
        "/",
        none,
        flags | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
        none,
    )
}
