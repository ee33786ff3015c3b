//! The configuration file: refused in one line, or a deployment that can be asked for everything.

use std::path::Path;

use weft::config::Deployment;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Deployment::parse(Path::new("weft.toml"), text) {
        Ok(deployment) => {
            for (channel, direction) in deployment.directions() {
                let filter = deployment.row_filter(channel, direction);
                assert_eq!(filter.target, deployment.instances[&direction.to].id);
                assert!(deployment.is_source(&direction.from) && deployment.is_target(&direction.to));
            }
        }
        Err(problem) => {
            let line = problem.to_string();
            assert!(!line.is_empty() && !line.contains('\n'), "not one line: {line:?}");
        }
    }
}
