//! Links by a few words.

use trellis_provider::contract::{Link, LinkName, ResolvedLink};

/// A link as a test writes it: `http-server -> hello`, with the configuration of both sides.
#[derive(Clone, Debug)]
pub struct Side<'a> {
    /// Who calls.
    pub source: &'a str,
    /// Who is called.
    pub target: &'a str,
    /// `namespace:package/interface`.
    pub interface: &'a str,
    /// `source_config` or `target_config`, whichever is the provider's: both are set to it.
    pub config: &'a [(&'a str, &'a str)],
}

impl Side<'_> {
    /// The link as the host gives it, under the name `default`.
    ///
    /// # Panics
    /// When an id can't be one: the test is wrong.
    pub fn link(&self) -> ResolvedLink {
        self.named(LinkName::default())
    }

    /// The link under a name.
    ///
    /// # Panics
    /// When an id can't be one: the test is wrong.
    #[expect(clippy::expect_used, reason = "a test that is wrong should fail")]
    pub fn named(&self, name: LinkName) -> ResolvedLink {
        let (namespace, rest) = self
            .interface
            .split_once(':')
            .expect("namespace:package/interface");
        let (package, interface) = rest.split_once('/').expect("namespace:package/interface");
        let link = Link {
            source_id: self.source.parse().expect("the source's id"),
            target: self.target.parse().expect("the target's id"),
            name,
            wit_namespace: namespace.to_owned(),
            wit_package: package.to_owned(),
            interfaces: vec![interface.to_owned()],
            source_config: Vec::new(),
            target_config: Vec::new(),
            within: None,
        };
        let config = |entries: &[(&str, &str)]| {
            entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        ResolvedLink::new(&link, config(self.config), config(self.config))
    }
}
