//! The routes of the northbound interface while they are put together.
//!
//! A router does not tell its paths; this one does, to the test that compares them with the interface's description.

use axum::Router;
use axum::routing::MethodRouter;

use super::Api;

/// A router that can be asked for its paths in tests.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Api>,
    #[cfg(test)]
    pub(super) paths: Vec<String>,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Answers on `path` by `methods`.
    pub(super) fn route(mut self, path: &str, methods: MethodRouter<Api>) -> Self {
        #[cfg(test)]
        self.paths.push(path.to_owned());
        self.router = self.router.route(path, methods);
        self
    }

    /// Takes over the routes of another.
    pub(super) fn merge(mut self, other: Self) -> Self {
        #[cfg(test)]
        self.paths.extend(other.paths);
        self.router = self.router.merge(other.router);
        self
    }

    /// What axum serves.
    pub(super) fn into_router(self) -> Router<Api> {
        self.router
    }
}
