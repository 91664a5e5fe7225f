//! Every command, and which room carries it out.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    app, call, config, exit, get, health, host, inspect, keys, label, lattice, link, log, new,
    output, provider, pull, push, run, session::Options, sign, up, wadm,
};

/// A lattice of signed WebAssembly actors and the providers they are linked to.
#[derive(Parser, Debug)]
#[command(
    name = "trellis",
    version,
    after_help = format!("Example:\n  trellis up --app app.yaml\n\n{}", exit::CODES),
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: Options,
}

impl Cli {
    /// How results and errors are printed.
    pub fn format(&self) -> output::Format {
        self.options.output
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start a lattice on this machine, deploy applications, and end it all with Ctrl-C.
    #[command(after_help = "Example:\n  trellis up --app examples/http-counter/app.yaml")]
    Up(Box<up::Up>),
    /// Show what the lattice has.
    #[command(after_help = "Example:\n  trellis get hosts")]
    Get {
        #[command(subcommand)]
        what: get::Get,
    },
    /// Deploy applications, and see and remove them.
    #[command(after_help = "Example:\n  trellis app deploy app.yaml")]
    App {
        #[command(subcommand)]
        what: app::App,
    },
    /// Write a project to begin with.
    #[command(after_help = "Example:\n  trellis new provider parking")]
    New {
        #[command(subcommand)]
        what: new::New,
    },
    /// Call a function of a running component, with arguments as WAVE writes values.
    #[command(after_help = call::HELP)]
    Call(call::Call),
    /// Link a component or provider to what it calls.
    #[command(after_help = "Example:\n  trellis link put shop-cart shop-kv wasi:keyvalue/store")]
    Link {
        #[command(subcommand)]
        what: link::LinkCommand,
    },
    /// Make what a lattice in many points of presence needs: the configurations of its NATS servers.
    #[command(after_help = "Example:\n  trellis lattice config --pop fra --region eu --out fra")]
    Lattice {
        #[command(subcommand)]
        what: lattice::LatticeCommand,
    },
    /// Change the lattice's named configurations.
    #[command(after_help = "Example:\n  trellis config put shop-http address=0.0.0.0:8080")]
    Config {
        #[command(subcommand)]
        what: config::ConfigCommand,
    },
    /// Change a host's labels.
    #[command(after_help = "Example:\n  trellis label put edge-1 pop=fra")]
    Label {
        #[command(subcommand)]
        what: label::LabelCommand,
    },
    /// Set how many calls of a component may run at once on a host.
    #[command(after_help = "Example:\n  trellis scale shop-cart 20")]
    Scale(run::Scale),
    /// Start a component or a provider.
    #[command(after_help = "Example:\n  trellis start provider shop-http builtin:http-server")]
    Start {
        #[command(subcommand)]
        what: run::Start,
    },
    /// Stop a component, a provider or a host.
    #[command(after_help = "Example:\n  trellis stop provider shop-http")]
    Stop {
        #[command(subcommand)]
        what: run::Stop,
    },
    /// Run a host.
    #[command(
        after_help = "Example:\n  trellis host --issuer AASHHWMOQTVG5RE3K3T5QXLGZ5AD2YKTFDGDSDY2XWVPJD3GD2YRXFXF --label pop=fra"
    )]
    Host(Box<host::Host>),
    /// Run an application manager.
    #[command(after_help = "Example:\n  trellis wadm --lattice default")]
    Wadm(wadm::Wadm),
    /// Run a built-in provider, as a host starts it, or pack one of your own.
    #[command(
        after_help = "Example:\n  trellis provider http-server --explain\n  trellis provider http-server < host-data.base64"
    )]
    Provider(provider::Provider),
    /// Ask whether a host or an application manager does its work: for health checks.
    #[command(after_help = "Example:\n  trellis health host --host-key host.nk --timeout 2s")]
    Health {
        #[command(subcommand)]
        what: health::Health,
    },
    /// Make and list keys.
    #[command(after_help = "Example:\n  trellis keys gen account --file account.nk")]
    Keys {
        #[command(subcommand)]
        what: keys::Keys,
    },
    /// Sign components and provider archives.
    #[command(
        after_help = "Example:\n  trellis sign --in-place --grant 'wasi:keyvalue/*' --grant 'wasi:config/*' --grant 'wasi:logging/*' \
                      target/actors/http_counter.wasm"
    )]
    Sign(sign::Sign),
    /// Push a component or a provider archive to an OCI registry.
    Push(push::Push),
    /// Pull a component or a provider archive from an OCI registry.
    Pull(pull::Pull),
    /// Show a file's claims, imports, exports and size.
    #[command(after_help = "Example:\n  trellis inspect cart.wasm")]
    Inspect(inspect::Inspect),
    /// Print a shell's completion script.
    #[command(after_help = "Example:\n  trellis completions bash > /etc/bash_completion.d/trellis")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Carries out a command.
///
/// # Errors
/// As the command; [`exit`] tells them.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let options = cli.options;
    // What asks something says what went wrong as its error; roles log. A provider's log is its own room's, and
    // so is that of `up`.
    match &cli.command {
        Command::Up(_) | Command::Provider(_) => {}
        Command::Host(_) | Command::Wadm(_) => log::to_stderr("info,async_nats=warn"),
        _ => log::to_stderr("error"),
    }
    match cli.command {
        Command::Up(up) => role(Share::All, up.run(&options)),
        Command::Host(host) => role(Share::All, host.run(&options)),
        Command::Wadm(wadm) => role(Share::All, wadm.run(&options)),
        Command::Provider(provider) => role(Share::Half, provider.run(&options)),
        Command::Get { what } => tool(what.run(&options)),
        Command::App { what } => tool(what.run(&options)),
        Command::New { what } => what.run(&options),
        Command::Call(call) => tool(call.run(&options)),
        Command::Link { what } => tool(what.run(&options)),
        Command::Lattice { what } => what.run(&options),
        Command::Config { what } => tool(what.run(&options)),
        Command::Label { what } => tool(what.run(&options)),
        Command::Scale(scale) => tool(scale.run(&options)),
        Command::Start { what } => tool(what.run(&options)),
        Command::Stop { what } => tool(what.run(&options)),
        Command::Health { what } => tool(what.run(&options)),
        Command::Keys { what } => what.run(&options),
        Command::Sign(sign) => sign.run(&options),
        Command::Push(push) => tool(push.run(&options)),
        Command::Pull(pull) => tool(pull.run(&options)),
        Command::Inspect(inspect) => inspect.run(&options),
        Command::Completions { shell } => completions(shell),
    }
}

/// On how many processors a role runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    /// Every one.
    All,
    /// Half of them: a provider waits more than it computes, beside a host and others that compute, and with fewer
    /// threads fewer are woken for nothing.
    Half,
}

/// Runs what serves.
fn role(share: Share, command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = match share {
        Share::All => processors,
        Share::Half => processors.div_ceil(2),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(command);
    // A thread that reads standard input can't be ended: the process doesn't wait for it.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    outcome
}

/// Runs a command that asks the lattice something: one thread is plenty.
fn tool(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(command)
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "trellis", &mut script);
    Ok(output::write(&script)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_don_t_clash() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_s_help_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let example = help
                .lines()
                .skip_while(|line| *line != "Example:")
                .nth(1)
                .unwrap_or_default();
            assert!(
                example.trim().starts_with(path),
                "{path}: no example in {help:?}"
            );
            for sub in command.get_subcommands() {
                check(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        check(&Cli::command(), "trellis");
    }
}
