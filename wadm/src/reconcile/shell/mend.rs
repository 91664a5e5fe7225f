//! Mending the store: buckets that somebody deleted, an index that somebody overwrote. What is known here is written
//! back, as if it had never been away.

use super::Shell;
use crate::store::StoreError;

impl Shell {
    /// Sees which buckets there are, and notes everything again where the notes were lost.
    pub(super) async fn refill_notes(&mut self) -> Result<(), StoreError> {
        let now = self.store.incarnation().await?;
        if let Some(before) = &self.incarnation
            && now.lost_notes(before)
        {
            let owned = self.core.owned();
            tracing::warn!(
                apps = owned.len(),
                "the application manager's notes were lost; writing them again"
            );
            // Statuses are noted anew whenever listening begins.
            for (app, owned) in owned {
                self.store.notes.set_owned(app, owned).await?;
            }
        }
        self.incarnation = Some(now);
        Ok(())
    }

    /// Writes the applications back that the store lost; whether there were any.
    pub(super) async fn restore_apps(&self) -> Result<bool, StoreError> {
        let mut restored = Vec::new();
        for (app, stored) in self.catalog.vanished() {
            if self.store.apps.restore(app, stored).await? {
                restored.push(app);
            }
        }
        if restored.is_empty() {
            return Ok(false);
        }
        tracing::warn!(
            apps = ?restored,
            "applications vanished from the store without having been deleted; wrote them back"
        );
        Ok(true)
    }
}
