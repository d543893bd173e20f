//! Setting a ring up: which features this kernel has, found by trying, and what to tell the operator where it lacks one.

use std::fmt;
use std::io;

use io_uring::{IoUring, Submitter};

use super::completion::SLOTS_MAX;

/// Submissions that fit before the kernel must be entered.
const SUBMISSIONS: u32 = 4096;
/// Completions that fit before the kernel has to put them aside.
const COMPLETIONS: u32 = 32_768;

/// A feature that a ring can do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// Submissions without an index array (Linux 6.6).
    NoSqArray,
    /// Completions are worked off when the shard asks for it (6.1); else cooperatively, else at once.
    DeferTaskrun,
    /// The kernel shows that completions wait to be worked off (5.19).
    TaskrunFlag,
    /// One faulty submission does not stop the others (5.18).
    SubmitAll,
    /// One accept takes all connections; needs a way to ask for a peer's address afterwards (6.7).
    MultishotAccept,
    /// One receive takes all bytes of a connection (6.0).
    MultishotReceive,
    /// A shard wakes another through its ring (5.18); else by eventfd.
    MsgRing,
    /// A connection can leave its ring (6.8).
    FixedFdInstall,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 8] = [
        Feature::NoSqArray,
        Feature::DeferTaskrun,
        Feature::TaskrunFlag,
        Feature::SubmitAll,
        Feature::MultishotAccept,
        Feature::MultishotReceive,
        Feature::MsgRing,
        Feature::FixedFdInstall,
    ];

    /// Its name in configuration and reports.
    pub fn name(self) -> &'static str {
        match self {
            Feature::NoSqArray => "no_sqarray",
            Feature::DeferTaskrun => "defer_taskrun",
            Feature::TaskrunFlag => "taskrun_flag",
            Feature::SubmitAll => "submit_all",
            Feature::MultishotAccept => "multishot_accept",
            Feature::MultishotReceive => "multishot_receive",
            Feature::MsgRing => "msg_ring",
            Feature::FixedFdInstall => "fixed_fd_install",
        }
    }

    /// The feature of that name.
    pub fn named(name: &str) -> Option<Feature> {
        Feature::ALL.into_iter().find(|feature| feature.name() == name)
    }
}

/// A set of features.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features(u8);

impl Features {
    /// None.
    pub const NONE: Features = Features(0);

    /// All.
    pub fn all() -> Features {
        Feature::ALL.into_iter().fold(Features::NONE, Features::with)
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, feature: Feature) -> Features {
        Features(self.0 | 1 << feature as u8)
    }

    /// These without one.
    #[must_use]
    pub fn without(self, feature: Feature) -> Features {
        Features(self.0 & !(1 << feature as u8))
    }

    /// These without those.
    #[must_use]
    pub fn minus(self, others: Features) -> Features {
        Features(self.0 & !others.0)
    }

    /// Whether one is among them.
    pub fn has(self, feature: Feature) -> bool {
        self.0 & 1 << feature as u8 != 0
    }
}

impl fmt::Display for Features {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Feature::ALL.into_iter().filter(|feature| self.has(*feature)).map(Feature::name).collect();
        if names.is_empty() {
            return formatter.write_str("none");
        }
        formatter.write_str(&names.join(" "))
    }
}

/// Why a shard has no ring: the operator's to mend, so the text names cause and command.
#[derive(Debug)]
pub struct RingFault(String);

impl fmt::Display for RingFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for RingFault {}

impl RingFault {
    /// `io_uring_setup` failed.
    fn setup(error: &io::Error) -> RingFault {
        RingFault(match error.raw_os_error() {
            Some(libc::EPERM | libc::ENOSYS | libc::EACCES) => match disabled_by_sysctl() {
                Some(value) => format!(
                    "io_uring is switched off on this machine (kernel.io_uring_disabled = {value}): run `sysctl -w kernel.io_uring_disabled=0`"
                ),
                None => format!(
                    "io_uring is blocked ({error}), most likely by a container's seccomp filter: run the container with `--security-opt seccomp=unconfined`, or allow io_uring_setup, io_uring_enter and io_uring_register in its profile"
                ),
            },
            Some(libc::ENOMEM) => format!(
                "no memory may be locked for io_uring ({error}): run `ulimit -l unlimited`, or set LimitMEMLOCK=infinity in the systemd unit"
            ),
            Some(libc::EMFILE) => out_of_descriptors(error),
            _ => format!(
                "io_uring can't be set up ({error}): Linux 6.1 or newer is needed, this is {}",
                kernel_release()
            ),
        })
    }

