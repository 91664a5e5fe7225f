//! A provider to test the supervision with: this test program itself, started again. It does what a 1.x provider does,
//! and tells the test of everything on `probe.{provider id}`.
//!
//! A host starts `FILE` or `EXECUTABLE provider NAME`; the file is a script that starts this program with one test's
//! name, which is the provider's main function.

use std::{
    io::{BufRead as _, Write as _},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::exit,
};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use serde_json::{Value, json};
use trellis_lattice::{connect::NatsSettings, provider::HostData};

/// Says that this process is a provider.
const MARK: &str = "TRELLIS_TEST_PROBE";

/// Writes the script that starts the probe.
pub fn script(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("probe");
    let program = std::env::current_exe()?;
    let script = format!(
        "#!/bin/sh\n{MARK}=1 exec '{}' --exact probe::main --nocapture --test-threads 1\n",
        program.display()
    );
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
    Ok(path)
}

/// Not a test: the probe's main function, when the script has started this program.
#[test]
fn main() {
    if std::env::var_os(MARK).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(run()).unwrap_err();
    eprintln!("probe: {error:#}");
    exit(1);
}

async fn run() -> Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let data = HostData::from_line(&line)?;
    let behaviour = data.config.get("behaviour").cloned().unwrap_or_default();
    if behaviour == "fail" {
        anyhow::bail!("told to fail");
    }
    println!("the probe has started");
    std::io::stdout().flush()?;

    let seed = Some(data.lattice_rpc_user_seed.clone()).filter(|seed| !seed.is_empty());
    let settings = NatsSettings {
        seed,
        ..NatsSettings::new(&data.lattice_rpc_url)
    };
    let client = settings.connect("probe").await?;
    let id = data.provider_key.to_string();
    let lattice = &data.lattice_rpc_prefix;
    // To what a 1.x provider subscribes, and to nothing else.
    let mut all = Vec::new();
    for what in ["health", "linkdefs.*", "config.*", "default.*"] {
        let subject = format!("wasmbus.rpc.{lattice}.{id}.{what}");
        all.push(client.subscribe(subject).await?);
    }
    let mut messages = futures::stream::select_all(all);
    client.flush().await?;
    let tell = async |what: Value| -> Result<()> {
        client
            .publish(format!("probe.{id}"), serde_json::to_vec(&what)?.into())
            .await?;
        client.flush().await?;
        Ok(())
    };
    let environment: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    tell(json!({
        "what": "started",
        "pid": std::process::id(),
        "host_data": data,
        "environment": environment,
    }))
    .await?;

    let mut sick = behaviour == "sick";
    while let Some(message) = messages.next().await {
        let what = message
            .subject
            .rsplit_once(&format!(".{id}."))
            .context("other subject")?
            .1;
        let answer = match what {
            "health" if behaviour == "mute" => None,
            "health" => Some(json!({"healthy": !sick, "message": "as told"})),
            "default.shutdown" if behaviour == "stubborn" => Some(json!("no")),
            "default.shutdown" => Some(json!("shutting down")),
            _ => None,
        };
        if let (Some(answer), Some(reply)) = (&answer, message.reply) {
            client
                .publish(reply, serde_json::to_vec(answer)?.into())
                .await?;
        }
        if what == "config.update" {
            let config: Value = serde_json::from_slice(&message.payload)?;
            sick = config["behaviour"] == "sick";
        }
        if what != "health" {
            let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
            tell(json!({"what": what, "body": body})).await?;
        }
        if what == "default.shutdown" && behaviour != "stubborn" {
            exit(0);
        }
    }
    anyhow::bail!("the subscription ended")
}
