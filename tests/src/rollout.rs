//! Applications whose versions follow each other, and how far they are.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use trellis_lattice::{ComponentId, app::rollout::RolloutReply};

use crate::{lattice::Lattice, wait::until};

/// A manifest of that version.
pub fn versioned(manifest: &str, name: &str, version: &str) -> String {
    manifest.replacen(
        &format!("  name: {name}\n"),
        &format!("  name: {name}\n  annotations: {{version: {version}}}\n"),
        1,
    )
}

impl Lattice {
    /// How far an application's last rollout is, as `trellis app rollout status` tells it.
    ///
    /// # Errors
    /// Nobody of that name, or no answer.
    pub async fn rollout(&self, app: &str) -> Result<RolloutReply> {
        let told = self
            .succeed(&["app", "rollout", "status", app, "--output", "json"])
            .await?;
        serde_json::from_str(&told).with_context(|| told)
    }

    /// Waits until an application's rollout is as it should be; gives it.
    ///
    /// # Errors
    /// It was not within the kit's deadline.
    pub async fn rollout_until(
        &self,
        app: &str,
        what: &str,
        good: impl Fn(&RolloutReply) -> bool,
    ) -> Result<RolloutReply> {
        until(what, || async {
            let reply = self.rollout(app).await?;
            ensure!(good(&reply), "{reply:?}");
            Ok(reply)
        })
        .await
        .with_context(|| self.logs())
    }

    /// The version that is deployed, as `trellis app versions` tells it.
    ///
    /// # Errors
    /// Nobody of that name, or no answer.
    pub async fn deployed_version(&self, app: &str) -> Result<Option<String>> {
        let told = self
            .succeed(&["app", "versions", app, "--output", "json"])
            .await?;
        let versions: Vec<Value> = serde_json::from_str(&told).with_context(|| told)?;
        let deployed = versions.iter().find(|one| one["deployed"] == true);
        Ok(deployed.and_then(|one| one["version"].as_str().map(str::to_owned)))
    }

    /// The images that a component runs with, by the hosts' names.
    ///
    /// # Errors
    /// A host that said it is there doesn't answer.
    pub async fn images(&self, component: &str) -> Result<BTreeMap<String, String>> {
        let id = ComponentId::new(component)?;
        let mut images = BTreeMap::new();
        for host in self.control.hosts().await? {
            let inventory = self.control.inventory(&host.id).await?;
            if let Some(there) = inventory.component(&id) {
                images.insert(host.friendly_name, there.image_ref.clone());
            }
        }
        Ok(images)
    }
}
