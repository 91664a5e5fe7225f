//! Mending the store: buckets that somebody deleted, an index that somebody overwrote. What is known here is written
//! back, as if it had never been away.

use super::Reconciler;
use crate::store::StoreError;

impl Reconciler {
    /// Sees which buckets there are, and notes everything again where the notes were lost.
    pub(super) async fn refill_notes(&mut self) -> Result<(), StoreError> {
        let now = self.store.incarnation().await?;
        if let Some(before) = &self.incarnation
            && now.lost_notes(before)
        {
            tracing::warn!(
                apps = self.owned.len(),
                "the application manager's notes were lost; writing them again"
            );
            for (app, owned) in &self.owned {
                self.store.notes.set_owned(app, owned).await?;
            }
            for (app, status) in &self.statuses {
                self.store.notes.set_status(app, status).await?;
            }
        }
        self.incarnation = Some(now);
        self.store_was_lost = false;
        Ok(())
    }

    /// Writes the applications back that the store lost.
    pub(super) async fn restore_apps(&mut self) -> Result<(), StoreError> {
        let mut restored = Vec::new();
        for (app, stored) in self.catalog.vanished() {
            if self.store.apps.restore(app, stored).await? {
                restored.push(app);
            }
        }
        if !restored.is_empty() {
            tracing::warn!(
                apps = ?restored,
                "applications vanished from the store without having been deleted; wrote them back"
            );
            // With the revisions that they have now.
            self.read_store().await?;
        }
        Ok(())
    }
}
