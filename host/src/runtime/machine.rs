//! What this machine grants a host: memory, address space, memory mappings, open files. A pool of instances that is larger
//! than that fails in the middle of a call; one that is too large is made smaller when the host starts, and says why.

use std::{fmt, fs, path::Path};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use wasmtime::{Config, Engine, Memory, MemoryType, Store};

/// What a running call takes of memory as a rule: its stack, what it wrote to, its share of the host. A call that takes all
/// of its limit takes more; that many calls at once rarely do.
const BYTES_PER_CALL: u64 = 1 << 20;
/// The part of available memory that calls may take: one in so many bytes.
const MEMORY_PART: u64 = 2;
/// Kernel mappings that a running call takes: its stack and the page below it; of its memory what lies before its image,
/// the image, what follows, and the unreachable rest; two for what may lie between.
const MAPPINGS_PER_CALL: u64 = 8;
/// The part of all mappings that calls may take. The others are for loaded actors (three each), threads and libraries.
const MAPPINGS_PART: u64 = 2;

/// With room for fewer calls a host is no use.
const FEWEST_CALLS: u32 = 4;

/// A machine's grants; `None` where it does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Memory that is free or can be freed, in bytes: the machine's, or this process' control group's if that is less.
    pub(super) memory_bytes: Option<u64>,
    /// How many mappings a process may have.
    pub(super) mappings: Option<u64>,
}

/// What keeps a pool small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Memory { bytes: u64 },
    Mappings { limit: u64, needed: u64 },
    AddressSpace { needed: u64 },
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: &u64| bytes >> 20;
        match self {
            Self::Memory { bytes } => write!(
                f,
                "{} MiB of memory are available: give the machine, or the host's control group, more, or ask for fewer calls (--max-calls)",
                mib(bytes)
            ),
            Self::Mappings { limit, needed } => write!(
                f,
                "a process may have {limit} memory mappings: raise it, `sysctl -w vm.max_map_count={needed}`, or ask for fewer calls (--max-calls)"
            ),
            Self::AddressSpace { needed } => write!(
                f,
                "{} GiB of address space cannot be had: lift the limit (`ulimit -v unlimited`) where there is one, or ask for fewer calls (--max-calls)",
                needed >> 30
            ),
        }
    }
}

impl Machine {
    /// Looks at this machine.
    pub(super) fn look() -> Self {
        let free = number_after(&read("/proc/meminfo"), "MemAvailable:").map(|kib| kib << 10);
        let group = cgroup_free(Path::new("/sys/fs/cgroup"), &read("/proc/self/cgroup"));
        Self {
            memory_bytes: [free, group].into_iter().flatten().min(),
            mappings: read("/proc/sys/vm/max_map_count").trim().parse().ok(),
        }
    }

    /// How many calls fit, at most as many as are wished for, and what keeps them from being that many.
    ///
    /// # Errors
    /// The bound that leaves room for too few to be of use.
    pub(super) fn calls(&self, wished: u32) -> Result<(u32, Option<Bound>), Bound> {
        let fit = |room: u64| u32::try_from(room).unwrap_or(u32::MAX);
        let memory = self.memory_bytes.map(|bytes| {
            let room = bytes / MEMORY_PART / BYTES_PER_CALL;
            (fit(room), Bound::Memory { bytes })
        });
        let mappings = self.mappings.map(|limit| {
            let room = limit / MAPPINGS_PART / MAPPINGS_PER_CALL;
            let needed = u64::from(wished) * MAPPINGS_PER_CALL * MAPPINGS_PART;
            (fit(room), Bound::Mappings { limit, needed })
        });
        let least = [memory, mappings]
            .into_iter()
            .flatten()
            .min_by_key(|(room, _)| *room);
        match least {
            Some((room, bound)) if room < wished => {
                if room < FEWEST_CALLS {
                    return Err(bound);
                }
                Ok((room, Some(bound)))
            }
            _ => Ok((wished, None)),
        }
    }
}

/// Whether that much address space can be had in one piece. Boards with 39-bit addresses have 512 GiB, and `ulimit -v` may
/// leave less.
pub(super) fn has_address_space(bytes: u64) -> bool {
    let mut config = Config::new();
    config.memory_reservation(bytes).memory_guard_size(0);
    let Ok(engine) = Engine::new(&config) else {
        return false;
    };
    Memory::new(Store::new(&engine, ()), MemoryType::new(0, None)).is_ok()
}

/// Lets this process have as many files open as it may: each loaded actor keeps its compiled code's. Gives how many.
pub(super) fn raise_open_files() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_err() {
        return Some(soft);
    }
    Some(hard)
}

