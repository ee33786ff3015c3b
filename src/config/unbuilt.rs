//! Keys that are read but whose feature is not built yet. One that is set to anything but its
//! default is refused by name, so that nobody believes a setting that does nothing.

use super::raw::{RawChannel, RawDdl, RawDeployment, RawInstance, RawSite, RawStart, RawTlsMode};
use super::units::Span;

/// The keys of unbuilt features that are set, in the file's order of sections.
pub(super) fn unbuilt_keys(raw: &RawDeployment) -> Vec<String> {
    let mut found = Found(Vec::new());
    found.when("", "token_file", raw.token_file.is_some());
    found.when("", "tls", raw.tls.is_some());
    found.when("", "admin.tls", raw.admin.tls.is_some());
    found.when("", "admin.tokens", raw.admin.tokens.as_ref().is_some_and(|tokens| !tokens.is_empty()));
    for (name, site) in &raw.sites {
        found.site(&format!("sites.{name}"), site);
    }
    for (name, channel) in &raw.channels {
        found.channel(&format!("channels.{name}"), channel);
    }
    found.0
}

struct Found(Vec<String>);

impl Found {
    fn when(&mut self, path: &str, key: &str, set: bool) {
        if set {
            self.0.push(if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") });
        }
    }

    fn site(&mut self, path: &str, site: &RawSite) {
        let named = |zone: &Option<String>| zone.as_ref().is_some_and(|zone| !zone.is_empty());
        self.when(path, "zone", named(&site.zone));
        for (name, instance) in &site.instances {
            self.instance(&format!("{path}.instances.{name}"), instance);
        }
        for (name, node) in &site.nodes {
            let path = format!("{path}.nodes.{name}");
            self.when(&path, "advertise", node.advertise.is_some());
            self.when(&path, "zone", named(&node.zone));
        }
    }

    fn instance(&mut self, path: &str, instance: &RawInstance) {
        self.when(path, "apply", instance.apply.is_some());
        // The driver holds every certificate that it verifies against the host's name too.
        let by_authority = instance.tls.as_ref().is_some_and(|tls| tls.mode == RawTlsMode::VerifyCa);
        self.when(path, "tls.mode", by_authority);
    }

    fn channel(&mut self, path: &str, channel: &RawChannel) {
        self.when(path, "start", channel.start == Some(RawStart::Copy));
        let waits = channel.batch_wait_max.is_some_and(|wait| wait > Span::ms(0));
        self.when(path, "batch_wait_max", waits);
        self.when(path, "ddl", channel.ddl.is_some_and(|ddl| ddl != RawDdl::Stop));
    }
}
