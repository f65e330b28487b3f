//! What a jail consists of on this host, and what is missing.

use std::fmt;

use trilith_types::cbor::{DecodeError, Decoder, Encoder};

/// Most features that a report can list.
const MISSING_MAX: usize = 32;
/// Most bytes of a reason or an error.
const TEXT_BYTES_MAX: usize = 1024;

/// A protection that the host's kernel has to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Giving up the identity of root on the host.
    UnprivilegedIdentity,
    /// A user namespace, on which the others depend for an ordinary user.
    UserNamespace,
    /// A pid namespace: no other processes are visible.
    PidNamespace,
    /// A mount namespace of its own.
    MountNamespace,
    /// A network namespace without interfaces.
    NetworkNamespace,
    /// A namespace for System V and POSIX message queues.
    IpcNamespace,
    /// A namespace for the host's name.
    UtsNamespace,
    /// A namespace for control groups.
    CgroupNamespace,
    /// An empty root directory.
    EmptyRoot,
    /// Dropping all capabilities.
    NoCapabilities,
    /// Landlock: refusing all access to files, ports and other processes.
    Landlock,
    /// The list of written pages of the process's own memory.
    Pagemap,
    /// Write tracking of the process's own memory.
    Userfaultfd,
}

impl Feature {
    const ALL: [(Self, &'static str); 13] = [
        (Self::UnprivilegedIdentity, "unprivileged identity"),
        (Self::UserNamespace, "user namespace"),
        (Self::PidNamespace, "pid namespace"),
        (Self::MountNamespace, "mount namespace"),
        (Self::NetworkNamespace, "network namespace"),
        (Self::IpcNamespace, "ipc namespace"),
        (Self::UtsNamespace, "uts namespace"),
        (Self::CgroupNamespace, "cgroup namespace"),
        (Self::EmptyRoot, "empty root"),
        (Self::NoCapabilities, "dropped capabilities"),
        (Self::Landlock, "landlock"),
        (Self::Pagemap, "pagemap"),
        (Self::Userfaultfd, "userfaultfd"),
    ];

    /// Whether it protects the host. The others only make the jailed process faster.
    pub fn is_protection(self) -> bool {
        !matches!(self, Self::Pagemap | Self::Userfaultfd)
    }

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(feature, _)| *feature == self)
            .map_or("", |(_, name)| name)
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, found)| *found == name)
            .map(|(feature, _)| *feature)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A feature that the host did not give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub feature: Feature,
    /// What the kernel answered.
    pub reason: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.feature, self.reason)
    }
}

/// What a jail consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JailReport {
    /// What the host did not give, in the order in which it was tried.
    pub missing: Vec<Missing>,
    /// Version of the landlock interface in force; 0 if there is none. What older versions cannot
    /// refuse (network, signals) is refused by namespaces and system call rules as well.
    pub landlock_abi: u32,
    /// Length of the system call filter in instructions of its machine.
    pub filter_instructions: u32,
}

impl JailReport {
    /// Whether nothing that protects the host is missing.
    pub fn is_complete(&self) -> bool {
        self.missing
            .iter()
            .all(|missing| !missing.feature.is_protection())
    }

    pub(crate) fn miss(&mut self, feature: Feature, reason: impl fmt::Display) {
        self.missing.push(Missing {
            feature,
            reason: reason.to_string(),
        });
    }
}

impl fmt::Display for JailReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "landlock version {}", self.landlock_abi)?;
        write!(
            formatter,
            ", filter of {} instructions",
            self.filter_instructions
        )?;
        if self.missing.is_empty() {
            return formatter.write_str(", nothing missing");
        }
        for (position, missing) in self.missing.iter().enumerate() {
            write!(
                formatter,
                "{} {missing}",
                if position == 0 { ", missing:" } else { ";" }
            )?;
        }
        Ok(())
    }
}

/// Encodes what a child says when its jail stands, or why it does not.
pub(crate) fn encode_readiness(readiness: &Result<JailReport, String>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    match readiness {
        Ok(report) => {
            encoder.array(4).bool(true);
            encoder
                .uint(report.landlock_abi.into())
                .uint(report.filter_instructions.into());
            encoder.array(report.missing.len());
            for missing in &report.missing {
                encoder
                    .array(2)
                    .text(missing.feature.name())
                    .text(bounded(&missing.reason));
            }
        }
        Err(reason) => {
            encoder.array(2).bool(false).text(bounded(reason));
        }
    }
    encoder.finish()
}

/// Reads what a child says when its jail stands (its report), or why it does not.
///
/// # Errors
/// If the bytes are not in the form that a child of this version sends.
pub fn decode_readiness(bytes: &[u8]) -> Result<Result<JailReport, String>, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let items = decoder.array("readiness", 4)?;
    let readiness = match (decoder.bool()?, items) {
        (true, 4) => Ok(decode_report(&mut decoder)?),
        (false, 2) => Err(decoder.text("reason", TEXT_BYTES_MAX)?.to_owned()),
        _ => return Err(DecodeError::Field("readiness")),
    };
    decoder.finish()?;
    Ok(readiness)
}

fn decode_report(decoder: &mut Decoder<'_>) -> Result<JailReport, DecodeError> {
    let number = |decoder: &mut Decoder<'_>, name| {
        u32::try_from(decoder.uint()?).map_err(|_| DecodeError::Field(name))
    };
    let landlock_abi = number(decoder, "landlock version")?;
    let filter_instructions = number(decoder, "filter instructions")?;
    let mut missing = Vec::new();
    for _ in 0..decoder.array("missing features", MISSING_MAX)? {
        if decoder.array("missing feature", 2)? != 2 {
            return Err(DecodeError::Field("missing feature"));
        }
        let feature = Feature::from_name(decoder.text("feature", 64)?)
            .ok_or(DecodeError::Field("feature"))?;
        let reason = decoder.text("reason", TEXT_BYTES_MAX)?.to_owned();
        missing.push(Missing { feature, reason });
    }
    Ok(JailReport {
        missing,
        landlock_abi,
        filter_instructions,
    })
}

/// The start of a text, at most as long as the decoder accepts.
fn bounded(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_is_read_as_written() {
        let mut report = JailReport {
            landlock_abi: 7,
            filter_instructions: 9,
            ..Default::default()
        };
        for (feature, _) in Feature::ALL {
            report.miss(feature, "EPERM");
        }
        assert!(!report.is_complete());
        assert!(
            report
                .to_string()
                .contains("missing: unprivileged identity: EPERM; user")
        );
        let ready = Ok(report);
        assert_eq!(decode_readiness(&encode_readiness(&ready)), Ok(ready));
        let failed = Err("é".repeat(TEXT_BYTES_MAX));
        let read = decode_readiness(&encode_readiness(&failed)).unwrap();
        assert_eq!(read.unwrap_err().len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn hints_do_not_count_as_protection() {
        let mut report = JailReport::default();
        report.miss(Feature::Userfaultfd, "ENOSYS");
        assert!(report.is_complete());
    }
}
