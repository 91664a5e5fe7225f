//! `trellis wadm`: an application manager, in this process.

use clap::Args;
use tokio::sync::oneshot;
use trellis_lattice::LatticeName;
use trellis_wadm::{Settings, WadmConfig};

use crate::{ending, session::Options};

/// An application manager to run.
#[derive(Args, Debug)]
pub struct Wadm {
    /// A further lattice to care for; repeatable.
    #[arg(long = "also", value_name = "LATTICE")]
    also: Vec<LatticeName>,
    /// The JetStream domain of its buckets, where it is not the server's own: such as the hub's, from a PoP.
    #[arg(long, env = "TRELLIS_JS_DOMAIN", value_name = "NAME")]
    js_domain: Option<String>,
}

impl Wadm {
    /// Runs it until it is told to end.
    ///
    /// # Errors
    /// NATS can't be reached, or JetStream is off.
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let mut lattices = vec![options.lattice.clone()];
        lattices.extend(
            self.also
                .into_iter()
                .filter(|lattice| *lattice != options.lattice),
        );
        let config = WadmConfig {
            lattices,
            nats: options.nats(),
            js_domain: self.js_domain,
            settings: Settings::default(),
        };
        // Whoever starts it learns by its log that it is ready.
        let (ready, _) = oneshot::channel();
        Ok(trellis_wadm::run(config, ready, ending::on_signal()?).await?)
    }
}