    /// The buffer ring could not be made.
    pub(super) fn buffers(error: &io::Error) -> RingFault {
        RingFault(match error.raw_os_error() {
            Some(libc::ENOMEM) => format!(
                "no memory for the receive buffers ({error}): run `ulimit -l unlimited`, or set LimitMEMLOCK=infinity in the systemd unit"
            ),
            _ => format!(
                "io_uring has no buffer rings here ({error}): Linux 6.1 or newer is needed, this is {}",
                kernel_release()
            ),
        })
    }

    /// The table of connections could not be made.
    fn files(slots: u32, error: &io::Error) -> RingFault {
        RingFault(match error.raw_os_error() {
            Some(libc::EMFILE) => out_of_descriptors(error),
            _ => format!("io_uring gives no table of {slots} connections ({error}): set a smaller `ring.connections`"),
        })
    }

    /// Any other system call failed while a shard started.
    pub(crate) fn system(what: &str, error: &io::Error) -> RingFault {
        RingFault(match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => out_of_descriptors(error),
            _ => format!("{what}: {error}"),
        })
    }
}

/// What to do where the system gives no more descriptors.
pub(crate) fn out_of_descriptors(error: &io::Error) -> String {
    format!(
        "too few file descriptors ({error}): run `ulimit -n 1048576`, or set LimitNOFILE=1048576 in the systemd unit"
    )
}

fn disabled_by_sysctl() -> Option<String> {
    let value = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    let value = value.trim();
    (value != "0").then(|| value.to_owned())
}

fn kernel_release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

/// Sets a ring up with as many of the features as the kernel takes. Those of set-up are left out one after the other, the
/// youngest first; those of operations are tried later by [`super::Ring`].
pub(super) fn build(mut features: Features) -> Result<(IoUring, Features), RingFault> {
    const YOUNGEST_FIRST: [Feature; 4] =
        [Feature::NoSqArray, Feature::DeferTaskrun, Feature::TaskrunFlag, Feature::SubmitAll];
    let mut left_out =
        YOUNGEST_FIRST.into_iter().filter(|feature| features.has(*feature)).collect::<Vec<_>>().into_iter();
    loop {
        match attempt(features, true).or_else(|error| refused(error, || attempt(features, false))) {
            Ok(uring) => return Ok((uring, features)),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => match left_out.next() {
                Some(feature) => features = features.without(feature),
                None => return Err(RingFault::setup(&error)),
            },
            Err(error) => return Err(RingFault::setup(&error)),
        }
    }
}

fn refused<T>(error: io::Error, otherwise: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if error.raw_os_error() == Some(libc::EINVAL) { otherwise() } else { Err(error) }
}

/// `cooperative` matters only without deferred task work.
fn attempt(features: Features, cooperative: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_cqsize(COMPLETIONS);
    let deferred = features.has(Feature::DeferTaskrun);
    if deferred {
        builder.setup_single_issuer().setup_defer_taskrun();
    } else if cooperative {
        builder.setup_coop_taskrun();
    }
    if features.has(Feature::TaskrunFlag) && (deferred || cooperative) {
        builder.setup_taskrun_flag();
    }
    if features.has(Feature::NoSqArray) {
        builder.setup_no_sqarray();
    }
    if features.has(Feature::SubmitAll) {
        builder.setup_submit_all();
    }
    builder.build(SUBMISSIONS)
}

/// Makes the table of connections: `wanted` slots, or as many as the soft limit of descriptors allows if that is 0. The
/// limit holds per ring, and direct descriptors do not use the process's own table.
pub(super) fn register_slots(submitter: &Submitter<'_>, wanted: u32) -> Result<u32, RingFault> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::from(SLOTS_MAX));
    let slots = if wanted == 0 { limit.min(u64::from(SLOTS_MAX)) as u32 } else { wanted.min(SLOTS_MAX) };
    submitter.register_files_sparse(slots).map_err(|error| RingFault::files(slots, &error))?;
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_have_names() {
        for feature in Feature::ALL {
            assert_eq!(Feature::named(feature.name()), Some(feature));
            assert!(Features::all().has(feature) && !Features::all().without(feature).has(feature));
        }
        assert_eq!(Feature::named("sqpoll"), None);
        assert_eq!(Features::NONE.with(Feature::MsgRing).to_string(), "msg_ring");
    }

    #[test]
    fn faults_name_the_command() {
        let fault = |number| RingFault::setup(&io::Error::from_raw_os_error(number)).to_string();
        assert!(fault(libc::ENOMEM).contains("ulimit -l"));
        assert!(fault(libc::EMFILE).contains("ulimit -n"));
        assert!(fault(libc::EPERM).contains("seccomp") || fault(libc::EPERM).contains("sysctl"));
        assert!(RingFault::buffers(&io::Error::from_raw_os_error(libc::EINVAL)).to_string().contains("Linux 6.1"));
    }
}