/// What to do when the kernel refuses an actor's code a mapping or a file, if that is what an error says.
pub(super) fn remedy(error: &str) -> Option<String> {
    if error.contains("(os error 12)") {
        let limit = read("/proc/sys/vm/max_map_count");
        return Some(format!(
            "the kernel grants no more memory, or this process has its {} memory mappings (each loaded actor takes three): raise them with `sysctl -w vm.max_map_count=...`, or run fewer actors here",
            limit.trim()
        ));
    }
    error.contains("(os error 24)").then(|| {
        "this process has as many files open as it may, and each loaded actor keeps one open: raise the limit (`ulimit -n`, or LimitNOFILE of the service), or run fewer actors here".to_owned()
    })
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number_after(text: &str, key: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What is left of the memory of this process' control group and of those above it, the least of all.
fn cgroup_free(root: &Path, membership: &str) -> Option<u64> {
    let mut least = None;
    for line in membership.lines() {
        // `0::/path` is version 2, `5:memory:/path` version 1.
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, limit, usage) = match controllers {
            "" => (root.to_owned(), "memory.max", "memory.current"),
            names if names.split(',').any(|name| name == "memory") => (
                root.join("memory"),
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            ),
            _ => continue,
        };
        let group = root.join(path.trim_start_matches('/'));
        for folder in group.ancestors().take_while(|at| at.starts_with(&root)) {
            // `max` where there is no limit.
            let limit: Option<u64> = read(folder.join(limit)).trim().parse().ok();
            let used: u64 = read(folder.join(usage)).trim().parse().unwrap_or(0);
            // What the kernel keeps of files it can let go of.
            let stat = read(folder.join("memory.stat"));
            let files = number_after(&stat, "inactive_file ").unwrap_or(0);
            if let Some(limit) = limit {
                let free = limit.saturating_sub(used.saturating_sub(files));
                least = Some(least.map_or(free, |least: u64| least.min(free)));
            }
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Machine = Machine {
        memory_bytes: Some(64 << 30),
        mappings: Some(1 << 20),
    };

    #[test]
    fn where_there_is_plenty_the_wish_is_granted() {
        assert_eq!(PLENTY.calls(1000), Ok((1000, None)));
        let silent = Machine {
            memory_bytes: None,
            mappings: None,
        };
        assert_eq!(silent.calls(1000), Ok((1000, None)));
        // Who asks for little gets it.
        assert_eq!(PLENTY.calls(1), Ok((1, None)));
    }

    #[test]
    fn mappings_bound_the_pool_and_the_remedy_suffices() {
        let usual = Machine {
            mappings: Some(65_530),
            ..PLENTY
        };
        assert_eq!(usual.calls(1000), Ok((1000, None)));
        let (calls, bound) = usual.calls(10_000).unwrap();
        assert_eq!(calls, 4095);
        let Some(Bound::Mappings { needed, .. }) = bound else {
            panic!("{bound:?}");
        };
        let text = bound.unwrap().to_string();
        assert!(
            text.contains("65530")
                && text.contains(&format!("sysctl -w vm.max_map_count={needed}")),
            "{text}"
        );
        let raised = Machine {
            mappings: Some(needed),
            ..PLENTY
        };
        assert_eq!(raised.calls(10_000), Ok((10_000, None)));
    }

    #[test]
    fn memory_bounds_the_pool_and_too_little_is_an_error() {
        let small = Machine {
            memory_bytes: Some(256 << 20),
            ..PLENTY
        };
        let (calls, bound) = small.calls(1000).unwrap();
        assert_eq!(calls, 128);
        assert!(bound.unwrap().to_string().contains("256 MiB"), "{bound:?}");
        let tiny = Machine {
            memory_bytes: Some(4 << 20),
            ..PLENTY
        };
        assert!(matches!(tiny.calls(1000), Err(Bound::Memory { .. })));
    }

    #[test]
    fn the_control_group_s_memory_counts_also_that_of_those_above() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("outer/inner");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        assert_eq!(cgroup_free(root.path(), "0::/outer/inner\n"), None);
        fs::write(root.path().join("outer/memory.max"), "1000000\n").unwrap();
        fs::write(root.path().join("outer/memory.current"), "600000\n").unwrap();
        fs::write(
            root.path().join("outer/memory.stat"),
            "anon 1\ninactive_file 100000\n",
        )
        .unwrap();
        assert_eq!(cgroup_free(root.path(), "0::/outer/inner\n"), Some(500_000));
        fs::write(inner.join("memory.max"), "200000\n").unwrap();
        assert_eq!(cgroup_free(root.path(), "0::/outer/inner\n"), Some(200_000));

        let old = root.path().join("memory/g");
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join("memory.limit_in_bytes"), "5000\n").unwrap();
        fs::write(old.join("memory.usage_in_bytes"), "1000\n").unwrap();
        assert_eq!(
            cgroup_free(root.path(), "5:cpu,memory:/g\n3:pids:/\n"),
            Some(4000)
        );
    }

    #[test]
    fn errors_of_the_kernel_are_told_with_what_to_raise() {
        let said = |code| remedy(&std::io::Error::from_raw_os_error(code).to_string());
        assert!(
            said(nix::libc::ENOMEM)
                .unwrap()
                .contains("vm.max_map_count")
        );
        assert!(said(nix::libc::EMFILE).unwrap().contains("ulimit -n"));
        assert_eq!(said(nix::libc::EINVAL), None);
    }

    #[test]
    fn this_machine_is_seen() {
        let machine = Machine::look();
        assert!(
            machine.memory_bytes.is_some() && machine.mappings.is_some(),
            "{machine:?}"
        );
        assert!(has_address_space(1 << 32));
        assert!(!has_address_space(1 << 62));
        assert!(raise_open_files().is_some());
    }
}
